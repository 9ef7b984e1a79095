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
  type Lean,
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
import { cautionBy, doubtOf, fearOf, saturating } from './fear.ts';
import { dirtyRange, fitting, fullRates, ratesWhereItFits } from './fits.ts';
import { demandOf, type GuestView, onTimeMs, speedIn, timeInRound, workInRound } from './guest.ts';
import { type Calm, calmOf } from './patience.ts';
import { floorPercent, ROUNDS_OPEN, slewOf, waitsForCalm, weightsOf } from './preferences.ts';

/** Nobody knows at first whether this is how the guest is or a phase of it: before the second round is nearly over it may calm down to this share. */
const MAY_CALM_EARLY = 0.3;
const NEARLY_OVER = 0.2;
/**
 * Later it may still be calmer than it was ever seen, but not for round after round: a last dirty set of this share of the lowest course's
 * is hoped for as long as there are more than so many rounds left.
 */
const MAY_CALM = 0.36;
const CALMS_ROUNDS = 2;
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

/** Two rounds of a busy phase look like devices: while rounds can be added, what a calmer one said is still hoped for. */
function deviceShareHoped({ curve }: GuestView, left: number, goal: Goal): number {
  const { least = 0, leastLately = 0 } = curve.deviceSaid ?? {};
  return goal.capabilities.policy && left > CALMS_ROUNDS ? Math.min(least, leastLately) : least;
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
  /** New pages per second at full speed with as many dirty as are by now, and with so many. */
  readonly fullRate: Estimate<number>;
  ratesAt(dirty: number): Estimate<number>;
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
  // Without looks the first knot is far up, and what lies below it is guessed on the safe side.
  const sees = goal.capabilities.peek && guest.looks > 0;
  const lean: Lean = sees ? 'value' : 'high';
  const fear = fearOf(guest, goal, left);
  const doubt = doubtOf(guest.curve, rate);
  const shapes = {
    low: shapeOf(calmest(guest.curve), 'low', Math.exp(-doubt.ofCurve) * mayCalm(guest, track)),
    value: shapeOf(guest.curve, lean),
    high: shapeOf(guest.curve, lean, Math.exp(fear * doubt.all)),
  };
  const sinceLookMs = timeInRound(guest) - (guest.look?.timeMs ?? 0);
  const dirty = dirtyRange(guest, shapes, luckMs(speedIn(guest, track, goal), sinceLookMs, onTimeMs(guest, goal)));
  const ratesAt = (count: number): Estimate<number> => fullRates(shapes, count, goal);
  const fullRate = ratesAt(Math.min(dirty.value, pagesThatFit(goal.targetDowntimeMs, 0, rate.value, goal)));
  const rateHoped = bytesPerSecond(Math.max(rate.high, rateBest));
  const fit = fitting(ratesWhereItFits(ratesAt, rate.value, goal), rate, rateHoped, demandOf(guest, goal), goal, cautionBy(fear));
  const base = {
    // One throttled round that dirtied as much as a free one may be a busier phase: believed once the next one says so, too.
    deviceShare: Math.min(guest.curve.deviceShare, guest.curve.deviceSaid?.least ?? 1),
    floorSpeed: Math.min(1, floorPercent(goal) / demandOf(guest, goal)),
    slew: slewOf(goal),
    latencyMs: goal.capabilities.actuatorLatencyMs as number,
    onTimeMs: 0,
    looks: sees,
    tailMs: goal.capabilities.tsliceMs + goal.capabilities.actuatorLatencyMs,
  };
  const likely: PlanModel = { ...base, ...fit.sure, shape: shapes.value, ...speeds(rateRound.value, rate.value) };
  const feared = falling ? { shape: shapes.high } : saturating(guest.curve, lean, doubt, fear, likely);
  const careful: PlanModel = { ...likely, ...feared, onTimeMs: fear * onTimeMs(guest, goal) };
  const rateCalm = bytesPerSecond(Math.max(rate.value, rateBest));
  const deviceShare = Math.min(base.deviceShare, deviceShareHoped(guest, left, goal));
  const hopeful: PlanModel = { ...base, ...fit.hoped, deviceShare, shape: shapes.low, ...speeds(rateHoped, rateHoped) };
  const calmShape = shapeOf(calmest(guest.curve));
  // A faster link sends more in the same time, but no target of pages gets larger by it.
  const faster = goal.maxDirtyPages === undefined ? rateCalm / rate.value : 1;
  const calmFit = {
    fitPages: fit.sure.fitPages * faster,
    fitPagesLifted: fit.sure.fitPagesLifted * faster,
    fitPagesFree: fit.sure.fitPagesFree * faster,
  };
  const calmModel: PlanModel = { ...likely, ...calmFit, shape: calmShape, ...speeds(rateCalm, rateCalm) };
  const start = startOf(guest, track, goal, dirty.value);
  const deadlineMs = timeLeftMs(track, goal) - goal.targetDowntimeMs;
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
  const calm = course.lostMs > 0 && waitsForCalm(goal) ? calmOf(likely, calmModel, start, goal) : undefined;
  const downtimeAfter = (count: number): Estimate<Ms> => downtimeOf(count, ratesAt(count), rate, goal);
  const bestMs = downtimeAfter(best.lastPages);
  return {
    likely,
    start,
    course,
    best,
    bestCase,
    bestMs,
    freeMs: () => downtimeAfter(free({ ...likely, floorSpeed: 1 }, start).lastPages),
    feasible,
    ...(calm === undefined ? {} : { calm }),
    dirty,
    fullRate,
    ratesAt,
    forecast: forecastOf(course, downtimeAfter(course.lastPages), bestMs.value, careful, hopeful, feasible),
  };
}

/** Until the deadline, ms; below 0 once it has passed, Infinity without one. */
export const timeLeftMs = (track: Track, goal: Goal): number =>
  (goal.deadlineMs ?? Number.POSITIVE_INFINITY) - (track.atMs - track.startedAtMs);

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
  downtimeMs: Estimate<Ms>,
  bestDowntimeMs: Ms,
  careful: PlanModel,
  hopeful: PlanModel,
  feasible: boolean,
): Forecast {
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
