import { PAGE_BYTES } from '../core/units.ts';
import type { Stamped, Story } from '../trace/story.ts';

/** Points of one line, [seconds since the start, value]; null is a gap. */
export type Line = readonly (readonly [seconds: number, value: number | null])[];

/** What the page's script draws of one run; plain numbers only. */
export interface RunData {
  readonly endSeconds: number;
  /** MiB dirtied so far in the running round. */
  readonly dirty: Line;
  /** MiB dirtied in each round, at its end. */
  readonly dirtyAtEnd: Line;
  /** MiB that may be left for the target. */
  readonly fits: Line;
  readonly cap: Line;
  readonly floor: number;
  readonly ceiling: number;
  readonly stall: Line;
  readonly stallMax: number;
  /** MiB/s. */
  readonly dirtyRate: Line;
  readonly transferRate: Line;
  readonly predicted: Line;
  readonly predictedLow: Line;
  readonly predictedHigh: Line;
  readonly target: number;
  readonly observed: Line;
  /** Seconds at which the cap was changed. */
  readonly changes: readonly number[];
  readonly rounds: readonly number[];
  /** From the suspend request to the end. */
  readonly switchOver: readonly [number, number] | null;
}

const MIB = 1024 * 1024;
const POINTS_MAX = 1200;

const seconds = (atMs: number): number => Math.round(atMs) / 1000;
const rounded = (value: number): number => Number(value.toPrecision(6));
const mib = (pages: number): number => rounded((pages * PAGE_BYTES) / MIB);

/** The series of a story, thinned to what a screen can show. */
export function runData(story: Story): RunData {
  const end = story.durationMs;
  const step = <T>(points: readonly Stamped<T>[], value: (of: T) => number): Line => {
    const line = points.map((point) => [seconds(point.atMs), value(point.value)] as const);
    const last = line.at(-1);
    return last === undefined ? line : thin([...line, [seconds(end), last[1]]]);
  };
  const of = <T>(points: readonly Stamped<T>[], value: (of: T) => number): Line =>
    thin(points.map((point) => [seconds(point.atMs), finite(value(point.value))] as const));
  const ended = story.rounds.filter((round) => round.endMs !== undefined && round.pagesDirtied !== undefined);
  const observed = story.summary?.observedDowntimeMs;
  const { suspendRequestedMs } = story;
  return {
    endSeconds: seconds(end),
    // A log scale has no zero: the set's start in each round is a gap, which also parts the rounds.
    dirty: thin(story.dirty.map(({ atMs, value }) => [seconds(atMs), value > 0 ? mib(value) : null] as const)),
    dirtyAtEnd: ended.map((round) => [seconds(round.endMs ?? end), Math.max(mib(1), mib(round.pagesDirtied ?? 0))]),
    fits: step(story.fits, (pages) => Math.max(mib(1), mib(pages))),
    cap: step(story.caps, ({ percent }) => percent),
    floor: story.goal.capFloorPercent,
    ceiling: story.goal.capCeilingPercent,
    stall: step(story.caps, ({ stallMs }) => rounded(stallMs)),
    stallMax: story.goal.maxStallMs,
    dirtyRate: roundSteps(story, (round) => (round.dirtyRate === undefined ? undefined : mib(round.dirtyRate))),
    transferRate: of(story.transferRate, (rate) => rounded(rate / MIB)),
    predicted: of(story.predicted, ({ value }) => rounded(value)),
    predictedLow: of(story.predicted, ({ low }) => rounded(low)),
    predictedHigh: of(story.predicted, ({ high }) => rounded(high)),
    target: story.goal.targetDowntimeMs,
    observed:
      observed === undefined || observed === null || suspendRequestedMs === undefined
        ? []
        : [[seconds(suspendRequestedMs), rounded(observed)]],
    changes: story.caps.slice(1).map(({ atMs }) => seconds(atMs)),
    rounds: story.rounds.map(({ startMs }) => seconds(startMs)),
    switchOver: suspendRequestedMs === undefined ? null : [seconds(suspendRequestedMs), seconds(end)],
  };
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

function roundSteps(story: Story, value: (round: Story['rounds'][number]) => number | undefined): Line {
  const line = story.rounds.flatMap((round) => {
    const y = value(round);
    return y === undefined ? [] : [[seconds(round.startMs), y] as const, [seconds(round.endMs ?? story.durationMs), y] as const];
  });
  return thin(line);
}

/** At most about `POINTS_MAX` points: of each stretch the first, lowest, highest and last, so that no peak is lost. */
export function thin(line: Line, most: number = POINTS_MAX): Line {
  if (line.length <= most) return line;
  const stretch = Math.ceil((line.length * 4) / most);
  const kept: (readonly [number, number | null])[] = [];
  for (let start = 0; start < line.length; start += stretch) {
    const part = line.slice(start, start + stretch);
    const valued = part.flatMap((point, i) => (point[1] === null ? [] : [{ i, y: point[1] }]));
    const low = valued.reduce((a, b) => (b.y < a.y ? b : a), valued[0] ?? { i: 0, y: 0 }).i;
    const high = valued.reduce((a, b) => (b.y > a.y ? b : a), valued[0] ?? { i: 0, y: 0 }).i;
    const gap = part.findIndex(([, y]) => y === null);
    const picked = [...new Set([0, low, high, part.length - 1, ...(gap < 0 ? [] : [gap])])].sort((a, b) => a - b);
    for (const i of picked) kept.push(part[i] as readonly [number, number | null]);
  }
  return kept;
}
