import { z } from 'zod';
import { XthrottleError } from '../core/errors.ts';
import { type CommandSpec, type OptionSpec, specOfCommand } from './command-specs.ts';

/** The commands that read the configuration file. */
export const CONFIGURED = ['watch', 'migrate'] as const;
export type Configured = (typeof CONFIGURED)[number];

/** Values of options by name, as their command takes them; `lines` says where each stands. */
export interface Settings {
  readonly values: Readonly<Record<string, string | boolean | readonly string[]>>;
  readonly lines: ReadonlyMap<string, number>;
}

/** Options of a command that the file may set: all but the one that names the file. */
export const configurable = (spec: CommandSpec): readonly OptionSpec[] => spec.options.filter(({ name }) => name !== 'config');

interface Entry {
  readonly section: Configured | undefined;
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

/**
 * What the file's text says to `command`. Lines are `key = value`, keys are the long options without dashes; before the first section they
 * are for both commands, under `[watch]` or `[migrate]` for that one, and win there. `#` begins a comment line. A list is a key repeated.
 * Throws XthrottleError('usage') naming file and line: a line that is none of these, an unknown key or section, a key given twice, a value
 * that the option does not take. The whole file is checked, whichever command asks.
 */
export function parseConfig(text: string, command: Configured, file: string): Settings {
  const specs = new Map(CONFIGURED.map((name) => [name, configurable(specOfCommand(name))]));
  const entries = linesOf(text, file);
  for (const entry of entries) checkPlace(entry, specs, file);
  const bySection = (section: Configured | undefined): Settings => {
    const options = [...specs].flatMap(([name, own]) => (section === undefined || name === section ? own : []));
    return valuesOf(
      entries.filter((entry) => entry.section === section),
      options,
      file,
    );
  };
  const [both, own] = [bySection(undefined), CONFIGURED.map(bySection)[CONFIGURED.indexOf(command)] as Settings];
  return { values: { ...both.values, ...own.values }, lines: new Map([...both.lines, ...own.lines]) };
}

function linesOf(text: string, file: string): readonly Entry[] {
  let section: Configured | undefined;
  return text.split(/\r?\n/).flatMap((raw, index): readonly Entry[] => {
    const line = raw.trim();
    const at = index + 1;
    if (line === '' || line.startsWith('#') || line.startsWith(';')) return [];
    const heading = /^\[(.*)\]$/.exec(line)?.[1]?.trim();
    if (heading !== undefined) {
      section = CONFIGURED.find((name) => name === heading);
      if (section === undefined) throw wrong(file, at, `there is no section [${heading}]`, `the sections are [watch] and [migrate]`);
      return [];
    }
    const match = /^([^=\s]+)\s*=\s*(.*)$/.exec(line);
    if (match === null) throw wrong(file, at, `expected "key = value", got ${JSON.stringify(line)}`);
    const [, key = '', value = ''] = match;
    if (value === '') throw wrong(file, at, `${key} has no value`, `to leave it at its default, put a # before the line`);
    return [{ section, key, value, line: at }];
  });
}

type Specs = ReadonlyMap<Configured, readonly OptionSpec[]>;

/** A key of one command alone must stand in its section: at the top it would look as if both took it. */
function checkPlace({ section, key, line }: Entry, specs: Specs, file: string): void {
  const having = CONFIGURED.filter((name) => specs.get(name)?.some((option) => option.name === key));
  if (having.length === 0) throw wrong(file, line, `there is no option ${key}`, nearest(key, specs));
  if (section === undefined ? having.length === CONFIGURED.length : having.includes(section)) return;
  throw wrong(file, line, `${key} is an option of ${having.join(' and ')} only`, `put it under [${having[0]}]`);
}

function nearest(key: string, specs: Specs): string {
  const bare = key.replace(/^-*(no-)?/, '');
  const known = [...specs.values()].flat().map(({ name }) => name);
  const meant = known.find((name) => name === bare) ?? known.find((name) => bare.length >= 3 && name.startsWith(bare.slice(0, 3)));
  if (meant === undefined) return 'keys are the long options without their dashes: see xthrottle watch --help, xthrottle migrate --help';
  return key.replace(/^-*/, '').startsWith('no-') ? `did you mean "${meant} = false"?` : `did you mean ${meant}?`;
}

function valuesOf(entries: readonly Entry[], options: readonly OptionSpec[], file: string): Settings {
  const lists = new Set(options.filter(({ kind }) => kind === 'list').map(({ name }) => name));
  const lines = new Map<string, number>();
  const raw: Record<string, string | readonly string[]> = {};
  for (const { key, value, line } of entries) {
    const before = lines.get(key);
    if (before !== undefined && !lists.has(key)) throw wrong(file, line, `${key} is given a second time (first in line ${before})`);
    lines.set(key, before ?? line);
    raw[key] = lists.has(key) ? [...(raw[key] ?? []), value] : value;
  }
  const parsed = z.strictObject(Object.fromEntries(options.map((option) => [option.name, schemaOf(option)]))).safeParse(raw);
  if (parsed.success) return { values: parsed.data as Settings['values'], lines };
  const [issue] = parsed.error.issues;
  const key = String(issue?.path[0] ?? '');
  throw wrong(file, lines.get(key) ?? 0, `${key} expects ${issue?.message}, got ${JSON.stringify(raw[key])}`);
}

const FLAG: Readonly<Record<string, boolean>> = { true: true, yes: true, on: true, false: false, no: false, off: false };

function schemaOf({ kind, choices }: OptionSpec): z.ZodType {
  if (kind === 'flag')
    return z
      .enum(Object.keys(FLAG), 'true or false')
      .transform((word) => FLAG[word])
      .optional();
  if (kind === 'choice') return z.enum(choices as [string, ...string[]], `one of ${choices.join(', ')}`).optional();
  return kind === 'list' ? z.array(z.string()).optional() : z.string().optional();
}

export const wrong = (file: string, line: number, text: string, hint?: string): XthrottleError =>
  new XthrottleError('usage', `${file}:${line}: ${text}`, { ...(hint === undefined ? {} : { hint }) });
