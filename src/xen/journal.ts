import type { Stats } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { XthrottleError } from '../core/errors.ts';
import { fileOf, type JournalEntry, parseEntry } from './journal-entry.ts';
import { isAlive, type Owner, sameOwner, thisProcess } from './owner.ts';

/** Where journals lie: XTHROTTLE_STATE, else /var/lib/xthrottle. */
export const stateDirectory = (): string => process.env['XTHROTTLE_STATE'] ?? '/var/lib/xthrottle';

/** A journal file holds some 300 bytes; one much larger is not ours. */
const FILE_BYTES_MAX = 65_536;

/** The file operations that durability rests on; tests make them fail or stop at any one. */
export interface JournalFs {
  open(path: string, flags: string, mode: number): Promise<Pick<FileHandle, 'writeFile' | 'sync' | 'close'>>;
  rename(from: string, to: string): Promise<void>;
  link(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string, options: { readonly recursive: true; readonly mode: number }): Promise<unknown>;
  lstat(path: string): Promise<Pick<Stats, 'isDirectory' | 'isFile' | 'uid' | 'mode' | 'size'>>;
  readdir(path: string): Promise<string[]>;
  readFile(path: string, encoding: 'utf8'): Promise<string>;
}

const NODE_FS: JournalFs = { open, rename, link, unlink, mkdir, lstat, readdir, readFile };

export type Journalled =
  | { readonly ok: true }
  /** `owned`: another living xthrottle steers this domain; `unwritable`: nothing may be changed, because it could not be undone. */
  | { readonly ok: false; readonly why: 'owned' | 'unwritable'; readonly text: string };

export interface Journal {
  readonly directory: string;
  /** Makes `entry` durable: on disk before it returns. Call it before each change. An entry of a dead process is not overwritten. */
  write(entry: JournalEntry): Promise<Journalled>;
  /** Forgets the entry, after the original was read back. */
  remove(entry: JournalEntry): Promise<void>;
}

/** All that lies in a journal directory. */
export interface JournalListing {
  readonly entries: readonly JournalEntry[];
  /** Files that are no entry: moved aside to NAME.corrupt. */
  readonly corrupt: readonly string[];
  /** Files that could not be read now (EIO, EMFILE): they may be entries. */
  readonly failed: readonly string[];
}

export function createJournal(
  directory: string = stateDirectory(),
  fs: JournalFs = NODE_FS,
  owner: Owner = thisProcess(),
  lives: (owner: Owner) => boolean = isAlive,
): Journal {
  let held = new Set<string>();
  let serial = 0;
  // One write at a time: two updates of one entry must not pass each other.
  let queue: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    const next = queue.then(work, work);
    queue = next;
    return next;
  };
  return {
    directory,
    write: (entry) =>
      inOrder(async () => {
        const name = fileOf(entry);
        const draft = join(directory, `.${name}.${owner.pid}.${serial++}`);
        try {
          await prepareStateDirectory(directory, fs);
          await writeDurably(draft, JSON.stringify(entry), fs);
          if (held.has(name)) await fs.rename(draft, join(directory, name));
          else {
            const taken = await claim(draft, join(directory, name), owner, fs, lives);
            if (taken !== undefined) return taken;
            held = new Set([...held, name]);
          }
          await syncDirectory(directory, fs);
          return { ok: true };
        } catch (error) {
          await fs.unlink(draft).catch(() => undefined);
          return { ok: false, why: 'unwritable', text: `${directory}: ${error instanceof Error ? error.message : String(error)}` };
        }
      }),
    remove: (entry) =>
      inOrder(async () => {
        const name = fileOf(entry);
        held.delete(name);
        await removeEntry(directory, name, fs);
      }),
  };
}

/** link(2) never replaces: of two processes that start on one domain together, one is told of the other. */
async function claim(
  draft: string,
  path: string,
  owner: Owner,
  fs: JournalFs,
  lives: (owner: Owner) => boolean,
): Promise<Journalled | undefined> {
  try {
    await fs.link(draft, path);
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const there = parseEntry(await fs.readFile(path, 'utf8'));
    if (there !== undefined && sameOwner(there.owner, owner)) {
      await fs.rename(draft, path);
      return undefined;
    }
    return there !== undefined && lives(there.owner)
      ? { ok: false, why: 'owned', text: `xthrottle with pid ${there.owner.pid} steers it already` }
      : { ok: false, why: 'unwritable', text: `${path} was left by a dead process: run xthrottle restore` };
  } finally {
    await fs.unlink(draft).catch(() => undefined);
  }
}

async function writeDurably(path: string, text: string, fs: JournalFs): Promise<void> {
  await fs.unlink(path).catch(() => undefined);
  const file = await fs.open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(directory: string, fs: JournalFs): Promise<void> {
  const handle = await fs.open(directory, 'r', 0);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes the state directory, mode 0700. Throws XthrottleError('usage') when it is not a directory of ours alone: who writes there decides
 * about caps.
 */
export async function prepareStateDirectory(directory: string, fs: JournalFs = NODE_FS): Promise<void> {
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  const stat = await fs.lstat(directory);
  if (stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0) return;
  throw new XthrottleError('usage', `${directory} must be a directory that only we can write to`, {
    hint: `chown ${process.getuid?.()} ${directory} && chmod 700 ${directory}, or name another in XTHROTTLE_STATE`,
  });
}

/** Replaces a file of the state directory as a whole: readers see the old or the new one. */
export async function replaceFile(directory: string, name: string, text: string, fs: JournalFs = NODE_FS): Promise<void> {
  const draft = join(directory, `.${name}.${process.pid}`);
  await writeDurably(draft, text, fs);
  await fs.rename(draft, join(directory, name));
  await syncDirectory(directory, fs);
}

export async function removeEntry(directory: string, name: string, fs: JournalFs = NODE_FS): Promise<void> {
  await fs.unlink(join(directory, name)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await syncDirectory(directory, fs);
}

/**
 * Reads every journal; a file that is none is renamed to NAME.corrupt and reported. A directory that is not there holds nothing. Throws
 * XthrottleError when the directory cannot be read.
 */
export async function readJournals(directory: string = stateDirectory(), fs: JournalFs = NODE_FS): Promise<JournalListing> {
  const names = await fs.readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw unreadable(directory, error);
  });
  const entries: JournalEntry[] = [];
  const corrupt: string[] = [];
  const failed: string[] = [];
  for (const name of names.filter((n) => /^(cap|tslice|balloon|logdirty)-.*\.json$/.test(n)).sort()) {
    const entry = await readEntry(join(directory, name), fs).catch(() => 'unreadable' as const);
    if (entry === 'gone') continue;
    if (entry === 'unreadable') failed.push(name);
    else if (entry !== undefined && fileOf(entry) === name) entries.push(entry);
    else {
      await fs.rename(join(directory, name), join(directory, `${name}.corrupt`)).catch(() => undefined);
      corrupt.push(name);
    }
  }
  return { entries, corrupt, failed };
}

const unreadable = (path: string, error: Error): XthrottleError =>
  new XthrottleError('unexpected', `cannot read ${path}: ${error.message}`, { hint: 'run as root', cause: error });

/** Whether another process has taken the place of an entry that was read before; undefined when that cannot be read now. */
export async function isTaken(directory: string, entry: JournalEntry, fs: JournalFs = NODE_FS): Promise<boolean | undefined> {
  const now = await readEntry(join(directory, fileOf(entry)), fs).catch(() => 'unreadable' as const);
  if (now === 'unreadable') return undefined;
  return now !== undefined && now !== 'gone' && !sameOwner(now.owner, entry.owner);
}

/** The entry as it is now: its owner may have added to it. What was read before where it cannot be read, or is gone. */
export async function latestOf(directory: string, entry: JournalEntry, fs: JournalFs = NODE_FS): Promise<JournalEntry> {
  const now = await readEntry(join(directory, fileOf(entry)), fs).catch(() => undefined);
  return now === undefined || now === 'gone' || !sameOwner(now.owner, entry.owner) ? entry : now;
}

/** undefined: not an entry. Rejects when the file cannot be read now (EIO, EMFILE): then it is not known what it is. */
async function readEntry(path: string, fs: JournalFs): Promise<JournalEntry | undefined | 'gone'> {
  try {
    const stat = await fs.lstat(path);
    return stat.isFile() && stat.size <= FILE_BYTES_MAX ? parseEntry(await fs.readFile(path, 'utf8')) : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'gone';
    throw error;
  }
}
