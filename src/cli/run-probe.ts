import type { Controller } from '../core/controller.ts';
import { EXIT_CODES, type ExitName, XthrottleError } from '../core/errors.ts';
import type { Capabilities, DomainFacts } from '../core/goal.ts';
import { DEFAULT_PAIR, type GoalOptions, goalFor, type PairOverhead } from '../core/options.ts';
import { findingsOf, type ProbeFindings, type ProbeLook } from '../core/probe.ts';
import { type Rehearsal, rehearse, rehearseStock } from '../core/rehearsal.ts';
import { type BytesPerSecond, bytesPerSecond, type Ms, ms } from '../core/units.ts';
import { learnedPair } from '../sim/facts.ts';
import { suggestedOptions } from '../sim/run.ts';
import { loadScenario } from '../sim/scenario-files.ts';
import { simulateProbe } from '../sim/sim-probe.ts';
import { probeLines } from '../view/probe.ts';
import { tsliceOf } from './host-options.ts';
import { controllerOf } from './load-controller.ts';
import { goalOptionsOf } from './options.ts';
import type { ProbeArguments } from './probe.ts';
import { parseBandwidth, parseDuration, parseWhole } from './quantities.ts';
import { listenForSignals } from './signals.ts';
import { withTslice } from './simulated-tslice.ts';

/** A guest that was watched, real or simulated. */
export interface Watched {
  readonly looks: readonly ProbeLook[];
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  readonly options: GoalOptions;
  readonly pair: PairOverhead;
  readonly rate?: BytesPerSecond;
  readonly lookShare?: number;
  readonly notes: readonly string[];
  /** Outranks what the rehearsal says. */
  readonly exit?: ExitName;
}

/** A link that is common, and slow enough that nobody is promised too much. */
const BANDWIDTH_ASSUMED = bytesPerSecond(125e6);
/** Less than this is all beginnings. */
const DURATION_MS_MIN = ms(500);

/** One probe; its exit code. Throws XthrottleError. */
export async function probe(argv: ProbeArguments): Promise<number> {
  const durationMs = parseDuration('--duration', argv.duration);
  if (durationMs < DURATION_MS_MIN)
    throw new XthrottleError('usage', `--duration must be at least ${DURATION_MS_MIN} ms, got ${argv.duration}`, {
      hint: 'say for example --duration 10s',
    });
  const asked = argv.bandwidth === undefined ? undefined : parseBandwidth('--bandwidth', argv.bandwidth);
  if ((argv.domain === undefined) === (argv.scenario === undefined)) {
    throw new XthrottleError('usage', 'probe needs a domain, or a scenario of the simulated host', {
      hint: 'xthrottle probe DOMAIN, or xthrottle probe --scenario busy-database',
    });
  }
  const tsliceMs = tsliceOf(argv);
  const controller = await controllerOf(argv);
  const watched =
    argv.scenario === undefined ? await watchDomain(argv, durationMs, tsliceMs) : watchScenario(argv, argv.scenario, durationMs);
  const findings = findingsOf(watched.looks);
  if (findings === undefined) {
    for (const note of watched.notes) process.stderr.write(`xthrottle: ${note}\n`);
    throw new XthrottleError('unexpected', `only ${watched.looks.length} looks were possible: too few for a dirty curve`, {
      hint: 'give it a longer --duration',
    });
  }
  return report(argv, controller, watched, findings, asked);
}

async function watchDomain(argv: ProbeArguments, durationMs: Ms, tsliceMs: Ms | undefined): Promise<Watched> {
  const { watchXenDomain } = await import('./probe-xen.ts');
  const signals = listenForSignals((text) => process.stderr.write(`xthrottle: ${text}\n`));
  const stop = new AbortController();
  const subscription = signals.first$.subscribe(() => stop.abort());
  try {
    const watched = await watchXenDomain({
      wanted: argv.domain as string,
      durationMs,
      signal: stop.signal,
      options: goalOptionsOf(argv),
      destination: argv.to,
      tsliceMs,
      say: (text) => process.stderr.write(`xthrottle: ${text}\n`),
    });
    const ended = signals.exitName();
    return watched.exit === undefined && ended !== undefined ? { ...watched, exit: ended } : watched;
  } finally {
    subscription.unsubscribe();
    signals.dispose();
  }
}

function watchScenario(argv: ProbeArguments, name: string, durationMs: Ms): Watched {
  const scenario = withTslice(loadScenario(name), argv);
  const { looks, domain, capabilities, linkRate } = simulateProbe(scenario, parseWhole('--seed', argv.seed, 0, 2 ** 31 - 1), durationMs);
  return {
    looks,
    domain,
    capabilities,
    options: goalOptionsOf(argv, suggestedOptions(scenario)),
    pair: learnedPair(scenario) ?? DEFAULT_PAIR,
    rate: linkRate,
    notes: [],
  };
}

function report(
  argv: ProbeArguments,
  controller: Controller,
  watched: Watched,
  findings: ProbeFindings,
  asked: BytesPerSecond | undefined,
): number {
  const { domain, capabilities, options, pair, looks, lookShare } = watched;
  const rate = asked ?? watched.rate ?? BANDWIDTH_ASSUMED;
  const goal = goalFor(options, domain, capabilities, pair);
  const demandPercent = findings.demandPercent ?? 100 * domain.activeVcpus;
  const rehearsed = { curve: findings.curve, demandPercent, rate, goal };
  const [stock, ours] = [rehearseStock(rehearsed), rehearse(controller, rehearsed)];
  const notes = [...watched.notes, ...caveats(findings, ours)];
  if (argv.json) {
    const { curve, ...shown } = findings;
    process.stdout.write(
      `${JSON.stringify({ type: 'probe', domain, ...shown, knots: curve.knots, looks, lookShare, rateBytesPerSecond: rate, goal, controller: controller.name, stock, rehearsal: ours, notes })}\n`,
    );
  } else {
    const lines = probeLines({
      domain: domain.name,
      findings,
      looks: looks.length,
      ...(lookShare === undefined ? {} : { lookShare }),
      rate,
      rateAssumed: asked === undefined && watched.rate === undefined,
      targetMs: goal.targetDowntimeMs,
      controller: controller.name,
      stock,
      ours,
      notes,
    });
    process.stdout.write(`${lines.join('\n')}\n`);
  }
  return EXIT_CODES[watched.exit ?? (ours.feasible ? 'ok' : 'warned')].code;
}

/** What the figures do not say by themselves. */
function caveats(findings: ProbeFindings, { rounds }: Rehearsal): readonly string[] {
  const longest = Math.max(0, ...rounds.map(({ timeMs }) => timeMs));
  if (findings.workingSet.levelledOff || longest <= 1.5 * findings.durationMs) return [];
  return [
    `the longest round lasts ${Math.round(longest / 1000)} s, the guest was watched for ${Math.round(findings.durationMs / 1000)} s: beyond that its curve is carried on by its slope (--duration)`,
  ];
}
