import type { Argv, CommandModule } from 'yargs';
import type { Mechanism } from '../sim/mechanism.ts';
import { type TsliceArguments, withTsliceOption } from './host-options.ts';
import type { Exit } from './main.ts';
import { MECHANISMS } from './mechanism.ts';
import { type GoalArguments, type OutputArguments, withGoalOptions, withOutputOptions } from './options.ts';
import { type TelemetryArguments, withSimulatedTelemetryOptions } from './telemetry-options.ts';

export interface SimulateArguments extends GoalArguments, OutputArguments, TelemetryArguments, TsliceArguments {
  readonly scenario?: readonly string[] | undefined;
  readonly seed?: string | undefined;
  readonly list: boolean;
  readonly schema: boolean;
  readonly compare?: string | undefined;
  readonly mechanism: Mechanism;
  readonly pace?: string | undefined;
  readonly stay: boolean;
  readonly observe: boolean;
}

const SIMULATION = 'Simulation:';

/** First, so that help begins with them. */
const withOwnOptions = (args: Argv) =>
  args
    .option('scenario', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      describe: 'name of a scenario that comes with xthrottle, or path of a JSON file; repeated: migrations at the same time',
    })
    .option('seed', {
      type: 'string',
      requiresArg: true,
      describe: 'makes all that is random; the same seed gives the same run [default: a new one, printed]',
    })
    .option('compare', {
      type: 'string',
      requiresArg: true,
      describe: 'run this controller on the same seed too and print both side by side',
    })
    .option('mechanism', {
      choices: MECHANISMS,
      requiresArg: true,
      default: 'pre-copy',
      describe: 'how memory moves; post-copy and hybrid are models, unthrottled, of what Xen does not have',
    })
    .option('pace', { type: 'string', requiresArg: true, describe: 'virtual seconds per real second [default: as fast as possible]' })
    .option('stay', { type: 'boolean', default: false, describe: 'after the end keep serving --metrics until a signal' })
    .option('observe', { type: 'boolean', default: false, describe: 'decide and record, change nothing' })
    .option('list', { type: 'boolean', default: false, describe: 'name the scenarios, one a line' })
    .option('schema', { type: 'boolean', default: false, describe: 'print the JSON schema of a scenario file' })
    .group(['scenario', 'seed', 'compare', 'mechanism', 'pace', 'stay', 'observe', 'list', 'schema'], SIMULATION);

const builder = (args: Argv) =>
  withSimulatedTelemetryOptions(withOutputOptions(withTsliceOption(withGoalOptions(withOwnOptions(args)))))
    .describe({
      'target-downtime': "longest downtime the guest may see (200ms, 2s) [default: the scenario's]",
      'max-stall': "longest stall throttling may cause; sets the floor of the cap [default: the scenario's, else the target]",
    })
    .example('$0 simulate --scenario busy-database --compare none', 'with and without xthrottle, side by side')
    .example('$0 simulate --scenario busy-database --scenario hot-cold --pace 2', 'two at the same time, in the live view')
    .example('$0 simulate --scenario busy-database --mechanism post-copy --compare working-set', 'what post-copy would give')
    .example('$0 simulate --scenario busy-database --pace 1 --metrics 127.0.0.1:9464', 'in real time, with metrics to scrape');

/** `xthrottle simulate`: the same loop and output as on Xen, on the simulated host. */
export const simulateCommand = (exit: Exit): CommandModule<object, SimulateArguments> => ({
  command: 'simulate',
  describe: 'migrate a simulated guest: no Xen, no root',
  builder: builder as unknown as (args: Argv) => Argv<SimulateArguments>,
  handler: async (argv) => {
    const { simulateCli } = await import('./run-simulate.ts');
    exit.code = await simulateCli(argv);
  },
});
