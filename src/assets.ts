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

/**
 * Where a file that ships with us lies: `path` as in the repository (`src/xen/relay/front.sh`), built files first. TypeScript sources are
 * named as their compiled `.js`.
 */
export function assetPath(path: string): string {
  const root = packageRoot();
  const built = join(root, 'dist', path);
  return existsSync(built) ? built : join(root, path);
}

/** Our version, from package.json. */
export const packageVersion = (): string => (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { readonly version: string }).version;
