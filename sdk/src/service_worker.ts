/**
 * A service worker for servers that cannot send headers: it adds those of isolation to documents and workers. It also
 * answers with compiled guest code that worker/code.ts has stored, and touches nothing else. It keeps no copies, so a page
 * never shows an old state of the site.
 */

const scope = globalThis as unknown as ServiceWorkerGlobalScope;

const ISOLATION: Readonly<Record<string, string>> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Document-Isolation-Policy": "isolate-and-require-corp",
};
const KEPT = new URL("kept-code/", location.href).href;
const ISOLATED: readonly RequestDestination[] = ["document", "iframe", "frame", "worker"];

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.url.startsWith(KEPT)) event.respondWith(caches.match(request).then((stored) => stored ?? Response.error()));
  else if (ISOLATED.includes(request.destination) && new URL(request.url).origin === location.origin) {
    event.respondWith(isolate(request));
  }
});

async function isolate(request: Request): Promise<Response> {
  const response = await fetch(request);
  if (response.status === 0 || response.redirected || response.type === "opaqueredirect") return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

export {};
