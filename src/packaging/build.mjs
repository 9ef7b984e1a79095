// Compiles src/ and controllers/ into dist/ and copies what is not TypeScript beside it.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
rmSync('dist', { recursive: true, force: true });
const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
const keep = (path) => !/\.(ts|mjs)$/.test(path);
for (const folder of ['src', 'controllers']) cpSync(folder, `dist/${folder}`, { recursive: true, filter: keep });
for (const script of ['dist/src/cli/bin.js', 'dist/src/xen/relay/front.sh']) chmodSync(script, 0o755);
