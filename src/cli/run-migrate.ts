import { firstValueFrom, takeUntil } from 'rxjs';
import { assetPath } from '../assets.ts';
import { EXIT_CODES, messageOf, XthrottleError } from '../core/errors.ts';
import { type GoalOptions, goalFor } from '../core/options.ts';
import type { SummaryRecord } from '../core/record.ts';
import { ms } from '../core/units.ts';
import { control } from '../loop.ts';
import type { Balloon } from '../xen/balloon.ts';
import { preflight, type XenDomain } from '../xen/domain.ts';
import { type MigrateJob, startMigrateJob } from '../xen/migrate-job.ts';
import { learnPair, loadPair } from '../xen/pair-store.ts';
import type { RestoreOutcome } from '../xen/restore.ts';
import { assertTslice } from '../xen/tslice.ts';
import { openXenHost, type XenHost } from '../xen/xen-host.ts';
import type { XenMigration } from '../xen/xen-migration.ts';
import { exitCodeOf } from './exit-code.ts';
import { balloonOf, tsliceOf } from './host-options.ts';
import { loadController } from './load-controller.ts';
import type { MigrateArguments } from './migrate.ts';
import { goalOptionsOf } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { prepareBalloon } from './shrink.ts';
import { listenForSignals, type Signals } from './signals.ts';
import { openTelemetry } from './telemetry.ts';
import { openXenTools, privateSocket } from './xen-setup.ts';

/** After an abort xl has so long to end by itself; then its process group is ended. */
const ABORT_GRACE_MS = 20_000;

/** One wrapped migration; its exit code. Throws XthrottleError. */
export async function migrate(argv: MigrateArguments): Promise<number> {
  const options = goalOptionsOf(argv);
  const tsliceMs = tsliceOf(argv);
  const request = balloonOf(argv);
  const controller = await loadController(argv.controller);
  const telemetry = await openTelemetry(argv);
  const output = openOutput({ ...argv, many: false, also: telemetry.sinks });
  const signals = listenForSignals((text) => output.say(text, 'warning'));
  let host: XenHost | undefined;
  let balloon: Balloon | undefined;
  try {
    await telemetry.start(output, 'warn');
    const { xl, xenctrl } = await openXenTools(output, telemetry);
    const found = await preflight(argv.domain, xl);
    if (tsliceMs !== undefined) await assertTslice(tsliceMs, found, xl);
    checkGoal(options, found.facts, found.scheduler, ms(Math.min(found.tsliceMs, tsliceMs ?? found.tsliceMs)));
    host = await openXenHost({
      socketPath: privateSocket(),
      xl,
      xenctrl,
      observe: argv.observe,
      tsliceMs,
      note: (level, text) => output.say(text, level),
    });
    if (!argv.observe) await telemetry.onLeftovers(host.restored, output);
    assertOwnCap(found, host.restored);
    // What was just put back is the domain's own, not what was found before.
    const domain = host.restored.some(({ verdict }) => verdict === 'restored') ? await preflight(String(found.facts.domid), xl) : found;
    const early = signals.exitName();
    if (early !== undefined) {
      output.say('ended before xl migrate was started; nothing was changed');
      return EXIT_CODES[early].code;
    }
    const { socketPath, wrap } = host;
    if (request !== undefined && !argv.observe) {
      const onShrunk = (smaller: XenDomain) => wrap(job, argv.host, smaller);
      balloon = await prepareBalloon({ request, domain, host, xl, output, onShrunk });
    }
    const job = startMigrateJob({
      domid: domain.facts.domid,
      destination: argv.host,
      xlOptions: argv['--'] ?? [],
      front: assetPath('src/xen/relay/front.sh'),
      socketPath,
      holdPath: balloon?.holdPath,
      ...(argv.verbose ? { onOutput: (text: string) => process.stderr.write(text) } : {}),
    });
    wrap(job, argv.host, domain);
    const code = await followJob({ argv, options, controller, output, signals, host, job, telemetry });
    return (await givenBack(balloon, output)) ? code : EXIT_CODES.capNotRestored.code;
  } finally {
    await givenBack(balloon, output);
    await host?.close();
    signals.dispose();
    await output.close();
    await telemetry.close();
  }
}

/** The guest has its memory again, or has taken it along. */
async function givenBack(balloon: Balloon | undefined, output: Output): Promise<boolean> {
  const result = await balloon?.giveBack();
  if (result?.restored === false) output.say(`THE MEMORY WAS NOT GIVEN BACK: ${result.hint}`, 'error');
  return result?.restored !== false;
}

/** A cap that xthrottle has set would travel: xl gives the destination the one that it finds. Throws XthrottleError. */
function assertOwnCap({ facts }: XenDomain, outcomes: readonly RestoreOutcome[]): void {
  const left = outcomes.find(
    ({ kind, uuid, verdict }) => kind !== 'logdirty' && uuid === facts.uuid && (verdict === 'failed' || verdict === 'owner-alive'),
  );
  if (left === undefined) return;
  if (left.verdict === 'owner-alive') {
    throw new XthrottleError('noDomain', `${left.what} is being migrated already: ${left.text}`, { hint: 'wait until that has ended' });
  }
  throw new XthrottleError('capNotRestored', `the cap that an earlier run left on ${left.what} could not be put back: ${left.text}`, {
    hint: left.hint ?? 'xthrottle restore',
  });
}

interface Followed {
  readonly argv: MigrateArguments;
  readonly options: GoalOptions;
  readonly controller: Awaited<ReturnType<typeof loadController>>;
  readonly output: Output;
  readonly signals: Signals;
  readonly host: XenHost;
  readonly job: MigrateJob;
  readonly telemetry: Awaited<ReturnType<typeof openTelemetry>>;
}

async function followJob(f: Followed): Promise<number> {
  const { argv, output, signals, host, job } = f;
  const migration = await firstValueFrom(host.migrations$.pipe(takeUntil(signals.first$)), { defaultValue: undefined });
  if (migration === undefined) return withoutMigration(f);
  f.telemetry.onMigration(migration);
  if (migration.policyMissing !== undefined) output.say(`five live rounds as stock Xen has them: ${migration.policyMissing}`);
  const goal = goalFor(f.options, migration.domain, migration.capabilities, await loadPair(argv.host));
  const impatience = impatient(job, signals, migration, output);
  const summary = await control(migration, {
    controller: f.controller,
    goal,
    sink: output.sink,
    observe: argv.observe,
    abort$: signals.first$,
    start: { time: new Date().toISOString() },
  });
  await job.done.catch(() => undefined);
  impatience.stop();
  await learn(migration, argv.host, output);
  await f.telemetry.leaveBehind(summary.domain, output);
  tellWhatToDo(summary, output);
  return exitCodeOf(summary, summary.outcome === 'aborted' ? signals.exitName() : undefined);
}

/** xl ended, or we were told to stop, before its save helper ever reached us. */
async function withoutMigration({ job, signals, output }: Followed): Promise<number> {
  const signal = signals.exitName();
  if (signal !== undefined) await job.terminate();
  const result = await job.done;
  if (signal !== undefined) {
    output.say('ended before the first round; the guest runs on here, its cap was not touched');
    return EXIT_CODES[signal].code;
  }
  if (!result.migrated) {
    output.say(`xl migrate failed before the first round: ${result.reason ?? `exit code ${result.exitCode ?? result.signal}`}`, 'error');
    return EXIT_CODES.migrationFailed.code;
  }
  output.say('migrated, but not under control: xl did not use our save helper (LIBXL_SAVE_HELPER); the target was not watched', 'error');
  return EXIT_CODES.missed.code;
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

/** Says at once, before anything runs, what is wrong with the options for this domain. */
function checkGoal(
  options: GoalOptions,
  facts: Parameters<typeof goalFor>[1],
  scheduler: 'credit' | 'credit2' | 'other',
  tsliceMs: Parameters<typeof ms>[0],
): void {
  goalFor(options, facts, {
    peek: false,
    policy: false,
    roundsMax: 5,
    actuator: true,
    actuatorLatencyMs: ms(0),
    liftLatencyMs: ms(0),
    scheduler,
    tsliceMs: ms(tsliceMs),
  });
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
