import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** What rotation keeps: the newest traces, within both bounds. */
export interface Keep {
  readonly filesMax: number;
  readonly bytesMax: number;
}

const NAME = /^\d{8}T\d{6}Z-[A-Za-z0-9_.-]+\.jsonl$/;
const PART_CHARACTERS_MAX = 48;
const TRIES = 20;

/** A part of a file name from a name of outside: letters, digits, `_`, `.` and `-`, never empty, never beginning with a dot. */
export const safePart = (text: string): string =>
  text
    .slice(0, PART_CHARACTERS_MAX)
    .replace(/[^A-Za-z0-9_.-]/g, '_')
    .replace(/^\.+/, '_') || 'unnamed';

/** `20261122T202256Z-vm1-ab12.jsonl`: sorts by time. */
export const traceName = (at: Date, domain: string, id: string): string =>
  `${at.toISOString().replace(/[-:]|\.\d+/g, '')}-${safePart(domain)}-${safePart(id)}.jsonl`;

/**
 * Makes the directory, private, and checks that nobody else can play with it: a real directory (no symbolic link), ours, writable by us
 * alone. Throws an Error that says what is wrong.
 */
export async function privateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const stat = await lstat(directory);
  if (!stat.isDirectory()) throw new Error(`${directory} is not a directory (symbolic links are not followed)`);
  const uid = process.geteuid?.();
  if (uid !== undefined && stat.uid !== uid) throw new Error(`${directory} belongs to uid ${stat.uid}, not to us (${uid})`);
  if ((stat.mode & 0o022) !== 0) throw new Error(`${directory} is writable by others: chmod go-w it`);
}

/** Creates a new file, 0600, never an existing one and never through a symbolic link. */
export async function createPrivately(directory: string, name: string): Promise<{ readonly path: string; readonly file: FileHandle }> {
  const { O_CREAT, O_EXCL, O_WRONLY, O_APPEND, O_NOFOLLOW } = constants;
  for (let i = 0; ; i++) {
    const path = join(directory, i === 0 ? name : name.replace(/\.jsonl$/, `.${i}.jsonl`));
    try {
      return { path, file: await open(path, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_NOFOLLOW, 0o600) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || i >= TRIES) throw error;
    }
  }
}

/** Deletes the oldest traces until both bounds hold; files that are not named like traces, and those in `spare`, stay. */
export async function rotate(directory: string, keep: Keep, spare: ReadonlySet<string> = new Set()): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter((name) => NAME.test(name)).sort();
  const found: { readonly path: string; readonly bytes: number }[] = [];
  for (const name of names) {
    const path = join(directory, name);
    const stat = await lstat(path).catch(() => undefined);
    if (stat?.isFile()) found.push({ path, bytes: stat.size });
  }
  let bytes = found.reduce((sum, { bytes: size }) => sum + size, 0);
  let files = found.length;
  const gone: string[] = [];
  for (const { path, bytes: size } of found) {
    if (files <= keep.filesMax && bytes <= keep.bytesMax) break;
    if (spare.has(path)) continue;
    await unlink(path).catch((error: NodeJS.ErrnoException) => {
      // Another run rotates the same directory.
      if (error.code !== 'ENOENT') throw error;
    });
    gone.push(path);
    files -= 1;
    bytes -= size;
  }
  return gone;
}
