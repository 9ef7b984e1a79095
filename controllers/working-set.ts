import {
  answerSuspend,
  because,
  type Controller,
  capped,
  capToXen,
  type Decision,
  type Estimate,
  type Forecast,
  type Goal,
  gate,
  initialTrack,
  judge,
  lastStall,
  type Observation,
  observe,
  type Pages,
  type PolicyQuery,
  sameCap,
  showCap,
  type Track,
} from '../src/core/index.ts';
import { demandOf, type GuestView, NEW_GUEST, watch } from './working-set/guest.ts';
import { type Outlook, outlook } from './working-set/outlook.ts';
import { bide, NO_PATIENCE_USED, type Patience, worthWaiting } from './working-set/patience.ts';
import { floorPercent } from './working-set/preferences.ts';
import { remedies } from './working-set/remedies.ts';

/** All that working-set remembers. Readonly, JSON-serialisable, bounded. */
export interface WorkingSetState {
  readonly track: Track;
  readonly guest: GuestView;
  /** A speed below full was chosen and not taken back. */
  readonly falling: boolean;
  /** Outlooks in a row that said that the target can't be met. */
  readonly hopelessCount: number;
  /** When the last plan was made, and what it expected. */
  readonly plannedAtMs: number;
  readonly forecast?: Forecast;
  /** Rounds at the floor without progress, and the smallest round seen there. */
  readonly patience: Patience;
  /** The last cap that was decided on, and when. */
  readonly change?: { readonly capPercent: number; readonly atMs: number };
  readonly stuck: { readonly rounds: number; readonly best: number };
}

/** One bad reading is no proof. */
const HOPELESS_MIN = 3;
/** Looks (or, without a peek, rounds) that have to be seen before anything is called impossible. */
const LOOKS_MIN = 10;
const ROUNDS_SEEN_MIN = 2;
/** A speed this close to full is full. */
const FULL = 0.97;
/** Within a round a cap is only changed by more than this share: every change is a call. */
const WORTH = 0.08;
/** A floor round that leaves more than this share of the smallest one made no progress; so many in a row are the end. */
const PROGRESS = 0.96;
const STUCK_ROUNDS = 3;
/** Total bytes after which a migration with open-ended rounds is not going to end: multiples of the domain's memory. */
const MEMORY_MULTIPLE = 8;

export const workingSet: Controller<WorkingSetState> = {
  name: 'working-set',
  summary: "learns the guest's dirty curve and throttles as late, as short and as little as the target allows",

  initial: (goal) => ({
    track: initialTrack(goal),
    guest: NEW_GUEST,
    falling: false,
    hopelessCount: 0,
    plannedAtMs: 0,
    patience: NO_PATIENCE_USED,
    stuck: { rounds: 0, best: 0 },
  }),

  decide(before, observation, goal) {
    const track = observe(before.track, observation, goal);
    const guest = watch(before.guest, observation, before.track, goal);
    if (!isTimeToPlan(before, observation, guest)) {
      const forecast = before.forecast === undefined ? {} : { forecast: before.forecast };
      return [
        { ...before, track, guest },
        { action: 'hold', ...forecast, reason: because('between-plans', 'the last plan stands') },
      ];
    }
    const view = outlook(guest, track, goal, before.falling, before.patience.rateBest);
    const waits = view?.calm !== undefined && worthWaiting(before.patience, view.calm, view.course, view.start, guest, track);
    const elapsedMs = before.track.rounds.length === 0 ? 0 : track.atMs - before.track.atMs;
    const patience = bide(before.patience, track, elapsedMs, waits);
    const stuck = progress(before, observation, guest, goal);
    const state: WorkingSetState = {
      ...before,
      track,
      guest,
      stuck,
      patience,
      hopelessCount: hopeless(before, view, guest, goal),
      plannedAtMs: track.atMs,
    };
    return answer(view === undefined ? state : { ...state, forecast: view.forecast }, observation, view, goal);
  },
};

/** A plan costs more than everything else together; what the helper reports ten times a second says little between two looks. */
const PLAN_MS_MIN = 250;

function isTimeToPlan(before: WorkingSetState, observation: Observation, guest: GuestView): boolean {
  switch (observation.type) {
    case 'round-start':
    case 'policy-query':
    case 'suspend-request':
    case 'sample':
    case 'tick':
      return true;
    case 'progress':
      return guest.looks === 0 && observation.atMs - before.plannedAtMs >= PLAN_MS_MIN;
    default:
      return false;
  }
}

function hopeless(before: WorkingSetState, view: Outlook | undefined, guest: GuestView, goal: Goal): number {
  if (view === undefined || view.feasible) return 0;
  const enough = goal.capabilities.peek ? guest.looks >= LOOKS_MIN : guest.round >= ROUNDS_SEEN_MIN;
  return enough ? before.hopelessCount + 1 : before.hopelessCount;
}

/** Counts rounds that ran at the floor and left no less to send than the smallest of them. */
function progress(before: WorkingSetState, observation: Observation, guest: GuestView, goal: Goal): WorkingSetState['stuck'] {
  if (observation.type !== 'round-start' || observation.round < 2) return before.stuck;
  if (guest.speedBefore > 1.1 * Math.min(1, floorPercent(goal) / demandOf(guest, goal)) || !before.falling) return { rounds: 0, best: 0 };
  const { rounds, best } = before.stuck;
  if (rounds === 0) return { rounds: 1, best: guest.pagesToSend };
  return guest.pagesToSend < PROGRESS * best ? { rounds: 1, best: guest.pagesToSend } : { rounds: rounds + 1, best };
}

function answer(state: WorkingSetState, observation: Observation, view: Outlook | undefined, goal: Goal): [WorkingSetState, Decision] {
  if (observation.type === 'suspend-request') return [state, atSuspend(state, view, goal)];
  if (view === undefined) {
    return [state, { action: 'hold', reason: because('learning', 'transfer rate and dirty curve are not known yet: the guest runs free') }];
  }
  if (state.track.suspendRequestedAtMs !== undefined) {
    return [state, { action: 'hold', reason: because('switching-over', 'the suspend was asked for: nothing is left to decide') }];
  }
  if (state.hopelessCount >= HOPELESS_MIN) return [state, impossible(state, view, goal)];
  if (observation.type === 'policy-query') return [state, atPolicy(state, observation, view, goal)];
  return settled(steer(state, observation, view, goal), observation, goal);
}

function dirtyAtGate(state: WorkingSetState, view: Outlook | undefined): Estimate<Pages> | undefined {
  void state;
  return view?.dirty;
}

function atSuspend(state: WorkingSetState, view: Outlook | undefined, goal: Goal): Decision {
  return view === undefined ? gate(state.track, goal) : answerSuspend(dirtyAtGate(state, view), view.fullRate, state.track, goal);
}

/** Our own policy decides when the rounds end. */
function atPolicy(state: WorkingSetState, query: PolicyQuery, view: Outlook, goal: Goal): Decision {
  const { forecast, course } = view;
  const rate = state.track.transferRate;
  if (rate === undefined) return { action: 'hold', reason: because('learning', 'no transfer rate is known yet') };
  if (query.when === 'after') {
    const now = judge(view.dirty, view.fullRate, rate, lastStall(state.track, goal), goal);
    const fits = goal.maxDirtyPages === undefined ? now.fits !== 'no' : view.dirty.high <= goal.maxDirtyPages;
    const numbers = { dirtyPages: Math.round(view.dirty.value), predictedMs: Math.round(now.downtimeMs.value) };
    if (fits) {
      const text = `${numbers.dirtyPages} dirty pages fit the target: stop and copy now (predicted ${numbers.predictedMs} ms)`;
      return { action: 'stop-and-copy', forecast, reason: because('fits', text, numbers) };
    }
  } else if (!goal.capabilities.peek && course.rounds === 1 && course.fits) {
    const numbers = { dirtyPages: Math.round(course.lastPages) };
    const text = `this round leaves some ${numbers.dirtyPages} pages, which fit the target: it is the last`;
    return { action: 'stop-and-copy', forecast, reason: because('will-fit', text, numbers) };
  }
  const written = state.track.bytesSent / (goal.domain.populatedPages * 4096);
  if (written > MEMORY_MULTIPLE) {
    const text = `${written.toFixed(1)} times the domain's memory was sent (at most ${MEMORY_MULTIPLE})`;
    return end(goal, view, 'too-many-bytes', text, { written });
  }
  if (state.stuck.rounds > STUCK_ROUNDS) {
    const text = `${STUCK_ROUNDS} rounds at the floor made no progress: ${Math.round(state.stuck.best)} pages stay dirty`;
    return end(goal, view, 'no-progress', text, { dirtyPages: Math.round(state.stuck.best) });
  }
  return { action: 'hold', forecast, reason: because('go-on', `some ${course.rounds} more rounds are planned`, { rounds: course.rounds }) };
}

/** The end of hope: abort leaves the guest here; proceed lets the migration go on. */
function end(goal: Goal, view: Outlook, code: string, text: string, numbers: Readonly<Record<string, number>>): Decision {
  const { forecast } = view;
  if (goal.onMiss === 'abort')
    return { action: 'abort', forecast, reason: because(code, `${text}; --on-miss abort: the guest stays here`, numbers) };
  return {
    action: 'uncap',
    forecast,
    reason: because(code, `${text}; --on-miss proceed: the guest runs free, as under stock Xen`, numbers),
  };
}

function impossible(state: WorkingSetState, view: Outlook, goal: Goal): Decision {
  const best = Math.round(view.forecast.bestDowntimeMs ?? 0);
  const numbers = { bestMs: best, targetMs: goal.targetDowntimeMs, floorPercent: floorPercent(goal) };
  const help = remedies(state.guest, state.track, view, goal);
  const text = `even at the floor of ${numbers.floorPercent} % the best downtime is ${best} ms, the target ${numbers.targetMs} ms${help.text}`;
  return end(goal, view, 'infeasible', text, { ...numbers, ...help.numbers });
}

/** The first round sends everything, and its dirtying levels off: throttling early in it costs most and buys least. */
const FIRST_ROUND_FREE = 0.75;
const ROUNDS_TO_COME = 3;

const tooEarly = (guest: GuestView, { start }: Outlook): boolean =>
  guest.round === 0 && start.roundsLeft >= ROUNDS_TO_COME && start.pagesLeft > (1 - FIRST_ROUND_FREE) * guest.pagesToSend;

/** With fewer rounds left the lowest is tried even if it does not promise enough. */
const ROUNDS_TO_TRY = 5;

/** … or with so few where even the likely lowest leaves this much too much. */
const ROUNDS_TO_WAIT = 3;
const VAIN_FACTOR = 4;

/** Whether throttling now would hurt the guest and still not lead to the target. */
const inVain = ({ start, best, likely }: Outlook, goal: Goal): boolean =>
  (goal.capabilities.policy && start.roundsLeft > ROUNDS_TO_TRY) ||
  (start.roundsLeft >= ROUNDS_TO_WAIT && best.lastPages > VAIN_FACTOR * Math.max(likely.fitPages, likely.fitPagesFree));

/** In a last round a cap that comes into force at its very end only holds up the suspend. */
const tooLate = ({ start, likely, course }: Outlook): boolean =>
  course.rounds === 1 && course.speed < start.speedNow && start.pagesLeft / likely.pagesPerMs < likely.tailMs;

/** Between two changes inside a round lie at least so many times the actuator's latency, and this share of the round so far. */
const LATENCIES_APART = 2;
const DWELL_SHARE = 0.04;
const DWELL_MS = 30;

/** One change at a time: what was decided is given the time to come into force, and a round is not spent on going back and forth. */
function settled([state, decision]: [WorkingSetState, Decision], observation: Observation, goal: Goal): [WorkingSetState, Decision] {
  if (decision.action !== 'set-cap' && decision.action !== 'uncap') return [state, decision];
  const wanted = decision.action === 'set-cap' ? capToXen(decision.cap) : 0;
  const inForce = sameCap(state.track.cap, goal.domain.capOriginal) ? 0 : capToXen(state.track.cap);
  const last = state.change;
  if (wanted === (last?.capPercent ?? 0) && wanted === inForce) return [state, decision];
  const roundMs = observation.atMs - state.guest.roundAtMs;
  const apart = LATENCIES_APART * goal.capabilities.actuatorLatencyMs + Math.max(DWELL_MS, DWELL_SHARE * roundMs);
  const soon = last !== undefined && observation.atMs - last.atMs < apart;
  if (soon && (observation.type !== 'round-start' || last.capPercent !== inForce)) {
    return [
      state,
      { action: 'hold', reason: decision.reason, ...(decision.forecast === undefined ? {} : { forecast: decision.forecast }) },
    ];
  }
  return [{ ...state, change: { capPercent: wanted, atMs: observation.atMs } }, decision];
}

/** Caps inside and between rounds. */
function steer(state: WorkingSetState, observation: Observation, view: Outlook, goal: Goal): [WorkingSetState, Decision] {
  const { course, forecast, likely } = view;
  const demand = demandOf(state.guest, goal);
  const numbers = {
    dirtyPages: Math.round(view.dirty.value),
    lastPages: Math.round(course.lastPages),
    fitPages: Math.round(likely.fitPages),
    roundsLeft: course.rounds,
    lostMs: Math.round(course.lostMs),
  };
  const plan = `${course.rounds} more rounds leave ${numbers.lastPages} pages (${numbers.fitPages} fit)`;
  if (state.patience.sinceMs !== undefined && course.speed < FULL) {
    const text = `guest or link are busier than they were: throttling now would lose ${numbers.lostMs} ms of work, in a calm ${Math.round(view.calm?.course.lostMs ?? 0)} ms; waiting`;
    return [
      { ...state, falling: false },
      { action: 'uncap', forecast, reason: because('waiting', text, numbers) },
    ];
  }
  if (!course.fits && !state.falling && inVain(view, goal)) {
    const text = `nothing that can be done now would meet the target: the guest runs free while there are rounds to wait for a calmer one; ${plan}`;
    return [state, { action: 'uncap', forecast, reason: because('no-way-yet', text, numbers) }];
  }
  if (tooLate(view) && observation.type !== 'round-start')
    return [
      state,
      { action: 'hold', forecast, reason: because('round-ends', `no cap would be in force before the round ends; ${plan}`, numbers) },
    ];
  if (course.speed >= FULL || likely.floorSpeed >= 1 || tooEarly(state.guest, view)) {
    const falling = state.falling && course.fallAt < 0 && course.rounds > 1;
    const ahead =
      course.lostMs > 0 ? `the guest runs free until the fall in ${Math.max(0, Math.ceil(course.fallAt))} rounds` : 'the guest runs free';
    return [
      { ...state, falling },
      { action: 'uncap', forecast, reason: because('free', `${ahead}; ${plan}`, numbers) },
    ];
  }
  const wanted = capped(Math.max(floorPercent(goal), course.speed * demand));
  const now = state.track.cap;
  const inRound = observation.type !== 'round-start';
  const small = now.kind === 'capped' && wanted.kind === 'capped' && Math.abs(wanted.percent - now.percent) < WORTH * now.percent;
  const falling: WorkingSetState = { ...state, falling: true };
  const text = `${showCap(wanted)} of the guest's ${Math.round(demand)} %; ${plan}, ${numbers.lostMs} ms of work lost`;
  const reason = because(course.fits ? 'throttle' : 'lowest', text, numbers);
  if (inRound && small) return [falling, { action: 'hold', forecast, reason }];
  return [falling, { action: 'set-cap', cap: wanted, forecast, reason }];
}
