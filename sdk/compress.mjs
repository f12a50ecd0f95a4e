// Compressed twins of files, which the server sends to those who are not on this machine: node compress.mjs [-QUALITY] FILE…
//
// Brotli only: the page needs a secure context, and there every browser takes it.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";

export async function compress(path, quality = 9) {
    const params = { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_LGWIN]: 22 };
    writeFileSync(`${path}.br.part`, await promisify(brotliCompress)(readFileSync(path), { params }));
    renameSync(`${path}.br.part`, `${path}.br`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
    const args = process.argv.slice(2);
    const quality = /^-\d+$/.test(args[0] ?? "") ? Number(args.shift().slice(1)) : undefined;
    await Promise.all(args.map((path) => compress(path, quality)));
}
