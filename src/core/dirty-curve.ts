/**
 * The dirty curve F(w): unique pages a guest has dirtied after w ms of full-speed work, counted from an empty log.
 *
 * Kept as knots on a logarithmic grid of work, each with the round it was last seen in. Between knots the curve is a power law, its
 * exponent between 0 (saturated) and 1 (every write hits a new page): F rises and F(w)/w falls, by construction. A share of the dirtying may
 * not depend on the guest's work but on time (device DMA): a guest that did w of work in t of time has dirtied
 * (1 − share) F(w) + share F(t).
 */
export interface DirtyCurve {
  readonly knots: readonly Knot[];
  /** Share of the dirtying that goes on whatever the cap is, 0 … 1. */
  readonly deviceShare: number;
  /** What the throttled rounds said of that share; another phase looks the same for a round or two. */
  readonly deviceSaid?: DeviceSaid;
  /** Mean relative error (log scale) of what the curve said before it learned better; a prior before anything was seen. */
  readonly error: number;
  readonly surprise: Surprise;
}

interface DeviceSaid {
  readonly last: number;
  /** The least that the last two said, and that any said lately. */
  readonly least: number;
  readonly leastLately: number;
}

/** Readings in a row that the curve did not explain, and the log ratio of the last one. */
interface Surprise {
  readonly count: number;
  readonly log: number;
  /** The last reading that was counted. */
  readonly round: number;
  readonly timeMs: number;
}

export interface Knot {
  /** Position on the grid. */
  readonly at: number;
  readonly pages: number;
  readonly round: number;
  /** The least it was lately: what a calm guest would dirty. */
  readonly least: number;
}

/** One reading: `pages` unique pages after `workMs` of full-speed work in `timeMs`, both since the log was cleared. */
export interface CurvePoint {
  readonly workMs: number;
  readonly timeMs: number;
  readonly pages: number;
  readonly round: number;
  /** A whole round's total; counts more than a look inside one. */
  readonly total: boolean;
  /** The guest was throttled: its work in a short time is a matter of luck, and phases and devices look alike. */
  readonly held: boolean;
}

/** Finest work told apart, ms; half a timeslice and less is parking, not dirtying. */
const WORK_MS_MIN = 4;
/** Knots per doubling of work. */
const PER_OCTAVE = 2;
/** 2^24 × 4 ms: 18 hours of one round. */
const KNOTS_MAX = 49;
/** Error assumed before anything could be compared. */
const ERROR_PRIOR = 0.1;
const ERROR_WEIGHT = 0.3;
/** A look is no round: many of them are one reading more or less. */
const ERROR_WEIGHT_LOOK = 0.06;
/** Weight of a new reading at a knot: noise of single counts is averaged, a drift followed within a few readings. */
const LOOK_WEIGHT = 0.4;
const TOTAL_WEIGHT = 0.7;
const HELD_WEIGHT = 0.15;
/** A reading off by more than this (log: 28 %) was not explained by the curve; so many in a row mean another phase. */
const SURPRISE_LOG = 0.25;
const SURPRISES = 4;
/** No reading moves the curve by more than this at once (log: a factor of 400). */
const LOG_MAX = 6;
/** How fast the device share follows what throttled readings say. */
const SHARE_WEIGHT_TOTAL = 0.5;
const SHARE_WEIGHT_LOOK = 0.03;
/** How fast the least share is forgotten, per throttled round. */
const SHARE_LEAST_RISE = 0.02;
/** How fast the least is forgotten, per reading at its knot. */
const LEAST_RISE = 1.01;
/** Throttled by at least this factor, or nothing can be said of the device share. */
const SLOWED = 1.5;

const NO_SURPRISE: Surprise = { count: 0, log: 0, round: -1, timeMs: 0 };

export const EMPTY_CURVE: DirtyCurve = { knots: [], deviceShare: 0, error: ERROR_PRIOR, surprise: NO_SURPRISE };

const workOf = (at: number): number => WORK_MS_MIN * 2 ** (at / PER_OCTAVE);
const gridOf = (workMs: number): number => PER_OCTAVE * Math.log2(Math.max(workMs, WORK_MS_MIN) / WORK_MS_MIN);

/** The curve with one reading more. Readings of less work than the grid resolves, and negative ones, say nothing and change nothing. */
export function learn(curve: DirtyCurve, point: CurvePoint): DirtyCurve {
  if (!(point.workMs >= WORK_MS_MIN) || !(point.pages >= 0) || !Number.isFinite(point.pages)) return curve;
  if (curve.knots.length === 0) return { ...curve, knots: placed([], knotFor(point, point.pages, 0.8), 1) };
  const shape = shapeOf(curve);
  const shared = withShare(curve, shape, point);
  const own = cpuPart(shape, shared.share, point);
  const share = { deviceShare: shared.share, ...(shared.said === undefined ? {} : { deviceSaid: shared.said }) };
  if (own === undefined) return { ...curve, ...share };
  // It stood, or idles for a moment: either way it did no work worth a point of the curve.
  if (own < 1 && !point.total) return { ...curve, ...share };
  const expected = shape.at(point.workMs);
  const known = point.workMs <= shape.workMax * 1.5 && point.workMs >= shape.workMin / 1.5;
  const log = Math.max(-LOG_MAX, Math.min(LOG_MAX, Math.log(Math.max(1, own) / Math.max(1, expected))));
  const surprised = known && !point.held && Math.abs(log) > SURPRISE_LOG;
  const surprise = surprised ? surprisedBy(curve.surprise, point, log) : NO_SURPRISE;
  const changed = surprise.count >= SURPRISES;
  // Not believed yet, and not mixed in either: it is an outlier, or the first sign of another phase.
  if (surprised && !changed) return { ...curve, ...share, surprise };
  const base = changed ? rescaled(curve.knots, Math.exp(log)) : curve.knots;
  const blended = point.held && !changed ? expected + HELD_WEIGHT * (own - expected) : own;
  return {
    knots: placed(base, knotFor(point, blended, shape.exponentAt(point.workMs)), changed ? 1 : weightOf(point)),
    ...share,
    error: known ? learnedError(curve, point, Math.min(1, Math.abs(log))) : curve.error,
    surprise: changed ? NO_SURPRISE : surprise,
  };
}

/** Looks closer together than this say the same thing again: a burst of a tenth of a second is no phase. */
const SURPRISES_APART_MS = 90;

function surprisedBy(before: Surprise, { round, timeMs, total }: CurvePoint, log: number): Surprise {
  if (before.count === 0 || Math.sign(log) !== Math.sign(before.log)) return { count: total ? 2 : 1, log, round, timeMs };
  if (!total && round === before.round && timeMs - before.timeMs < SURPRISES_APART_MS) return { ...before, log };
  return { count: before.count + (total ? 2 : 1), log, round, timeMs };
}

function weightOf({ held, total }: CurvePoint): number {
  if (held) return HELD_WEIGHT;
  return total ? TOTAL_WEIGHT : LOOK_WEIGHT;
}

/** What a throttled reading missed by says nothing of the curve; a look in the round that taught the knot says nothing new. */
function learnedError(curve: DirtyCurve, point: CurvePoint, missedBy: number): number {
  if (point.held) return curve.error;
  const grid = gridOf(point.workMs);
  const taught = curve.knots.some((k) => k.round === point.round && Math.abs(k.at - grid) < 1);
  if (!point.total && taught) return curve.error;
  return curve.error + (point.total ? ERROR_WEIGHT : ERROR_WEIGHT_LOOK) * (missedBy - curve.error);
}

function knotFor(point: CurvePoint, pages: number, exponent: number): Knot {
  const at = Math.min(KNOTS_MAX - 1, Math.round(gridOf(point.workMs)));
  return { at, pages: pages * (workOf(at) / point.workMs) ** exponent, round: point.round, least: Number.POSITIVE_INFINITY };
}

function placed(knots: readonly Knot[], knot: Knot, weight: number): readonly Knot[] {
  const old = knots.find((k) => k.at === knot.at);
  if (old === undefined) {
    // Where nobody looked in the calm, the calm is to be thought as far below as at the nearest knot.
    const near = knots.reduce<Knot | undefined>(
      (a, k) => (a === undefined || Math.abs(k.at - knot.at) < Math.abs(a.at - knot.at) ? k : a),
      undefined,
    );
    const calm = near === undefined || near.pages <= 0 ? 1 : Math.min(1, near.least / near.pages);
    return [...knots, { ...knot, least: knot.pages * calm }].sort((a, b) => a.at - b.at);
  }
  const pages = old.pages + weight * (knot.pages - old.pages);
  const mixed = { ...knot, pages, least: Math.min(pages, old.least * LEAST_RISE) };
  return knots.map((k) => (k === old ? mixed : k));
}

/** Another phase: what was seen keeps its form and takes the new scale, until it is seen again. The least stays what it was. */
const rescaled = (knots: readonly Knot[], factor: number): readonly Knot[] => knots.map((k) => ({ ...k, pages: k.pages * factor }));

interface Shared {
  readonly share: number;
  readonly said: DirtyCurve['deviceSaid'];
}

function withShare(curve: DirtyCurve, shape: Shape, point: CurvePoint): Shared {
  const { deviceShare: share, deviceSaid: said } = curve;
  if (point.timeMs < SLOWED * point.workMs || point.timeMs > shape.workMax * 4) return { share, said };
  const slow = shape.at(point.workMs);
  const free = shape.at(point.timeMs);
  if (free < 1.2 * slow) return { share, said };
  const now = Math.min(1, Math.max(0, (point.pages - slow) / (free - slow)));
  if (!point.total) return { share: share + SHARE_WEIGHT_LOOK * (now - share), said };
  const leastLately = Math.min(now, (said?.leastLately ?? 1) + SHARE_LEAST_RISE);
  return { share: share + SHARE_WEIGHT_TOTAL * (now - share), said: { last: now, least: Math.min(now, said?.last ?? 0), leastLately } };
}

/** What of a reading is the guest's own work; undefined when nearly all of it is not. */
function cpuPart(shape: Shape, share: number, point: CurvePoint): number | undefined {
  if (point.timeMs < SLOWED * point.workMs || share < 0.01) return point.pages;
  if (share > 0.8) return undefined;
  const device = share * shape.at(point.timeMs);
  return Math.max(0.2 * point.pages, (point.pages - device) / (1 - share));
}

/** The curve made ready for evaluation. */
export interface Shape {
  readonly workMin: number;
  readonly workMax: number;
  /** Pages after so much full-speed work. */
  at(workMs: number): number;
  /** Full-speed work after which so many pages are dirty; Infinity when they never are. */
  workFor(pages: number): number;
  /** Local exponent of the power law, 0 … 1. */
  exponentAt(workMs: number): number;
}

/** Which way to err outside of what was seen. */
export type Lean = 'low' | 'value' | 'high';

/** The curve of the calmest this guest was seen lately. */
export const calmest = (curve: DirtyCurve): DirtyCurve => ({
  ...curve,
  knots: curve.knots.map((k) => ({ ...k, pages: Math.min(k.pages, k.least) })),
});

/** F through the knots: rising, F(w)/w falling; `scale` multiplies the pages. */
export function shapeOf(curve: DirtyCurve, lean: Lean = 'value', scale = 1): Shape {
  const { at, log } = regular(curve.knots);
  const n = at.length;
  if (n === 0) return { workMin: 0, workMax: 0, at: () => 0, workFor: () => Number.POSITIVE_INFINITY, exponentAt: () => 1 };
  const perStep = Math.LN2 / PER_OCTAVE;
  const slope = (i: number): number =>
    ((log[i + 1] as number) - (log[i] as number)) / (((at[i + 1] as number) - (at[i] as number)) * perStep);
  const slopes = at.slice(1).map((_, i) => Math.min(1, Math.max(0, slope(i))));
  const lastSeen = slopes.at(-1) ?? 0.8;
  const z = saturationOf(at, log, lean);
  const above = lean === 'low' ? 0 : lean === 'high' ? lastSeen : lastSeen * 0.7;
  const x0 = at[0] as number;
  const xn = at[n - 1] as number;
  const logScale = Math.log(Math.max(1e-9, scale));
  const segment = (x: number): number => {
    let i = 0;
    while (i < n - 2 && (at[i + 1] as number) <= x) i++;
    return i;
  };
  const exponent = (x: number): number =>
    x < x0 || n === 1 ? below(z, x - x0).exponent : x >= xn ? above : (slopes[segment(x)] as number);
  const logAt = (x: number): number => {
    if (x <= x0) return (log[0] as number) + below(z, x - x0).log;
    if (x >= xn) return (log[n - 1] as number) + (x - xn) * perStep * above;
    const i = segment(x);
    return (log[i] as number) + (x - (at[i] as number)) * perStep * (slopes[i] as number);
  };
  // Below the grid's first position one more power law, down to nothing.
  const pos = (workMs: number): number => PER_OCTAVE * Math.log2(workMs / WORK_MS_MIN);
  return {
    workMin: workOf(x0),
    workMax: workOf(xn),
    at: tabulated((workMs) => Math.exp(logAt(pos(workMs)) + logScale)),
    exponentAt: (workMs) => (workMs <= 0 ? 1 : exponent(pos(workMs))),
    workFor(pages) {
      if (pages <= 0) return 0;
      const y = Math.log(pages) - logScale;
      const first = log[0] as number;
      if (y <= first) return workOf(x0) * (z < Z_LINEAR ? Math.exp(y - first) : -Math.log1p(Math.exp(y - first) * Math.expm1(-z)) / z);
      for (let i = 0; i < n - 1; i++) {
        if (y <= (log[i + 1] as number)) return workOf((at[i] as number) + (y - (log[i] as number)) / (perStep * (slopes[i] as number)));
      }
      return above <= 1e-6 ? Number.POSITIVE_INFINITY : workOf(xn + Math.min(200, (y - (log[n - 1] as number)) / (perStep * above)));
    },
  };
}

/** A plan asks for thousands of points of one curve: they are read between so many per doubling, where a straight line is off by 0.02 %. */
const TABLE_PER_OCTAVE = 8;
const TABLE_MS_MIN = 1 / 16;
const TABLE_MS = Float64Array.from({ length: 32 * TABLE_PER_OCTAVE }, (_, i) => TABLE_MS_MIN * 2 ** (i / TABLE_PER_OCTAVE));

/** `exact` for positive work, 0 without any; its values at the positions of the table are kept. */
function tabulated(exact: (workMs: number) => number): (workMs: number) => number {
  const table = new Float64Array(TABLE_MS.length).fill(Number.NaN);
  const kept = (i: number): number => {
    const value = table[i] as number;
    if (!Number.isNaN(value)) return value;
    table[i] = exact(TABLE_MS[i] as number);
    return table[i] as number;
  };
  return (workMs) => {
    if (workMs <= 0) return 0;
    const i = Math.floor(Math.log2(workMs / TABLE_MS_MIN) * TABLE_PER_OCTAVE);
    if (!(i >= 0 && i + 1 < TABLE_MS.length)) return exact(workMs);
    const from = TABLE_MS[i] as number;
    const to = TABLE_MS[i + 1] as number;
    return kept(i) + ((kept(i + 1) - kept(i)) * (workMs - from)) / (to - from);
  };
}

/** Exponent thought where one point is all there is: the first round is long, and most guests have begun to level off by its end. */
const FIRST_EXPONENT = 0.4;
/** Below this a saturation is a straight line. */
const Z_LINEAR = 1e-3;
/** A first exponent near 0 says little of how early the curve levels off; no more saturation than this is read out of it. */
const Z_MAX: Readonly<Record<Lean, number>> = { low: 0, value: 2, high: 12 };

/** The saturation is read off a knot so far above the first: over shorter ways the noise of counting is all there is to see. */
const SATURATION_STEPS = 2 * PER_OCTAVE;

/**
 * Below the first knot F is taken for that of uniform writes, A (1 − e^(−w/T)), through the first knot w₀ and one two octaves above it:
 * z = w₀/T with (1 − e^(−mz)) / (1 − e^(−z)) = F(m w₀) / F(w₀). `low` goes down in a straight line instead, which is the least a curve with
 * falling F(w)/w can be.
 */
function saturationOf(at: readonly number[], log: readonly number[], lean: Lean): number {
  const far = at.findIndex((x) => x >= (at[0] as number) + SATURATION_STEPS);
  const j = far < 0 ? at.length - 1 : far;
  const steps = (at[j] as number) - (at[0] as number);
  const m = j > 0 ? 2 ** (steps / PER_OCTAVE) : 2;
  const ratio = j > 0 ? Math.exp((log[j] as number) - (log[0] as number)) : 2 ** FIRST_EXPONENT;
  let [low, high] = [0, Z_MAX[lean]];
  for (let k = 0; k < 14; k++) {
    const middle = (low + high) / 2;
    if (Math.expm1(-m * middle) / Math.expm1(-middle) > ratio) low = middle;
    else high = middle;
  }
  return low;
}

/** The log of F below the first knot relative to it, `steps` (≤ 0) grid steps away, and the exponent there. */
function below(z: number, steps: number): { readonly log: number; readonly exponent: number } {
  const share = 2 ** (steps / PER_OCTAVE);
  if (z < Z_LINEAR || share <= 0) return { log: (steps * Math.LN2) / PER_OCTAVE, exponent: 1 };
  const at = z * share;
  return { log: Math.log(Math.expm1(-at) / Math.expm1(-z)), exponent: at / Math.expm1(at) };
}

/**
 * Knots as logs, made monotone with log-log slopes of at most 1; where two knots contradict each other the newer wins, and within
 * a round the one of more work: a guest that idled or stood before its first look had not shown its pace yet.
 */
function regular(knots: readonly Knot[]): { readonly at: readonly number[]; readonly log: readonly number[] } {
  const at = knots.map((k) => k.at);
  const log = knots.map((k) => Math.log(Math.max(1, k.pages)));
  const perStep = Math.LN2 / PER_OCTAVE;
  const newestFirst = knots.map((_, i) => i).sort((a, b) => (knots[b] as Knot).round - (knots[a] as Knot).round || b - a);
  const fixed: boolean[] = knots.map(() => false);
  for (const i of newestFirst) {
    let low = Number.NEGATIVE_INFINITY;
    let high = Number.POSITIVE_INFINITY;
    for (let j = 0; j < knots.length; j++) {
      if (!fixed[j]) continue;
      const rise = ((at[i] as number) - (at[j] as number)) * perStep;
      low = Math.max(low, (log[j] as number) + Math.min(0, rise));
      high = Math.min(high, (log[j] as number) + Math.max(0, rise));
    }
    log[i] = Math.max(low, Math.min(high, log[i] as number));
    fixed[i] = true;
  }
  return { at, log };
}

/** Pages dirty after `workMs` of work in `timeMs`, from an empty log. */
export const dirtiedAfter = (shape: Shape, share: number, workMs: number, timeMs: number): number =>
  (1 - share) * shape.at(workMs) + (share > 0 ? share * shape.at(timeMs) : 0);

/**
 * Pages dirty after `workMs` more work in `timeMs` more time, when `dirty` already are after `timeSoFarMs`. The curve is entered where it has
 * `dirty` pages, so that a busier or calmer guest than the curve says goes on as it is.
 */
export function dirtiedFrom(shape: Shape, share: number, dirty: number, sofar: Sofar, workMs: number, timeMs: number): number {
  const device = share > 0 ? share * (shape.at(sofar.timeMs + timeMs) - shape.at(sofar.timeMs)) : 0;
  const entered = Math.min(2 * sofar.workMs, Math.max(sofar.workMs / 2, shape.workFor(dirty)));
  return dirty + device + (1 - share) * (shape.at(entered + workMs) - shape.at(entered));
}

export interface Sofar {
  readonly workMs: number;
  readonly timeMs: number;
}

/**
 * The curve through the readings of one undisturbed run at full speed, in order: each position of the grid between the first and the last
 * takes what they say there (a power law between two of them), and the last one its own nearest. Readings below the grid's resolution say
 * nothing; a count that falls is taken for the highest before it.
 */
export function curveThrough(readings: readonly { readonly workMs: number; readonly pages: number }[]): DirtyCurve {
  let highest = 0;
  const points = readings
    .filter(({ workMs, pages }) => workMs >= WORK_MS_MIN && Number.isFinite(pages))
    .map(({ workMs, pages }) => {
      highest = Math.max(highest, pages);
      return { x: gridOf(workMs), y: Math.log(Math.max(1, highest)) };
    });
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return EMPTY_CURVE;
  const from = Math.ceil(first.x - 1e-9);
  const to = Math.min(KNOTS_MAX - 1, Math.floor(last.x + 1e-9));
  const knotAt = (at: number, y: number): Knot => ({ at, pages: Math.exp(y), round: 0, least: Math.exp(y) });
  const inner = Array.from({ length: Math.max(0, to - from + 1) }, (_, k) => {
    const at = from + k;
    const i = Math.max(
      1,
      points.findIndex(({ x }) => x >= at - 1e-9),
    );
    const [a, b] = [points[i - 1] ?? first, points[i] ?? last];
    const share = b.x > a.x ? Math.min(1, Math.max(0, (at - a.x) / (b.x - a.x))) : 1;
    return knotAt(at, a.y + share * (b.y - a.y));
  });
  // So few readings that none has a position of the grid between them.
  const knots = inner.length > 0 ? inner : [knotAt(Math.min(KNOTS_MAX - 1, Math.round(last.x)), last.y)];
  return { ...EMPTY_CURVE, knots: paced(knots) };
}

/** F(w)/w falls: a guest that was idle at first is taken to have had its later pace from the start, or the later readings would not count. */
function paced(knots: readonly Knot[]): readonly Knot[] {
  let least = 0;
  let above: Knot | undefined;
  return knots
    .toReversed()
    .map((knot) => {
      if (above !== undefined) least = (above.pages * workOf(knot.at)) / workOf(above.at);
      const pages = Math.max(knot.pages, least);
      above = { ...knot, pages, least: pages };
      return above;
    })
    .toReversed();
}
