import type { Argv, Options } from 'yargs';
import { controllers, DEFAULT_CONTROLLER } from '../../controllers/registry.ts';
import type { OnMiss, Preference, Profile } from '../core/goal.ts';
import type { GoalOptions } from '../core/options.ts';
import { type Ms, ms, pages } from '../core/units.ts';
import { parseDuration, parsePairs, parseWhole } from './quantities.ts';

const TARGET = 'Target and bounds:';
const CONTROL = 'Control:';
const OUTPUT = 'Output:';

const takenBy = controllers
  .flatMap(({ name, options = [] }) => (options.length === 0 ? [] : [`${name}: ${options.map((option) => option.name).join(', ')}`]))
  .join('; ');

const goalOptionSpecs = {
  'target-downtime': {
    type: 'string',
    requiresArg: true,
    group: TARGET,
    describe: 'longest downtime the guest may see (200ms, 2s) [default: 200ms]',
  },
  'max-stall': {
    type: 'string',
    requiresArg: true,
    group: TARGET,
    describe: 'longest stall throttling may cause; sets the floor of the cap [default: the target downtime]',
  },
  'min-cap': {
    type: 'string',
    requiresArg: true,
    group: TARGET,
    describe: 'lowest cap, percent of one pCPU; overrides the floor that follows from --max-stall',
  },
  'max-rounds': { type: 'string', requiresArg: true, group: TARGET, describe: 'at most so many live rounds (stock Xen has 5)' },
  'max-dirty-pages': {
    type: 'string',
    requiresArg: true,
    group: TARGET,
    describe:
      'alternative target: at most so many pages sent after the suspend, what the guest dirties until it stands and the suspend itself (about 300) included',
  },
  deadline: { type: 'string', requiresArg: true, group: TARGET, describe: 'finish or give up by then, from the start of the migration' },
  'on-miss': {
    choices: ['abort', 'proceed'],
    requiresArg: true,
    default: 'abort',
    group: TARGET,
    describe: 'when the target cannot be met: leave the guest here, or migrate with the least downtime that can be had',
  },
  controller: {
    type: 'string',
    requiresArg: true,
    default: DEFAULT_CONTROLLER,
    group: CONTROL,
    describe: 'name of a controller, or path of your own module',
  },
  'controller-option': {
    type: 'string',
    array: true,
    nargs: 1,
    requiresArg: true,
    default: [],
    group: CONTROL,
    describe: `name=number, for the controller; may be repeated (${takenBy})`,
  },
  profile: {
    choices: ['progressive', 'steep', 'gradual'],
    requiresArg: true,
    group: CONTROL,
    describe: 'how fast the cap may come down [default: progressive]',
  },
  prefer: {
    choices: ['downtime', 'network', 'safety', 'speed'],
    requiresArg: true,
    group: CONTROL,
    describe: 'what matters most when not everything can be had [default: downtime]',
  },
} as const satisfies Readonly<Record<string, Options>>;

const outputOptionSpecs = {
  json: { type: 'boolean', default: false, group: OUTPUT, describe: 'one JSON record a line on stdout; the last is the summary' },
  live: { type: 'boolean', default: true, group: OUTPUT, describe: 'live view on a terminal; --no-live prints plain lines' },
  quiet: { alias: 'q', type: 'boolean', default: false, group: OUTPUT, describe: 'only the summary and warnings' },
} as const satisfies Readonly<Record<string, Options>>;

/** The options that make a goal; the same for every command that controls something. */
export const withGoalOptions = <T>(args: Argv<T>) => args.options(goalOptionSpecs);

export const withOutputOptions = <T>(args: Argv<T>) => args.options(outputOptionSpecs);

export interface GoalArguments {
  readonly 'target-downtime'?: string | undefined;
  readonly 'max-stall'?: string | undefined;
  readonly 'min-cap'?: string | undefined;
  readonly 'max-rounds'?: string | undefined;
  readonly 'max-dirty-pages'?: string | undefined;
  readonly deadline?: string | undefined;
  readonly 'on-miss': string;
  readonly controller: string;
  readonly 'controller-option': readonly string[];
  /** Undefined unless given, so that a controller that does not heed them can say so. */
  readonly profile?: string | undefined;
  readonly prefer?: string | undefined;
}

export interface OutputArguments {
  readonly json: boolean;
  readonly live: boolean;
  readonly quiet: boolean;
}

const TARGET_DEFAULT = { targetDowntimeMs: ms(200) } as const;

/** The arguments as goal options; `otherwise` where no target is given. Throws XthrottleError('usage'). */
export function goalOptionsOf(
  argv: GoalArguments,
  otherwise: Pick<GoalOptions, 'targetDowntimeMs' | 'maxStallMs'> = TARGET_DEFAULT,
): GoalOptions {
  const duration = (name: 'max-stall' | 'deadline'): Ms | undefined => {
    const text = argv[name];
    return text === undefined ? undefined : parseDuration(`--${name}`, text);
  };
  const maxStallMs = duration('max-stall');
  const deadlineMs = duration('deadline');
  return {
    ...(argv['target-downtime'] === undefined
      ? otherwise
      : { targetDowntimeMs: parseDuration('--target-downtime', argv['target-downtime']) }),
    onMiss: argv['on-miss'] as OnMiss,
    ...(argv.profile === undefined ? {} : { profile: argv.profile as Profile }),
    ...(argv.prefer === undefined ? {} : { prefer: argv.prefer as Preference }),
    options: parsePairs('--controller-option', argv['controller-option']),
    ...(maxStallMs === undefined ? {} : { maxStallMs }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(argv['min-cap'] === undefined ? {} : { minCapPercent: parseWhole('--min-cap', argv['min-cap'], 1, 100_000) }),
    ...(argv['max-rounds'] === undefined ? {} : { maxRounds: parseWhole('--max-rounds', argv['max-rounds'], 1, 1000) }),
    ...(argv['max-dirty-pages'] === undefined
      ? {}
      : { maxDirtyPages: pages(parseWhole('--max-dirty-pages', argv['max-dirty-pages'], 1, 2 ** 40)) }),
  };
}
