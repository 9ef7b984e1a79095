import { type Cap, capPercent, capToXen, isLower } from '../core/cap.ts';
import type { Decision, Forecast } from '../core/decision.ts';
import { pagesThatFit } from '../core/downtime.ts';
import type { Estimate } from '../core/estimate.ts';
import { fullDirtyRate } from '../core/gate.ts';
import type { Goal } from '../core/goal.ts';
import type { Observation } from '../core/observation.ts';
import type { EffectRecord, NoteRecord, StartRecord, SummaryRecord } from '../core/record.ts';
import { stallOf } from '../core/stall.ts';
import { currentRound, initialTrack, observe, type RoundTrack, type Track } from '../core/track.ts';
import type { Ms } from '../core/units.ts';
import type { MigrationTrace } from './read.ts';

/** One round as it went. Times are milliseconds since the migration's first observation. */
export interface StoryRound {
  readonly round: number;
  readonly startMs: number;
  readonly endMs?: number;
  readonly pagesToSend: number;
  readonly pagesDirtied?: number;
  readonly bytesSent: number;
  /** Pages per second. */
  readonly dirtyRate?: number;
  /** Bytes per second on the wire, over the whole round. */
  readonly transferRate?: number;
  /** Lowest cap in force during the round, as Xen's number. */
  readonly cap: number;
}

export interface StoryDecision {
  readonly atMs: number;
  readonly round?: number;
  readonly decision: Decision;
  /** The cap in force when it was taken, as Xen's number. */
  readonly cap: number;
  /** How often the same hold with the same reason code was taken in a row. */
  readonly times: number;
}

export interface Stamped<T> {
  readonly atMs: number;
  readonly value: T;
}

/** A migration's records put in order for people: what `explain` and `report` tell. */
export interface Story {
  readonly source: string;
  readonly start: StartRecord;
  readonly summary?: SummaryRecord;
  readonly goal: Goal;
  readonly durationMs: number;
  readonly rounds: readonly StoryRound[];
  /** Every decision that changed something, and holds where their reason changed. */
  readonly decisions: readonly StoryDecision[];
  /** Pages dirtied so far in the running round. */
  readonly dirty: readonly Stamped<number>[];
  /** Pages that could have been dirty at the suspend request for the target to be met. */
  readonly fits: readonly Stamped<number>[];
  /** Caps in force, as percent of one pCPU, and the stall they may cause. */
  readonly caps: readonly Stamped<{
    readonly cap: number;
    readonly percent: number;
    readonly stallMs: number;
    readonly by: 'us' | 'other';
  }>[];
  readonly transferRate: readonly Stamped<number>[];
  readonly predicted: readonly Stamped<Estimate>[];
  readonly suspendRequestedMs?: number;
  readonly suspendedMs?: number;
  readonly completedMs?: number;
  readonly failures: readonly Stamped<EffectRecord>[];
  readonly callLatenciesMs: readonly number[];
  readonly notes: readonly NoteRecord[];
}

/** Puts a trace in order. */
export function storyOf(trace: MigrationTrace): Story {
  const telling = new Telling(trace.start.goal);
  for (const record of trace.records) {
    if (record.type === 'observation') telling.observed(record.observation);
    else if (record.type === 'decision') telling.decided(record.decision);
    else if (record.type === 'effect') telling.effected(record);
    else if (record.type === 'note') telling.notes.push(record);
  }
  return {
    source: trace.source,
    start: trace.start,
    goal: trace.start.goal,
    ...(trace.summary === undefined ? {} : { summary: trace.summary }),
    ...telling.told(),
  };
}

class Telling {
  readonly notes: NoteRecord[] = [];
  readonly #goal: Goal;
  readonly #rounds: StoryRound[] = [];
  readonly #decisions: StoryDecision[] = [];
  readonly #dirty: Stamped<number>[] = [];
  readonly #fits: Stamped<number>[] = [];
  readonly #caps: Story['caps'][number][] = [];
  readonly #rates: Stamped<number>[] = [];
  readonly #predicted: Stamped<Estimate>[] = [];
  readonly #failures: Stamped<EffectRecord>[] = [];
  readonly #latencies: number[] = [];
  #track: Track;
  #capMin: Cap;
  #completedMs: number | undefined;
  /** Total at the suspend request: what comes later is not the last round's. */
  #bytesBeforeSuspend: number | undefined;

  constructor(goal: Goal) {
    this.#goal = goal;
    this.#track = initialTrack(goal);
    this.#capMin = goal.domain.capOriginal;
    this.#capNow(goal.domain.capOriginal, 'us', 0);
  }

  #since(atMs: Ms): number {
    return Math.max(0, atMs - this.#track.startedAtMs);
  }

  observed(observation: Observation): void {
    const before = this.#track;
    this.#track = observe(before, observation, this.#goal);
    const at = this.#since(observation.atMs);
    if (observation.type === 'round-start') {
      this.#endRound();
      this.#fitNow(at);
    }
    if (observation.type === 'suspend-request') {
      this.#fitNow(at);
      this.#bytesBeforeSuspend = observation.bytesSent;
    }
    if (observation.type === 'complete') this.#completedMs = at;
    if (observation.type === 'cap-changed') this.#capNow(observation.cap, observation.by, at);
    const dirtied = currentRound(this.#track)?.pagesDirtied;
    if (observation.type === 'round-start') this.#dirtyAtRoundStart(at);
    else if (dirtied !== undefined && (observation.type === 'sample' || observation.type === 'suspend-request')) {
      this.#dirty.push({ atMs: at, value: dirtied });
    }
    const rate = this.#track.transferRate;
    if (rate !== undefined && rate !== before.transferRate) this.#rates.push({ atMs: at, value: rate.value });
  }

  #dirtyAtRoundStart(at: number): void {
    const before = this.#track.rounds.at(-2);
    if (before?.pagesDirtied !== undefined) this.#dirty.push({ atMs: at, value: before.pagesDirtied });
    this.#dirty.push({ atMs: at, value: 0 });
    this.#capMin = this.#track.cap;
  }

  #fitNow(at: number): void {
    const rate = this.#track.transferRate;
    if (rate === undefined) return;
    const fit = pagesThatFit(this.#goal.targetDowntimeMs, fullDirtyRate(this.#track).value, rate.value, this.#goal);
    this.#fits.push({ atMs: at, value: Math.min(fit, this.#goal.maxDirtyPages ?? fit) });
  }

  #capNow(cap: Cap, by: 'us' | 'other', at: number): void {
    const { domain, capabilities, capCeilingPercent } = this.#goal;
    const percent = capPercent(cap, domain.vcpus);
    const stallMs =
      cap.kind === 'uncapped' || percent >= capCeilingPercent
        ? 0
        : stallOf(percent, domain.activeVcpus, capabilities.scheduler, capabilities.tsliceMs);
    this.#caps.push({ atMs: at, value: { cap: capToXen(cap), percent, stallMs, by } });
    if (isLower(cap, this.#capMin)) this.#capMin = cap;
  }

  #endRound(): void {
    const ended = this.#track.rounds.at(-2);
    if (ended !== undefined) this.#closeRound(ended);
  }

  #closeRound(round: RoundTrack): void {
    const startMs = this.#since(round.startedAtMs);
    const end = round.endedAtMs;
    const span = (end ?? this.#track.atMs) - round.startedAtMs;
    const following = this.#track.rounds.find((r) => r.round === round.round + 1);
    const bytesSent = (following?.bytesAtStart ?? this.#bytesBeforeSuspend ?? this.#track.bytesSent) - round.bytesAtStart;
    this.#rounds.push({
      round: round.round,
      startMs,
      ...(end === undefined ? {} : { endMs: this.#since(end) }),
      pagesToSend: round.pagesToSend,
      ...(round.pagesDirtied === undefined ? {} : { pagesDirtied: round.pagesDirtied }),
      bytesSent,
      ...(round.pagesDirtied === undefined || span <= 0 ? {} : { dirtyRate: (round.pagesDirtied / span) * 1000 }),
      ...(bytesSent <= 0 || span <= 0 ? {} : { transferRate: (bytesSent / span) * 1000 }),
      cap: capToXen(this.#capMin),
    });
  }

  decided(decision: Decision): void {
    const atMs = this.#since(this.#track.atMs);
    this.#forecast(decision.forecast, atMs);
    const last = this.#decisions.at(-1);
    if (decision.action === 'hold' && last?.decision.action === 'hold' && last.decision.reason.code === decision.reason.code) {
      this.#decisions[this.#decisions.length - 1] = { ...last, times: last.times + 1 };
      return;
    }
    const round = currentRound(this.#track)?.round;
    this.#decisions.push({ atMs, ...(round === undefined ? {} : { round }), decision, cap: capToXen(this.#track.cap), times: 1 });
  }

  #forecast(forecast: Forecast | undefined, atMs: number): void {
    if (forecast !== undefined) this.#predicted.push({ atMs, value: forecast.downtimeMs });
  }

  effected(effect: EffectRecord): void {
    if (effect.latencyMs !== undefined) this.#latencies.push(effect.latencyMs);
    if (effect.result === 'failed') this.#failures.push({ atMs: this.#since(effect.atMs), value: effect });
  }

  told(): Omit<Story, 'source' | 'start' | 'goal' | 'summary'> {
    const track = this.#track;
    const open = currentRound(track);
    if (open !== undefined) this.#closeRound(open);
    const stamp = (name: string, atMs: Ms | undefined): object => (atMs === undefined ? {} : { [name]: this.#since(atMs) });
    return {
      durationMs: this.#since(track.atMs),
      rounds: this.#rounds,
      decisions: this.#decisions,
      dirty: this.#dirty,
      fits: this.#fits,
      caps: this.#caps,
      transferRate: this.#rates,
      predicted: this.#predicted,
      ...stamp('suspendRequestedMs', track.suspendRequestedAtMs),
      ...stamp('suspendedMs', track.suspendedAtMs),
      ...(this.#completedMs === undefined ? {} : { completedMs: this.#completedMs }),
      failures: this.#failures,
      callLatenciesMs: this.#latencies,
      notes: this.notes,
    };
  }
}
