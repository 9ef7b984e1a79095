// Runs a TypeScript program of the repository: node src/packaging/run-ts.mjs FILE.ts [ARG ...]. Node 20 cannot strip types, so esbuild bundles it first.
import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node src/packaging/run-ts.mjs FILE.ts [ARG ...]');
  process.exit(2);
}
// Inside node_modules/.cache, so that packages left external resolve.
const folder = mkdtempSync(join(resolve('node_modules'), '.run-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const outfile = join(folder, 'program.mjs');
const source = pathToFileURL(resolve(file)).href;
await build({
  entryPoints: [file],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: 'inline',
  logLevel: 'warning',
  define: { 'import.meta.url': JSON.stringify(source) },
});
process.argv = [process.argv[0], resolve(file), ...args];
await import(pathToFileURL(outfile).href);
