import type { Decision } from './decision.ts';
import { XthrottleError } from './errors.ts';
import type { Goal } from './goal.ts';
import type { Observation } from './observation.ts';

/** A number that a controller takes from `--controller-option name=number`. */
export interface ControllerOption {
  readonly name: string;
  /** One line of help. */
  readonly summary: string;
  readonly byDefault: number;
  readonly min: number;
  readonly max: number;
  /** Only whole numbers. */
  readonly whole: boolean;
}

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
  /** All that it takes: anything else is refused before a migration begins. Absent: nothing is checked. */
  readonly options?: readonly ControllerOption[];
  /** What it does not heed: commands say so when one of these is asked for. */
  readonly ignores?: readonly ('profile' | 'prefer')[];
  initial(goal: Goal): State;
  decide(state: State, observation: Observation, goal: Goal): readonly [State, Decision];
}

/** Throws XthrottleError('usage') for a value that the option does not take. */
export function checkControllerOption({ name, summary, byDefault, min, max, whole }: ControllerOption, value: number): void {
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return;
  const expected = max - min === 1 && whole ? `${min} or ${max}` : `a ${whole ? 'whole ' : ''}number from ${min} to ${max}`;
  throw new XthrottleError('usage', `the controller option ${name} expects ${expected}, got ${value}`, {
    hint: `${name}: ${summary}; leave it out for ${byDefault}`,
  });
}

/**
 * Checks what is given to controllers that run side by side: each value by all that know it; one of them must. Throws
 * XthrottleError('usage').
 */
export function checkControllerOptions(given: Readonly<Record<string, number>>, controllers: readonly Controller[]): void {
  for (const [name, value] of Object.entries(given)) {
    const known = controllers.flatMap(({ options }) => options?.filter((option) => option.name === name) ?? []);
    for (const option of known) checkControllerOption(option, value);
    if (known.length === 0 && controllers.every(({ options }) => options !== undefined)) throw unknownOption(name, controllers);
  }
}

function unknownOption(name: string, controllers: readonly Controller[]): XthrottleError {
  const names = controllers.flatMap(({ options }) => options?.map((option) => option.name) ?? []);
  return new XthrottleError('usage', `${controllers.map((c) => c.name).join(' and ')}: there is no controller option "${name}"`, {
    hint: names.length === 0 ? 'it takes none: leave --controller-option out' : `the known ones are ${names.join(', ')}`,
  });
}
