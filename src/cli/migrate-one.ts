import { filter, firstValueFrom, type Observable, Subject, takeUntil } from 'rxjs';
import type { Controller } from '../core/controller.ts';
import { EXIT_CODES, messageOf } from '../core/errors.ts';
import type { GoalOptions } from '../core/options.ts';
import type { MigrationRecord, RecordSink } from '../core/record.ts';
import { type Ms, ms } from '../core/units.ts';
import type { Attempt } from '../evacuate/plan.ts';
import type { Balloon } from '../xen/balloon.ts';
import type { BalloonRequest } from '../xen/balloon-plan.ts';
import { preflight, type XenDomain } from '../xen/domain.ts';
import { type MigrateJob, startMigrateJob } from '../xen/migrate-job.ts';
import { assertTslice } from '../xen/tslice.ts';
import type { XenHost } from '../xen/xen-host.ts';
import type { XenMigration } from '../xen/xen-migration.ts';
import { type FollowedTo, followJob } from './follow-job.ts';
import type { Output } from './output.ts';
import { assertOwnCap, checkGoal, givenBack } from './run-migrate.ts';
import { prepareBalloon } from './shrink.ts';
import type { Signals } from './signals.ts';
import type { Telemetry } from './telemetry.ts';
import type { XenTools } from './xen-setup.ts';

/** What all migrations of an evacuation share. */
export interface Migrator extends XenTools {
  readonly destination: string;
  readonly host: XenHost;
  /** The host's, for several subscribers. */
  readonly migrations$: Observable<XenMigration>;
  readonly controller: Controller;
  readonly output: Output;
  readonly signals: Signals;
  readonly telemetry: Telemetry;
  readonly tsliceMs: Ms | undefined;
  readonly request: BalloonRequest | undefined;
  readonly xlOptions: readonly string[];
  readonly front: string;
  readonly verbose: boolean;
}

export interface MigratedOne {
  readonly attempt: Omit<Attempt, 'shared'>;
  readonly notRestored: boolean;
}

/** The same as `xthrottle migrate` does, for one of several at a time. Never throws: what stands in its way is how it ended. */
export async function migrateOne(migrator: Migrator, uuid: string, options: GoalOptions): Promise<MigratedOne> {
  const { output, signals } = migrator;
  let balloon: Balloon | undefined;
  try {
    const domain = await ready(migrator, uuid, options);
    if (signals.exitName() !== undefined) return { attempt: nothing('interrupted', 'ended before it began'), notRestored: false };
    const { host, destination, request, xl } = migrator;
    const onShrunk = (smaller: XenDomain) => host.adopt(job, destination, smaller);
    balloon = request === undefined ? undefined : await prepareBalloon({ request, domain, host, xl, output, onShrunk });
    const job: MigrateJob = startMigrateJob({
      domid: domain.facts.domid,
      destination,
      xlOptions: migrator.xlOptions,
      front: migrator.front,
      socketPath: host.socketPath,
      holdPath: balloon?.holdPath,
      ...(migrator.verbose ? { onOutput: (text: string) => process.stderr.write(text) } : {}),
    });
    host.adopt(job, destination, domain);
    const watched = watching(output);
    const migration = migrationOf(migrator, domain.facts.domid, job);
    const followed = await followJob({ ...migrator, observe: false, options, migration, job, output: watched.output, facts: domain.facts });
    const back = await givenBack(balloon, output);
    return {
      attempt: attemptOf(followed, signals, watched.bestDowntimeMs()),
      notRestored: !back || followed.code === EXIT_CODES.capNotRestored.code,
    };
  } catch (error) {
    return { attempt: nothing('failed', messageOf(error)), notRestored: false };
  } finally {
    await givenBack(balloon, output).catch(() => false);
  }
}

/** All the checks of `xthrottle migrate`. Throws XthrottleError. */
async function ready({ xl, host, tsliceMs }: Migrator, uuid: string, options: GoalOptions): Promise<XenDomain> {
  const domain = await preflight(uuid, xl);
  if (tsliceMs !== undefined) await assertTslice(tsliceMs, domain, xl);
  checkGoal(options, domain.facts, domain.scheduler, ms(Math.min(domain.tsliceMs, tsliceMs ?? domain.tsliceMs)));
  assertOwnCap(domain, host.restored);
  return domain;
}

/** xl ends after its relay; one that has said nothing for so long since has none. */
const RELAY_LATE_MS = 2000;

/** The domain's migration when its relay comes; undefined once xl has ended without, or a signal has come. */
function migrationOf({ migrations$, signals }: Migrator, domid: number, job: MigrateJob): Promise<XenMigration | undefined> {
  const over$ = new Subject<void>();
  const over = () => void setTimeout(() => over$.next(), RELAY_LATE_MS);
  job.done.then(over, over);
  return firstValueFrom(
    migrations$.pipe(
      filter((migration) => migration.domain.domid === domid),
      takeUntil(over$),
      takeUntil(signals.first$),
    ),
    { defaultValue: undefined },
  );
}

const nothing = (result: Attempt['result'], reason: string): MigratedOne['attempt'] => ({ result, reason, seconds: 0, bytesSent: 0 });

function attemptOf({ summary, reason, code }: FollowedTo, signals: Signals, bestDowntimeMs: number | undefined): MigratedOne['attempt'] {
  const interrupted = signals.exitName() !== undefined;
  if (summary === undefined) {
    const moved = code === EXIT_CODES.missed.code;
    const result = moved ? 'moved' : interrupted ? 'interrupted' : 'failed';
    return { ...nothing(result, reason ?? 'unknown'), ...(moved ? { metTarget: false } : {}) };
  }
  const { outcome, bytesSent, observedDowntimeMs } = summary;
  const moved = outcome === 'met' || outcome === 'missed';
  return {
    result: moved ? 'moved' : outcome === 'aborted' ? (interrupted ? 'interrupted' : 'stayed') : 'failed',
    reason: summary.reason,
    seconds: summary.totalSeconds,
    bytesSent,
    ...(moved ? { metTarget: outcome === 'met' } : {}),
    ...(observedDowntimeMs === null ? {} : { downtimeMs: observedDowntimeMs }),
    ...(moved || bestDowntimeMs === undefined ? {} : { bestDowntimeMs }),
  };
}

/** Hears the verdict that not even the lowest cap allowed would do. */
function watching(output: Output): { readonly output: Output; bestDowntimeMs(): number | undefined } {
  let best: number | undefined;
  const hear = (record: MigrationRecord): void => {
    if (record.type !== 'decision' || (record.decision.action !== 'abort' && record.decision.action !== 'deny')) return;
    best = record.decision.forecast?.feasible === false ? record.decision.forecast.bestDowntimeMs : undefined;
  };
  const sink: RecordSink = {
    write: (record) => {
      hear(record);
      output.sink.write(record);
    },
    close: () => output.sink.close(),
  };
  return { output: { ...output, sink }, bestDowntimeMs: () => best };
}
