import { type Cap, capPercent, capToXen, isLower } from './cap.ts';
import type { Decision } from './decision.ts';
import type { Estimate } from './estimate.ts';
import { type Goal, targetInWords } from './goal.ts';
import type { Observation } from './observation.ts';
import type { Outcome, SummaryRecord } from './record.ts';
import { stallOf } from './stall.ts';
import { boundedStall } from './standing.ts';
import { type Ms, ms } from './units.ts';

/** What a summary needs, folded from observations and decisions as they come. Readonly. */
export interface Tally {
  readonly startedAtMs?: Ms;
  readonly atMs: Ms;
  readonly rounds: number;
  readonly bytesSent: number;
  readonly suspendRequestedAtMs?: Ms;
  readonly suspendedAtMs?: Ms;
  readonly completedAtMs?: Ms;
  readonly lastDirtyPages?: number;
  readonly verdict?: Decision;
  /** The last decision that ended the migration early. */
  readonly abortDecision?: Decision;
  readonly cap: Cap;
  readonly capPercentMin?: number;
  readonly stallMaxMs: number;
  readonly stallBeforeMs: number;
  readonly throttledMs: number;
  readonly lostCpuMs: number;
  /** CPU the guest uses when nothing holds it back, percent of one pCPU. */
  readonly demandPercent?: number;
  readonly cpuAt?: { readonly atMs: Ms; readonly cpuTimeMs: Ms };
}

export const initialTally = (goal: Goal): Tally => ({
  atMs: ms(0),
  rounds: 0,
  bytesSent: 0,
  cap: goal.domain.capOriginal,
  stallMaxMs: 0,
  stallBeforeMs: 0,
  throttledMs: 0,
  lostCpuMs: 0,
});

/** Weight of a new reading in the guest's CPU demand. */
const DEMAND_WEIGHT = 0.2;

/** Folds an observation and the decision it led to. */
export function tally(before: Tally, observation: Observation, decision: Decision, goal: Goal): Tally {
  const elapsed = before.startedAtMs === undefined ? 0 : Math.max(0, observation.atMs - before.atMs);
  const standing = before.suspendedAtMs !== undefined || before.completedAtMs !== undefined;
  const throttled = !standing && isLower(before.cap, goal.domain.capOriginal);
  const base: Tally = {
    ...before,
    startedAtMs: before.startedAtMs ?? observation.atMs,
    atMs: observation.atMs,
    throttledMs: before.throttledMs + (throttled ? elapsed : 0),
    ...('bytesSent' in observation && observation.bytesSent !== undefined ? { bytesSent: observation.bytesSent } : {}),
    ...(decision.action === 'abort' ? { abortDecision: decision } : {}),
  };
  const worked =
    'cpuTimeMs' in observation && observation.cpuTimeMs !== undefined
      ? work(base, observation.atMs, observation.cpuTimeMs, throttled)
      : base;
  return event(worked, observation, decision, goal);
}

function event(base: Tally, observation: Observation, decision: Decision, goal: Goal): Tally {
  switch (observation.type) {
    case 'round-start':
      return { ...base, rounds: Math.max(base.rounds, observation.round + 1) };
    case 'suspend-request':
      return {
        ...base,
        suspendRequestedAtMs: observation.atMs,
        verdict: decision,
        stallBeforeMs:
          observation.standingMs === undefined
            ? stallNow(base.cap, goal)
            : boundedStall(ms(stallNow(base.cap, goal)), observation.standingMs, 0, goal),
        ...(decision.action === 'deny' ? { abortDecision: decision } : {}),
      };
    case 'suspended':
      return { ...base, suspendedAtMs: observation.atMs };
    case 'stop-and-copy':
      return { ...base, lastDirtyPages: observation.pagesToSend };
    case 'complete':
      return { ...base, completedAtMs: observation.atMs };
    case 'cap-changed': {
      const percent = capToXen(observation.cap);
      const lower = isLower(observation.cap, goal.domain.capOriginal);
      return {
        ...base,
        cap: observation.cap,
        stallMaxMs: lower ? Math.max(base.stallMaxMs, stallNow(observation.cap, goal)) : base.stallMaxMs,
        ...(lower ? { capPercentMin: Math.min(base.capPercentMin ?? percent, percent) } : {}),
      };
    }
    default:
      return base;
  }
}

function stallNow(cap: Cap, goal: Goal): number {
  if (cap.kind === 'uncapped') return 0;
  return stallOf(capPercent(cap, goal.domain.vcpus), goal.domain.activeVcpus, goal.capabilities.scheduler, goal.capabilities.tsliceMs);
}

function work(base: Tally, atMs: Ms, cpuTimeMs: Ms, throttled: boolean): Tally {
  const last = base.cpuAt;
  const next: Tally = { ...base, cpuAt: { atMs, cpuTimeMs } };
  const elapsed = last === undefined ? 0 : atMs - last.atMs;
  if (last === undefined || elapsed <= 0 || cpuTimeMs < last.cpuTimeMs) return next;
  const used = cpuTimeMs - last.cpuTimeMs;
  if (throttled) return { ...next, lostCpuMs: base.lostCpuMs + Math.max(0, ((base.demandPercent ?? 0) / 100) * elapsed - used) };
  const percent = (used / elapsed) * 100;
  const demandPercent = base.demandPercent === undefined ? percent : base.demandPercent + DEMAND_WEIGHT * (percent - base.demandPercent);
  return { ...next, demandPercent };
}

/** How it ended, as the loop learned it from the host. */
export interface Close {
  readonly id: string;
  readonly controller: string;
  readonly result: 'migrated' | 'stayed' | 'unknown';
  readonly reason?: string;
  /** The user or the controller ended it, not xl or the link. */
  readonly abortedByUs: boolean;
  /** We let go of it before its end: it goes on as stock. */
  readonly released?: true;
  readonly observedDowntimeMs?: number;
  readonly observedDowntimeSource?: 'handover' | 'relay' | 'simulated';
  readonly capAfter: number | null;
  readonly capRestored: boolean;
  readonly failOpen?: true;
  readonly seed?: number;
}

/** The last record of a migration. */
export function summarise(sum: Tally, close: Close, goal: Goal): SummaryRecord {
  const predicted = sum.verdict?.forecast?.downtimeMs ?? sum.abortDecision?.forecast?.downtimeMs;
  const observed = close.result === 'migrated' ? close.observedDowntimeMs : undefined;
  const outcome = outcomeOf(sum, close, goal);
  return {
    type: 'summary',
    id: close.id,
    domain: goal.domain.name,
    outcome,
    reason: reasonOf(outcome, sum, close, goal),
    controller: close.controller,
    targetDowntimeMs: goal.targetDowntimeMs,
    ...(goal.maxDirtyPages === undefined ? {} : { maxDirtyPages: goal.maxDirtyPages }),
    predictedDowntimeMs: predicted?.value ?? null,
    predictedDowntimeRangeMs: (predicted as Estimate | undefined) ?? null,
    observedDowntimeMs: observed ?? null,
    observedDowntimeSource: observed === undefined ? null : (close.observedDowntimeSource ?? null),
    guestGapBoundMs: observed === undefined ? null : observed + joinedStall(sum),
    stallMaxMs: sum.stallMaxMs,
    rounds: sum.rounds,
    bytesSent: sum.bytesSent,
    ...lastPagesPredicted(sum),
    lastDirtyPages: sum.lastDirtyPages ?? null,
    totalSeconds: sum.startedAtMs === undefined ? 0 : (sum.atMs - sum.startedAtMs) / 1000,
    capPercentMin: sum.capPercentMin ?? null,
    throttledSeconds: sum.throttledMs / 1000,
    lostWorkSeconds: lostWork(sum, goal),
    capBefore: capToXen(goal.domain.capOriginal),
    capAfter: close.capAfter,
    capRestored: close.capRestored,
    ...(close.failOpen === undefined ? {} : { failOpen: close.failOpen }),
    ...(close.seed === undefined ? {} : { seed: close.seed }),
  };
}

function lastPagesPredicted({ verdict }: Tally): { readonly predictedLastPages?: number } {
  const predicted = verdict?.action === 'grant' ? verdict.forecast?.lastPages : undefined;
  return predicted === undefined ? {} : { predictedLastPages: Math.round(predicted.value) };
}

function joinedStall(sum: Tally): number {
  const ran = sum.verdict?.action === 'grant' && sum.verdict.runFirstMs !== undefined;
  return ran ? 0 : sum.stallBeforeMs;
}

/** Without the guest's CPU time its demand is taken for all it may use, which overstates the loss rather than hiding it. */
function lostWork(sum: Tally, goal: Goal): number {
  if (sum.cpuAt !== undefined) return sum.lostCpuMs / 1000;
  if (sum.capPercentMin === undefined) return 0;
  return (Math.max(0, goal.capCeilingPercent - sum.capPercentMin) / 100) * (sum.throttledMs / 1000);
}

function outcomeOf(sum: Tally, close: Close, goal: Goal): Outcome {
  if (close.released === true) return 'released';
  // 'aborted' says that the guest is here: only where that is known.
  if (close.result !== 'migrated') return close.abortedByUs && close.result === 'stayed' ? 'aborted' : 'failed';
  if (goal.maxDirtyPages !== undefined)
    return sum.lastDirtyPages !== undefined && sum.lastDirtyPages <= goal.maxDirtyPages ? 'met' : 'missed';
  const downtime = close.observedDowntimeMs ?? sum.verdict?.forecast?.downtimeMs.value;
  return downtime !== undefined && downtime <= goal.targetDowntimeMs ? 'met' : 'missed';
}

function reasonOf(outcome: Outcome, sum: Tally, close: Close, goal: Goal): string {
  switch (outcome) {
    case 'met':
    case 'missed':
      return `${achieved(sum, close, goal)} against a target of ${targetInWords(goal)}`;
    case 'aborted':
      return close.reason ?? sum.abortDecision?.reason.text ?? 'aborted';
    case 'released':
      return close.reason ?? 'let go: the migration goes on as stock';
    case 'failed':
      return close.reason ?? 'the migration failed';
  }
}

/** What the target is about, as it came out. */
function achieved({ lastDirtyPages }: Tally, { observedDowntimeMs }: Close, { maxDirtyPages }: Goal): string {
  if (maxDirtyPages !== undefined) return `${lastDirtyPages ?? 'an unknown number of'} pages sent after the suspend`;
  return `downtime ${observedDowntimeMs === undefined ? 'not observed' : `${Math.round(observedDowntimeMs)} ms`}`;
}
