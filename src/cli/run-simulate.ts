import { firstValueFrom } from 'rxjs';
import { DEFAULT_CONTROLLER } from '../../controllers/registry.ts';
import type { Controller } from '../core/controller.ts';
import { EXIT_CODES, XthrottleError } from '../core/errors.ts';
import { goalFor } from '../core/options.ts';
import type { MigrationRecord, RecordSink, SummaryRecord } from '../core/record.ts';
import { control } from '../loop.ts';
import { learnedPair } from '../sim/facts.ts';
import type { Mechanism } from '../sim/mechanism.ts';
import { suggestedOptions } from '../sim/run.ts';
import { scenarioJsonSchema } from '../sim/scenario.ts';
import { loadScenario, type NamedScenario, scenarioNames } from '../sim/scenario-files.ts';
import { SimHost } from '../sim/sim-host.ts';
import type { SimMigration } from '../sim/sim-migration.ts';
import type { Truth } from '../sim/truth.ts';
import { compare } from '../view/compare.ts';
import { fanOut } from '../view/json.ts';
import { exitCodeOf } from './exit-code.ts';
import { loadControllers, tellIgnored } from './load-controller.ts';
import { afterResume, controllerFor, modelFacts } from './mechanism.ts';
import { goalOptionsOf } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { parseWhole } from './quantities.ts';
import { listenForSignals, type Signals } from './signals.ts';
import type { SimulateArguments } from './simulate.ts';
import { withTslice } from './simulated-tslice.ts';
import { openTelemetry, type Telemetry } from './telemetry.ts';

/** `--list`, `--schema` or simulated migrations; the exit code. Throws XthrottleError. */
export async function simulateCli(argv: SimulateArguments): Promise<number> {
  if (argv.list) process.stdout.write(`${scenarioNames().join('\n')}\n`);
  else if (argv.schema) process.stdout.write(`${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`);
  else return simulateMigrations(argv);
  return EXIT_CODES.ok.code;
}

interface Simulated {
  readonly argv: SimulateArguments;
  readonly scenarios: readonly NamedScenario[];
  readonly seed: number;
  readonly output: Output;
  readonly signals: Signals;
  readonly telemetry: Telemetry;
}

async function simulateMigrations(argv: SimulateArguments): Promise<number> {
  const scenarios = scenariosOf(argv);
  const seed = argv.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : parseWhole('--seed', argv.seed, 0, 2 ** 31 - 1);
  const names = [controllerFor(argv.mechanism, argv.controller, DEFAULT_CONTROLLER), ...(argv.compare === undefined ? [] : [argv.compare])];
  const [controller, other] = (await loadControllers(names, goalOptionsOf(argv).options)) as [Controller, Controller?];
  if (other === controller && argv.mechanism === 'pre-copy')
    throw new XthrottleError('usage', `--compare expects another controller than ours, got ${controller.name} for both`, {
      hint: `say for example --compare ${controller.name === 'none' ? DEFAULT_CONTROLLER : 'none'}`,
    });
  tellIgnored(argv, other === undefined ? [controller] : [controller, other]);
  const telemetry = await openTelemetry(argv);
  const output = openOutput({ ...argv, many: scenarios.length > 1, also: telemetry.sinks });
  const signals = listenForSignals((text) => output.say(text, 'warning'));
  const all: Simulated = { argv, scenarios, seed, output, signals, telemetry };
  try {
    await telemetry.start(output, 'refuse');
    if (argv.seed === undefined) output.say(`seed ${seed}`);
    const side = { controller, mechanism: argv.mechanism };
    const { summaries } = await (other === undefined ? run(side, output.sink, all, telemetry) : sideBySide(side, other, all));
    const code = Math.max(...summaries.map((summary) => exitCodeOf(summary, signals.exitName())));
    for (const { domain } of summaries) await telemetry.leaveBehind(domain, output);
    if (argv.stay && signals.exitName() === undefined) {
      output.say('all migrations have ended; metrics stay until a signal (Ctrl-C)');
      // Neither the server nor a signal handler keeps a process alive.
      const alive = setInterval(() => undefined, 60_000);
      await firstValueFrom(signals.first$).finally(() => clearInterval(alive));
    }
    return code;
  } finally {
    signals.dispose();
    await output.close();
    await telemetry.close();
  }
}

/** Checks what depends on several options at once. Throws XthrottleError('usage'). */
function scenariosOf(argv: SimulateArguments): readonly NamedScenario[] {
  const names = argv.scenario ?? [];
  const usage = (text: string, hint: string): XthrottleError => new XthrottleError('usage', text, { hint });
  if (names.length === 0) throw usage('which scenario? --scenario is missing', 'xthrottle simulate --list names them');
  if (argv.stay && argv.metrics === undefined)
    throw usage('--stay keeps serving metrics: it needs --metrics', 'add --metrics 127.0.0.1:9464');
  if (argv.compare !== undefined && names.length > 1)
    throw usage('--compare is for one scenario', 'give --scenario once, or leave out --compare');
  if (argv.compare !== undefined && argv.json)
    throw usage('--compare prints a table: it does not go with --json', 'run twice with the same --seed');
  return names.map((name) => withTslice(loadScenario(name), argv));
}

/** The same migration under another controller first, then ours; both as one table. */
async function sideBySide(side: Side, other: Controller, all: Simulated): Promise<Ran> {
  const { argv, output, telemetry } = all;
  const theirs = collecting();
  const ours = collecting(argv.quiet ? fanOut(telemetry.sinks) : output.sink);
  await run({ controller: other, mechanism: 'pre-copy' }, theirs.sink, all);
  const ran = await run(side, ours.sink, all, telemetry);
  await output.close();
  const columns = [
    { title: other.name === 'none' ? 'stock Xen' : other.name, records: theirs.records },
    { title: titleOf(side, other), records: ours.records, facts: modelFacts(side.mechanism, ran.truths) },
  ];
  process.stdout.write(`${compare(columns).join('\n')}\n`);
  return ran;
}

function titleOf({ controller, mechanism }: Side, other: Controller): string {
  if (mechanism !== 'pre-copy') return `${mechanism} (model)`;
  return other.name === 'none' ? `xthrottle (${controller.name})` : controller.name;
}

interface Side {
  readonly controller: Controller;
  readonly mechanism: Mechanism;
}

interface Ran {
  readonly summaries: readonly SummaryRecord[];
  readonly truths: readonly Truth[];
}

/** All scenarios at the same time under one controller. */
async function run({ controller, mechanism }: Side, sink: RecordSink, all: Simulated, telemetry?: Telemetry): Promise<Ran> {
  const { argv, seed, signals } = all;
  const wanted = all.scenarios.map((scenario) => ({ scenario, goal: goalOptionsOf(argv, suggestedOptions(scenario)) }));
  const host = new SimHost({
    runs: wanted.map(({ scenario, goal: { maxRounds } }) => ({
      scenario,
      seed,
      options: { mechanism, ...(argv.observe ? { observe: true } : {}), ...(maxRounds === undefined ? {} : { roundsMax: maxRounds }) },
    })),
    ...(argv.pace === undefined ? {} : { pace: parseWhole('--pace', argv.pace, 1, 1_000_000) }),
  });
  // Every goal is checked before the first migration begins.
  const ready = wanted.map(({ scenario, goal }, index) => {
    const migration = host.migrations[index] as SimMigration;
    return { scenario, migration, goal: goalFor(goal, migration.domain, migration.capabilities, learnedPair(scenario)) };
  });
  const summaries = await Promise.all(
    ready.map(({ scenario, migration, goal }) => {
      telemetry?.onMigration(migration);
      const start = { scenario: scenario.name, seed };
      return control(migration, { controller, goal, sink, observe: argv.observe, abort$: signals.first$, start });
    }),
  );
  if (mechanism !== 'pre-copy')
    for (const { world, domain } of host.migrations) all.output.say(afterResume(mechanism, domain.name, world.truth()));
  return { summaries, truths: host.migrations.map(({ world }) => world.truth()) };
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
