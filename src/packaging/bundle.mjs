// Bundles the programs of dist/ into FOLDER (default dist/bundle), laid out like the package: package.json, dist/src/….
// koffi stays outside (it has a native part); everything else is inside, so Node alone runs it.
//   --whole   the command line in one file too, not in chunks that are loaded when needed: what runs has all it needs in memory, and
//             its files may be replaced. FOLDER/bundled.json names the packages that are inside.
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
const isWhole = process.argv.includes('--whole');
const out = resolve(process.argv.slice(2).find((arg) => !arg.startsWith('--')) ?? 'dist/bundle');
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
// The command line in chunks: a command loads only what it needs. Relay and guards in one file each: they must start quickly.
const commands = await build({ ...common, entryPoints: ['dist/src/cli/bin.js'], splitting: !isWhole, metafile: true });
const mains = readdirSync('dist/src/xen').filter((name) => name.endsWith('-main.js'));
await build({ ...common, entryPoints: ['dist/src/xen/relay/relay.js', ...mains.map((name) => `dist/src/xen/${name}`)] });
const assets = (path) => !/\.(js|js\.map|d\.ts|ts|mjs)$/.test(path) && !/^dist\/(bundle|src\/packaging)/.test(path);
cpSync('dist/src', `${out}/dist/src`, { recursive: true, filter: assets });
for (const name of ['uPlot.iife.min.js', 'uPlot.min.css'])
  cpSync(`node_modules/uplot/dist/${name}`, `${out}/node_modules/uplot/dist/${name}`);
cpSync('node_modules/uplot/package.json', `${out}/node_modules/uplot/package.json`);
cpSync('node_modules/uplot/LICENSE', `${out}/node_modules/uplot/LICENSE`);
cpSync('package.json', `${out}/package.json`);
cpSync('LICENSE', `${out}/LICENSE`);
if (isWhole) {
  const packages = Object.keys(commands.metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  writeFileSync(`${out}/bundled.json`, JSON.stringify([...new Set([...packages, 'uplot'])].sort()));
}
