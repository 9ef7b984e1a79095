import type { Decision } from './decision.ts';
import type { Goal } from './goal.ts';
import type { Observation } from './observation.ts';

/**
 * The contract of every controller, built in or a user's own.
 *
 * Pure: no clock, no random, no I/O; time is `observation.atMs`. `State` is readonly and JSON-serialisable, so that a recorded
 * migration can be replayed to the same decisions. `decide` is called for every observation, and its answer to a `suspend-request`
 * is `grant` or `deny` (anything else counts as grant: when in doubt we behave as stock Xen).
 */
export interface Controller<State = unknown> {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  initial(goal: Goal): State;
  decide(state: State, observation: Observation, goal: Goal): readonly [State, Decision];
}
