import { dirname } from 'node:path';
import type { JournalFs } from '../../src/xen/journal.ts';
import type { SimProcess } from './process.ts';
import type { Rng } from './rng.ts';

interface File {
  text: string;
}

const failure = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });

/** A disk in memory: what is written stays when its writer dies. */
export class SimDisk {
  /** Writes fail with ENOSPC. */
  full = false;
  /** Everything that reads fails with this. */
  broken: 'EIO' | 'EMFILE' | undefined;
  readonly #rng: Rng;
  readonly #files = new Map<string, File>();
  readonly #directories = new Set<string>();

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  names(directory: string): readonly string[] {
    return [...this.#files.keys()].filter((path) => dirname(path) === directory).map((path) => path.slice(directory.length + 1));
  }

  read(path: string): string | undefined {
    return this.#files.get(path)?.text;
  }

  /** Somebody spoils a file. */
  spoil(path: string, how: (text: string) => string): boolean {
    const file = this.#files.get(path);
    if (file === undefined) return false;
    file.text = how(file.text);
    return true;
  }

  /** The disk as one process sees it. */
  for(process: SimProcess): JournalFs {
    const act = <T>(effect: () => T, torn?: () => void): Promise<T> => process.do(this.#rng.between(0.05, 1), effect, torn);
    const there = (path: string): File => {
      if (this.broken !== undefined) throw failure(this.broken, path);
      const file = this.#files.get(path);
      if (file === undefined) throw failure('ENOENT', path);
      return file;
    };
    return {
      open: (path, flags) =>
        act(() => {
          if (this.broken !== undefined) throw failure(this.broken, path);
          if (this.#directories.has(path)) return this.#handle(process, undefined);
          if (flags !== 'wx') return this.#handle(process, there(path));
          if (this.#files.has(path)) throw failure('EEXIST', path);
          if (this.full) throw failure('ENOSPC', path);
          const file = { text: '' };
          this.#files.set(path, file);
          return this.#handle(process, file);
        }) as ReturnType<JournalFs['open']>,
      rename: (from, to) =>
        act(() => {
          this.#files.set(to, there(from));
          this.#files.delete(from);
        }),
      link: (from, to) =>
        act(() => {
          const file = there(from);
          if (this.#files.has(to)) throw failure('EEXIST', to);
          if (this.full) throw failure('ENOSPC', to);
          this.#files.set(to, file);
        }),
      unlink: (path) =>
        act(() => {
          if (!this.#files.delete(path)) throw failure('ENOENT', path);
        }),
      mkdir: (path) => act(() => void this.#directories.add(path)),
      lstat: (path) =>
        act(() => {
          const isDirectory = this.#directories.has(path);
          const size = isDirectory ? 0 : there(path).text.length;
          return {
            isDirectory: () => isDirectory,
            isFile: () => !isDirectory,
            uid: globalThis.process.getuid?.() ?? 0,
            mode: 0o700,
            size,
          };
        }),
      readdir: (path) =>
        act(() => {
          if (this.broken !== undefined) throw failure(this.broken, path);
          if (!this.#directories.has(path)) throw failure('ENOENT', path);
          return [...this.names(path)];
        }),
      readFile: (path) => act(() => there(path).text),
    };
  }

  #handle(process: SimProcess, file: File | undefined) {
    const act = <T>(effect: () => T, torn?: () => void): Promise<T> => process.do(this.#rng.between(0.05, 1), effect, torn);
    return {
      writeFile: (text: string) =>
        act(
          () => {
            if (this.full) throw failure('ENOSPC', 'write');
            if (file !== undefined) file.text = text;
          },
          () => {
            if (file !== undefined) file.text = text.slice(0, text.length / 2);
          },
        ),
      sync: () => act(() => undefined),
      close: () => act(() => undefined),
    };
  }
}
