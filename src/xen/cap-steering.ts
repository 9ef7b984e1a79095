import { type Cap, capToXen, isLower, sameCap, showCap } from '../core/cap.ts';
import { messageOf } from '../core/errors.ts';
import type { DomainFacts } from '../core/goal.ts';
import type { Effect, RestoreResult } from '../host.ts';
import type { CapActuator } from './cap-actuator.ts';
import { type CappingScheduler, writeCapArgs } from './cap-calls.ts';
import type { Journal } from './journal.ts';
import { type CapEntry, JOURNAL_VERSION } from './journal-entry.ts';
import { type Owner, thisProcess } from './owner.ts';

export interface SteeringOptions {
  readonly actuator: CapActuator;
  readonly journal: Journal;
  readonly domain: DomainFacts;
  readonly scheduler: CappingScheduler;
  /** Whether the domain is still on this host. */
  readonly isHere: () => Promise<boolean>;
  /** Waits a moment for a domain of that UUID under another domid (it was rebooted, its cap with it) and puts that one's cap back. */
  readonly reborn?: () => Promise<RestoreResult | undefined>;
  /** Sees to it that a guard watches, before the first change. */
  readonly guarded: () => Promise<void>;
  /** Told to the relay: only then does it lift the cap should we be lost. */
  readonly onLowered: (lowered: boolean) => void;
  /** The cap in force is now this, by our doing or somebody else's. */
  readonly onChanged: (cap: Cap, by: 'us' | 'other', latencyMs?: Effect['latencyMs']) => void;
  readonly owner?: Owner;
}

/**
 * One domain's cap while we steer it: written ahead, guarded, set, verified; somebody else's change ends it; put back at the end.
 * Expected failures are values.
 */
export interface CapSteering {
  /** Makes the journal entry; the reason when nothing may be changed. */
  claim(): Promise<string | undefined>;
  set(cap: Cap): Promise<Effect>;
  /** Looks whether the cap still is the one we set (or found); an unreadable cap is no news. */
  lookForOthers(): Promise<void>;
  /** `stays`: the domain has not migrated away; should it be gone all the same, it may have been rebooted. */
  restore(stays?: boolean): Promise<RestoreResult>;
  /** The cap in force as far as we know. */
  inForce(): Cap;
}

const RESTORE_ATTEMPTS = 4;
const RETRY_MS = 200;

export function steerCap(options: SteeringOptions): CapSteering {
  const { actuator, journal, domain, scheduler } = options;
  const original = domain.capOriginal;
  const owner = options.owner ?? thisProcess();
  let expected: Cap = original;
  /** Caps of calls that failed or timed out: they may have come into force all the same, or still do. */
  let attempted: readonly Cap[] = [];
  let capsSet: readonly number[] = [];
  let handsOff: string | undefined;
  let closing = false;
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

  const isOurs = (cap: Cap): boolean => sameCap(cap, expected) || isAmong(attempted, cap);

  /** Whether somebody else has set the cap since; theirs wins from then on. */
  const othersChange = async (): Promise<boolean> => {
    if (handsOff !== undefined) return true;
    const before = expected;
    const now = await actuator.read({ atOnce: true });
    // A change of our own may have come in between.
    if (closing || before !== expected || isOurs(now)) return false;
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

  const set = async (cap: Cap): Promise<Effect> => {
    const turn = ++newest;
    // Lifting never waits for a reading that fails.
    const lower = isLower(cap, original);
    const theirs = await othersChange().catch((error: unknown) => {
      if (lower) throw error;
      return false;
    });
    if (theirs) return { result: 'skipped', ...(handsOff === undefined ? {} : { error: handsOff }) };
    if (sameCap(cap, expected) && attempted.length === 0) return { result: 'skipped', cap };
    const failure = await writeAhead(cap);
    if (failure !== undefined) return { result: 'failed', cap, error: failure };
    if (lower) await options.guarded();
    // From here to the actuator's queue nothing waits: restore() comes after this change, or this change does not come.
    if (closing) return { result: 'skipped', cap };
    if (lower && turn !== newest) return { result: 'superseded', cap };
    if (lower) options.onLowered(true);
    attempted = isAmong(attempted, cap) ? attempted : [...attempted, cap];
    const { latencyMs } = await actuator.set(cap, { lift: !lower });
    if (turn !== newest) {
      attempted = isAmong(attempted, cap) ? attempted : [...attempted, cap];
      return { result: 'superseded', cap, latencyMs };
    }
    [expected, attempted] = [cap, []];
    if (!lower) options.onLowered(false);
    options.onChanged(cap, 'us', latencyMs);
    return { result: 'applied', cap, latencyMs };
  };

  const isGone = async (): Promise<boolean> => !(await options.isHere().catch(() => true));

  const rebornOnce = async (): Promise<RestoreResult | undefined> =>
    options.reborn?.().catch((error: unknown) => ({ restored: false, capAfter: null, hint: `${messageOf(error)}; xthrottle restore` }));

  const restoreOnce = async (stays: boolean): Promise<RestoreResult> => {
    try {
      const now = await actuator.read();
      if (sameCap(now, original)) return { restored: true, capAfter: capToXen(now) };
      if (handsOff !== undefined || !isOurs(now)) return { restored: true, capAfter: capToXen(now), hint: othersText(now, original) };
      const { latencyMs } = await actuator.set(original, { lift: true });
      const after = await actuator.read();
      if (!sameCap(after, original)) throw new Error(`the cap was set to ${showCap(original)} but reads ${showCap(after)}`);
      options.onChanged(original, 'us', latencyMs);
      return { restored: true, capAfter: capToXen(original) };
    } catch (error) {
      if (await isGone()) return (stays ? await rebornOnce() : undefined) ?? { restored: true, capAfter: null };
      const command = `xl ${writeCapArgs(domain.domid, scheduler, original).join(' ')}`;
      return { restored: false, capAfter: null, hint: `${messageOf(error)}; by hand: ${command}, or: xthrottle restore` };
    }
  };

  const restore = async (stays: boolean): Promise<RestoreResult> => {
    closing = true;
    let result = await restoreOnce(stays);
    for (let attempt = 1; attempt < RESTORE_ATTEMPTS && !result.restored; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** attempt));
      result = await restoreOnce(stays);
    }
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
    set: (cap) => set(cap).catch((error: unknown): Effect => ({ result: 'failed', cap, error: messageOf(error) })),
    lookForOthers: async () => {
      await othersChange().catch(() => false);
    },
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
