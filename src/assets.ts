import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of our package.json: the same whether we run from source, from dist/ or from a bundle. */
const packageRoot = (): string => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`);
    folder = parent;
  }
  return folder;
};

/** True in what `npm run build` made, and in a bundle of it. */
const isBuilt = (root: string): boolean => fileURLToPath(import.meta.url).startsWith(join(root, 'dist/'));

/**
 * Where a file that ships with us lies: `path` as in the repository (`src/xen/relay/front.sh`), in dist/ when we run from there.
 * TypeScript sources are named as their compiled `.js`, which are always in dist/.
 */
export function assetPath(path: string): string {
  const root = packageRoot();
  return isBuilt(root) || path.endsWith('.js') ? join(root, 'dist', path) : join(root, path);
}

/** What LIBXL_SAVE_HELPER is to name: the short path that a package made, else the front itself. */
export function frontPath(): string {
  const short = join(packageRoot(), 'front.sh');
  return existsSync(short) ? short : assetPath('src/xen/relay/front.sh');
}

/** Our version, from package.json. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { readonly version: string }).version;
