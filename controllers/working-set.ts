import { because, type Controller, type Decision, type Goal, initialTrack, type Observation, observe } from '../src/core/index.ts';
import { atPolicy, atSuspend, impossible, noteLate, outOfTime } from './working-set/ending.ts';
import { NEW_GUEST, watch } from './working-set/guest.ts';
import { type Outlook, outlook } from './working-set/outlook.ts';
import { bide, NO_PATIENCE_USED, worthWaiting } from './working-set/patience.ts';
import { aimOf, reached, relax } from './working-set/relax.ts';
import { hopeless, isTimeToPlan, plateauOf, progress, type WorkingSetState } from './working-set/state.ts';
import { settled, steer } from './working-set/steering.ts';

/**
 * working-set: the least harm to the guest that still meets the target.
 *
 *   learn      F(w) = unique pages dirtied after w ms of full-speed work, from looks into the rounds and from their totals
 *   predict    a round that sends N pages at B pages/ms with the guest at speed u leaves F(u N / B)
 *   plan       the cheapest course: free so long, then down by the profile's slew limit, so that the last set fits the target
 *   act        set the cap of that course now; plan again at each observation
 *   suspend    only if the upper predicted downtime fits, the last stall included
 *
 * The states, in words. LEARNING until transfer rate and curve are known: the guest runs free. FREE: rounds still shrink by themselves, or
 * falling later costs no more; the only thing decided is when to fall. FALLING: the speed goes down by at most the slew limit from one
 * round's mean to the next (progressive: halved, gradual: a fifth less, steep: straight to the floor). LAST ROUND: slow first, free
 * again as soon as what the rest of the round dirties fits; no stall then joins the downtime, and no luck of parking blurs the count.
 * WAITING (own policy only): guest or link are much busier than they were seen, and there are rounds to spare: free until that calm is
 * back, with a bounded patience. HOPELESS: not even the most hopeful model at the floor fits, judged at the end of the second round
 * unless even a phase would not explain it: abort; or, where the migration is to proceed, RELAXED: the best that can be reached is aimed
 * at, unless it is hardly better than stock.
 *
 * Why so. Lost work is Σ (1 − u) N/B. Where the guest dirties faster than the link sends, each page less at the start of a round saves more
 * than it cost to avoid: the best course is nearly bang-bang, as late as possible and then as low as allowed, with what is left over in the
 * last round. A planner with a fixed horizon procrastinates: another free round is always free. Three things stop it. Each second of
 * migration has a small price (preferences.ts). The course must also fit by a cautious model, whose fear of noise, phases and parking grows
 * as the rounds run out (outlook.ts): that is the latest time to fall, with a margin. And once falling, letting go needs a margin too.
 *
 * What the cap does not slow (devices) is estimated as a share of the curve; the plan reckons with it and does not fight it. Work is
 * measured in CPU time while a cap bites, so that a parked guest's lucky small count teaches nothing.
 *
 * Files: core/dirty-curve.ts (F), core/plan.ts (courses), core/last-round.ts (how one ends), guest.ts (what is believed of the guest),
 * outlook.ts (models), fear.ts (what is feared of them), fits.ts (ranges, what fits), steering.ts (caps), ending.ts (suspend, policy,
 * verdict), relax.ts, patience.ts (lulls), preferences.ts (weights), remedies.ts (what would help).
 * Constants stand with their reasons where they are used.
 *
 * A clairvoyant planner that knows F, B and all noise beforehand is the lower bound it is measured against: src/sim/planner.ts.
 */
export const workingSet: Controller<WorkingSetState> = {
  name: 'working-set',
  summary: "learns the guest's dirty curve and throttles as late, as short and as little as the target allows",
  options: [],

  initial: (goal) => ({
    track: initialTrack(goal),
    guest: NEW_GUEST,
    falling: false,
    hopelessCount: 0,
    plannedAtMs: 0,
    plateau: 0,
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
    const plateau = plateauOf(before, observation, guest);
    const seen = (by: Goal) => outlook(guest, track, by, before.falling, before.patience.rateBest, plateau);
    const relaxed = reached(before.relaxed, observation, goal, seen);
    const view = seen(aimOf(relaxed, goal));
    const waits = view?.calm !== undefined && worthWaiting(before.patience, view.calm, view, guest, track, before.falling);
    const elapsedMs = before.plannedAtMs === 0 ? 0 : track.atMs - before.plannedAtMs;
    const patience = bide(before.patience, track, elapsedMs, waits);
    const stuck = progress(before, observation, guest, goal);
    const { relaxed: _, ...rest } = before;
    const state: WorkingSetState = {
      ...rest,
      ...(relaxed === undefined ? {} : { relaxed }),
      track,
      guest,
      stuck,
      plateau,
      patience,
      hopelessCount: relaxed === undefined ? hopeless(before, view, guest, goal) : 0,
      plannedAtMs: track.atMs,
    };
    if (view === undefined) return answer(state, observation, view, goal);
    const forecast = relaxed === undefined ? view.forecast : { ...view.forecast, feasible: false, bestDowntimeMs: view.bestMs.value };
    return answer({ ...state, forecast }, observation, { ...view, forecast }, goal);
  },
};

/** Outlooks in a row without hope that make a verdict. */
const HOPELESS_MIN = 3;

function answer(state: WorkingSetState, observation: Observation, view: Outlook | undefined, goal: Goal): [WorkingSetState, Decision] {
  if (observation.type === 'suspend-request') return [state, atSuspend(state, view, goal)];
  if (view === undefined) {
    return [state, { action: 'hold', reason: because('learning', 'transfer rate and dirty curve are not known yet: the guest runs free') }];
  }
  if (state.track.suspendRequestedAtMs !== undefined) {
    return [state, { action: 'hold', reason: because('switching-over', 'the suspend was asked for: nothing is left to decide') }];
  }
  if (state.hopelessCount >= HOPELESS_MIN) return relax(state, view, goal) ?? [state, impossible(state, view, goal, observation)];
  const late = outOfTime(state, view, goal);
  if (late !== undefined) return [state, late];
  const aim = aimOf(state.relaxed, goal);
  if (observation.type === 'policy-query') return [state, atPolicy(state, observation, view, aim)];
  const [next, decision] = settled(steer(state, observation, view, aim), observation, view, aim);
  return [next, noteLate(state, decision, goal)];
}
