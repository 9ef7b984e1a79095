import { type Cap, capPercent, capped } from '../core/cap.ts';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { floorFor, stallOf } from '../core/stall.ts';
import { type Ms, ms } from '../core/units.ts';
import type { RestoreResult } from '../host.ts';
import { callsUnderWay } from './calls-under-way.ts';
import { readTslice } from './cap-calls.ts';
import type { XenDomain } from './domain.ts';
import type { Journal } from './journal.ts';
import { JOURNAL_VERSION, type TsliceEntry } from './journal-entry.ts';
import { type Owner, thisProcess } from './owner.ts';
import { parseRatelimits } from './parse.ts';
import { entriesOf, type JournalPlace, settleTslice, shortenTslice } from './tslice-pool.ts';
import { printable, quoted, type RunXl, xlOutput } from './xl-errors.ts';

/** A pool's timeslice as one migration counts on it. */
export interface TsliceHold {
  /** The longest that is in force while it is held: what floors are computed with. */
  readonly tsliceMs: Ms;
  /** Why it is not the one that was asked for. */
  readonly refused?: string;
  /** The timeslice in force when somebody has made it longer than that since; undefined otherwise. */
  lengthened(): Promise<Ms | undefined>;
  /** Lets go; the last one puts the pool's own back. Idempotent. */
  release(): Promise<RestoreResult>;
}

export interface TsliceKeeperOptions {
  readonly xl: RunXl;
  readonly journal: Journal;
  /** How the journal's directory is read. */
  readonly place?: Omit<JournalPlace, 'directory'>;
  readonly owner?: Owner;
  /** Sees to it that a guard watches, before the first change. */
  readonly guarded: () => Promise<void>;
}

/** Shares a shorter timeslice of each pool among the migrations of this process, and through the journal with other processes. */
export interface TsliceKeeper {
  /** `found`: the pool's timeslice as it was read. Never throws: what cannot be had is refused with the reason, and nothing is changed. */
  hold(pool: string, found: Ms, wantedMs: Ms): Promise<TsliceHold>;
}

const RESTORE_ATTEMPTS = 4;
const RETRY_MS = 200;
/** How long a call that cannot be ended is waited for. */
const LINGER_POLLS = 20;
const LINGER_POLL_MS = 500;

interface Shared {
  count: number;
  readonly entry: TsliceEntry;
}

export function tsliceKeeper({ xl, journal, guarded, ...options }: TsliceKeeperOptions): TsliceKeeper {
  const place: JournalPlace = { directory: journal.directory, ...options.place };
  const pools = new Map<string, Shared>();
  // Joining and leaving wait for each other.
  let queue: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    const next = queue.then(work, work);
    queue = next.catch(() => undefined);
    return next;
  };

  const join = async (pool: string, wantedMs: number): Promise<Shared | { readonly original: number }> => {
    const known = pools.get(pool);
    if (known !== undefined) {
      known.count += 1;
      return known;
    }
    const original = await ownTslice(pool, xl, place);
    if (wantedMs >= original) return { original };
    const entry: TsliceEntry = {
      v: JOURNAL_VERSION,
      kind: 'tslice',
      pool,
      tsliceOriginalMs: original,
      tslicesSetMs: [wantedMs],
      owner: options.owner ?? thisProcess(),
    };
    const written = await journal.write(entry);
    if (!written.ok) throw new Error(`the journal cannot be written (${written.text})`);
    const shared = { count: 1, entry };
    try {
      await guarded();
      await shortenTslice(pool, wantedMs, xl, place);
    } catch (error) {
      pools.set(pool, shared);
      await leave(pool);
      throw error;
    }
    pools.set(pool, shared);
    return shared;
  };

  const leave = async (pool: string): Promise<RestoreResult> => {
    const shared = pools.get(pool);
    if (shared === undefined) return { restored: true, capAfter: null };
    shared.count -= 1;
    if (shared.count > 0) return { restored: true, capAfter: null };
    const { entry } = shared;
    let failure = '';
    for (let attempt = 0; attempt < RESTORE_ATTEMPTS; attempt++) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** attempt));
      try {
        // Two that leave at the same time must not each count on the other.
        await journal.write({ ...entry, leaving: true });
        await settleTslice(entry, xl, place);
        if (await outwaited(pool, place)) await settleTslice(entry, xl, place);
        pools.delete(pool);
        await journal.remove(entry).catch(() => undefined);
        return { restored: true, capAfter: null };
      } catch (error) {
        failure = messageOf(error);
      }
    }
    shared.count = 1;
    const command = `xl sched-credit -s -p ${quoted(pool)} -t ${entry.tsliceOriginalMs}`;
    return {
      restored: false,
      capAfter: null,
      hint: `the timeslice of ${printable(pool)}: ${failure}; by hand: ${command}, or: xthrottle restore`,
    };
  };

  return {
    hold: (pool, found, wantedMs) =>
      inOrder(async () => {
        let joined: Shared | { readonly original: number };
        try {
          joined = await join(pool, wantedMs);
        } catch (error) {
          return heldAs(found, `the timeslice of ${printable(pool)} stays: ${messageOf(error)}`);
        }
        if ('original' in joined)
          return heldAs(ms(joined.original), `the timeslice of ${printable(pool)} is ${joined.original} ms already`);
        const tsliceMs = ms(wantedMs);
        let released: Promise<RestoreResult> | undefined;
        return {
          tsliceMs,
          async lengthened() {
            const now = await readTslice(xl, pool).catch(() => undefined);
            return now === undefined || now <= tsliceMs ? undefined : ms(now);
          },
          release() {
            released ??= inOrder(() => leave(pool)).then((result) => {
              if (!result.restored) released = undefined;
              return result;
            });
            return released;
          },
        };
      }),
  };
}

/** A call that hangs may still set it: whether one was waited for. Throws where it does not end. */
async function outwaited(pool: string, place: JournalPlace): Promise<boolean> {
  const under = place.callsUnderWay ?? callsUnderWay;
  if (under(pool).length === 0) return false;
  for (let poll = 0; poll < LINGER_POLLS && under(pool).length > 0; poll++)
    await new Promise((resolve) => setTimeout(resolve, LINGER_POLL_MS));
  const [pid] = under(pool);
  if (pid === undefined) return true;
  throw new Error(`a call of xl (pid ${pid}) hangs in the hypervisor and may still change it`);
}

const heldAs = (tsliceMs: Ms, refused: string): TsliceHold => ({
  tsliceMs,
  refused,
  lengthened: async () => undefined,
  release: async () => ({ restored: true, capAfter: null }),
});

/**
 * The pool's own timeslice: where another xthrottle has shortened it, what that one will put back. Entries are read on both sides of the
 * value, since they are written before it changes and removed after. Throws XthrottleError('noCap') where the pool has none.
 */
export async function ownTslice(pool: string, xl: RunXl, place: JournalPlace): Promise<Ms> {
  const before = await entriesOf(pool, place);
  const now = await readTslice(xl, pool);
  if (now === undefined)
    throw new XthrottleError('noCap', `the cpupool ${printable(pool)} has no timeslice that xl can set`, {
      hint: 'credit1 alone has one: xl cpupool-list shows the schedulers',
    });
  const entries = [...before, ...(await entriesOf(pool, place))];
  return ms(Math.max(now, ...entries.filter((entry) => entry.tslicesSetMs.includes(now)).map((entry) => entry.tsliceOriginalMs)));
}

/** Refuses a sidecar's timeslice where no cpupool has one. Throws XthrottleError('usage'). */
export async function assertSomeTslice(xl: RunXl): Promise<void> {
  if (parseRatelimits(await xlOutput(xl, ['sched-credit'])).size > 0) return;
  throw new XthrottleError('usage', '--tslice is for the scheduler credit, and no cpupool of this host runs under it', {
    hint: 'credit2 stalls a capped guest far less as it is: leave the option out (xl cpupool-list shows the schedulers)',
  });
}

/**
 * Refuses a timeslice that this domain's pool cannot have, before anything runs. Throws XthrottleError('usage').
 */
export async function assertTslice(tsliceMs: Ms, { facts, pool, scheduler, schedulerText }: XenDomain, xl: RunXl): Promise<void> {
  const usage = (message: string, hint: string): XthrottleError => new XthrottleError('usage', message, { hint });
  if (scheduler !== 'credit' || pool === undefined) {
    throw usage(
      `--tslice is for the scheduler credit: ${printable(facts.name)} runs under ${printable(schedulerText)}`,
      scheduler === 'credit2'
        ? 'credit2 stalls a capped guest far less as it is: leave the option out'
        : 'xl cpupool-list shows the schedulers',
    );
  }
  const ratelimitUs = parseRatelimits(await xlOutput(xl, ['sched-credit', '-s', '-p', pool])).get(pool);
  if (ratelimitUs !== undefined && ratelimitUs > tsliceMs * 1000) {
    throw usage(
      `--tslice ${tsliceMs}ms is below the pool's ratelimit of ${ratelimitUs / 1000} ms, and Xen allows no such timeslice`,
      `ask for at least ${Math.ceil(ratelimitUs / 1000)}ms, or lower the ratelimit: xl sched-credit -s -p ${quoted(pool)} -r ${tsliceMs * 1000}`,
    );
  }
}

/**
 * `cap`, decided for one timeslice, raised so that under another it stalls the domain no longer than was decided; the original where no
 * cap does (credit1's law: `stallOf`).
 */
export function capFor(
  cap: Cap,
  decidedForMs: Ms,
  nowMs: Ms,
  domain: { readonly vcpus: number; readonly activeVcpus: number; readonly capOriginal: Cap },
): Cap {
  if (cap.kind === 'uncapped' || nowMs <= decidedForMs) return cap;
  const { activeVcpus, vcpus, capOriginal } = domain;
  const percent = floorFor(stallOf(cap.percent, activeVcpus, 'credit', decidedForMs), activeVcpus, 'credit', nowMs);
  return percent >= Math.min(100 * activeVcpus, capPercent(capOriginal, vcpus)) ? capOriginal : capped(Math.max(percent, cap.percent));
}
