import { capFromXen, capToXen, showCap } from '../core/cap.ts';
import { messageOf } from '../core/errors.ts';
import { isCapping, readCap, readTslice, writeCap, writeCapArgs, writeTslice } from './cap-calls.ts';
import { isTaken, readJournals, removeEntry, stateDirectory } from './journal.ts';
import { type CapEntry, fileOf, type JournalEntry, type TsliceEntry } from './journal-entry.ts';
import { isAlive, type Owner, sameOwner } from './owner.ts';
import { parseDomainRows } from './parse.ts';
import { type DomainConfig, parseDomains } from './parse-domains.ts';
import { printable, type RunXl, xlOutput } from './xl-errors.ts';

export type RestoreVerdict =
  /** Put back and read back. */
  | 'restored'
  /** It had its own value already. */
  | 'already'
  /** No domain of that UUID is here: migrated away, or ended. */
  | 'gone'
  /** The value is none that we set: somebody else's wins. */
  | 'changed-by-other'
  /** The xthrottle that set it is alive and will do it. */
  | 'owner-alive'
  | 'failed'
  /** A journal that cannot be read, kept as NAME.corrupt. */
  | 'corrupt';

export interface RestoreOutcome {
  readonly kind: 'cap' | 'tslice' | 'file';
  /** The domain's name, the cpupool or the file, printable. */
  readonly what: string;
  readonly uuid?: string;
  readonly domid?: number;
  readonly verdict: RestoreVerdict;
  /** Xen's numbers: caps (0 = none) or milliseconds; null where it could not be read. */
  readonly before: number | null;
  readonly after: number | null;
  readonly original: number | null;
  /** One sentence for people. */
  readonly text: string;
  /** When something is left to do: the command that does it. */
  readonly hint?: string;
}

export interface RestoreOptions {
  readonly xl: RunXl;
  readonly directory?: string;
  /** Also what a living xthrottle holds; it sees somebody else's change then and lets go of the domain. */
  readonly all?: boolean;
  /** Only what this process wrote, dead or not: the guard's parent. */
  readonly owner?: Owner;
  /** Only the domain of this name, domid or UUID. */
  readonly domain?: string;
  readonly attempts?: number;
  /** Looks again after so long before the journal is dropped: a call of the dead process may still have been under way. */
  readonly settleMs?: number;
  readonly sleep?: (ms: number) => Promise<void>;
}

const ATTEMPTS = 3;
const RETRY_MS = 250;

/** True when a cap or timeslice that we set may still be in force. */
export const isLeft = (outcome: RestoreOutcome): boolean => outcome.verdict === 'failed' || outcome.verdict === 'corrupt';

/**
 * Puts back what dead processes left: for each journal whose owner is really dead, where the UUID is still here and the value is one that
 * we set. Verified by reading back, retried, and reported one by one; a journal is dropped only when nothing of ours is left in force.
 */
export async function restoreLeftovers(options: RestoreOptions): Promise<readonly RestoreOutcome[]> {
  const directory = options.directory ?? stateDirectory();
  const listing = await readJournals(directory);
  const outcomes: RestoreOutcome[] = listing.corrupt.map((name) => corruptOutcome(directory, name));
  for (const entry of listing.entries.filter((e) => isWanted(e, options))) outcomes.push(await restoreEntry(entry, directory, options));
  return outcomes;
}

function isWanted(entry: JournalEntry, options: RestoreOptions): boolean {
  if (options.owner !== undefined && !sameOwner(entry.owner, options.owner)) return false;
  const { domain } = options;
  return domain === undefined || (entry.kind === 'cap' && [entry.name, entry.uuid, String(entry.domid)].includes(domain));
}

async function restoreEntry(entry: JournalEntry, directory: string, options: RestoreOptions): Promise<RestoreOutcome> {
  if (options.all !== true && options.owner === undefined && isAlive(entry.owner)) {
    return outcome(entry, 'owner-alive', null, null, `xthrottle with pid ${entry.owner.pid} is alive and will put it back`);
  }
  const sleep = options.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  // After a pause the domain may be another xthrottle's, with a journal of its own.
  const taken = () => isTaken(directory, entry);
  const restoreOnce = () => (entry.kind === 'cap' ? restoreCapEntry(entry, options.xl) : restoreTsliceEntry(entry, options.xl));
  let result = await restoreOnce();
  for (let attempt = 1; attempt < (options.attempts ?? ATTEMPTS) && result.verdict === 'failed'; attempt++) {
    await sleep(RETRY_MS * 2 ** Math.min(attempt - 1, 6));
    if (await taken()) return outcome(entry, 'owner-alive', null, null, 'another xthrottle has taken it over');
    result = await restoreOnce();
  }
  if (options.settleMs !== undefined && result.verdict !== 'failed') {
    await sleep(options.settleMs);
    if (await taken()) return result;
    const again = await restoreOnce();
    if (again.verdict !== 'already') result = again;
  }
  if (result.verdict !== 'failed' && !(await taken())) await removeEntry(directory, fileOf(entry));
  return result;
}

async function restoreCapEntry(entry: CapEntry, xl: RunXl): Promise<RestoreOutcome> {
  const results: RestoreOutcome[] = [];
  try {
    for (const domain of await domainsOf(entry, xl)) results.push(await restoreCapOf(entry, domain, xl));
  } catch (error) {
    return failed(entry, null, messageOf(error));
  }
  // A migration on one host has two domains of one UUID for a while: the worst result speaks for both.
  const order: readonly RestoreVerdict[] = ['failed', 'restored', 'changed-by-other', 'already'];
  const worst = order.map((verdict) => results.find((r) => r.verdict === verdict)).find((r) => r !== undefined);
  return worst ?? outcome(entry, 'gone', null, null, 'the domain is not on this host any more');
}

interface Found {
  readonly domid: number;
  readonly scheduler: 'credit' | 'credit2';
  readonly vcpus: number;
}

/** The domains of that UUID. A domain whose configuration xl cannot list (it is being built or destroyed) is found by its table row. */
async function domainsOf(entry: CapEntry, xl: RunXl): Promise<readonly Found[]> {
  const listed = parseDomains(await xlOutput(xl, ['list', '-l'])).filter((domain) => domain.uuid === entry.uuid);
  if (listed.length > 0) return listed.map((domain) => foundOf(domain, entry));
  const row = parseDomainRows(await xlOutput(xl, ['list', '-v'])).find((r) => r.uuid === entry.uuid && r.domid === entry.domid);
  return row === undefined ? [] : [{ domid: row.domid, scheduler: entry.scheduler, vcpus: Math.max(1, row.vcpus) }];
}

const foundOf = (domain: DomainConfig, entry: CapEntry): Found => ({
  domid: domain.domid,
  scheduler: isCapping(domain.scheduler) ? domain.scheduler : entry.scheduler,
  vcpus: domain.vcpusMax,
});

async function restoreCapOf(entry: CapEntry, domain: Found, xl: RunXl): Promise<RestoreOutcome> {
  const original = capFromXen(entry.capOriginal);
  const at = { ...entry, domid: domain.domid };
  let before: number | null = null;
  try {
    const now = await readCap(xl, domain.domid, domain.scheduler);
    before = capToXen(now);
    if (before === entry.capOriginal) return outcome(at, 'already', before, before, `the cap is ${showCap(original)}, as it was`);
    if (!entry.capsSet.includes(before)) {
      return outcome(
        at,
        'changed-by-other',
        before,
        before,
        `the cap is ${showCap(now)}, which is not ours: it stays (it was ${showCap(original)})`,
      );
    }
    await writeCap(xl, domain.domid, domain.scheduler, original, domain.vcpus);
    const after = await readCap(xl, domain.domid, domain.scheduler);
    if (capToXen(after) !== entry.capOriginal) return failed(at, before, `xl set the cap, but it reads ${showCap(after)}`);
    return outcome(at, 'restored', before, entry.capOriginal, `the cap was ${showCap(now)} and is ${showCap(original)} again`);
  } catch (error) {
    return failed(at, before, messageOf(error));
  }
}

async function restoreTsliceEntry(entry: TsliceEntry, xl: RunXl): Promise<RestoreOutcome> {
  const original = entry.tsliceOriginalMs;
  let before: number | null = null;
  try {
    const now = await readTslice(xl, entry.pool);
    if (now === undefined) return outcome(entry, 'gone', null, null, 'the cpupool is gone, or runs another scheduler');
    before = now;
    if (now === original) return outcome(entry, 'already', now, now, `the timeslice is ${original} ms, as it was`);
    if (!entry.tslicesSetMs.includes(now))
      return outcome(entry, 'changed-by-other', now, now, `the timeslice is ${now} ms, which is not ours: it stays`);
    await writeTslice(xl, entry.pool, original);
    const after = await readTslice(xl, entry.pool);
    if (after !== original) return failed(entry, now, `xl set the timeslice, but it reads ${after ?? 'nothing'}`);
    return outcome(entry, 'restored', now, original, `the timeslice was ${now} ms and is ${original} ms again`);
  } catch (error) {
    return failed(entry, before, messageOf(error));
  }
}

const failed = (entry: JournalEntry, before: number | null, text: string): RestoreOutcome => ({
  ...outcome(entry, 'failed', before, null, text),
  hint:
    entry.kind === 'cap'
      ? `by hand: xl ${writeCapArgs(entry.domid, entry.scheduler, capFromXen(entry.capOriginal)).join(' ')}`
      : `by hand: xl sched-credit -s -t ${entry.tsliceOriginalMs} -p '${printable(entry.pool)}'`,
});

function outcome(entry: JournalEntry, verdict: RestoreVerdict, before: number | null, after: number | null, text: string): RestoreOutcome {
  const common = { verdict, before, after, text };
  return entry.kind === 'cap'
    ? { kind: 'cap', what: printable(entry.name), uuid: entry.uuid, domid: entry.domid, original: entry.capOriginal, ...common }
    : { kind: 'tslice', what: printable(entry.pool), original: entry.tsliceOriginalMs, ...common };
}

const corruptOutcome = (directory: string, name: string): RestoreOutcome => ({
  kind: 'file',
  what: name,
  verdict: 'corrupt',
  before: null,
  after: null,
  original: null,
  text: `the journal ${name} cannot be read: kept as ${name}.corrupt`,
  hint: `look at ${directory}/${name}.corrupt and at xl sched-credit, and put the cap back by hand`,
});
