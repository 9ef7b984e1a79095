import type { Argv, CommandModule } from 'yargs';
import { type SuspendTimeoutArguments, type TsliceArguments, withSuspendTimeoutOption, withTsliceOption } from './host-options.ts';
import type { Exit } from './main.ts';
import { type GoalArguments, type OutputArguments, withGoalOptions, withOutputOptions } from './options.ts';
import { type TelemetryArguments, withTelemetryOptions } from './telemetry-options.ts';

export interface WatchArguments extends GoalArguments, OutputArguments, TelemetryArguments, TsliceArguments, SuspendTimeoutArguments {
  readonly domain?: readonly string[] | undefined;
  readonly allow?: readonly string[] | undefined;
  readonly deny?: readonly string[] | undefined;
  readonly observe: boolean;
}

const names = { type: 'string', array: true, nargs: 1, requiresArg: true } as const;

const builder = (args: Argv) =>
  withTelemetryOptions(withOutputOptions(withSuspendTimeoutOption(withTsliceOption(withGoalOptions(args)))))
    .option('domain', { ...names, describe: 'control only domains of this name; may be repeated' })
    .option('allow', { ...names, describe: 'the same as --domain' })
    .option('deny', { ...names, describe: 'leave domains of this name to stock Xen; may be repeated' })
    .option('observe', { type: 'boolean', default: false, describe: 'decide and record, change nothing: migrations run as stock' })
    .example('$0 --observe', 'look first: what it would do to the migrations of this host')
    .example('$0 --target-downtime 200ms --deny legacy', 'control all migrations but those of legacy');

/** `xthrottle` (also `watch`): the host sidecar to migrate jobs. */
export const watchCommand = (exit: Exit): CommandModule<object, WatchArguments> => ({
  command: ['$0', 'watch'],
  describe: 'control every migration of this host whose save helper is our front',
  builder: builder as unknown as (args: Argv) => Argv<WatchArguments>,
  handler: async (argv) => {
    const { watch } = await import('./run-watch.ts');
    exit.code = await watch(argv);
  },
});
