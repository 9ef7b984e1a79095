import { boundedDecision } from './bounds.ts';
import { type Cap, capToXen, sameCap, showCap } from './cap.ts';
import type { Controller } from './controller.ts';
import { because, type Decision } from './decision.ts';
import type { Goal } from './goal.ts';
import type { Observation } from './observation.ts';

/** Where a migration's control stands after an observation. Readonly and JSON-serialisable. */
export interface Step<State = unknown> {
  readonly state: State;
  /** The cap that the last decision asked for, or the one reported since. */
  readonly intended: Cap;
  /** False once somebody else changed the cap. */
  readonly steering: boolean;
  /** An abort was decided: it is not decided twice, and nothing else any more. */
  readonly aborting?: Decision;
  readonly decision: Decision;
}

export interface Stepper<State = unknown> {
  readonly initial: Step<State>;
  next(step: Step<State>, observation: Observation): Step<State>;
}

/** A cap that differs by less than this share from the one in force is not worth a call. */
const WORTH_SHARE = 0.03;

/**
 * The pure step that loop, simulator and replay share: the controller's decision, made safe by `boundedDecision`, silenced when steering
 * is not ours (an admin's cap wins; no actuator) and when it would change nothing worth a call.
 */
export function stepper<State>(controller: Controller<State>, goal: Goal): Stepper<State> {
  const initial: Step<State> = {
    state: controller.initial(goal),
    intended: goal.domain.capOriginal,
    steering: goal.capabilities.actuator,
    decision: { action: 'hold', reason: because('start', 'nothing observed yet') },
  };
  return {
    initial,
    next(step, observation) {
      const changed = observation.type === 'cap-changed';
      const steering = step.steering && !(changed && observation.by === 'other' && !sameCap(observation.cap, step.intended));
      const intended = changed ? observation.cap : step.intended;
      if (step.aborting !== undefined) return { ...step, steering, intended, decision: whileAborting(step.aborting, observation) };
      const [state, wanted] = controller.decide(step.state, observation, goal);
      const decision = worthwhile(boundedDecision(wanted, observation, goal), intended, steering, goal);
      const aborting = decision.action === 'abort' ? { aborting: decision } : {};
      return { state, steering, decision, intended: capAfter(decision, intended, goal), ...aborting };
    },
  };
}

/** The helper needs time to end; should it ask for the suspend or for a policy before, it gets the same answer. */
function whileAborting({ reason }: Decision, observation: Observation): Decision {
  if (observation.type === 'suspend-request') return { action: 'deny', reason };
  return { action: observation.type === 'policy-query' ? 'abort' : 'hold', reason };
}

function capAfter(decision: Decision, intended: Cap, goal: Goal): Cap {
  if (decision.action === 'set-cap') return decision.cap;
  return decision.action === 'uncap' ? goal.domain.capOriginal : intended;
}

function worthwhile(decision: Decision, intended: Cap, steering: boolean, goal: Goal): Decision {
  if (decision.action !== 'set-cap' && decision.action !== 'uncap') return decision;
  const cap = decision.action === 'set-cap' ? decision.cap : goal.domain.capOriginal;
  const forecast = decision.forecast === undefined ? {} : { forecast: decision.forecast };
  if (sameCap(cap, intended)) return { action: 'hold', ...forecast, reason: decision.reason };
  if (!steering) {
    const why = goal.capabilities.actuator ? 'somebody else changed the cap: theirs stays' : "this domain's cap cannot be changed";
    return {
      action: 'hold',
      ...forecast,
      reason: because('hands-off', `${why} (would be ${showCap(cap)}: ${decision.reason.text})`, decision.reason.numbers),
    };
  }
  const [a, b] = [capToXen(cap), capToXen(intended)];
  const atBound = a === goal.capFloorPercent || decision.action === 'uncap';
  return !atBound && b > 0 && Math.abs(a - b) < Math.max(1, WORTH_SHARE * b)
    ? { action: 'hold', ...forecast, reason: decision.reason }
    : decision;
}
