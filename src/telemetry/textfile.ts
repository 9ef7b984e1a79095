import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, XthrottleError } from '../core/errors.ts';

const NAME_BYTES_MAX = 200;

/** The file of a domain in node_exporter's directory: another name for every other domain, whatever characters it has. */
export function textfileName(domain: string): string {
  const safe = [...Buffer.from(domain)].map((byte) =>
    isPlain(byte) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`,
  );
  const name = safe.join('');
  if (name.length <= NAME_BYTES_MAX) return `xthrottle_${name}.prom`;
  const digest = createHash('sha256').update(domain).digest('hex').slice(0, 16);
  return `xthrottle_${name.slice(0, NAME_BYTES_MAX - digest.length - 1)}~${digest}.prom`;
}

const isPlain = (byte: number): boolean => /[A-Za-z0-9_-]/.test(String.fromCharCode(byte)) && byte < 128;

/** Throws XthrottleError('unexpected'); the file is the old one then. */
export const writeTextfile = (directory: string, domain: string, text: string): Promise<string> =>
  replaceFile(directory, textfileName(domain), text);

/** Our files by name, and the one sample in each that says whether the domain's cap is back. */
const FILE = /^xthrottle_.+\.prom$/;
const NOT_RESTORED = /^(xthrottle_cap_restored\{.*\}) 0$/m;

/**
 * After caps were put back outside any migration: files that say a cap is not back say that it is, or their alert would fire for ever.
 * Left as they are: those of the domains in `left`, and with `only` all others than those. Returns the changed files' names. Throws
 * XthrottleError('unexpected').
 */
export async function settleTextfiles(
  directory: string,
  { left, only }: { readonly left: readonly string[]; readonly only?: readonly string[] },
): Promise<readonly string[]> {
  const kept = new Set(left.map(textfileName));
  const wanted = only === undefined ? undefined : new Set(only.map(textfileName));
  const changed: string[] = [];
  for (const name of await namesIn(directory)) {
    if (!FILE.test(name) || kept.has(name) || wanted?.has(name) === false) continue;
    const text = await readFile(join(directory, name), 'utf8').catch(() => '');
    if (!NOT_RESTORED.test(text)) continue;
    await replaceFile(directory, name, text.replace(NOT_RESTORED, '$1 1'));
    changed.push(name);
  }
  return changed;
}

const HINT = "--textfile takes the directory of node_exporter's --collector.textfile.directory; it must exist and be writable";

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw new XthrottleError('unexpected', `can't read the metrics in ${directory}: ${messageOf(error)}`, { hint: HINT, cause: error });
  }
}

/**
 * Leaves an exposition text for node_exporter's textfile collector. Written under a name that the collector ignores, synced, then
 * renamed: it reads the old file or the new one, never half of one. Nothing else is left behind when that fails.
 */
async function replaceFile(directory: string, name: string, text: string): Promise<string> {
  const path = join(directory, name);
  const temporary = join(directory, `.xthrottle-${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      // The collector runs as another user, whatever our umask is.
      await file.chmod(0o644);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    return path;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new XthrottleError('unexpected', `can't write metrics to ${path}: ${messageOf(error)}`, {
      hint: HINT,
      cause: error,
    });
  }
}
