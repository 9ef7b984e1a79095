import type { GoalOptions } from '../core/options.ts';
import { type BytesPerSecond, bytesPerSecond, type Ms, ms, pageRate } from '../core/units.ts';
import type { Candidate, PredictOptions } from './candidate.ts';
import { leastDowntime, predict } from './predict.ts';

export type Order = 'auto' | 'smallest' | 'largest' | 'quietest' | 'listed';

/** What a person asks for. JSON-serialisable. */
export interface EvacuationOptions {
  readonly order: Order;
  /** Migrations at a time; undefined: as many as the link needs to be full. */
  readonly parallel?: number;
  /** From the start: what has not left by then stays. */
  readonly deadlineMs?: Ms;
  /** What the link carries. */
  readonly link?: BytesPerSecond;
  /** Tries that a guest gets; at least 1. */
  readonly tries: number;
  /** Live rounds of a first try, where nobody has said how many: a guest that is expected to need more has them at once. */
  readonly firstRounds?: number;
  readonly targetDowntimeMs: Ms;
  /** Lowest share of its speed that the cap may leave a guest, 0 … 1. */
  readonly floorSpeed: number;
}

/** How one try ended. */
export interface Attempt {
  /** `moved`: runs at the destination; `stayed`: given up, it runs on here; `failed`: xl or the link did; `interrupted`: we were told to stop. */
  readonly result: 'moved' | 'stayed' | 'failed' | 'interrupted';
  readonly metTarget?: boolean;
  readonly reason: string;
  readonly seconds: number;
  readonly bytesSent: number;
  readonly downtimeMs?: number;
  /** Others were migrating at the time. */
  readonly shared: boolean;
  /** It was proven that not even the lowest allowed cap could make it: the best downtime that was left. */
  readonly bestDowntimeMs?: number;
}

export interface Entry {
  readonly candidate: Candidate;
  readonly status: 'waiting' | 'running' | 'moved' | 'left';
  /** Why it was left. */
  readonly why?: string;
  readonly attempts: readonly Attempt[];
}

/** The whole plan, as it is kept on disk. */
export interface Evacuation {
  readonly v: 1;
  readonly destination: string;
  readonly options: EvacuationOptions;
  readonly entries: readonly Entry[];
  /** What a stream that had the link for itself got: the best seen. */
  readonly streamRate?: BytesPerSecond;
}

/** Rounds where time counts: a guest that needs more holds up all others. */
export const ROUNDS_EVACUATION = 8;

/** The goal of another try: twice the rounds, straight to the floor. */
export const harder = (goal: GoalOptions): GoalOptions => ({
  ...goal,
  profile: 'steep',
  maxRounds: 2 * (goal.maxRounds ?? ROUNDS_EVACUATION),
});

/** Starts this guest now. */
export interface Start {
  readonly uuid: string;
  /** With more rounds. */
  readonly hard: boolean;
  /** Nobody else is to use the link meanwhile. */
  readonly alone: boolean;
}

/** A stream that gets less of the link than this leaves room for others. */
const FULL_SHARE = 0.75;
const LANES_MAX = 4;
/** So small a part of a stream is not worth another guest that dirties meanwhile. */
const SPARE_STREAM = 0.1;
/** Without a rate to go by: a gigabit, as sizes are compared only. */
const RATE_UNKNOWN = bytesPerSecond(117e6);
const OUTLINE = { fixedMs: ms(70), aroundMs: ms(1000), roundsMax: 12 } as const;

export const newEvacuation = (destination: string, candidates: readonly Candidate[], options: EvacuationOptions): Evacuation => ({
  v: 1,
  destination,
  options,
  entries: candidates.map((candidate) => ({
    candidate,
    attempts: [],
    ...(candidate.stays === undefined ? { status: 'waiting' } : { status: 'left', why: candidate.stays }),
  })),
});

/** The plan of an interrupted evacuation, with what is on this host now: what has gone is gone, what is new is added. */
export function resumed(before: Evacuation, candidates: readonly Candidate[], options: EvacuationOptions): Evacuation {
  const fresh = newEvacuation(before.destination, candidates, options);
  const old = new Map(before.entries.map((entry) => [entry.candidate.uuid, entry]));
  const here = new Set(candidates.map(({ uuid }) => uuid));
  // What was given up gets its tries again: it is asked for again.
  const entries = fresh.entries.map((entry): Entry => {
    const { dirty, floorSpeed } = old.get(entry.candidate.uuid)?.candidate ?? {};
    const known = { ...(dirty === undefined ? {} : { dirty }), ...(floorSpeed === undefined ? {} : { floorSpeed }) };
    return { ...entry, candidate: { ...known, ...entry.candidate } };
  });
  const gone = before.entries.filter(({ status, candidate }) => status === 'moved' && !here.has(candidate.uuid));
  return { ...fresh, entries: [...gone, ...entries], ...(before.streamRate === undefined ? {} : { streamRate: before.streamRate }) };
}

/** What a single stream is thought to get. */
export const rateOf = ({ streamRate, options }: Evacuation): BytesPerSecond => streamRate ?? options.link ?? RATE_UNKNOWN;

export const outlineOf = (evacuation: Evacuation): PredictOptions => ({
  ...OUTLINE,
  rate: rateOf(evacuation),
  targetDowntimeMs: evacuation.options.targetDowntimeMs,
  floorSpeed: evacuation.options.floorSpeed,
});

/**
 * Migrations at a time. Two that share a full link take as long as one after the other, and each dirties more meanwhile: so one, unless it is
 * known that one stream does not fill the link.
 */
export function lanesOf({ options, streamRate }: Evacuation): number {
  if (options.parallel !== undefined) return options.parallel;
  if (options.link === undefined || streamRate === undefined || streamRate >= FULL_SHARE * options.link) return 1;
  return Math.min(LANES_MAX, Math.max(1, Math.ceil(options.link / streamRate - SPARE_STREAM)));
}

const hasMissed = ({ attempts }: Entry): boolean => attempts.some(({ result }) => result === 'stayed');

/**
 * Those that wait, in the order in which they are to leave: what has missed already comes last,
 * unless there is room for it beside the others. `auto`: several at
 * a time the largest first, so that none is left alone at the end; one at a time the quickest first, so that most are away when time is short;
 * who may not make it at all after the others; and before the rate is known the calm ones, from which it is learned best.
 */
export function inOrder(evacuation: Evacuation): readonly Entry[] {
  const outline = outlineOf(evacuation);
  const { order } = evacuation.options;
  const waiting = evacuation.entries.filter(({ status }) => status === 'waiting');
  const isDoubtful = ({ candidate }: Entry): boolean =>
    order === 'auto' && (leastDowntime(candidate, outline) ?? 0) > evacuation.options.targetDowntimeMs;
  // Where there is room beside others, what takes long is not kept for the end.
  const rankOf = (entry: Entry): number => {
    if (hasMissed(entry)) return lanesOf(evacuation) > 1 && !needsTheLink(entry, evacuation) ? 0 : 2;
    return isDoubtful(entry) ? 1 : 0;
  };
  const keys = new Map<Entry, readonly [number, number]>(
    waiting.map((entry) => [entry, [rankOf(entry), costOf(entry.candidate, evacuation, outline)]]),
  );
  const key = (entry: Entry, at: 0 | 1): number => keys.get(entry)?.[at] ?? 0;
  return waiting
    .map((entry, at) => ({ entry, at }))
    .sort((a, b) => key(a.entry, 0) - key(b.entry, 0) || key(a.entry, 1) - key(b.entry, 1) || a.at - b.at)
    .map(({ entry }) => entry);
}

/** How much a guest that writes as fast as its stream sends is put behind, before the rate is known: as if it took so many times as long. */
const LOAD_WEIGHT = 4;

function costOf(candidate: Candidate, evacuation: Evacuation, outline: PredictOptions): number {
  const { memoryPages, dirty } = candidate;
  switch (evacuation.options.order) {
    case 'listed':
      return 0;
    case 'smallest':
      return memoryPages;
    case 'largest':
      return -memoryPages;
    case 'quietest':
      return dirty?.pagesPerSecond ?? Number.MAX_SAFE_INTEGER;
    case 'auto': {
      const { timeMs } = predict(candidate, outline);
      if (lanesOf(evacuation) > 1) return -timeMs;
      const load = evacuation.streamRate === undefined ? (dirty?.pagesPerSecond ?? 0) / pageRate(outline.rate) : 0;
      return timeMs * (1 + LOAD_WEIGHT * load);
    }
  }
}

/** A try that got less of what a stream gets alone than this was held up by the others. */
const SLOWED = 0.8;

/** Whether its last try missed while others took its part of the link. */
function needsTheLink({ attempts }: Entry, { streamRate }: Evacuation): boolean {
  const last = attempts.at(-1);
  if (last?.result !== 'stayed' || !last.shared || last.seconds <= 0) return false;
  return streamRate === undefined || last.bytesSent / last.seconds < SLOWED * streamRate;
}

/** Whether it is expected to make it, but not within the rounds of a first try. */
function needsMoreRounds({ candidate }: Entry, evacuation: Evacuation): boolean {
  const { firstRounds, link, targetDowntimeMs } = evacuation.options;
  if (firstRounds === undefined || (link ?? evacuation.streamRate) === undefined) return false;
  const { rounds, downtimeMs } = predict(candidate, outlineOf(evacuation));
  return rounds > firstRounds && downtimeMs !== undefined && downtimeMs <= targetDowntimeMs;
}

/** Which guests to start now; none while nothing may be added. Ask again whenever one has ended. */
export function nextStarts(evacuation: Evacuation): readonly Start[] {
  const running = evacuation.entries.filter(({ status }) => status === 'running');
  if (running.some((entry) => needsTheLink(entry, evacuation))) return [];
  const starts: Start[] = [];
  for (const entry of inOrder(evacuation)) {
    const busy = running.length + starts.length;
    const alone = needsTheLink(entry, evacuation);
    if (alone ? busy > 0 : busy >= lanesOf(evacuation)) break;
    starts.push({ uuid: entry.candidate.uuid, hard: hasMissed(entry) || needsMoreRounds(entry, evacuation), alone });
    if (alone) break;
  }
  return starts;
}

export const isOver = (evacuation: Evacuation): boolean =>
  evacuation.entries.every(({ status }) => status === 'moved' || status === 'left');

const changed = (evacuation: Evacuation, uuid: string, how: (entry: Entry) => Entry): Evacuation => ({
  ...evacuation,
  entries: evacuation.entries.map((entry) => (entry.candidate.uuid === uuid ? how(entry) : entry)),
});

export const started = (evacuation: Evacuation, uuid: string): Evacuation =>
  changed(evacuation, uuid, (entry) => ({ ...entry, status: 'running' }));

/** A try has ended: what becomes of the guest. */
export function ended(evacuation: Evacuation, uuid: string, attempt: Attempt): Evacuation {
  const next = changed(evacuation, uuid, (entry) => {
    const attempts = [...entry.attempts, attempt];
    if (attempt.result === 'moved') return { ...entry, attempts, status: 'moved' };
    if (attempt.result === 'interrupted') return { ...entry, attempts, status: 'waiting' };
    const counted = attempts.filter(({ result }) => result !== 'interrupted').length;
    const again = counted < evacuation.options.tries && mayHelp(evacuation, attempt);
    return again ? { ...entry, attempts, status: 'waiting' } : { ...entry, attempts, status: 'left', why: attempt.reason };
  });
  const seen = attempt.shared || attempt.seconds <= 0 ? 0 : attempt.bytesSent / attempt.seconds;
  return seen > (evacuation.streamRate ?? 0) ? { ...next, streamRate: bytesPerSecond(seen) } : next;
}

/**
 * Whether another try, with the link for itself, can end better than one that was proven hopeless. The best downtime falls with the rate: a
 * working set that does not shrink is sent so much quicker.
 */
function mayHelp({ options, streamRate }: Evacuation, { bestDowntimeMs, shared, bytesSent, seconds }: Attempt): boolean {
  if (bestDowntimeMs === undefined) return true;
  if (!shared || seconds <= 0) return false;
  const gain = (streamRate ?? options.link ?? 0) / Math.max(1, bytesSent / seconds);
  return bestDowntimeMs / Math.max(1, gain) <= options.targetDowntimeMs;
}

/** A prediction may be off by this factor before a guest is not even tried. */
const DOOMED_FACTOR = 2;

/**
 * Leaves what a look at it says will not make it by far: its try would take the link from the others for nothing. Only where the rate is
 * known. Call it when that, or what is known of a guest, has changed.
 */
export function withoutDoomed(evacuation: Evacuation): Evacuation {
  if (evacuation.options.link === undefined && evacuation.streamRate === undefined) return evacuation;
  const outline = outlineOf(evacuation);
  const { targetDowntimeMs } = evacuation.options;
  const entries = evacuation.entries.map((entry): Entry => {
    if (entry.status !== 'waiting' || entry.attempts.length > 0) return entry;
    const downtimeMs = leastDowntime(entry.candidate, outline);
    if (downtimeMs === undefined || downtimeMs <= DOOMED_FACTOR * targetDowntimeMs) return entry;
    const why = `not tried: even the lowest cap allowed would leave a downtime of some ${Math.round(downtimeMs)} ms, the target is ${targetDowntimeMs} ms`;
    return { ...entry, status: 'left', why };
  });
  return { ...evacuation, entries };
}

/** No time or no wish is left: whatever waits stays here. */
export const leftAll = (evacuation: Evacuation, why: string): Evacuation => ({
  ...evacuation,
  entries: evacuation.entries.map((entry) => (entry.status === 'waiting' ? { ...entry, status: 'left', why } : entry)),
});
