import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** The commit that results are stamped with; `-dirty` when the tree has changes of its own. */
export const commit = (): string => execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();

/** One result by its id, with the commit it was made at. */
export type Stamped<T> = T & { readonly commit: string; readonly at: string };

/** Results in a JSON file, written after each: a run that is cut off goes on where it was. */
export class Results<T extends { readonly id: string }> {
  readonly #file: string;
  readonly #commit = commit();
  readonly #byId: Map<string, Stamped<T>>;

  constructor(file: string) {
    this.#file = file;
    const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as readonly Stamped<T>[]) : [];
    this.#byId = new Map(kept.map((result) => [result.id, result]));
  }

  get(id: string): Stamped<T> | undefined {
    return this.#byId.get(id);
  }

  /** Made at this very commit. */
  isDone(id: string): boolean {
    return this.#byId.get(id)?.commit === this.#commit;
  }

  add(result: T): void {
    this.#byId.set(result.id, { ...result, commit: this.#commit, at: new Date().toISOString() });
    mkdirSync(dirname(this.#file), { recursive: true });
    // A half-written file would lose all of them.
    writeFileSync(`${this.#file}.new`, `${JSON.stringify([...this.#byId.values()], null, 1)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }

  get all(): readonly Stamped<T>[] {
    return [...this.#byId.values()];
  }
}

/** Replaces what stands between two marks of a file. Throws when they are not there. */
export function intoFile(file: string, [begin, end]: readonly [string, string], text: string): void {
  const before = readFileSync(file, 'utf8');
  const [from, to] = [before.indexOf(begin), before.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} has no ${begin} … ${end}`);
  writeFileSync(file, `${before.slice(0, from + begin.length)}\n\n${text}\n\n${before.slice(to)}`);
}

export const tableOf = (rows: readonly (readonly string[])[]): string => {
  const [head = [], ...body] = rows;
  return [head, head.map(() => '---'), ...body].map((row) => `| ${row.join(' | ')} |`).join('\n');
};
