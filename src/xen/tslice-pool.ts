import { readTslice, writeTslice } from './cap-calls.ts';
import { type JournalFs, readJournals } from './journal.ts';
import type { TsliceEntry } from './journal-entry.ts';
import { isAlive, type Owner, sameOwner } from './owner.ts';
import { parsePools } from './parse.ts';
import { type RunXl, xlOutput } from './xl-errors.ts';

/** Where journals lie, and how it is told whether a process lives. */
export interface JournalPlace {
  readonly directory: string;
  readonly fs?: JournalFs | undefined;
  /** Default: as this host's /proc says. */
  readonly lives?: ((owner: Owner) => boolean) | undefined;
  readonly callsUnderWay?: ((of: number | string) => readonly number[]) | undefined;
}

/** What this entry's process wants. */
export const wantedOf = (entry: TsliceEntry): number => entry.tslicesSetMs.at(-1) ?? entry.tsliceOriginalMs;

/** All entries on a pool's timeslice, of dead processes too. */
export async function entriesOf(pool: string, { directory, fs }: JournalPlace): Promise<readonly TsliceEntry[]> {
  const { entries } = await readJournals(directory, fs);
  return entries.filter((entry): entry is TsliceEntry => entry.kind === 'tslice' && entry.pool === pool);
}

/** What the pool's timeslice is to be once `entry` does not count any more: the least that others still want, else the original. */
export function targetWithout(entry: TsliceEntry, all: readonly TsliceEntry[], lives: (owner: Owner) => boolean = isAlive): number {
  const others = all.filter((other) => !sameOwner(other.owner, entry.owner) && other.leaving !== true && lives(other.owner));
  return Math.min(entry.tsliceOriginalMs, ...others.map(wantedOf));
}

/** What became of a pool's timeslice when a process let go of it. */
export type TsliceSettled =
  | { readonly verdict: 'gone' }
  | { readonly verdict: 'already' | 'restored'; readonly before: number; readonly after: number; readonly shared: boolean }
  | { readonly verdict: 'changed-by-other'; readonly before: number };

/** Others may come and go while it is set; that many times it is looked at anew. */
const ROUNDS_MAX = 8;

/** What a reading of the pool's timeslice calls for: nothing, hands off, or another value. */
type Due = number | 'fine' | 'not-ours';

/**
 * Sets the pool's timeslice until it is what `due` says, reads it back, and looks at the entries once more: whoever joins meanwhile has
 * written one first. The first and the last reading; undefined where the pool has no timeslice. Throws XthrottleError as xl does, and Error
 * when the value does not stick.
 */
async function settle(
  pool: string,
  xl: RunXl,
  place: JournalPlace,
  due: (now: number, all: readonly TsliceEntry[], round: number) => Due,
): Promise<{ readonly before: number; readonly now: number; readonly left: boolean } | undefined> {
  let all = await entriesOf(pool, place);
  let before: number | undefined;
  let now = 0;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const read = await readTslice(xl, pool);
    if (read === undefined) {
      if (await isGone(pool, xl)) return undefined;
      throw new Error(`xl does not tell the timeslice of ${pool}`);
    }
    now = read;
    before ??= now;
    const again = await entriesOf(pool, place);
    const [wanted, still] = [due(now, all, round), due(now, again, round)];
    if (wanted === 'not-ours') return { before, now, left: true };
    if (wanted === 'fine' && still === 'fine') return { before, now, left: false };
    if (typeof still === 'number') await writeTslice(xl, pool, still);
    all = again;
  }
  throw new Error(`the timeslice of ${pool} does not stay as it is set: it reads ${now} ms`);
}

/** Whether the pool is no more, or runs another scheduler; an answer that is none does not say so. */
async function isGone(pool: string, xl: RunXl): Promise<boolean> {
  const pools = parsePools(await xlOutput(xl, ['cpupool-list']));
  return pools.length > 0 && pools.find(({ name }) => name === pool)?.scheduler !== 'credit';
}

/** Makes the pool's timeslice as short as all want it that have an entry, and no longer than `wantedMs`. Throws as xl does, or Error. */
export async function shortenTslice(pool: string, wantedMs: number, xl: RunXl, place: JournalPlace): Promise<void> {
  const lives = place.lives ?? isAlive;
  const settled = await settle(pool, xl, place, (now, all) => {
    const target = Math.min(wantedMs, ...all.filter((entry) => entry.leaving !== true && lives(entry.owner)).map(wantedOf));
    return now <= target ? 'fine' : target;
  });
  if (settled === undefined) throw new Error('it cannot be read');
}

/**
 * Puts the pool's timeslice to what is due without `entry`: what others still want, else the original. `entry` must be marked as leaving,
 * or its process be dead. Throws as xl does, or Error.
 */
export async function settleTslice(entry: TsliceEntry, xl: RunXl, place: JournalPlace): Promise<TsliceSettled> {
  let target = entry.tsliceOriginalMs;
  const settled = await settle(entry.pool, xl, place, (now, all, round) => {
    target = targetWithout(entry, all, place.lives);
    if (now === target) return 'fine';
    const ours = [entry, ...all].some((e) => e.tslicesSetMs.includes(now)) || (round > 0 && now === entry.tsliceOriginalMs);
    return ours ? target : 'not-ours';
  });
  if (settled === undefined) return { verdict: 'gone' };
  const { before, now, left } = settled;
  if (left) return { verdict: 'changed-by-other', before: now };
  return { verdict: before === now ? 'already' : 'restored', before, after: now, shared: target !== entry.tsliceOriginalMs };
}
