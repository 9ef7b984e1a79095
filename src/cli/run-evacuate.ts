import { Subject } from 'rxjs';
import { assetPath } from '../assets.ts';
import type { Controller } from '../core/controller.ts';
import { EXIT_CODES, messageOf, XthrottleError } from '../core/errors.ts';
import type { GoalOptions } from '../core/options.ts';
import { type Ms, ms } from '../core/units.ts';
import type { Candidate } from '../evacuate/candidate.ts';
import {
  type Attempt,
  type Evacuation,
  ended,
  harder,
  isOver,
  leftAll,
  newEvacuation,
  nextStarts,
  resumed,
  type Start,
  started,
  withoutDoomed,
} from '../evacuate/plan.ts';
import { planLines, plannedRows, resultLines, secondsLeft } from '../evacuate/table.ts';
import { showSeconds } from '../view/human.ts';
import { openXenHost, type XenHost } from '../xen/xen-host.ts';
import type { XenMigration } from '../xen/xen-migration.ts';
import type { EvacuateArguments } from './evacuate.ts';
import { listCandidates, type ProbeAllOptions, probeCandidates } from './evacuation-candidates.ts';
import { evacuationCode, evacuationRecord } from './evacuation-end.ts';
import { evacuationGoal } from './evacuation-goal.ts';
import { type EvacuationStore, evacuationStore } from './evacuation-store.ts';
import { balloonOf, tsliceOf } from './host-options.ts';
import { controllerOf } from './load-controller.ts';
import { type Migrator, migrateOne } from './migrate-one.ts';
import { type Output, openOutput } from './output.ts';
import { parseDuration } from './quantities.ts';
import { listenForSignals, type Signals } from './signals.ts';
import { openTelemetry } from './telemetry.ts';
import { openXenTools, privateSocket, type XenTools } from './xen-setup.ts';

/** Drains this host; the exit code. Throws XthrottleError. */
export async function evacuate(argv: EvacuateArguments): Promise<number> {
  const destination = argv.host;
  if (destination === undefined)
    throw new XthrottleError('usage', 'evacuate needs a destination', {
      hint: 'xthrottle evacuate HOST, or xthrottle evacuate --simulate 20',
    });
  const { goal, evacuation: asked } = evacuationGoal(argv);
  const [tsliceMs, request, lookMs] = [tsliceOf(argv), balloonOf(argv), lookOf(argv.probe)];
  const controller = await controllerOf(argv);
  const telemetry = await openTelemetry(argv);
  const output = openOutput({ json: argv.json, live: argv.live !== false, quiet: argv.quiet, many: true, also: telemetry.sinks });
  const signals = listenForSignals((text) => output.say(text, 'warning'));
  let host: XenHost | undefined;
  try {
    await telemetry.start(output, 'warn');
    const tools = await openXenTools(output, telemetry);
    const opened = await openXenHost({ socketPath: privateSocket(), ...tools, tsliceMs, note: (level, text) => output.say(text, level) });
    host = opened;
    await telemetry.onLeftovers(opened.restored, output);
    const store = evacuationStore(destination);
    const before = argv.fresh ? undefined : await store.load();
    const maxStallMs = goal.maxStallMs ?? goal.targetDowntimeMs;
    const { guarded } = opened;
    const candidates = await seen({ ...tools, deny: argv.deny ?? [], lookMs, maxStallMs, tsliceMs, output, signals, guarded });
    const evacuation = withoutDoomed(
      before === undefined ? newEvacuation(destination, candidates, asked) : resumed(before, candidates, asked),
    );
    if (argv['dry-run']) return await showPlan(evacuation, argv, output);
    if (before !== undefined) output.say(`goes on with the evacuation to ${destination} that was not finished (--fresh forgets it)`);
    const migrations$ = new Subject<XenMigration>();
    opened.migrations$.subscribe(migrations$);
    const xlOptions = argv['--'] ?? [];
    const front = assetPath('src/xen/relay/front.sh');
    const { verbose } = argv;
    const migrator: Migrator = {
      destination,
      host: opened,
      migrations$,
      ...tools,
      controller,
      output,
      signals,
      telemetry,
      tsliceMs,
      request,
      xlOptions,
      front,
      verbose,
    };
    const drain = new Drain(evacuation, { goal, controller, migrator, store, output, signals, quiet: argv.quiet });
    const result = await drain.run();
    await host.close();
    await output.close();
    const code = evacuationCode(result, drain.notRestored, signals.exitName());
    const lines = argv.json ? [JSON.stringify(evacuationRecord(result, code))] : ['', ...resultLines(result)];
    process.stdout.write(`${lines.join('\n')}\n`);
    return code;
  } finally {
    await host?.close();
    signals.dispose();
    await output.close();
    await telemetry.close();
  }
}

const lookOf = (text: string): Ms | undefined => (text === 'off' ? undefined : parseDuration('--probe', text));

interface Seeing extends XenTools, Pick<ProbeAllOptions, 'maxStallMs' | 'tsliceMs' | 'output' | 'signals' | 'guarded'> {
  readonly deny: readonly string[];
  readonly lookMs: Ms | undefined;
}

/** The guests of this host, each looked at where that can be done. */
async function seen({ xl, xenctrl, deny, lookMs, ...rest }: Seeing): Promise<readonly Candidate[]> {
  const candidates = await listCandidates({ xl, deny });
  if (lookMs === undefined || xenctrl === undefined || candidates.length === 0) return candidates;
  return probeCandidates(candidates, { xl, xenctrl, durationMs: lookMs, ...rest });
}

async function showPlan(evacuation: Evacuation, argv: EvacuateArguments, output: Output): Promise<number> {
  await output.close();
  const left = evacuation.entries.flatMap(({ status, candidate, why }) =>
    status === 'left' ? [{ uuid: candidate.uuid, name: candidate.name, why }] : [],
  );
  const { destination } = evacuation;
  const lines = argv.json
    ? [JSON.stringify({ type: 'evacuation-plan', destination, plan: plannedRows(evacuation), left })]
    : planLines(evacuation);
  process.stdout.write(`${lines.join('\n')}\n`);
  return EXIT_CODES.ok.code;
}

interface DrainOptions {
  readonly goal: GoalOptions;
  readonly controller: Controller;
  readonly migrator: Migrator;
  readonly store: EvacuationStore;
  readonly output: Output;
  readonly signals: Signals;
  readonly quiet: boolean;
}

/** Carries the plan out: starts what is due, takes in what has ended, keeps the plan on disk. */
class Drain {
  readonly #options: DrainOptions;
  readonly #startedAtMs = performance.now();
  readonly #running = new Map<string, { shared: boolean }>();
  #evacuation: Evacuation;
  #changed: () => void = () => undefined;
  /** Some cap or timeslice of ours may still be in force. */
  notRestored = false;

  constructor(evacuation: Evacuation, options: DrainOptions) {
    this.#evacuation = evacuation;
    this.#options = options;
  }

  async run(): Promise<Evacuation> {
    const { signals, store } = this.#options;
    const subscription = signals.first$.subscribe(() => this.#changed());
    try {
      await this.#keep(this.#evacuation);
      while (!isOver(this.#evacuation)) {
        const changed = new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
        const stopping = signals.exitName() !== undefined;
        const leftMs = this.#msLeft();
        if (!stopping && leftMs !== undefined && leftMs <= 0) await this.#keep(leftAll(this.#evacuation, 'the deadline came first'));
        else if (!stopping) for (const start of nextStarts(this.#evacuation)) await this.#begin(start, leftMs);
        if (this.#running.size === 0 && (stopping || isOver(this.#evacuation) || nextStarts(this.#evacuation).length === 0)) break;
        const timer = leftMs === undefined || leftMs <= 0 ? undefined : setTimeout(() => this.#changed(), leftMs);
        await changed;
        clearTimeout(timer);
      }
    } finally {
      subscription.unsubscribe();
    }
    if (isOver(this.#evacuation)) await store.forget();
    return this.#evacuation;
  }

  #msLeft(): number | undefined {
    const { deadlineMs } = this.#evacuation.options;
    return deadlineMs === undefined ? undefined : deadlineMs - (performance.now() - this.#startedAtMs);
  }

  async #keep(evacuation: Evacuation): Promise<void> {
    this.#evacuation = withoutDoomed(evacuation);
    await this.#options.store.save(this.#evacuation).catch((error: unknown) => {
      this.#options.output.say(`the plan cannot be kept (${messageOf(error)}): an interrupted evacuation starts anew`, 'warning');
    });
  }

  async #begin({ uuid, hard, alone }: Start, leftMs: number | undefined): Promise<void> {
    const { goal, migrator, quiet, output } = this.#options;
    await this.#keep(started(this.#evacuation, uuid));
    const entry = this.#evacuation.entries.find(({ candidate }) => candidate.uuid === uuid);
    if (!quiet)
      output.say(`${entry?.candidate.name}: leaves now${hard ? ', with more rounds' : ''}${alone ? ', alone' : ''}; ${this.#progress()}`);
    const mine = { shared: this.#running.size > 0 };
    for (const other of this.#running.values()) other.shared = true;
    this.#running.set(uuid, mine);
    const options: GoalOptions = {
      ...(hard ? harder(goal) : goal),
      ...(leftMs === undefined ? {} : { deadlineMs: ms(Math.max(1, leftMs)) }),
    };
    void migrateOne(migrator, uuid, options).then(async ({ attempt, notRestored }) => {
      this.#running.delete(uuid);
      this.notRestored ||= notRestored;
      await this.#took(uuid, { ...attempt, shared: mine.shared });
      this.#changed();
    });
  }

  async #took(uuid: string, attempt: Attempt): Promise<void> {
    await this.#keep(ended(this.#evacuation, uuid, attempt));
    const entry = this.#evacuation.entries.find(({ candidate }) => candidate.uuid === uuid);
    if (entry?.status === 'waiting' && attempt.result !== 'interrupted')
      this.#options.output.say(`${entry.candidate.name}: stays for now (${attempt.reason}); tried again later`, 'warning');
  }

  #progress(): string {
    const { entries } = this.#evacuation;
    const moved = entries.filter(({ status }) => status === 'moved').length;
    return `${moved} of ${entries.length} moved, some ${showSeconds(secondsLeft(this.#evacuation))} to go after it`;
  }
}
