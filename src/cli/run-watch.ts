import { lastValueFrom, map, mergeMap, takeUntil, tap } from 'rxjs';
import { frontPath } from '../assets.ts';
import type { Controller } from '../core/controller.ts';
import { EXIT_CODES, messageOf } from '../core/errors.ts';
import { type GoalOptions, goalFor } from '../core/options.ts';
import type { SummaryRecord } from '../core/record.ts';
import { control } from '../loop.ts';
import { loadPair } from '../xen/pair-store.ts';
import { assertSomeTslice } from '../xen/tslice.ts';
import { openXenHost } from '../xen/xen-host.ts';
import type { XenMigration } from '../xen/xen-migration.ts';
import { tellOfCap } from './aftermath.ts';
import { suspendTimeoutOf, tsliceOf } from './host-options.ts';
import { controllerOf } from './load-controller.ts';
import { goalOptionsOf } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { openService } from './service.ts';
import { listenForSignals, type Signals } from './signals.ts';
import { openTelemetry } from './telemetry.ts';
import type { WatchArguments } from './watch.ts';
import { openXenTools, sidecarSocket } from './xen-setup.ts';

/** The sidecar, until a signal; its exit code. Throws XthrottleError. */
export async function watch(argv: WatchArguments): Promise<number> {
  const options = goalOptionsOf(argv);
  const tsliceMs = tsliceOf(argv);
  const suspendTimeoutMs = suspendTimeoutOf(argv);
  const controller = await controllerOf(argv);
  const telemetry = await openTelemetry(argv);
  const output = openOutput({ ...argv, many: true, also: telemetry.sinks });
  const signals = listenForSignals((text) => output.say(text, 'warning'));
  const service = openService();
  signals.first$.subscribe(() => service.stopping());
  let notRestored = false;
  try {
    await telemetry.start(output, 'refuse');
    const { xl, xenctrl } = await openXenTools(output, telemetry);
    await xl(['list']);
    if (tsliceMs !== undefined) await assertSomeTslice(xl);
    const host = await openXenHost({
      socketPath: sidecarSocket(),
      xl,
      xenctrl,
      observe: argv.observe,
      tsliceMs,
      suspendTimeoutMs,
      isWanted: wanted(argv),
      note: (level, text) => output.say(text, level),
    });
    if (!argv.observe) await telemetry.onLeftovers(host.restored, output);
    output.say(`listening at ${host.socketPath}; jobs take part with LIBXL_SAVE_HELPER=${frontPath()}`);
    service.listening(argv.observe);
    try {
      const summaries$ = host.migrations$.pipe(
        takeUntil(signals.first$),
        mergeMap((migration) => service.counted(follow(migration, { argv, options, controller, output, signals, telemetry }))),
        tap((summary) => {
          if (summary?.capRestored === false) notRestored = true;
        }),
      );
      await lastValueFrom(summaries$, { defaultValue: undefined });
    } finally {
      await host.close();
    }
  } finally {
    signals.dispose();
    await output.close();
    await telemetry.close();
    await service.close();
  }
  if (notRestored) return EXIT_CODES.capNotRestored.code;
  return EXIT_CODES[signals.exitName() ?? 'ok'].code;
}

interface Followed {
  readonly argv: WatchArguments;
  readonly options: GoalOptions;
  readonly controller: Controller;
  readonly output: Output;
  readonly signals: Signals;
  readonly telemetry: Awaited<ReturnType<typeof openTelemetry>>;
}

/** Controls one of the migrations. One that fails unexpectedly takes no other down with it. */
async function follow(migration: XenMigration, f: Followed): Promise<SummaryRecord | undefined> {
  const { output, signals } = f;
  try {
    f.telemetry.onMigration(migration);
    if (migration.policyMissing !== undefined)
      output.say(`${migration.domain.name}: five live rounds as stock Xen has them: ${migration.policyMissing}`);
    const goal = goalFor(f.options, migration.domain, migration.capabilities, await loadPair(''));
    const summary = await control(migration, {
      controller: f.controller,
      goal,
      sink: output.sink,
      observe: f.argv.observe,
      release$: signals.first$.pipe(map((signal) => signal)),
      start: { time: new Date().toISOString() },
    });
    await f.telemetry.leaveBehind(summary.domain, output);
    tellOfCap(summary, migration.startedBy, output);
    return summary;
  } catch (error) {
    output.say(`${migration.domain.name}: ${messageOf(error)}; its migration is left to stock Xen`, 'error');
    await migration.restoreCap();
    return undefined;
  }
}

function wanted({ domain, allow, deny }: WatchArguments): (name: string) => boolean {
  const only = [...(domain ?? []), ...(allow ?? [])];
  return (name) => (only.length === 0 || only.includes(name)) && deny?.includes(name) !== true;
}
