import { type Cap, capToXen, isLower, sameCap, showCap } from '../core/cap.ts';
import { messageOf } from '../core/errors.ts';
import type { DomainFacts } from '../core/goal.ts';
import type { Effect, RestoreResult } from '../host.ts';
import type { CapActuator, CapSet } from './cap-actuator.ts';
import { type CappingScheduler, writeCapArgs } from './cap-calls.ts';
import type { Journal } from './journal.ts';
import { type CapEntry, JOURNAL_VERSION } from './journal-entry.ts';
import { isAlive, type Owner, thisProcess } from './owner.ts';

export interface SteeringOptions {
  readonly actuator: CapActuator;
  readonly journal: Journal;
  readonly domain: DomainFacts;
  readonly scheduler: CappingScheduler;
  /** Whether the domain is still on this host. */
  readonly isHere: () => Promise<boolean>;
  /** Waits a moment for a domain of that UUID under another domid (it was rebooted, its cap with it) and puts that one's cap back. */
  readonly reborn?: (entry: CapEntry) => Promise<RestoreResult | undefined>;
  /** Sees to it that a guard watches, before the first change. */
  readonly guarded: () => Promise<void>;
  /** Told to the relay before the cap is set: only then, and only such a cap, does it lift should we be lost. */
  readonly onLowered: (lowered: boolean, cap?: Cap) => void;
  /** The cap in force is now this, by our doing or somebody else's. */
  readonly onChanged: (cap: Cap, by: 'us' | 'other', latencyMs?: Effect['latencyMs']) => void;
  readonly owner?: Owner;
  /** Whether a process lives; default: as this host's /proc says. */
  readonly lives?: (owner: Owner) => boolean;
}

/**
 * One domain's cap while we steer it: written ahead, guarded, set, verified; somebody else's change ends it; put back at the end.
 * Expected failures are values.
 */
export interface CapSteering {
  /** Makes the journal entry; the reason when nothing may be changed. */
  claim(): Promise<string | undefined>;
  set(cap: Cap): Promise<Effect>;
  /**
   * The domain's own cap, for the suspension: tried twice, and in force for sure within `withinMs`, with no call under way that may lower
   * it again. `failed` otherwise.
   */
  lift(withinMs: number): Promise<Effect>;
  /** Looks whether the cap still is the one we set (or found); an unreadable cap is no news. */
  lookForOthers(): Promise<void>;
  /** `stays`: the domain has not migrated away; should it be gone all the same, it may have been rebooted. */
  restore(stays?: boolean): Promise<RestoreResult>;
  /** The domain was just seen to be migrating: xl need not be asked anew whether it still is the one. */
  seen(): void;
  /** The cap in force as far as we know. */
  inForce(): Cap;
}

const RESTORE_ATTEMPTS = 4;
const RETRY_MS = 200;
/** Well below the age at which the actuator asks again before a change. */
const VERIFY_AGAIN_MS = 15_000;
/** How long a call that cannot be ended is waited for. */
const LINGER_POLLS = 20;
const LINGER_POLL_MS = 500;

export function steerCap(options: SteeringOptions): CapSteering {
  const { actuator, journal, domain, scheduler } = options;
  const original = domain.capOriginal;
  const owner = options.owner ?? thisProcess();
  let expected: Cap = original;
  /** Caps of calls that failed or timed out: they may have come into force all the same, or still do. */
  let attempted: readonly Cap[] = [];
  /** Caps of calls that are under way. */
  let flying: readonly Cap[] = [];
  let capsSet: readonly number[] = [];
  let handsOff: string | undefined;
  /** What somebody else had set when that was seen: the domain's own from then on. */
  let theirs: Cap | undefined;
  let closing = false;
  /** The last look showed the cap of a call that had hung, in force after all. */
  let cameLate = false;
  /** Of the newest change asked for: a lower cap that it has overtaken on its way is not set any more. */
  let newest = 0;
  let restored: Promise<RestoreResult> | undefined;
  const entry = (): CapEntry => ({
    v: JOURNAL_VERSION,
    kind: 'cap',
    uuid: domain.uuid,
    domid: domain.domid,
    name: domain.name,
    scheduler,
    capOriginal: capToXen(original),
    capsSet,
    owner,
  });
  const lives = options.lives ?? isAlive;
  const stillLingering = (): Owner | undefined => actuator.lingering().find(lives);

  /** A call that hangs may bring back any cap that we asked for. */
  const isOurs = (cap: Cap): boolean =>
    sameCap(cap, expected) ||
    isAmong(attempted, cap) ||
    isAmong(flying, cap) ||
    ((actuator.lingering().length > 0 || theirs !== undefined) && capsSet.includes(capToXen(cap)));

  /** Whether somebody else has set the cap since; theirs wins from then on. */
  const othersChange = async (): Promise<boolean> => {
    if (handsOff !== undefined) return true;
    const before = expected;
    const now = await actuator.read({ atOnce: true });
    // A change of our own may have come in between.
    cameLate = before === expected && !sameCap(now, expected) && actuator.lingering().length > 0;
    if (closing || before !== expected || isOurs(now)) return false;
    theirs = now;
    handsOff = `somebody else set the cap to ${showCap(now)}: it stays, and this domain is not steered any more`;
    options.onLowered(false);
    options.onChanged(now, 'other');
    return true;
  };

  const writeAhead = async (cap: Cap): Promise<string | undefined> => {
    const value = capToXen(cap);
    if (sameCap(cap, original) || capsSet.includes(value)) return undefined;
    const before = capsSet;
    capsSet = [...capsSet, value];
    const written = await journal.write(entry());
    if (written.ok) return undefined;
    capsSet = before;
    return `the cap journal cannot be written (${written.text}): nothing is changed any more`;
  };

  /** The call itself. A lift that overtakes it does not make its cap somebody else's, nor does its failure. */
  const fly = async (cap: Cap, lift: boolean): Promise<CapSet> => {
    flying = [...flying, cap];
    try {
      return await actuator.set(cap, { lift });
    } catch (error) {
      attempted = isAmong(attempted, cap) ? attempted : [...attempted, cap];
      throw error;
    } finally {
      const at = flying.indexOf(cap);
      flying = flying.filter((_, i) => i !== at);
    }
  };

  const set = async (cap: Cap): Promise<Effect> => {
    const turn = ++newest;
    // Lifting never waits for a reading that fails.
    const lower = isLower(cap, original);
    const changed = await othersChange().catch((error: unknown) => {
      if (lower) throw error;
      return false;
    });
    if (changed) return { result: 'skipped', ...(handsOff === undefined ? {} : { error: handsOff }) };
    if (sameCap(cap, expected) && attempted.length === 0 && flying.length === 0 && !cameLate) return { result: 'skipped', cap };
    const failure = await writeAhead(cap);
    if (failure !== undefined) return { result: 'failed', cap, error: failure };
    if (lower) await options.guarded();
    // From here to the actuator's queue nothing waits: restore() comes after this change, or this change does not come.
    if (closing) return { result: 'skipped', cap };
    if (handsOff !== undefined) return { result: 'skipped', error: handsOff };
    if (lower && turn !== newest) return { result: 'superseded', cap };
    if (lower) options.onLowered(true, cap);
    attempted = isAmong(attempted, cap) ? attempted : [...attempted, cap];
    const { latencyMs } = await fly(cap, !lower);
    // It was on its way when theirs was seen, and has overwritten it.
    if (theirs !== undefined) {
      await actuator.set(theirs, { lift: true, theirs: true });
      return { result: 'skipped', ...(handsOff === undefined ? {} : { error: handsOff }) };
    }
    if (turn !== newest) {
      attempted = isAmong(attempted, cap) ? attempted : [...attempted, cap];
      return { result: 'superseded', cap, latencyMs };
    }
    [expected, attempted] = [cap, []];
    if (!lower) options.onLowered(false);
    options.onChanged(cap, 'us', latencyMs);
    return { result: 'applied', cap, latencyMs };
  };

  const liftFor = async (withinMs: number): Promise<Effect> => {
    let effect = await caught(original);
    if (effect.result === 'failed') effect = await caught(original);
    if (effect.result === 'failed' || handsOff !== undefined) return effect;
    const failure = (error: string): Effect => ({ ...effect, result: 'failed', error });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('a slow call of xl may still lower the cap'), withinMs);
    });
    const settled = actuator.settled().then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
    const problem = await Promise.race([settled, late]).finally(() => clearTimeout(timer));
    if (problem !== undefined) return failure(problem);
    return stillLingering() === undefined ? effect : failure('a call of xl that hangs may still lower the cap');
  };

  const caught = (cap: Cap): Promise<Effect> =>
    set(cap).catch((error: unknown): Effect => ({ result: 'failed', cap, error: messageOf(error) }));

  const isGone = async (): Promise<boolean> => !(await options.isHere().catch(() => true));

  const rebornOnce = async (): Promise<RestoreResult | undefined> =>
    options
      .reborn?.(entry())
      .catch((error: unknown) => ({ restored: false, capAfter: null, hint: `${messageOf(error)}; xthrottle restore` }));

  const restoreOnce = async (stays: boolean): Promise<RestoreResult> => {
    try {
      const now = await actuator.read();
      const own = theirs ?? original;
      if (sameCap(now, original)) return { restored: true, capAfter: capToXen(now) };
      if (sameCap(now, own) || !isOurs(now)) return { restored: true, capAfter: capToXen(now), hint: othersText(now, original) };
      const { latencyMs } = await actuator.set(own, { lift: true, theirs: theirs !== undefined });
      const after = await actuator.read();
      if (!sameCap(after, own)) throw new Error(`the cap was set to ${showCap(own)} but reads ${showCap(after)}`);
      options.onChanged(own, 'us', latencyMs);
      return { restored: true, capAfter: capToXen(own) };
    } catch (error) {
      if (await isGone()) return (stays ? await rebornOnce() : undefined) ?? { restored: true, capAfter: null };
      const command = `xl ${writeCapArgs(domain.domid, scheduler, original).join(' ')}`;
      return { restored: false, capAfter: null, hint: `${messageOf(error)}; by hand: ${command}, or: xthrottle restore` };
    }
  };

  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  const restoreWithin = async (attempts: number, stays: boolean): Promise<RestoreResult> => {
    let result = await restoreOnce(stays);
    for (let attempt = 1; attempt < attempts && !result.restored; attempt++) {
      await sleep(RETRY_MS * 2 ** attempt);
      result = await restoreOnce(stays);
    }
    return result;
  };

  /** A call that hangs may undo what was just put back: the cap counts as restored once no such call is left. */
  const outwait = async (result: RestoreResult, stays: boolean): Promise<RestoreResult> => {
    if (stillLingering() === undefined) return actuator.lingering().length === 0 ? result : restoreWithin(RESTORE_ATTEMPTS, stays);
    for (let poll = 0; poll < LINGER_POLLS && stillLingering() !== undefined; poll++) await sleep(LINGER_POLL_MS);
    const hanging = stillLingering();
    const now = await restoreWithin(RESTORE_ATTEMPTS, stays);
    if (hanging === undefined || !now.restored) return now;
    const hint = `a call of xl (pid ${hanging.pid}) hangs in the hypervisor and may still change the cap: when it has ended, xthrottle restore`;
    return { restored: false, capAfter: now.capAfter, hint };
  };

  const restore = async (stays: boolean): Promise<RestoreResult> => {
    closing = true;
    let result = await restoreWithin(RESTORE_ATTEMPTS, stays);
    if (result.restored && result.capAfter !== null) result = await outwait(result, stays);
    if (!result.restored) return result;
    options.onLowered(false);
    // An entry that stays is harmless: its caps are not in force.
    await journal.remove(entry()).catch(() => undefined);
    return result;
  };

  return {
    async claim() {
      // The first change waits for it, and reports it when it fails.
      actuator.verify().catch(() => undefined);
      const written = await journal.write(entry());
      return written.ok ? undefined : written.text;
    },
    set: caught,
    lift: liftFor,
    lookForOthers: async () => {
      // Asked in good time: neither the first cap nor the lift at the suspend request, while the guest is parked, is to wait for an answer.
      actuator.verify(VERIFY_AGAIN_MS).catch(() => undefined);
      const theirsNow = await othersChange().catch(() => true);
      if (!theirsNow && cameLate && !closing) await caught(expected);
    },
    seen: () => actuator.seen(),
    inForce: () => expected,
    restore(stays = false) {
      restored ??= restore(stays).then((result) => {
        if (!result.restored) restored = undefined;
        return result;
      });
      return restored;
    },
  };
}

const isAmong = (caps: readonly Cap[], cap: Cap): boolean => caps.some((c) => sameCap(c, cap));

const othersText = (now: Cap, original: Cap): string =>
  `somebody else set the cap to ${showCap(now)}: it stays (it was ${showCap(original)})`;
