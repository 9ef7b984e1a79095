import type { Argv, CommandModule } from 'yargs';
import {
  type BalloonArguments,
  type SuspendTimeoutArguments,
  type TsliceArguments,
  withBalloonOption,
  withSuspendTimeoutOption,
  withTsliceOption,
} from './host-options.ts';
import type { Exit } from './main.ts';
import { type GoalArguments, type OutputArguments, withGoalOptions, withOutputOptions } from './options.ts';
import { type TelemetryArguments, withTelemetryOptions } from './telemetry-options.ts';

export interface MigrateArguments
  extends GoalArguments,
    OutputArguments,
    TelemetryArguments,
    TsliceArguments,
    SuspendTimeoutArguments,
    BalloonArguments {
  readonly domain: string;
  readonly host: string;
  readonly observe: boolean;
  readonly verbose: boolean;
  readonly '--'?: readonly string[];
}

const builder = (args: Argv) =>
  withTelemetryOptions(withOutputOptions(withBalloonOption(withSuspendTimeoutOption(withTsliceOption(withGoalOptions(args))))))
    .positional('domain', { type: 'string', demandOption: true, describe: 'name, domid or UUID' })
    .positional('host', { type: 'string', demandOption: true, describe: 'the destination, as xl migrate takes it' })
    .option('observe', { type: 'boolean', default: false, describe: 'decide and record, change nothing: the migration runs as stock' })
    .option('verbose', { alias: 'v', type: 'boolean', default: false, describe: "show xl's own output too" })
    .example('$0 migrate db1 host2 --target-downtime 200ms', 'migrate within 200 ms, or leave the guest here')
    .example("$0 migrate db1 host2 -- -s 'ssh -p 2222'", 'options for xl migrate go behind --');

/** `xthrottle migrate`: starts `xl migrate`, controls it, reports. */
export const migrateCommand = (exit: Exit): CommandModule<object, MigrateArguments> => ({
  command: 'migrate <domain> <host>',
  describe: 'migrate a guest to another host within a downtime target',
  builder: builder as unknown as (args: Argv) => Argv<MigrateArguments>,
  handler: async (argv) => {
    const { migrate } = await import('./run-migrate.ts');
    exit.code = await migrate(argv);
  },
});
