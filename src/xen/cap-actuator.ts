import { type Cap, sameCap, showCap } from '../core/cap.ts';
import { XthrottleError } from '../core/errors.ts';
import type { Capabilities, DomainFacts } from '../core/goal.ts';
import { type Ms, ms } from '../core/units.ts';
import { type CappingScheduler, checkedCap, readCap, writeCap } from './cap-calls.ts';
import type { Xenctrl } from './libxenctrl.ts';
import type { Owner } from './owner.ts';
import { parseDomains } from './parse-domains.ts';
import { printable, type RunXl, xlOutput } from './xl-errors.ts';

export interface CapSet {
  /** From the call until it was in force. */
  readonly latencyMs: Ms;
  readonly way: 'xl' | 'libxenctrl';
}

/**
 * Reads and sets one domain's cap. Calls are carried out one after the other; but a lift does not wait for a call of xl under way: it goes
 * through the library at once, and again behind that call.
 */
export interface CapActuator {
  /**
   * That the domid still is the domain of our UUID: asked before the first change, and again when the answer is old (`maxAgeMs`; before a
   * change: 30 s). libxl gives a domid that has ended to nobody else for a minute. Throws XthrottleError('noDomain').
   */
  verify(maxAgeMs?: number): Promise<void>;
  /**
   * The domain was just seen to be migrating: an answer that is not old yet holds from now on. A domain that ended, and whose domid went to
   * another a minute later at the earliest, would not have been.
   */
  seen(): void;
  /** Through libxenctrl where it is there, else xl; `atOnce`: without waiting for the changes under way. Throws XthrottleError. */
  read(options?: { readonly atOnce?: boolean }): Promise<Cap>;
  /**
   * Sets and reads back: through libxenctrl where it is there (under 1 ms, and without a process that could hang), else through xl
   * (10 to 20 ms on hardware, seconds on a loaded dom0), where a `lift` is not read back. Throws RangeError for a cap that Xen would not take or that, unless it is
   * `theirs` (what somebody else had set), is above the original (none included, unless the original is none), XthrottleError when it did
   * not come into force.
   */
  set(cap: Cap, options?: { readonly lift?: boolean; readonly theirs?: boolean }): Promise<CapSet>;
  /** Settles when no change is under way any more; rejects with the failure of a lift that had overtaken one and was to follow it. */
  settled(): Promise<void>;
  /** Calls that set something, ran out of time, and that no signal reaches: what they were to set may still come into force. */
  lingering(): readonly Owner[];
}

export interface ActuatorOptions {
  readonly xl: RunXl;
  readonly xenctrl?: Xenctrl | undefined;
  readonly domain: DomainFacts;
  readonly scheduler: CappingScheduler;
}

/** A change through libxenctrl with its reading before and after: 4 ms in the emulator, where a call takes 1 ms. */
const LIBRARY_MS = ms(4);

/**
 * How long changes take to come into force. `byLibrary`: libxenctrl reads this domain's cap; else each is two calls of xl, a change and a
 * reading.
 */
export function capLatencies(byLibrary: boolean, xlCallMs: Ms): Pick<Capabilities, 'actuatorLatencyMs' | 'liftLatencyMs'> {
  const each = byLibrary ? LIBRARY_MS : ms(2 * xlCallMs);
  return { actuatorLatencyMs: each, liftLatencyMs: each };
}

/** How long a domid is known to be nobody else's: LIBXL_DOMID_REUSE_TIMEOUT is 60 s. */
const VERIFIED_MS = 30_000;

export function createActuator(options: ActuatorOptions): CapActuator {
  const { xenctrl, domain, scheduler } = options;
  let lingering: readonly Owner[] = [];
  const xl: RunXl = async (args) => {
    const result = await options.xl(args);
    if (result.lingers !== undefined && args.includes('-c')) lingering = [...lingering, result.lingers];
    return result;
  };
  let same: Promise<void> | undefined;
  let verifiedAtMs = Number.NEGATIVE_INFINITY;
  const isVerified = (maxAgeMs = VERIFIED_MS): boolean => performance.now() - verifiedAtMs <= maxAgeMs;
  const verify = (maxAgeMs?: number): Promise<void> => {
    if (isVerified(maxAgeMs)) return Promise.resolve();
    same ??= assertSameDomain(domain, xl)
      .then(
        () => {
          verifiedAtMs = performance.now();
        },
        (error: unknown) => {
          if (error instanceof XthrottleError && error.exit === 'noDomain') verifiedAtMs = Number.NEGATIVE_INFINITY;
          throw error;
        },
      )
      .finally(() => {
        same = undefined;
      });
    return same;
  };
  let queue: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    waiting += 1;
    const next = queue.then(work, work);
    queue = next
      .catch(() => undefined)
      .then(() => {
        waiting -= 1;
      });
    return next;
  };
  /** The lift behind the call that it has overtaken. */
  let following: Promise<unknown> = Promise.resolve();
  const read = async (): Promise<Cap> => xenctrl?.getCap(domain.domid, scheduler) ?? readCap(xl, domain.domid, scheduler);
  const change = async (cap: Cap, lift: boolean): Promise<CapSet> => {
    const startedAt = performance.now();
    await verify();
    const fast = xenctrl?.setCap(domain.domid, scheduler, cap) === true;
    if (!fast) await writeCap(xl, domain.domid, scheduler, cap, domain.vcpus);
    const latency = () => ms(performance.now() - startedAt);
    // The save helper waits for a lift, and each call of xl adds to that: the reading comes with restore.
    if (lift && !fast) return { latencyMs: latency(), way: 'xl' };
    const now = await read();
    if (!sameCap(now, cap)) {
      throw new XthrottleError('noCap', `domain ${domain.domid}: the cap was set to ${showCap(cap)} but reads ${showCap(now)}`, {
        hint: 'is somebody else changing it, or another toolstack?',
      });
    }
    return { latencyMs: latency(), way: fast ? 'libxenctrl' : 'xl' };
  };
  return {
    verify,
    seen: () => {
      if (isVerified()) verifiedAtMs = performance.now();
    },
    lingering: () => lingering,
    settled: async () => {
      await queue;
      await following;
    },
    read: ({ atOnce } = {}) => (atOnce === true ? read() : inOrder(read)),
    set: async (cap, { lift = false, theirs = false } = {}) => {
      if (theirs) checkedCap(cap, domain.vcpus);
      else assertAllowed(cap, domain);
      const startedAt = performance.now();
      const overtakes = lift && waiting > 0 && isVerified() && xenctrl?.setCap(domain.domid, scheduler, cap) === true;
      const inTurn = inOrder(() => change(cap, lift));
      if (!overtakes) return inTurn;
      // Whether that worked shows in settled(), and when the cap is read at the end.
      inTurn.catch(() => undefined);
      following = inTurn;
      return { latencyMs: ms(performance.now() - startedAt), way: 'libxenctrl' };
    },
  };
}

/** The hypervisor itself takes any number: this is what keeps a wrong one from it. */
function assertAllowed(cap: Cap, domain: DomainFacts): void {
  checkedCap(cap, domain.vcpus);
  const own = domain.capOriginal;
  if (own.kind === 'uncapped') return;
  if (cap.kind === 'uncapped' || cap.percent > own.percent) {
    throw new RangeError(`the domain's own cap is ${showCap(own)}: ${showCap(cap)} would be above it`);
  }
}

async function assertSameDomain(domain: DomainFacts, xl: RunXl): Promise<void> {
  const now = parseDomains(await xlOutput(xl, ['list', '-l', String(domain.domid)])).find((d) => d.domid === domain.domid);
  if (now?.uuid === domain.uuid) return;
  throw new XthrottleError('noDomain', `domid ${domain.domid} is no longer ${printable(domain.name)} (UUID ${domain.uuid})`, {
    hint: 'it was restarted, or has gone; nothing was changed',
  });
}
