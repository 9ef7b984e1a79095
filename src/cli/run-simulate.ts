import { firstValueFrom } from 'rxjs';
import { EXIT_CODES, XthrottleError } from '../core/errors.ts';
import { goalFor } from '../core/options.ts';
import type { MigrationRecord, RecordSink, SummaryRecord } from '../core/record.ts';
import { control } from '../loop.ts';
import { learnedPair } from '../sim/facts.ts';
import { suggestedOptions } from '../sim/run.ts';
import { scenarioJsonSchema } from '../sim/scenario.ts';
import { loadScenario, type NamedScenario, scenarioNames } from '../sim/scenario-files.ts';
import { SimHost } from '../sim/sim-host.ts';
import { compare } from '../view/compare.ts';
import { exitCodeOf } from './exit-code.ts';
import { loadController } from './load-controller.ts';
import { goalOptionsOf } from './options.ts';
import { openOutput } from './output.ts';
import { parseWhole } from './quantities.ts';
import { listenForSignals, type Signals } from './signals.ts';
import type { SimulateArguments } from './simulate.ts';

/** `--list`, `--schema` or one simulated migration; the exit code. Throws XthrottleError. */
export async function simulateCli(argv: SimulateArguments): Promise<number> {
  if (argv.list) process.stdout.write(`${scenarioNames().join('\n')}\n`);
  else if (argv.schema) process.stdout.write(`${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`);
  else return simulateOnce(argv);
  return EXIT_CODES.ok.code;
}

async function simulateOnce(argv: SimulateArguments): Promise<number> {
  if (argv.scenario === undefined) {
    throw new XthrottleError('usage', 'which scenario? --scenario is missing', { hint: 'xthrottle simulate --list names them' });
  }
  const scenario = loadScenario(argv.scenario);
  const seed = argv.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : parseWhole('--seed', argv.seed, 0, 2 ** 31 - 1);
  const output = openOutput({ ...argv, many: false });
  const signals = listenForSignals((text) => output.say(text, 'warning'));
  const run = (controller: string, sink: RecordSink) => runOne(argv, scenario, seed, controller, sink, signals);
  try {
    if (argv.seed === undefined) output.say(`seed ${seed}`);
    if (argv.compare === undefined) return exitCodeOf(await run(argv.controller, output.sink), signals.exitName());
    if (argv.json)
      throw new XthrottleError('usage', '--compare prints a table: it does not go with --json', { hint: 'run twice with the same --seed' });
    const other = collecting();
    const ours = collecting(argv.quiet ? undefined : output.sink);
    await run(argv.compare, other.sink);
    const summary = await run(argv.controller, ours.sink);
    await output.close();
    const columns = [
      { title: argv.compare === 'none' ? 'stock Xen' : argv.compare, records: other.records },
      { title: argv.compare === 'none' ? `xthrottle (${argv.controller})` : argv.controller, records: ours.records },
    ];
    process.stdout.write(`${compare(columns).join('\n')}\n`);
    return exitCodeOf(summary, signals.exitName());
  } finally {
    signals.dispose();
    await output.close();
  }
}

async function runOne(
  argv: SimulateArguments,
  scenario: NamedScenario,
  seed: number,
  name: string,
  sink: RecordSink,
  signals: Signals,
): Promise<SummaryRecord> {
  const options = goalOptionsOf(argv, suggestedOptions(scenario));
  const world = {
    ...(argv.observe ? { observe: true } : {}),
    ...(options.maxRounds === undefined ? {} : { roundsMax: options.maxRounds }),
  };
  const host = new SimHost({
    runs: [{ scenario, seed, options: world }],
    ...(argv.pace === undefined ? {} : { pace: parseWhole('--pace', argv.pace, 1, 1_000_000) }),
  });
  const migration = await firstValueFrom(host.migrations$);
  const goal = goalFor(options, migration.domain, migration.capabilities, learnedPair(scenario));
  const controller = await loadController(name);
  return control(migration, {
    controller,
    goal,
    sink,
    observe: argv.observe,
    abort$: signals.first$,
    start: { scenario: scenario.name, seed },
  });
}

function collecting(also?: RecordSink): { readonly records: MigrationRecord[]; readonly sink: RecordSink } {
  const records: MigrationRecord[] = [];
  return {
    records,
    sink: {
      write: (record) => {
        records.push(record);
        also?.write(record);
      },
      close: async () => {},
    },
  };
}
