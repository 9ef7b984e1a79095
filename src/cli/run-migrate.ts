import { firstValueFrom, takeUntil } from 'rxjs';
import { assetPath } from '../assets.ts';
import { EXIT_CODES, XthrottleError } from '../core/errors.ts';
import { type GoalOptions, goalFor } from '../core/options.ts';
import { ms } from '../core/units.ts';
import type { Balloon } from '../xen/balloon.ts';
import { preflight, type XenDomain } from '../xen/domain.ts';
import { startMigrateJob } from '../xen/migrate-job.ts';
import type { RestoreOutcome } from '../xen/restore.ts';
import { assertTslice } from '../xen/tslice.ts';
import { openXenHost, type XenHost } from '../xen/xen-host.ts';
import { followJob } from './follow-job.ts';
import { balloonOf, suspendTimeoutOf, tsliceOf } from './host-options.ts';
import { controllerOf } from './load-controller.ts';
import type { MigrateArguments } from './migrate.ts';
import { goalOptionsOf } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { prepareBalloon } from './shrink.ts';
import { listenForSignals } from './signals.ts';
import { openTelemetry } from './telemetry.ts';
import { openXenTools, privateSocket } from './xen-setup.ts';

/** One wrapped migration; its exit code. Throws XthrottleError. */
export async function migrate(argv: MigrateArguments): Promise<number> {
  const options = goalOptionsOf(argv);
  const tsliceMs = tsliceOf(argv);
  const suspendTimeoutMs = suspendTimeoutOf(argv);
  const request = balloonOf(argv);
  const controller = await controllerOf(argv);
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
      suspendTimeoutMs,
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
    const migration = firstValueFrom(host.migrations$.pipe(takeUntil(signals.first$)), { defaultValue: undefined });
    const { host: destination, observe } = argv;
    const { facts } = domain;
    const { code } = await followJob({ destination, observe, options, controller, output, signals, migration, job, telemetry, xl, facts });
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
export async function givenBack(balloon: Balloon | undefined, output: Output): Promise<boolean> {
  const result = await balloon?.giveBack();
  if (result?.restored === false) output.say(`THE MEMORY WAS NOT GIVEN BACK: ${result.hint}`, 'error');
  return result?.restored !== false;
}

/** A cap that xthrottle has set would travel: xl gives the destination the one that it finds. Throws XthrottleError. */
export function assertOwnCap({ facts }: XenDomain, outcomes: readonly RestoreOutcome[]): void {
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

/** Says at once, before anything runs, what is wrong with the options for this domain. */
export function checkGoal(
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
    runFirstMs: ms(tsliceMs),
  });
}
