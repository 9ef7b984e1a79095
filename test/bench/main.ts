import { availableParallelism } from 'node:os';
import { messageOf, XthrottleError } from '../../src/core/index.ts';
import { type BenchArguments, HELP, parseArguments } from './arguments.ts';
import { casesOf } from './case.ts';
import { measureCost } from './cost.ts';
import { explained } from './explain.ts';
import { checkOutputs, saveOutputs } from './outputs.ts';
import { measureAll, serveAsWorker } from './pool.ts';
import { reportOf } from './report.ts';
import { benchTelemetry } from './telemetry.ts';
import { terminalText } from './text.ts';
import { variants } from './variants.ts';

const QUICK = { seeds: 1, drawn: 10 };
const FULL = { seeds: 3, drawn: 300 };

serveAsWorker();

/** Runs the benchmark; the exit code is 0 also when a line of "must reach" fails: it measures, tests assert. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const args = parseArguments(argv, () => Math.floor(Math.random() * 1e6));
    if (args === undefined) {
      process.stdout.write(HELP);
      return 0;
    }
    const unsaved = await bench(args);
    for (const text of unsaved) process.stderr.write(`bench: ${text}\n`);
    return unsaved.length === 0 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`bench: ${messageOf(error)}\n`);
    if (error instanceof XthrottleError && error.hint !== undefined) process.stderr.write(`${error.hint}\n`);
    return error instanceof XthrottleError ? 2 : 1;
  }
}

/** What could not be saved. */
async function bench(args: BenchArguments): Promise<readonly string[]> {
  const unknown = [...(args.only ?? []), ...(args.explain === undefined ? [] : [args.explain])].find(
    (name) => !variants.some((v) => v.name === name),
  );
  if (unknown !== undefined)
    throw new XthrottleError('usage', `there is no row "${unknown}"`, { hint: variants.map((v) => v.name).join('\n') });
  checkOutputs(args);
  const startedAt = performance.now();
  const cases = casesOf(args.seed, args.quick ? QUICK : FULL);
  const results = await measureAll(cases, {
    jobs: args.jobs ?? availableParallelism(),
    only: rowsOf(args),
    onDone: (done) => progress(done, cases.length),
  });
  const cost = measureCost(results, args.quick);
  const telemetry = await benchTelemetry(args.quick ? [100] : [1, 100, 1000]);
  const report = reportOf(results, {
    seed: args.seed,
    quick: args.quick,
    cost,
    telemetry,
    seconds: (performance.now() - startedAt) / 1000,
  });
  process.stdout.write(terminalText(report));
  if (args.explain !== undefined) process.stdout.write(explained(report, args.explain));
  return saveOutputs(args, report);
}

const rowsOf = (args: BenchArguments): readonly string[] => args.only ?? variants.filter((v) => !args.quick || v.quick).map((v) => v.name);

function progress(done: number, all: number): void {
  if (!process.stderr.isTTY) return;
  process.stderr.write(done === all ? '\r\x1b[K' : `\r${done} of ${all} cases`);
}
