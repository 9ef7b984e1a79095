import yargs from 'yargs';
import { packageVersion } from '../assets.ts';
import { EXIT_CODES, messageOf, XthrottleError } from '../core/errors.ts';
import { commandModules } from './commands.ts';
import { withConfigFile } from './config.ts';
import { usageError } from './usage.ts';

/** A command reports its exit code through this. */
export interface Exit {
  code: number;
}

const EPILOGUE = [
  'Exit codes:',
  ...Object.values(EXIT_CODES).map(({ code, text }) => `  ${String(code).padStart(3)}  ${text}`),
  '',
  'Try it without Xen: xthrottle simulate --scenario busy-database --compare none',
  'Before you trust it: xthrottle --observe (decides and records, changes nothing)',
].join('\n');

/** Options that may be repeated. Of any other the last one counts, so that an alias can hold what a command line overrides. */
const REPEATED: ReadonlySet<string> = new Set(['scenario', 'domain', 'allow', 'deny', 'controller-option', 'traces', '_', '--']);

function lastOfEach(argv: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(argv)) if (Array.isArray(value) && !REPEATED.has(name)) argv[name] = value.at(-1);
}

/** Parses, runs one command and returns the exit code; every error ends as a message that says what to do. */
export async function main(args: readonly string[]): Promise<number> {
  const exit: Exit = { code: EXIT_CODES.ok.code };
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    await yargs([...args])
      .scriptName('xthrottle')
      .usage('$0 [command] [options]\n\nLive-migrates busy Xen guests within a downtime target.')
      .parserConfiguration({
        'populate--': true,
        'camel-case-expansion': false,
        'parse-numbers': false,
        'parse-positional-numbers': false,
      })
      .middleware(lastOfEach, true)
      .command(commandModules(exit).map((module) => withConfigFile(module, args)))
      .version(packageVersion())
      .alias('help', 'h')
      .strict()
      .wrap(Math.min(120, process.stdout.columns ?? 100))
      .epilogue(EPILOGUE)
      .exitProcess(false)
      .fail((message, error) => {
        throw error === undefined || error === null || error.name === 'YError' ? usageError(message ?? error?.message, args) : error;
      })
      .parseAsync();
  } catch (error) {
    return fail(error);
  }
  return exit.code;
}

function fail(error: unknown): number {
  if (error instanceof XthrottleError) {
    process.stderr.write(`xthrottle: ${error.message}\n${error.hint === undefined ? '' : `  → ${error.hint}\n`}`);
    return EXIT_CODES[error.exit].code;
  }
  process.stderr.write(`xthrottle: unexpected: ${messageOf(error)}\n${error instanceof Error ? `${error.stack}\n` : ''}`);
  return EXIT_CODES.unexpected.code;
}
