import { type OptionSpec, specOfCommand } from '../cli/command-specs.ts';
import { CONFIGURED, configurable } from '../cli/config-file.ts';
import { wrapped } from './text.ts';

const WIDTH = 100;

/** A value for each option that has no default and names none in its description; a test asks for it as soon as an option is added. */
const EXAMPLES: Readonly<Record<string, string>> = {
  'max-stall': '200ms',
  'min-cap': '20',
  'max-rounds': '30',
  'max-dirty-pages': '5000',
  deadline: '10m',
  'controller-option': 'name=1',
  metrics: '127.0.0.1:9464',
  textfile: '/var/lib/prometheus/node-exporter',
  pushgateway: 'http://push.example:9091',
  domain: 'db1',
  allow: 'db1',
  deny: 'legacy',
};

const HEAD = `# Options of "xthrottle watch" (the service) and "xthrottle migrate": see xthrottle(8).
#
# Lines are "key = value"; keys are the long options without their dashes. What stands before the first
# [section] holds for both commands, under [watch] or [migrate] for that one. A command line wins over
# this file. A list is a key repeated. Every option is here, commented out, with its default or an example;
# an unknown key or a value that does not fit is an error, and nothing is started.
#
# The service reads this when it starts: systemctl restart xthrottle
`;

/** Whoever appends a line with a script means both commands. */
const TAIL = `
# A line that is added here, at the end, is for "xthrottle migrate" alone. Those for the service too stand above [watch].
`;

/** The configuration file as it ships: every option of both commands, from the definitions that --help shows. */
export function configSample(): string {
  const [watch, migrate] = CONFIGURED.map((name) => configurable(specOfCommand(name))) as [readonly OptionSpec[], readonly OptionSpec[]];
  const isCommon = ({ name }: OptionSpec): boolean => [watch, migrate].every((options) => options.some((option) => option.name === name));
  const sections = [
    ...watch.filter(isCommon).map(entryOf),
    `\n[watch]\n`,
    ...watch.filter((option) => !isCommon(option)).map(entryOf),
    `\n[migrate]\n`,
    ...migrate.filter((option) => !isCommon(option)).map(entryOf),
    TAIL,
  ];
  return HEAD + sections.join('');
}

function entryOf(option: OptionSpec): string {
  const choices = option.choices.length > 0 ? ` (${option.choices.join(', ')})` : '';
  const text = wrapped(`${option.describe}${choices}`, WIDTH - 2).map((line) => `# ${line}\n`);
  return `\n${text.join('')}#${option.name} = ${option.byDefault ?? EXAMPLES[option.name] ?? exampleIn(option.describe)}\n`;
}

/** `[default: 10s]` or the first of `(64m, 4g)`. */
const exampleIn = (describe: string): string =>
  /\[default: ([^\s\]]+)\]|\((\d[\w.]*)[,)]/
    .exec(describe)
    ?.slice(1)
    .find((one) => one !== undefined) ?? '';
