import { type ParseArgsConfig, parseArgs } from 'node:util';
import { messageOf } from '../src/core/errors.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

/** How the repository's own programs end when they are asked wrongly: what was expected, what was got, exit code 2; nothing was done. */
export function refuse(text: string, usage: string): never {
  console.error(`${text}\n\n${usage}`);
  process.exit(2);
}

/** The options of such a program; `--help` prints `usage` and ends it. */
export function optionsOf<const T extends Options>(usage: string, options: T) {
  const all = { ...options, help: { type: 'boolean', short: 'h', default: false } } as const;
  const read = (): ReturnType<typeof parseArgs<{ options: typeof all }>> => {
    try {
      return parseArgs({ options: all });
    } catch (error) {
      return refuse(messageOf(error), usage);
    }
  };
  const { values } = read();
  if ((values as { readonly help?: boolean }).help !== true) return values;
  console.log(usage);
  return process.exit(0);
}

export function wholeNumber(option: string, text: string, usage: string): number {
  const value = Number(text);
  return text !== '' && Number.isSafeInteger(value) && value >= 0 ? value : refuse(`${option} is a whole number, got "${text}"`, usage);
}

export function pattern(option: string, text: string, usage: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    return refuse(`${option} is a regular expression: ${messageOf(error)}`, usage);
  }
}
