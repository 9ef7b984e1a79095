import { readFileSync, type Stats, statSync } from 'node:fs';
import type { Argv, CommandModule } from 'yargs';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { parseListen } from '../telemetry/listen.ts';
import { CONFIGURED, type Configured, parseConfig, type Settings, wrong } from './config-file.ts';
import { DEFAULT_CONFIG } from './config-option.ts';
import { tsliceOf } from './host-options.ts';
import { type GoalArguments, goalOptionsOf } from './options.ts';

/** Only asked what it can do: the file does not matter, and must not stand in the way. */
const ASKING: ReadonlySet<string> = new Set(['--help', '-h', '--version', '--get-yargs-completions']);

/**
 * Commands that read the configuration file, with its values below those of the command line and above the defaults. The file is read only
 * when the command is the one that runs.
 */
export function withConfigFile(module: CommandModule, args: readonly string[], defaultFile: string = DEFAULT_CONFIG): CommandModule {
  const names = [module.command ?? []].flat().map((text) => text.split(' ')[0]);
  const command = CONFIGURED.find((name) => names.includes(name));
  const build = module.builder;
  if (command === undefined || typeof build !== 'function') return module;
  return {
    ...module,
    builder: (argv: Argv) => {
      const built = build(argv) as Argv;
      const settings = args.some((arg) => ASKING.has(arg)) ? undefined : loadConfig(command, args, defaultFile);
      return settings === undefined ? built : built.config(settings.values);
    },
  };
}

/** The settings that `command` takes from its file; undefined when there is none. Throws XthrottleError('usage'). */
export function loadConfig(command: Configured, args: readonly string[], defaultFile: string): Settings | undefined {
  const asked = fileAsked(args);
  if (asked === false) return undefined;
  const file = asked ?? defaultFile;
  let stat: Stats;
  let text: string;
  try {
    stat = statSync(file);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (asked === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new XthrottleError('usage', `cannot read the configuration file ${file}: ${messageOf(error)}`, {
      cause: error,
      hint: 'name a file that can be read with --config, or none with --no-config',
    });
  }
  // Its `controller` names code that we run.
  if ((stat.mode & 0o022) !== 0 && stat.isFile()) {
    throw new XthrottleError('usage', `${file} can be written by others than its owner: it is not used`, { hint: `chmod go-w ${file}` });
  }
  const settings = parseConfig(text, command, file);
  checkValues(settings, file);
  return settings;
}

/** `--config FILE`, the last one; false for --no-config; undefined when neither is there. Behind `--` begins xl's part. */
function fileAsked(args: readonly string[]): string | false | undefined {
  let asked: string | false | undefined;
  const end = args.indexOf('--');
  for (const [index, arg] of args.slice(0, end < 0 ? undefined : end).entries()) {
    if (arg === '--no-config') asked = false;
    else if (arg === '--config') asked = args[index + 1];
    else if (arg.startsWith('--config=')) asked = arg.slice('--config='.length);
  }
  return asked;
}

/** The same checks that the command line goes through, told with the file's name and line. */
function checkValues({ values, lines }: Settings, file: string): void {
  const given = values as Partial<GoalArguments> & { readonly metrics?: string; readonly tslice?: string };
  const goal = { 'on-miss': 'abort', controller: '', 'controller-option': [], ...given };
  try {
    goalOptionsOf(goal);
    tsliceOf(given);
    if (given.metrics !== undefined) parseListen(given.metrics);
  } catch (error) {
    if (!(error instanceof XthrottleError)) throw error;
    const name = /--([a-z][a-z-]*)/.exec(error.message)?.[1] ?? '';
    throw wrong(file, lines.get(name) ?? 0, error.message.replaceAll('--', ''), error.hint?.replaceAll(/--([a-z-]+) /g, '$1 = '));
  }
}
