import type { Argv, CommandModule } from 'yargs';
import { type TsliceArguments, withTsliceOption } from './host-options.ts';
import type { Exit } from './main.ts';
import { type GoalArguments, withGoalOptions } from './options.ts';

export interface ProbeArguments extends GoalArguments, TsliceArguments {
  readonly domain?: string | undefined;
  readonly duration: string;
  readonly bandwidth?: string | undefined;
  readonly to?: string | undefined;
  readonly scenario?: string | undefined;
  readonly seed: string;
  readonly json: boolean;
}

/** First, so that help begins with them. */
const withOwnOptions = (args: Argv) =>
  args
    .positional('domain', { type: 'string', describe: 'name, domid or UUID' })
    .option('duration', {
      type: 'string',
      requiresArg: true,
      default: '10s',
      describe: 'how long to watch; the longest round should fit in',
    })
    .option('bandwidth', {
      type: 'string',
      requiresArg: true,
      describe:
        "what the migration's stream gets (1Gbit/s, 110MB/s) [default: what earlier migrations --to HOST got, the scenario's link, else 1Gbit/s]",
    })
    .option('to', {
      type: 'string',
      requiresArg: true,
      describe: 'a destination: what earlier migrations to it taught of link and fixed costs',
    })
    .option('scenario', {
      type: 'string',
      requiresArg: true,
      describe: 'a guest of the simulated host instead of a domain: no Xen, no root',
    })
    .option('seed', { type: 'string', requiresArg: true, default: '1', describe: 'of the simulated host' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object: curve, working set, rehearsed migrations' })
    .group(['duration', 'bandwidth', 'to', 'scenario', 'seed', 'json'], 'Probe:');

const builder = (args: Argv) =>
  withTsliceOption(withGoalOptions(withOwnOptions(args)))
    .describe('tslice', 'what it would need with this timeslice of credit1 (5ms); nothing is changed')
    .example('$0 probe db1 --bandwidth 10Gbit/s --target-downtime 200ms', 'would it meet the target, and how?')
    .example('$0 probe --scenario busy-database', 'the same on the simulated host');

/** `xthrottle probe`: the dirty curve of a running guest, and what a migration would need. */
export const probeCommand = (exit: Exit): CommandModule<object, ProbeArguments> => ({
  command: 'probe [domain]',
  describe: 'watch what a running guest dirties, without migrating it, and say what a migration would need',
  builder: builder as unknown as (args: Argv) => Argv<ProbeArguments>,
  handler: async (argv) => {
    const { probe } = await import('./run-probe.ts');
    exit.code = await probe(argv);
  },
});
