import {
  type BytesPerSecond,
  between,
  bytesPerSecond,
  type Course,
  calmest,
  cheapest,
  type Estimate,
  type Forecast,
  free,
  type Goal,
  lowest,
  luckMs,
  type Ms,
  ms,
  type Pages,
  type PlanModel,
  type PlanStart,
  pageRate,
  pages,
  pagesThatFit,
  predictDowntime,
  rateAhead,
  shapeOf,
  type Track,
  WIRE_BYTES_PER_PAGE,
} from '../../src/core/index.ts';
import { dirtyRange, fitting, fullRates } from './fits.ts';
import { demandOf, type GuestView, onTimeMs, speedIn, timeInRound, workInRound } from './guest.ts';
import { type Calm, calmOf } from './patience.ts';
import { floorPercent, ROUNDS_OPEN, slewOf, weightsOf } from './preferences.ts';

/** The range of the curve is so many mean errors wide each way (log scale), and at least the noise of counting. */
const ERRORS_WIDE = 1.5;
const ERROR_MIN = 0.02;
/**
 * A course has to fit with so many times the ranges of the gate, and more where much is feared: what is planned comes out differently, and is
 * denied if it does by more than the gate allows.
 */
const CAUTION = 1;
const CAUTION_FEARED = 1;

/**
 * How much of the ranges is feared, by the live rounds that are left (this one included). Early the rounds are long, throttling them costs
 * most, and much will be known better before it matters; in the last two nothing can be put right any more.
 */
const FEAR: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 0.5 };
/** A ramp has to begin a round earlier than a fall, and without looks into the rounds nothing is learned in time: both are feared sooner. */
const ahead = (guest: GuestView, goal: Goal): number => (slewOf(goal) > 0 ? 1 : 0) + (goal.capabilities.peek && guest.looks > 0 ? 0 : 2);
/** Where rounds can be added there is no last chance to miss: with so many left the likely is enough, … */
const MANY_ROUNDS = 5;
/** Nobody knows at first whether this is how the guest is or a phase of it: before the second round is nearly over it may calm down to this share. */
const MAY_CALM_EARLY = 0.3;
const NEARLY_OVER = 0.2;
/**
 * Later it may still be calmer than it was ever seen, but not for round after round: a last dirty set of this share of the lowest course's
 * is hoped for as long as there are more than so many rounds left.
 */
const MAY_CALM = 0.36;
const CALMS_ROUNDS = 2;
/** Phases and noise move what the curve says from one round to the next by about so much (log scale). */
const DRIFT = 0.05;
/** A verdict in the last rounds would come hardly earlier than the suspend request: there only a target missed by this factor counts. */
const LATE_ROUNDS = 2;
const LATE_FACTOR = 3;

/** The later rounds together take about as long as this part of what is left of the one that runs. */
const LATER = 1.5;

const speeds = (now: BytesPerSecond, later: BytesPerSecond): Pick<PlanModel, 'pagesPerMs' | 'pagesPerMsLater'> => ({
  pagesPerMs: pageRate(now) / 1000,
  pagesPerMsLater: pageRate(later) / 1000,
});

/** How calm the guest may become, as a share of how it is. The end of the second round is the time to judge. */
function mayCalm(guest: GuestView, track: Track): number {
  const sent = track.rounds.at(-1)?.pagesSent ?? 0;
  if (guest.round === 1 && guest.pagesToSend - sent < NEARLY_OVER * guest.pagesToSend) return 1;
  return guest.round < 2 ? MAY_CALM_EARLY : 1;
}

const roundsLeft = (guest: GuestView, goal: Goal): number => Math.max(1, (goal.capabilities.roundsMax ?? ROUNDS_OPEN) - guest.round);

/** Everything that a decision is made of. */
export interface Outlook {
  readonly likely: PlanModel;
  readonly start: PlanStart;
  readonly course: Course;
  /** The lowest that can be reached from here, by the likely and by the most optimistic model. */
  readonly best: Course;
  readonly bestCase: Course;
  /** The downtime after the likely lowest, and after no throttling at all (another course to follow: only where it is asked for). */
  readonly bestMs: Estimate<Ms>;
  freeMs(): Estimate<Ms>;
  readonly feasible: boolean;
  readonly calm?: Calm;
  readonly dirty: Estimate<Pages>;
  readonly fullRate: Estimate<number>;
  readonly forecast: Forecast;
}

/** The outlook from here; undefined while transfer rate or dirty curve are unknown. */
export function outlook(
  guest: GuestView,
  track: Track,
  goal: Goal,
  falling: boolean,
  rateBest: number,
  plateau: number,
): Outlook | undefined {
  const rateNow = track.transferRate;
  if (rateNow === undefined || guest.curve.knots.length === 0 || guest.round < 0) return undefined;
  const left = roundsLeft(guest, goal);
  const restMs = (1000 * startOf(guest, track, goal, 0).pagesLeft) / pageRate(rateNow.value);
  // In the last round the suspend is at its end, else some rounds later: those get shorter.
  const rate = rateAhead(track, left > 1 ? LATER * restMs : restMs) ?? rateNow;
  const rateRound = rateAhead(track, restMs / 2) ?? rateNow;
  const width = Math.max(ERROR_MIN, ERRORS_WIDE * guest.curve.error);
  const unhurried = goal.capabilities.policy && left >= MANY_ROUNDS;
  const fear = unhurried ? 0 : (FEAR[Math.max(1, left - ahead(guest, goal))] ?? 0);
  // Without looks the first knot is far up, and what lies below it is guessed on the safe side.
  const sees = goal.capabilities.peek && guest.looks > 0;
  const shapes = {
    low: shapeOf(calmest(guest.curve), 'low', Math.exp(-width) * mayCalm(guest, track)),
    value: shapeOf(guest.curve, sees ? 'value' : 'high'),
    high: shapeOf(
      guest.curve,
      goal.capabilities.peek && guest.looks > 0 ? 'value' : 'high',
      Math.exp(fear * Math.hypot(width, (rate.high - rate.low) / 2 / rate.value, DRIFT)),
    ),
  };
  const sinceLookMs = timeInRound(guest) - (guest.look?.timeMs ?? 0);
  const dirty = dirtyRange(guest, shapes, luckMs(speedIn(guest, track, goal), sinceLookMs, onTimeMs(guest, goal)));
  const fullRate = fullRates(shapes, Math.min(dirty.value, pagesThatFit(goal.targetDowntimeMs, 0, rate.value, goal)), goal);
  const rateHoped = bytesPerSecond(Math.max(rate.high, rateBest));
  const fit = fitting(fullRate, rate, rateHoped, demandOf(guest, goal), goal, CAUTION + CAUTION_FEARED * fear);
  const base = {
    // One throttled round that dirtied as much as a free one may be a busier phase: believed once the next one says so, too.
    deviceShare: Math.min(guest.curve.deviceShare, guest.curve.deviceSaid?.least ?? 1),
    floorSpeed: Math.min(1, floorPercent(goal) / demandOf(guest, goal)),
    slew: slewOf(goal),
    latencyMs: goal.capabilities.actuatorLatencyMs as number,
    onTimeMs: 0,
    looks: goal.capabilities.peek && guest.looks > 0,
    tailMs: goal.capabilities.tsliceMs + goal.capabilities.actuatorLatencyMs,
  };
  const likely: PlanModel = { ...base, ...fit.sure, shape: shapes.value, ...speeds(rateRound.value, rate.value) };
  const careful: PlanModel = { ...likely, shape: shapes.high, onTimeMs: fear * onTimeMs(guest, goal) };
  const rateCalm = bytesPerSecond(Math.max(rate.value, rateBest));
  const deviceShare = Math.min(base.deviceShare, guest.curve.deviceSaid?.least ?? 0);
  const hopeful: PlanModel = { ...base, ...fit.hoped, deviceShare, shape: shapes.low, ...speeds(rateHoped, rateHoped) };
  const calmShape = shapeOf(calmest(guest.curve));
  const faster = rateCalm / rate.value;
  const calmFit = {
    fitPages: fit.sure.fitPages * faster,
    fitPagesLifted: fit.sure.fitPagesLifted * faster,
    fitPagesFree: fit.sure.fitPagesFree * faster,
  };
  const calmModel: PlanModel = { ...likely, ...calmFit, shape: calmShape, ...speeds(rateCalm, rateCalm) };
  const start = startOf(guest, track, goal, dirty.value);
  const deadlineMs = goal.deadlineMs === undefined ? Number.POSITIVE_INFINITY : goal.deadlineMs - (track.atMs - track.startedAtMs);
  const carefulStart: PlanStart = {
    ...start,
    dirtyPages: dirty.high,
    roundsLeft: start.roundsLeft - (start.openEnded && left > 2 ? 1 : 0),
  };
  const course = cheapest(likely, careful, start, carefulStart, weightsOf(goal, falling, plateau), deadlineMs);
  const best = lowest(likely, start);
  const bestCase = lowest(hopeful, { ...start, dirtyPages: dirty.low });
  const untouched = free(hopeful, { ...start, dirtyPages: dirty.low });
  const late = left <= LATE_ROUNDS && Math.min(bestCase.lastPages, untouched.lastPages) < LATE_FACTOR * hopeful.fitPages;
  // Those who want safety do not want to find out: the likely has to promise it.
  const calmer = left > CALMS_ROUNDS && MAY_CALM * Math.min(bestCase.lastPages, untouched.lastPages) <= hopeful.fitPages;
  const hope = goal.prefer === 'safety' ? best.fits || free(likely, start).fits : bestCase.fits || untouched.fits || calmer;
  const feasible = hope || late;
  const calm = course.lostMs > 0 ? calmOf(likely, calmModel, start, goal) : undefined;
  const bestMs = downtimeOf(best.lastPages, fullRate, rate, goal);
  return {
    likely,
    start,
    course,
    best,
    bestCase,
    bestMs,
    freeMs: () => downtimeOf(free({ ...likely, floorSpeed: 1 }, start).lastPages, fullRate, rate, goal),
    feasible,
    ...(calm === undefined ? {} : { calm }),
    dirty,
    fullRate,
    forecast: forecastOf(course, bestMs.value, careful, hopeful, feasible, fullRate, rate, goal),
  };
}

export function startOf(guest: GuestView, track: Track, goal: Goal, dirtyPages: number): PlanStart {
  const round = track.rounds.at(-1);
  const sent = round === undefined ? 0 : (track.bytesSent - round.bytesAtStart) / WIRE_BYTES_PER_PAGE;
  const { policy } = goal.capabilities;
  return {
    pagesLeft: Math.max(0, guest.pagesToSend - sent),
    dirtyPages,
    workMs: workInRound(guest),
    timeMs: timeInRound(guest),
    speedBefore: guest.speedBefore,
    speedNow: speedIn(guest, track, goal),
    roundsLeft: roundsLeft(guest, goal),
    openEnded: policy,
  };
}

function forecastOf(
  course: Course,
  bestDowntimeMs: Ms,
  careful: PlanModel,
  hopeful: PlanModel,
  feasible: boolean,
  fullRate: Estimate<number>,
  rate: Estimate<BytesPerSecond>,
  goal: Goal,
): Forecast {
  const downtimeMs = downtimeOf(course.lastPages, fullRate, rate, goal);
  const slow = careful.pagesPerMs;
  const fast = hopeful.pagesPerMs;
  const likely = (slow + fast) / 2;
  const fixed = downtimeMs.value;
  const etaMs = between(
    ms((course.timeMs * likely) / fast + downtimeMs.low),
    ms(course.timeMs + fixed),
    ms((course.timeMs * likely) / slow + downtimeMs.high),
  );
  return { downtimeMs, etaMs, feasible, ...(feasible ? {} : { bestDowntimeMs }) };
}

const downtimeOf = (count: number, fullRate: Estimate<number>, rate: Estimate<BytesPerSecond>, goal: Goal): Estimate<Ms> =>
  predictDowntime(between(pages(count * 0.9), pages(count), pages(count * 1.1)), fullRate, rate, goal);
