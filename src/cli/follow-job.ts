import { EXIT_CODES, messageOf } from '../core/errors.ts';
import type { DomainFacts } from '../core/goal.ts';
import { type GoalOptions, goalFor } from '../core/options.ts';
import type { SummaryRecord } from '../core/record.ts';
import { control } from '../loop.ts';
import { isSuspended, listDomains } from '../xen/domain.ts';
import type { MigrateJob } from '../xen/migrate-job.ts';
import { learnPair, loadPair } from '../xen/pair-store.ts';
import { restoreLogDirtyOf } from '../xen/restore.ts';
import { saveProcesses } from '../xen/save-processes.ts';
import { lookAfter } from '../xen/stranded.ts';
import type { XenMigration } from '../xen/xen-migration.ts';
import { printable, type RunXl } from '../xen/xl-errors.ts';
import { clearUp } from './aftermath.ts';
import { exitCodeOf } from './exit-code.ts';
import type { loadController } from './load-controller.ts';
import type { Output } from './output.ts';
import type { Signals } from './signals.ts';
import type { Telemetry } from './telemetry.ts';

/** After an abort xl has so long to end by itself; then its process group is ended. */
const ABORT_GRACE_MS = 20_000;

/** A wrapped migration that has just been started, and all that it needs. */
export interface Followed {
  readonly destination: string;
  readonly observe: boolean;
  readonly options: GoalOptions;
  readonly controller: Awaited<ReturnType<typeof loadController>>;
  readonly output: Output;
  readonly signals: Signals;
  /** Its migration, once its save helper has reached us; undefined when xl has ended, or a signal has come, before. */
  readonly migration: Promise<XenMigration | undefined>;
  readonly job: MigrateJob;
  readonly telemetry: Telemetry;
  readonly xl: RunXl;
  readonly facts: Pick<DomainFacts, 'domid' | 'uuid' | 'name'>;
}

export interface FollowedTo {
  readonly code: number;
  /** Absent when its save helper never reached us. */
  readonly summary?: SummaryRecord;
  /** Why there is none, for people. */
  readonly reason?: string;
}

/** Controls it to its end; its exit code. Every path leaves the guest with its own cap. */
export async function followJob(f: Followed): Promise<FollowedTo> {
  const { destination, observe, output, signals, job } = f;
  const migration = await f.migration;
  if (migration === undefined) return withoutMigration(f);
  f.telemetry.onMigration(migration);
  if (migration.policyMissing !== undefined) output.say(`five live rounds as stock Xen has them: ${migration.policyMissing}`);
  const goal = goalFor(f.options, migration.domain, migration.capabilities, await loadPair(destination));
  const impatience = impatient(job, signals, migration, output);
  const summary = await control(migration, {
    controller: f.controller,
    goal,
    sink: output.sink,
    observe,
    abort$: signals.first$,
    start: { time: new Date().toISOString() },
  });
  const result = await job.done.catch(() => undefined);
  impatience.stop();
  // What we abort ends in good order; an xl that had to be killed for it does not.
  if (result !== undefined && (summary.outcome !== 'aborted' || result.signal !== undefined))
    await clearUp({
      destination,
      output,
      result,
      domain: migration.domain,
      receiverLost: migration.receiverLost,
      isHere: async (name) => (await listDomains(f.xl)).some((domain) => domain.name === name),
      releaseLogDirty: (domid) => restoreLogDirtyOf(String(domid), f.xl),
    });
  await learn(migration, destination, output);
  await f.telemetry.leaveBehind(summary.domain, output);
  tellWhatToDo(summary, output);
  return { summary, code: exitCodeOf(summary, summary.outcome === 'aborted' ? signals.exitName() : undefined) };
}

/** xl ended, or we were told to stop, before its save helper ever reached us. */
async function withoutMigration({ destination, observe, job, signals, output, xl, facts }: Followed): Promise<FollowedTo> {
  const say = (code: number, reason: string, level?: 'error'): FollowedTo => {
    output.say(reason, level);
    return { code, reason };
  };
  const signal = signals.exitName();
  let helperAtWork = false;
  if (signal !== undefined) {
    // Its save helper may be at work without us.
    helperAtWork = saveProcesses().some((process) => process.kind === 'save' && process.domid === facts.domid);
    if ((await isSuspended(xl, facts.domid, facts.uuid).catch(() => true)) || job.handsOver())
      output.say('the guest is suspended: xl is not ended, since it alone can resume or hand over the guest', 'warning');
    else await job.terminate();
  }
  const result = await job.done;
  const mayYetSuspend = result.signal !== undefined && (signal === undefined || helperAtWork);
  // It has moved where its receiver told so, whatever became of xl.
  const moved = result.migrated || result.startedAtMs !== undefined;
  const stranded = result.migrated
    ? undefined
    : await lookAfter(facts, xl, {
        isOurs: !observe,
        mayRunThere: job.mayRunThere(),
        runsThere: result.startedAtMs !== undefined,
        mayYetSuspend,
        endRest: job.endRest,
      });
  if (stranded !== undefined) output.say(`${printable(facts.name)}: ${stranded.text}`, stranded.resumed ? 'warning' : 'error');
  if (signal !== undefined && !moved && stranded?.resumed !== false) {
    return say(EXIT_CODES[signal].code, 'ended before the first round; the guest runs on here, its cap was not touched');
  }
  if (!moved) {
    await clearUp({ result, destination, domain: facts, output });
    const why = result.reason ?? `exit code ${result.exitCode ?? result.signal}`;
    const failed = say(EXIT_CODES.migrationFailed.code, `xl migrate failed before the first round: ${why}`, 'error');
    return stranded === undefined ? failed : { ...failed, reason: `${failed.reason}; ${stranded.text}` };
  }
  const unwatched = 'migrated, but not under control: xl did not use our save helper (LIBXL_SAVE_HELPER); the target was not watched';
  return say(EXIT_CODES.missed.code, unwatched, 'error');
}

/**
 * Ends an xl that does not end by itself after a signal; but never while the guest stands: only xl resumes it here, or starts it there.
 */
function impatient(job: MigrateJob, signals: Signals, migration: XenMigration, output: Output): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  const subscription = signals.first$.subscribe(() => {
    timer = setTimeout(() => {
      if (migration.leaving)
        output.say('the guest is suspended: xl is not ended, since it alone can resume or hand over the guest', 'warning');
      else void job.terminate();
    }, ABORT_GRACE_MS);
  });
  return {
    stop() {
      clearTimeout(timer);
      subscription.unsubscribe();
    },
  };
}

async function learn(migration: XenMigration, destination: string, output: Output): Promise<void> {
  const sample = migration.learned();
  if (sample === undefined) return;
  try {
    await learnPair(destination, sample);
  } catch (error) {
    output.say(`what was learned of this pair of hosts is not kept: ${messageOf(error)}`, 'warning');
  }
}

function tellWhatToDo(summary: SummaryRecord, output: Output): void {
  if (summary.outcome === 'aborted' && summary.reason.includes('on-miss'))
    output.say('to migrate all the same: --on-miss proceed, a longer --target-downtime, or a faster link');
}
