import type { Controller } from '../core/controller.ts';
import type { Decision } from '../core/decision.ts';
import { messageOf } from '../core/errors.ts';
import type { Observation } from '../core/observation.ts';
import type { MigrationRecord } from '../core/record.ts';
import { type Step, stepper } from '../core/step.ts';
import type { Ms } from '../core/units.ts';

/** One observation, and the two answers to it. */
export interface Difference {
  /** The how-manieth observation of the migration, from 0. */
  readonly index: number;
  readonly atMs: Ms;
  readonly observation: Observation;
  readonly recorded: Decision;
  readonly replayed: Decision;
}

export interface ReplayResult {
  readonly controller: string;
  /** The controller that the trace was recorded with. */
  readonly recordedController: string;
  /** Every recorded decision was made again, field by field, and none was missing. */
  readonly identical: boolean;
  readonly compared: number;
  readonly differences: readonly Difference[];
  /** Decisions that a person's abort or a failing controller overrode: nothing a controller could repeat. */
  readonly overridden: number;
  /** Records the recorder had to leave out: from there on a replay can differ for that reason alone. */
  readonly dropped: number;
  /** What the replayed controller threw, if it did: the replay ends there. */
  readonly error?: string;
}

/** Reasons that the loop gives instead of the controller. */
const OVERRIDES: ReadonlySet<string> = new Set(['abort-requested', 'controller-failed']);

/**
 * Feeds a migration's recorded observations to `controller` through the same pure step as the loop, and compares its decisions with the
 * recorded ones. With another controller than the recorded one the differences say what that would have decided, given what was observed;
 * what the guest would then have done no trace can tell. `records` are those of one migration.
 */
export function replay(records: readonly MigrationRecord[], controller: Controller): ReplayResult {
  const [start] = records;
  if (start?.type !== 'start') throw new Error('a migration to replay begins with its start record');
  const differences: Difference[] = [];
  let dropped = 0;
  let compared = 0;
  let overridden = 0;
  let index = -1;
  let pending: Observation | undefined;
  const result = (error?: string): ReplayResult => ({
    controller: controller.name,
    recordedController: start.controller,
    identical: differences.length === 0 && compared > 0 && dropped === 0 && error === undefined,
    compared,
    differences,
    overridden,
    dropped,
    ...(error === undefined ? {} : { error }),
  });
  try {
    const steps = stepper(controller, start.goal);
    let step: Step = steps.initial;
    for (const record of records) {
      if (record.type === 'note') dropped += record.dropped ?? 0;
      if (record.type === 'observation') {
        pending = record.observation;
        index += 1;
        step = steps.next(step, record.observation);
      }
      if (record.type !== 'decision' || pending === undefined) continue;
      const observation = pending;
      pending = undefined;
      if (OVERRIDES.has(record.decision.reason.code)) overridden += 1;
      else {
        compared += 1;
        if (!sameDecision(record.decision, step.decision)) {
          differences.push({ index, atMs: observation.atMs, observation, recorded: record.decision, replayed: step.decision });
        }
      }
    }
    return result();
  } catch (error) {
    return result(messageOf(error));
  }
}

/** Equal in all that JSON keeps, whatever the order of fields. */
export const sameDecision = (a: Decision, b: Decision): boolean => canonical(a) === canonical(b);

/** JSON with sorted fields; what JSON cannot say (infinities) becomes null on both sides. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, field: unknown) =>
    typeof field === 'object' && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : 1)))
      : field,
  );
