import {
  type CurvePoint,
  capPercent,
  type DirtyCurve,
  dirtiedAfter,
  dirtiedFrom,
  EMPTY_CURVE,
  type Goal,
  learn,
  type Observation,
  type Shape,
  shapeOf,
  type Track,
} from '../../src/core/index.ts';

/**
 * What working-set believes of the guest: its demand, how much work it has done, and its dirty curve. Readonly, JSON, bounded.
 * Work is measured in ms of full speed: real time while nothing holds the guest back, CPU time over demand while its cap bites, and
 * without CPU time what cap and demand say.
 */
export interface GuestView {
  readonly curve: DirtyCurve;
  /** CPU the guest uses unthrottled, percent of one pCPU; unknown until seen. */
  readonly demandPercent?: number;
  readonly atMs: number;
  /** Full-speed work done since the start, ms. */
  readonly workMs: number;
  readonly cpu?: { readonly atMs: number; readonly cpuMs: number; readonly workMs: number; readonly held: boolean };
  readonly round: number;
  readonly roundAtMs: number;
  readonly workAtRound: number;
  /** How far off that may be, ms: no CPU time is read at a round's start. */
  readonly doubtMs: number;
  /** Pages this round sends, as far as we believe the count. */
  readonly pagesToSend: number;
  /** The last look at the dirty count in this round. */
  readonly look?: { readonly pages: number; readonly workMs: number; readonly timeMs: number };
  /** The mean speed of the round before, measured or by the caps in force, whichever was lower: parking blurs the one in short rounds. */
  readonly speedBefore: number;
  /** Work in this round by the caps in force alone, ms. */
  readonly allowedMs: number;
  readonly looks: number;
}

export const NEW_GUEST: GuestView = {
  curve: EMPTY_CURVE,
  atMs: 0,
  workMs: 0,
  round: -1,
  roundAtMs: 0,
  workAtRound: 0,
  doubtMs: 0,
  pagesToSend: 0,
  speedBefore: 1,
  allowedMs: 0,
  looks: 0,
};

/** A guest that uses less than this share of its cap is not held back by it. */
const HELD = 0.9;
/** … if it was watched over so many of its longest stalls. */
const HELD_SPANS = 4;
const DEMAND_WEIGHT = 0.3;
/** CPU time over shorter spans shows parking, not demand. */
const DEMAND_SPAN_MS = 60;
/** After an aborted migration the hypervisor's counter starts too high: round 1 is not believed further above the last look than this. */
const EXCESS = 1.15;
const EXCESS_PAGES = 64;

/** All that the guest may use while its demand is unknown. */
export const demandOf = (guest: GuestView, goal: Goal): number =>
  Math.max(1, Math.min(goal.capCeilingPercent, guest.demandPercent ?? 100 * goal.domain.activeVcpus));

/** Share of its demand that the guest gets under the cap in force. */
export const speedIn = (guest: GuestView, track: Track, goal: Goal): number =>
  Math.min(1, capPercent(track.cap, goal.domain.vcpus) / demandOf(guest, goal));

export const workInRound = (guest: GuestView): number => Math.max(0, guest.workMs - guest.workAtRound);
export const timeInRound = (guest: GuestView): number => Math.max(0, guest.atMs - guest.roundAtMs);

/** Folds an observation. `before` is the track before it: its cap was in force until now. */
export function watch(guest: GuestView, observation: Observation, before: Track, goal: Goal): GuestView {
  const speed = speedIn(guest, before, goal);
  const elapsed = guest.round < 0 ? 0 : Math.max(0, observation.atMs - guest.atMs);
  const moved: GuestView = {
    ...guest,
    atMs: observation.atMs,
    workMs: guest.workMs + speed * elapsed,
    allowedMs: guest.allowedMs + speed * elapsed,
    ...(guest.cpu !== undefined && speed < 1 ? { cpu: { ...guest.cpu, held: true } } : {}),
  };
  switch (observation.type) {
    case 'round-start':
      return entered(moved, observation.round, observation.pagesToSend, goal);
    case 'sample':
    case 'suspend-request':
    case 'policy-query': {
      const cpuMs = 'cpuTimeMs' in observation ? observation.cpuTimeMs : undefined;
      const worked = cpuMs === undefined ? moved : measured(moved, cpuMs, goal);
      const seen = observation.type === 'policy-query' && observation.when === 'before' ? undefined : observation.dirtyPages;
      return seen === undefined ? worked : looked(worked, Math.min(seen, goal.domain.populatedPages), goal);
    }
    default:
      return moved;
  }
}

/** CPU time corrects what cap and demand said of the work since the last reading. */
function measured(guest: GuestView, cpuMs: number, goal: Goal): GuestView {
  const last = guest.cpu;
  const mark = { atMs: guest.atMs, cpuMs, workMs: guest.workMs, held: false };
  if (last === undefined || cpuMs < last.cpuMs) return { ...guest, cpu: mark };
  const span = guest.atMs - last.atMs;
  if (span < 1) return guest;
  const percent = ((cpuMs - last.cpuMs) / span) * 100;
  const assumed = guest.workMs - last.workMs;
  const worked = Math.min(span, ((cpuMs - last.cpuMs) * 100) / demandOf(guest, goal));
  // Of what the caps allowed since then, whichever they were.
  if (!last.held || (span >= DEMAND_SPAN_MS && worked < HELD * assumed && span > HELD_SPANS * goal.maxStallMs)) {
    if (span < DEMAND_SPAN_MS || percent <= 0) return span < DEMAND_SPAN_MS ? guest : { ...guest, cpu: mark };
    const demandPercent =
      guest.demandPercent === undefined ? percent : guest.demandPercent + DEMAND_WEIGHT * (percent - guest.demandPercent);
    return { ...guest, demandPercent: Math.min(demandPercent, 100 * goal.domain.activeVcpus), cpu: mark };
  }
  const scale = assumed > 0 ? worked / assumed : 0;
  const workMs = last.workMs + worked;
  const workAtRound = guest.workAtRound > last.workMs ? last.workMs + (guest.workAtRound - last.workMs) * scale : guest.workAtRound;
  return { ...guest, workMs, workAtRound, cpu: { ...mark, workMs } };
}

function looked(guest: GuestView, pages: number, goal: Goal): GuestView {
  const workMs = workInRound(guest);
  const timeMs = timeInRound(guest);
  const point: CurvePoint = { workMs, timeMs, pages, round: guest.round, total: false, held: isHeld(workMs, timeMs) };
  const curve = trusted(guest, point, goal) ? learn(guest.curve, point) : guest.curve;
  return { ...guest, curve, look: { pages, workMs, timeMs }, looks: guest.looks + 1 };
}

/** So many on-times of a parked guest: less work than that is not known well enough to learn from. */
const ON_TIMES = 4;

/** A guest runs for a slice before it is parked, and a little of the next is let pass. */
const ON_TIME_SLICES = 1.2;

/** The work a guest does between two stalls, ms of full speed. */
export const onTimeMs = (guest: GuestView, goal: Goal): number =>
  (ON_TIME_SLICES * goal.capabilities.tsliceMs * 100 * goal.domain.activeVcpus) / Math.max(100, demandOf(guest, goal));

/**
 * While the guest is parked and let run in turn, its work in a short time is a matter of luck. CPU time says what it was, but such readings
 * are of little work each: believed like free ones they bend the curve until a guest on a slow link seems calm, is let go, and never falls again.
 */
const isHeld = (workMs: number, timeMs: number): boolean => workMs < 0.98 * timeMs;

/** Of the work since the last CPU time before a round's start, so much may be put on its wrong side. */
const MISPLACED = 0.05;

const trusted = (guest: GuestView, point: CurvePoint, goal: Goal): boolean =>
  !point.held || point.workMs >= ON_TIMES * (onTimeMs(guest, goal) + guest.doubtMs);

function entered(guest: GuestView, round: number, counted: number, goal: Goal): GuestView {
  const populated: number = goal.domain.populatedPages;
  const { look: _, ...rest } = guest;
  const doubtMs = guest.cpu === undefined ? 0 : MISPLACED * Math.max(0, guest.workMs - guest.cpu.workMs);
  const fresh = { ...rest, round, roundAtMs: guest.atMs, workAtRound: guest.workMs, allowedMs: 0, doubtMs };
  if (round === 0 || guest.round < 0) return { ...fresh, pagesToSend: Math.min(counted, populated) };
  const workMs = workInRound(guest);
  const timeMs = timeInRound(guest);
  const expected = round === 1 && guest.look !== undefined ? dirtyIn(guest, shapeOf(guest.curve)) : populated;
  const pages = Math.min(populated, counted > EXCESS * expected + EXCESS_PAGES ? expected : counted);
  const point: CurvePoint = { workMs, timeMs, pages, round: guest.round, total: true, held: isHeld(workMs, timeMs) };
  return {
    ...fresh,
    ...(guest.cpu === undefined && point.held ? inferred(guest, point, goal) : {}),
    pagesToSend: pages,
    curve: trusted(guest, point, goal) ? learn(guest.curve, point) : guest.curve,
    speedBefore: timeMs > 0 ? Math.min(1, workMs / timeMs, guest.allowedMs / timeMs) : guest.speedBefore,
  };
}

/** How far one round's count moves the demand that nobody can measure. */
const INFER_WEIGHT = 0.5;

/** Without CPU time: a throttled round that dirtied more than its assumed work explains had more of its demand, so the demand is lower. */
function inferred(guest: GuestView, point: CurvePoint, goal: Goal): Pick<GuestView, 'demandPercent'> | Record<string, never> {
  const shape = shapeOf(guest.curve);
  const workMs = Math.min(point.timeMs, shape.workFor(point.pages));
  const known = shape.workMin <= workMs * 2 && workMs > point.workMs;
  if (!known || point.workMs <= 0) return {};
  const demand = demandOf(guest, goal);
  return { demandPercent: Math.max(1, demand * (point.workMs / workMs) ** INFER_WEIGHT) };
}

/** Pages dirty in this round by now: the last look, carried on by the curve. `luckMs`: work on top, that parking may have let pass since. */
export function dirtyIn(guest: GuestView, shape: Shape, luckMs = 0): number {
  const share = guest.curve.deviceShare;
  const from = guest.look ?? { pages: 0, workMs: 0, timeMs: 0 };
  const timeMs = Math.max(0, timeInRound(guest) - from.timeMs);
  const workMs = Math.min(timeMs, Math.max(0, workInRound(guest) - from.workMs) + luckMs);
  if (guest.look === undefined) return dirtiedAfter(shape, share, workMs, timeMs);
  return dirtiedFrom(shape, share, from.pages, from, workMs, timeMs);
}
