// Bundles the programs of dist/ into FOLDER (default dist/bundle), each in one file, laid out like the package: package.json, dist/src/….
// koffi stays outside (it has a native part); everything else is inside, so Node alone runs it.
import { cpSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
const out = resolve(process.argv[2] ?? 'dist/bundle');
rmSync(out, { recursive: true, force: true });
const common = {
  outbase: 'dist',
  outdir: `${out}/dist`,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: ['koffi', 'uplot'],
  // Some dependencies are CommonJS and call require for Node's own modules.
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  legalComments: 'linked',
  logLevel: 'warning',
  minifyWhitespace: true,
};
// The command line in chunks: a command loads only what it needs. Relay and guard in one file each: they must start quickly.
await build({ ...common, entryPoints: ['dist/src/cli/bin.js'], splitting: true });
await build({ ...common, entryPoints: ['dist/src/xen/relay/relay.js', 'dist/src/xen/guard-main.js'] });
const assets = (path) => !/\.(js|js\.map|d\.ts|ts|mjs)$/.test(path) && !path.startsWith('dist/bundle');
cpSync('dist/src', `${out}/dist/src`, { recursive: true, filter: assets });
for (const name of ['uPlot.iife.min.js', 'uPlot.min.css'])
  cpSync(`node_modules/uplot/dist/${name}`, `${out}/node_modules/uplot/dist/${name}`);
cpSync('node_modules/uplot/package.json', `${out}/node_modules/uplot/package.json`);
cpSync('node_modules/uplot/LICENSE', `${out}/node_modules/uplot/LICENSE`);
cpSync('package.json', `${out}/package.json`);
cpSync('LICENSE', `${out}/LICENSE`);
