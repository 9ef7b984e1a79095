import type { Argv, CommandModule } from 'yargs';
import { type BalloonArguments, type TsliceArguments, withBalloonOption, withTsliceOption } from './host-options.ts';
import type { Exit } from './main.ts';
import { type GoalArguments, type OutputArguments, withGoalOptions, withOutputOptions } from './options.ts';
import { type TelemetryArguments, withTelemetryOptions } from './telemetry-options.ts';

export interface EvacuateArguments
  extends GoalArguments,
    Omit<OutputArguments, 'live'>,
    Partial<Pick<OutputArguments, 'live'>>,
    TelemetryArguments,
    TsliceArguments,
    BalloonArguments {
  readonly host?: string | undefined;
  readonly parallel?: string | undefined;
  readonly order: string;
  readonly bandwidth?: string | undefined;
  readonly probe: string;
  readonly tries: string;
  readonly deny?: readonly string[] | undefined;
  readonly 'dry-run': boolean;
  readonly fresh: boolean;
  readonly simulate?: string | undefined;
  readonly seed: string;
  readonly verbose: boolean;
  readonly '--'?: readonly string[];
}

/** First, so that help begins with them. */
const withOwnOptions = (args: Argv) =>
  args
    .positional('host', { type: 'string', describe: 'the destination of all, as xl migrate takes it' })
    .option('dry-run', { type: 'boolean', default: false, describe: 'print the plan with predicted times and downtimes, migrate nothing' })
    .option('parallel', { type: 'string', requiresArg: true, describe: 'so many at a time [default: 1, or what fills --bandwidth]' })
    .option('order', {
      choices: ['auto', 'smallest', 'largest', 'quietest', 'listed'],
      requiresArg: true,
      default: 'auto',
      describe: 'who leaves first; auto: the quickest, or, with several at a time, the one that takes longest',
    })
    .option('bandwidth', {
      type: 'string',
      requiresArg: true,
      describe: 'what the link carries (10Gbit/s): for predictions and --parallel',
    })
    .option('probe', {
      type: 'string',
      requiresArg: true,
      default: '2s',
      describe: 'look at each guest for so long before: its dirty curve; off: go by size alone',
    })
    .option('tries', {
      type: 'string',
      requiresArg: true,
      default: '2',
      describe: 'tries for a guest that missed; later ones at the end, with more rounds',
    })
    .option('deny', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      describe: 'leave the domain of this name here; may be repeated',
    })
    .option('fresh', { type: 'boolean', default: false, describe: 'forget the plan of an evacuation to this host that was interrupted' })
    .option('simulate', {
      type: 'string',
      requiresArg: true,
      describe: 'drain a simulated host of so many guests instead: no Xen, no root',
    })
    .option('seed', { type: 'string', requiresArg: true, default: '1', describe: 'of the simulated host' })
    .option('verbose', { alias: 'v', type: 'boolean', default: false, describe: "show xl's own output too" })
    .group(['dry-run', 'parallel', 'order', 'bandwidth', 'probe', 'tries', 'deny', 'fresh', 'simulate', 'seed'], 'Evacuation:');

const builder = (args: Argv) =>
  withTelemetryOptions(withOutputOptions(withBalloonOption(withTsliceOption(withGoalOptions(withOwnOptions(args))))))
    .describe('profile', 'how fast the cap may come down; straight to the floor takes the least time [default: steep]')
    .option('max-rounds', {
      type: 'string',
      requiresArg: true,
      group: 'Target and bounds:',
      describe: 'at most so many live rounds, twice as many in a later try [default: 8]',
    })
    .describe('deadline', 'whatever has not left by then, from the start of the evacuation, stays here')
    .example('$0 evacuate host2 --dry-run --bandwidth 10Gbit/s', 'who would leave when, and who could not')
    .example('$0 evacuate host2 --deadline 30m --target-downtime 300ms', 'drain this host within half an hour')
    .example('$0 evacuate --simulate 20', 'twenty simulated guests on one link, against the best order there is');

/** `xthrottle evacuate`: drains this host. */
export const evacuateCommand = (exit: Exit): CommandModule<object, EvacuateArguments> => ({
  command: 'evacuate [host]',
  describe: 'migrate every guest of this host to another, each within its downtime target',
  builder: builder as unknown as (args: Argv) => Argv<EvacuateArguments>,
  handler: async (argv) => {
    if (argv.simulate === undefined) exit.code = await (await import('./run-evacuate.ts')).evacuate(argv);
    else exit.code = await (await import('./evacuate-simulated.ts')).evacuateSimulated(argv, argv.simulate);
  },
});
