// Compiles src/ and controllers/ into dist/ and copies what is not TypeScript beside it.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
// What build:policy made stays: it needs a compiler and Xen's headers.
const kept = ['policy.so', 'policy.so.json']
  .map((name) => `dist/src/xen/relay/${name}`)
  .filter((path) => existsSync(path))
  .map((path) => [path, readFileSync(path)]);
rmSync('dist', { recursive: true, force: true });
const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
const keep = (path) => !/\.(ts|mjs)$/.test(path);
for (const folder of ['src', 'controllers']) cpSync(folder, `dist/${folder}`, { recursive: true, filter: keep });
for (const script of ['dist/src/cli/bin.js', 'dist/src/xen/relay/front.sh']) chmodSync(script, 0o755);
for (const [path, content] of kept) writeFileSync(path, content);
