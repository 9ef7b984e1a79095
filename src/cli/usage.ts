import { noPostCopy } from '../../controllers/registry.ts';
import { XthrottleError } from '../core/errors.ts';

const COMMANDS = [
  'watch',
  'migrate',
  'evacuate',
  'simulate',
  'restore',
  'doctor',
  'probe',
  'replay',
  'explain',
  'report',
  'completion',
] as const;
type Command = (typeof COMMANDS)[number];

/** What each command must be given. */
const NEEDS: Readonly<Partial<Record<Command, string>>> = {
  migrate: 'a domain and a host: xthrottle migrate DOMAIN HOST',
  replay: 'a trace: xthrottle replay TRACE',
  explain: 'a trace: xthrottle explain TRACE',
  completion: 'a shell: xthrottle completion bash (or zsh, fish)',
  report: 'at least one trace: xthrottle report TRACE… -o report.html',
};

/** What yargs says of a command line, in our words and with the way out. */
export function usageError(message: string, args: readonly string[]): XthrottleError {
  const command = COMMANDS.find((name) => name === args[0]);
  const help = `see xthrottle ${command === undefined ? '' : `${command} `}--help`;
  const say = (text: string, hint = help): XthrottleError => new XthrottleError('usage', text, { hint });
  const mechanism = mechanismAsked(args);
  if (mechanism !== undefined && command !== 'simulate') return noPostCopy(mechanism);
  const value = /^Not enough arguments following: (\S+)/.exec(message)?.[1];
  if (value !== undefined) return say(`${dashed(value)} needs a value`);
  if (/^Not enough non-option arguments/.test(message) && command !== undefined) return say(`${command} needs ${NEEDS[command] ?? 'more'}`);
  const choice = /Argument: (\S+), Given: (.*), Choices: (.*)/.exec(message);
  if (choice !== null) return say(`--${choice[1]} expects one of ${(choice[3] ?? '').replaceAll('"', '')}, got ${choice[2]}`);
  const unknown = /^Unknown arguments?: (.*)/.exec(message)?.[1]?.split(', ');
  return unknown === undefined ? say(message) : say(...unknownWords(unknown, command, args));
}

function unknownWords(words: readonly string[], command: Command | undefined, args: readonly string[]): [text: string, hint?: string] {
  const options = words.filter((word) => args.some((arg) => arg === dashed(word) || arg.startsWith(`${dashed(word)}=`)));
  const text =
    options.length > 0
      ? `there is no option ${options.map(dashed).join(', ')}${command === undefined ? '' : ` of ${command}`}`
      : `${command ?? 'xthrottle'} does not know what to do with ${words.join(' ')}`;
  const hint = wayOut(words, options, command);
  return hint === undefined ? [text] : [text, hint];
}

function wayOut(words: readonly string[], options: readonly string[], command: Command | undefined): string | undefined {
  const [first = ''] = words;
  if (command === 'simulate' && options.some((option) => POST_COPY.test(option))) return `say --mechanism ${options[0]}`;
  if (command === 'migrate' && options.length > 0) return 'options for xl migrate go behind --; see xthrottle migrate --help';
  if (command === 'simulate' && options.length === 0) return `for a scenario say --scenario ${first}; --list names them`;
  if (command !== undefined || options.length > 0) return undefined;
  const meant = COMMANDS.find((name) => name.startsWith(first.slice(0, 3)) && first.length >= 3);
  if (meant !== undefined) return `did you mean xthrottle ${meant}? All commands: xthrottle --help`;
  return words.length === 2 ? `to migrate a guest: xthrottle migrate ${words.join(' ')}` : undefined;
}

const POST_COPY = /^(post-copy|hybrid)$/;

/** `--post-copy` or `--mechanism hybrid`, as it was given; behind `--` begins xl's part. */
function mechanismAsked(args: readonly string[]): string | undefined {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const at = own.findIndex((arg) => /^--(mechanism|post-?copy|hybrid)(=|$)/.test(arg));
  return own[at] === '--mechanism' ? own.slice(at, at + 2).join(' ') : own[at];
}

const dashed = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`);
