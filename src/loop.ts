import { lastValueFrom, mergeMap, type Observable, scan, takeUntil, tap } from 'rxjs';
import type { Controller } from './core/controller.ts';
import { because, type Decision } from './core/decision.ts';
import { messageOf } from './core/errors.ts';
import type { Goal } from './core/goal.ts';
import type { Observation } from './core/observation.ts';
import { RECORD_VERSION, type RecordSink, type StartRecord, type SummaryRecord } from './core/record.ts';
import { type Step, type Stepper, stepper } from './core/step.ts';
import { stockDecision } from './core/stock.ts';
import { initialTally, summarise, type Tally, tally } from './core/summary.ts';
import type { Ending, Migration, RestoreResult } from './host.ts';

export interface ControlOptions {
  readonly controller: Controller;
  readonly goal: Goal;
  /** Decide and record, but change nothing. */
  readonly observe?: boolean;
  readonly sink: RecordSink;
  /** Emits when control must end while the migration goes on as stock (the sidecar's SIGTERM); the value says why. */
  readonly release$?: Observable<string>;
  /** Emits when the migration must end with the guest left here (the wrapped job's SIGINT); the value says why. */
  readonly abort$?: Observable<string>;
  /** What else the start record says: time, scenario, seed. */
  readonly start?: Partial<StartRecord>;
}

const FAIL_OPEN =
  'SUSPENDED WITHOUT LEAVE: no answer of xthrottle reached the relay in time, so the guest was suspended as stock Xen would; the target was not guaranteed';

interface Frame {
  readonly step: Step;
  readonly tally: Tally;
  readonly observation?: Observation;
  readonly sequence: number;
}

/**
 * Controls one migration to its end: observations in, a pure step, one ordered effect. Every path ends with the domain's own cap put back
 * and verified; the summary says whether it was.
 */
export async function control(migration: Migration, asked: ControlOptions): Promise<SummaryRecord> {
  // Where nothing can be changed, nothing that is decided happens: then it is observing, whatever was asked for.
  const options = migration.observeOnly === undefined ? asked : { ...asked, observe: true };
  const { goal, sink, controller } = options;
  const { id } = migration;
  sink.write(startRecord(migration, options));
  const wishes: Wishes = { aborting: undefined, released: undefined };
  const steps = guarded(stepper(controller, goal), (text) => sink.write({ type: 'note', id, level: 'error', text }));
  const inOrder = ordered();
  let newestCap = 0;
  let last: Frame = { step: steps.initial, tally: initialTally(goal), sequence: 0 };
  const aborting = options.abort$?.subscribe((why) => {
    wishes.aborting = why;
    migration.abort(why).catch((error: unknown) => sink.write({ type: 'note', id, level: 'error', text: `abort: ${messageOf(error)}` }));
  });
  const releasing = options.release$?.subscribe((why) => {
    wishes.released = why;
  });
  const frames$ = migration.observations$.pipe(
    options.release$ === undefined ? tap() : takeUntil(options.release$),
    tap((observation) => sink.write({ type: 'observation', id, observation })),
    scan((frame, observation) => advance(frame, observation, steps, wishes, options), last),
    tap((frame) => {
      last = frame;
      sink.write({ type: 'decision', id, atMs: frame.tally.atMs, decision: frame.step.decision });
      if (changesCap(frame.step.decision)) newestCap = frame.sequence;
    }),
    mergeMap((frame) =>
      inOrder(frame, () => carryOut(frame, migration, options, changesCap(frame.step.decision) && frame.sequence < newestCap)),
    ),
  );
  let ending: Ending | undefined;
  let restore: RestoreResult = { restored: false, capAfter: null };
  try {
    await lastValueFrom(frames$, { defaultValue: undefined });
    ending =
      wishes.released === undefined
        ? await migration.ended
        : { result: 'unknown', reason: `let go (${wishes.released}): the migration goes on as stock` };
  } finally {
    aborting?.unsubscribe();
    releasing?.unsubscribe();
    restore = await putBack(migration, sink);
  }
  if (ending?.failOpen === true) sink.write({ type: 'note', id, level: 'error', text: FAIL_OPEN });
  const summary = summarise(
    last.tally,
    { ...closing(ending, restore, last, wishes), id, controller: controller.name, ...seedOf(options) },
    goal,
  );
  sink.write(summary);
  return summary;
}

/**
 * Effects one after the other, but for the answers that Xen waits for: a suspend request or a policy query never stands behind a slow (or
 * hanging) cap change, since the relay's wait is short and its end is stock's answer.
 */
function ordered(): (frame: Frame, work: () => Promise<void>) => Promise<void> {
  let pending = 0;
  let last: Promise<void> = Promise.resolve();
  return (frame, work) => {
    const { observation } = frame;
    if (observation?.type === 'suspend-request' || observation?.type === 'policy-query') return work();
    const next = pending === 0 ? work() : last.then(work);
    pending += 1;
    last = next
      .catch(() => undefined)
      .then(() => {
        pending -= 1;
      });
    return next;
  };
}

interface Wishes {
  aborting: string | undefined;
  released: string | undefined;
}

const seedOf = (options: ControlOptions): { readonly seed?: number } =>
  options.start?.seed === undefined ? {} : { seed: options.start.seed };

const changesCap = (decision: Decision): boolean => decision.action === 'set-cap' || decision.action === 'uncap';

function startRecord(migration: Migration, options: ControlOptions): StartRecord {
  return {
    type: 'start',
    v: RECORD_VERSION,
    id: migration.id,
    host: migration.host,
    controller: options.controller.name,
    observe: options.observe ?? false,
    goal: options.goal,
    ...(migration.destination === undefined ? {} : { destination: migration.destination }),
    ...options.start,
  };
}

function advance(frame: Frame, observation: Observation, steps: Stepper, wishes: Wishes, { goal, observe }: ControlOptions): Frame {
  const decided = steps.next(frame.step, observation);
  const step =
    wishes.aborting === undefined ? decided : { ...decided, decision: abortAnswer(decided.decision, observation, wishes.aborting) };
  return {
    step,
    observation,
    tally: observed(tally(frame.tally, observation, step.decision, goal), observe === true),
    sequence: frame.sequence + 1,
  };
}

/** An abort that was only thought of is none. */
function observed(sum: Tally, observing: boolean): Tally {
  if (!observing || sum.abortDecision === undefined) return sum;
  const { abortDecision: _, ...rest } = sum;
  return rest;
}

/** While the migration is being aborted nothing else is decided, and a suspend request that still comes is denied. */
function abortAnswer(decision: Decision, observation: Observation, why: string): Decision {
  const reason = because('abort-requested', why);
  if (observation.type === 'suspend-request') return { action: 'deny', reason };
  if (observation.type === 'policy-query') return { action: 'abort', reason };
  return changesCap(decision) || decision.action === 'abort' ? { action: 'hold', reason } : decision;
}

/** A controller that throws (a user's own may) ends steering, not the guest: the cap goes back and the rest is stock. */
function guarded(steps: Stepper, say: (text: string) => void): Stepper {
  let broken: string | undefined;
  return {
    initial: steps.initial,
    next(step, observation) {
      const lifted = broken !== undefined;
      try {
        if (broken === undefined) return steps.next(step, observation);
      } catch (error) {
        broken = messageOf(error);
        say(`the controller failed (${broken}): the cap goes back and the migration goes on as stock`);
      }
      const reason = because('controller-failed', `the controller failed: ${broken}`);
      // The rounds are ours to end: stock's policy goes on.
      if (observation.type === 'policy-query')
        return { ...step, steering: false, decision: lifted ? stockDecision(observation) : { action: 'uncap', reason } };
      const action = observation.type === 'suspend-request' ? 'grant' : lifted ? 'hold' : 'uncap';
      return { ...step, steering: false, decision: { action, reason } };
    },
  };
}

async function carryOut(frame: Frame, migration: Migration, options: ControlOptions, superseded: boolean): Promise<void> {
  const { observation, step } = frame;
  if (observation === undefined) return;
  const { decision } = step;
  // Observing: what is carried out is what stock Xen would do, whatever the controller would.
  const effect = await migration.apply(
    options.observe === true ? stockDecision(observation) : decision,
    observation,
    superseded,
    options.goal.onMiss,
  );
  if (decision.action === 'hold' && effect.result !== 'failed') return;
  const result = options.observe === true ? ({ result: 'skipped' } as const) : effect;
  options.sink.write({ type: 'effect', id: migration.id, atMs: migration.now(), action: decision.action, ...result });
}

async function putBack(migration: Migration, sink: RecordSink): Promise<RestoreResult> {
  const { id } = migration;
  let result: RestoreResult;
  try {
    result = await migration.restoreCap();
  } catch (error) {
    result = { restored: false, capAfter: null, hint: messageOf(error) };
  }
  sink.write({
    type: 'effect',
    id,
    atMs: migration.now(),
    action: 'restore',
    result: result.restored ? 'applied' : 'failed',
    ...(result.hint === undefined ? {} : { error: result.hint }),
  });
  if (!result.restored)
    sink.write({ type: 'note', id, level: 'error', text: `THE CAP WAS NOT RESTORED: ${result.hint ?? 'see xthrottle restore'}` });
  return result;
}

function closing(ending: Ending | undefined, restore: RestoreResult, last: Frame, wishes: Wishes) {
  return {
    result: ending?.result ?? ('unknown' as const),
    abortedByUs: ending?.abortedByUs === true || wishes.aborting !== undefined || last.tally.abortDecision !== undefined,
    capAfter: restore.capAfter,
    capRestored: restore.restored,
    ...(wishes.released === undefined ? {} : { released: true as const }),
    ...(ending?.failOpen === true ? { failOpen: true as const } : {}),
    ...(reasonOf(ending, last, wishes) === undefined ? {} : { reason: reasonOf(ending, last, wishes) as string }),
    ...(ending?.downtimeMs === undefined ? {} : { observedDowntimeMs: ending.downtimeMs }),
    ...(ending?.downtimeSource === undefined ? {} : { observedDowntimeSource: ending.downtimeSource }),
  };
}

function reasonOf(ending: Ending | undefined, last: Frame, wishes: Wishes): string | undefined {
  if (ending?.result === 'unknown') return ending.reason;
  return wishes.aborting ?? last.tally.abortDecision?.reason.text ?? ending?.reason;
}
