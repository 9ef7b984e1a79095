import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
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

/**
 * Leaves an exposition text for node_exporter's textfile collector. Written under a name that the collector ignores, synced, then
 * renamed: it reads the old file or the new one, never half of one. Throws XthrottleError('unexpected'); nothing is left behind then.
 */
export async function writeTextfile(directory: string, domain: string, text: string): Promise<string> {
  const path = join(directory, textfileName(domain));
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
      hint: "--textfile takes the directory of node_exporter's --collector.textfile.directory; it must exist and be writable",
      cause: error,
    });
  }
}
