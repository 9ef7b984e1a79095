import type { Argv, CommandModule, Options, PositionalOptions } from 'yargs';
import { commandModules } from './commands.ts';

export interface OptionSpec {
  readonly name: string;
  /** One letter, or another name. */
  readonly aliases: readonly string[];
  readonly kind: 'flag' | 'text' | 'choice' | 'list';
  readonly choices: readonly string[];
  /** As help shows it; undefined where the description tells it. */
  readonly byDefault: string | undefined;
  readonly group: string;
  readonly describe: string;
}

export interface CommandSpec {
  /** `migrate <domain> <host>`; that of the default command is `watch`. */
  readonly usage: string;
  readonly name: string;
  readonly isDefault: boolean;
  readonly describe: string;
  readonly positionals: readonly { readonly name: string; readonly describe: string }[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly { readonly command: string; readonly describe: string }[];
}

/** The same definitions that yargs reads, as data: for the man page and the configuration file. */
export const commandSpecs = (): readonly CommandSpec[] => commandModules({ code: 0 }).map(specOf);

export const specOfCommand = (name: string): CommandSpec => {
  const found = commandSpecs().find((spec) => spec.name === name);
  if (found === undefined) throw new Error(`no command ${name}`);
  return found;
};

export function specOf(module: CommandModule): CommandSpec {
  const usages = [module.command ?? []].flat();
  const usage = usages.find((text) => text !== '$0') ?? '';
  const [name = ''] = usage.split(' ');
  const recorder = new Recorder();
  if (typeof module.builder === 'function') void module.builder(recorder.argv);
  return {
    usage,
    name,
    isDefault: usages.includes('$0'),
    describe: module.describe === false ? '' : (module.describe ?? ''),
    positionals: [...recorder.positionals].map(([positional, options]) => ({ name: positional, describe: options.describe ?? '' })),
    options: [...recorder.options].map(([option, options]) => optionOf(option, options)),
    examples: recorder.examples,
  };
}

function optionOf(name: string, options: Options): OptionSpec {
  const isFlag = options.type === 'boolean' || options.boolean === true;
  const choices = (options.choices ?? []).map(String);
  const byDefault = Array.isArray(options.default) && options.default.length === 0 ? undefined : options.default;
  return {
    name,
    aliases: [options.alias ?? []].flat(),
    kind: isFlag ? 'flag' : options.array === true ? 'list' : choices.length > 0 ? 'choice' : 'text',
    choices,
    byDefault: byDefault === undefined ? undefined : String(byDefault),
    group: (options.group ?? 'Options:').replace(/:$/, ''),
    describe: options.describe ?? options.description ?? '',
  };
}

/** Stands in for yargs while a command describes itself. */
class Recorder {
  readonly options = new Map<string, Options>();
  readonly positionals = new Map<string, PositionalOptions>();
  readonly examples: { readonly command: string; readonly describe: string }[] = [];

  /** Methods of yargs that say nothing about options answer with the same object. */
  get argv(): Argv {
    const argv: Argv = new Proxy({} as Argv, {
      get: (_, method) => {
        if (typeof method !== 'string' || method === 'then') return undefined;
        const known = this.#methods[method];
        return (...args: readonly unknown[]) => {
          known?.(...args);
          return argv;
        };
      },
    });
    return argv;
  }

  readonly #methods: Readonly<Record<string, (...args: readonly unknown[]) => void>> = {
    option: (first, second) => this.#add(first, second),
    options: (first, second) => this.#add(first, second),
    positional: (name, options) => {
      this.positionals.set(name as string, options as PositionalOptions);
    },
    group: (names, group) => {
      for (const name of [names as string | readonly string[]].flat()) this.#change(name, { group: group as string });
    },
    describe: (first, second) => {
      const all = typeof first === 'string' ? { [first]: second as string } : (first as Readonly<Record<string, string>>);
      for (const [name, describe] of Object.entries(all)) this.#change(name, { describe });
    },
    example: (first, second) => {
      const all = Array.isArray(first) ? (first as readonly (readonly [string, string])[]) : [[first as string, second as string] as const];
      for (const [command, describe] of all) this.examples.push({ command: command.replaceAll('$0', 'xthrottle'), describe });
    },
  };

  #add(first: unknown, second: unknown): void {
    const all = typeof first === 'string' ? { [first]: second as Options } : (first as Readonly<Record<string, Options>>);
    for (const [name, options] of Object.entries(all)) this.options.set(name, options);
  }

  #change(name: string, change: Options): void {
    const there = this.options.get(name);
    if (there !== undefined) this.options.set(name, { ...there, ...change });
  }
}
