import { type CommandSpec, commandSpecs, type OptionSpec } from '../cli/command-specs.ts';
import { EXIT_CODES } from '../core/errors.ts';
import { wrapped } from './text.ts';

/** What no option tells: variables and files. A test compares the variables with those that the source reads. */
const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ['LIBXL_SAVE_HELPER', 'read by libxl: name the front here, and migrations of that shell, job or service take part'],
  ['XTHROTTLE_SOCKET', 'where the sidecar listens and the front looks for it; default /run/xthrottle/control.sock'],
  ['XTHROTTLE_STATE', 'the state directory; default /var/lib/xthrottle'],
  ['XTHROTTLE_XL', 'the xl program; default: that of PATH'],
  ['XTHROTTLE_XENSTORE_READ', 'the xenstore-read program; default: that of PATH'],
  ['XTHROTTLE_REAL_HELPER', "libxl's own save helper; default: that of the Xen that runs"],
  ['XTHROTTLE_NODE', 'the runtime that the front starts the relay with; default: the one that came with the package, else that of PATH'],
  ['XTHROTTLE_POLICY', 'the pre-copy policy object; default: see FILES'],
  ['NO_COLOR', 'no colours'],
];

const FILES: readonly (readonly [string, string])[] = [
  ['/etc/xthrottle/xthrottle.conf', 'options of watch and migrate; every one is explained in it'],
  ['/usr/lib/xthrottle/front.sh', 'the front, for LIBXL_SAVE_HELPER'],
  ['/usr/lib/xthrottle/build-policy', 'builds the pre-copy policy object for the Xen that is installed; needs gcc and libxen-dev'],
  ['/var/lib/xthrottle', 'the state directory: journals of caps that are set (cap-*.json), traces, what was learned of pairs of hosts'],
  ['/var/lib/xthrottle/policy.so', 'the pre-copy policy object that build-policy made'],
  ['/run/xthrottle', 'the socket, closed to all but root'],
  ['/usr/share/doc/xthrottle/examples', 'drop-ins that set LIBXL_SAVE_HELPER: for libvirtd, for job services, for sudo'],
];

const DESCRIPTION = [
  "xthrottle watches each pre-copy round of a live migration and lowers the guest's CPU cap just enough for its working set to converge. The guest is suspended only when the predicted downtime fits the target; else it stays on its host, untouched. The cap is always put back.",
  'Without a command it is the sidecar (watch): it controls every migration on this host whose save helper is its front. With migrate it starts and controls a single one. Nothing else changes: with no xthrottle listening, and for xl save and xl restore, the front becomes the save helper of libxl.',
];

/** The page xthrottle(8), from the definitions that --help shows. `date` as man pages carry it, 2026-01-31. */
export function manPage(version: string, date: string): string {
  const commands = commandSpecs();
  const told = new Map<string, string>();
  return [
    `.TH XTHROTTLE 8 "${date}" "xthrottle ${version}" "System Administration"`,
    '.SH NAME',
    'xthrottle \\- live-migrate busy Xen guests within a downtime target',
    '.SH SYNOPSIS',
    ...commands.flatMap(synopsisOf),
    '.SH DESCRIPTION',
    ...DESCRIPTION.flatMap((text, index) => [...(index === 0 ? [] : ['.PP']), ...paragraph(text)]),
    '.SH COMMANDS',
    ...commands.flatMap((command) => commandOf(command, told)),
    '.SH EXIT STATUS',
    ...Object.values(EXIT_CODES).flatMap(({ code, text }) => tagged(String(code), text)),
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(([name, text]) => tagged(name, text)),
    '.SH FILES',
    ...FILES.flatMap(([name, text]) => tagged(name, text)),
    '.SH EXAMPLES',
    ...commands.flatMap(({ examples }) => examples.flatMap(exampleOf)),
    '.SH SEE ALSO',
    '.BR xl (1),',
    '.BR xl.cfg (5),',
    '.BR systemctl (1)',
    '',
  ].join('\n');
}

function synopsisOf(command: CommandSpec, index: number): readonly string[] {
  const [name = '', ...positionals] = command.usage.split(' ');
  const word = command.isDefault ? `[\\fB${roff(name)}\\fR]` : `\\fB${roff(name)}\\fR`;
  const operands = positionals.map(
    (text) => ` ${roff(text.replaceAll(/[<>]/g, '').replace('..', '...')).replaceAll(/[a-z]+/g, '\\fI$&\\fR')}`,
  );
  return [...(index === 0 ? [] : ['.br']), `\\fBxthrottle\\fR ${word} [\\fIoptions\\fR]${operands.join('')}`];
}

function commandOf(command: CommandSpec, told: Map<string, string>): readonly string[] {
  const key = ({ describe, byDefault }: OptionSpec): string => `${describe}|${byDefault}`;
  const isNew = (option: OptionSpec): boolean => told.get(option.name) !== key(option);
  const own = command.options.filter(isNew);
  const known = command.options.filter((option) => !isNew(option));
  for (const option of own) told.set(option.name, key(option));
  return [
    `.SS ${roff(command.isDefault ? `${command.usage} (the default)` : command.usage.replaceAll(/[<>]/g, ''))}`,
    ...paragraph(`${capital(command.describe)}.`),
    ...command.positionals.flatMap(({ name, describe }) => tagged(name, describe, 'I')),
    ...own.flatMap((option) => tagged(headOf(option), textOf(option))),
    ...(known.length === 0 ? [] : ['.PP', ...paragraph(`As above: ${known.map(({ name }) => `--${name}`).join(', ')}.`)]),
  ];
}

function headOf({ name, aliases, kind, byDefault }: OptionSpec): string {
  const dashed = kind === 'flag' && byDefault === 'true' ? `--${name}, --no-${name}` : `--${name}`;
  return (
    [...aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`)), dashed].join(', ') + (kind === 'flag' ? '' : ' VALUE')
  );
}

const textOf = ({ kind, describe, choices, byDefault }: OptionSpec): string =>
  `${describe}${choices.length > 0 ? `: ${choices.join(', ')}` : ''}${kind === 'flag' || byDefault === undefined ? '' : ` [default: ${byDefault}]`}`;

const tagged = (head: string, text: string, font: 'B' | 'I' = 'B'): readonly string[] => [
  '.TP',
  `.${font} "${roff(head)}"`,
  ...paragraph(text),
];

const exampleOf = ({ command, describe }: CommandSpec['examples'][number]): readonly string[] => [
  '.TP',
  `.B ${roff(command).replaceAll('"', '\\(dq')}`,
  ...paragraph(describe === '' ? 'As the package does.' : capital(describe)),
];

/** Source lines are kept short, and each is made safe: one that begins with a dot would be a request. */
const paragraph = (text: string): readonly string[] => wrapped(text, 72).map(roff);

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

/** Text that roff takes for nothing else: backslashes, dashes that are typed, marks at the start of a line. */
const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replaceAll('→', '\\(->')
    .replaceAll('×', '\\(mu')
    .replaceAll('≥', '\\(>=')
    .replace(/^([.'])/, '\\&$1');
