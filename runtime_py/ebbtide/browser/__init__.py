"""The browser's side of the runtime: ports over kernel.wasm in a worker, placement, page protocol."""
