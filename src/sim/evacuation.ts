import type { Controller } from '../core/controller.ts';
import type { Goal } from '../core/goal.ts';
import { type GoalOptions, goalFor } from '../core/options.ts';
import { floorFor } from '../core/stall.ts';
import { type Step, type Stepper, stepper } from '../core/step.ts';
import { type Bytes, ms, pages } from '../core/units.ts';
import { type Candidate, floorSpeedOf, knownFrom, LOOK_MS_DEFAULT, LOOKS_AT_ONCE } from '../evacuate/candidate.ts';
import {
  type Attempt,
  type Evacuation,
  type EvacuationOptions,
  ended,
  harder,
  isOver,
  newEvacuation,
  nextStarts,
  type Start,
  started,
  withoutDoomed,
} from '../evacuate/plan.ts';
import type { HostToDrain } from './evacuation-draw.ts';
import { learnedPair } from './facts.ts';
import type { LinkTime } from './plan.ts';
import { unit } from './random.ts';
import type { NamedScenario } from './scenario-files.ts';
import { simulateProbe } from './sim-probe.ts';
import { World } from './world.ts';

export interface SimulatedEvacuationOptions {
  readonly host: HostToDrain;
  readonly seed: number;
  readonly controller: Controller;
  readonly goal: GoalOptions;
  readonly evacuation: EvacuationOptions;
  /** Which guests, in which order they are listed; default: all. */
  readonly guests?: readonly number[];
  /** Of those, which get the harder try at once. */
  readonly hardGuests?: readonly number[];
  /** The plan knows how they write, as a probe would have told. */
  readonly probed?: boolean;
  /** Sees the state after each change. */
  readonly onChange?: (evacuation: Evacuation, atMs: number) => void;
}

export interface SimulatedEvacuation {
  readonly evacuation: Evacuation;
  readonly totalSeconds: number;
  readonly bytes: Bytes;
  /** Share of the time × link that was used. */
  readonly linkShare: number;
}

/** xl's own time before round 0 (the destination builds the domain) and after the guest was sent: no page moves in it. */
export const START_MS = 600;
export const HAND_OVER_MS = 400;

/** A stream's part of the shared link. */
class Stream implements LinkTime {
  bytesPerMs = 1;
  sentAt(fromMs: number, bytes: number): number {
    return fromMs + bytes / this.bytesPerMs;
  }
  bytesUntil(atMs: number): number {
    return atMs * this.bytesPerMs;
  }
}

interface Running {
  readonly uuid: string;
  readonly goal: Goal;
  readonly world: World;
  readonly stream: Stream;
  readonly steps: Stepper;
  step: Step;
  stage: 'starting' | 'live' | 'handing-over';
  /** Of its own clock's zero, then of its end. */
  zeroMs: number;
  untilMs: number;
  shared: boolean;
  bestDowntimeMs: number | undefined;
  reason: string;
}

/** Drains a host in virtual time: the planner's own decisions, the controllers' own, one link for all. */
export function simulateEvacuation(options: SimulatedEvacuationOptions): SimulatedEvacuation {
  const { host } = options;
  const guests = options.guests ?? host.scenarios.map((_, i) => i);
  const indexOf = new Map(guests.map((index) => [uuidOf(index), index]));
  const candidates = guests.map((index) => candidateOf(host.scenarios[index] as NamedScenario, index, options));
  let evacuation = newEvacuation('simulated', candidates, options.evacuation);
  let running: readonly Running[] = [];
  // The looks come first, and are part of the time.
  let nowMs = options.probed === true ? Math.ceil(guests.length / LOOKS_AT_ONCE) * LOOK_MS_DEFAULT : 0;
  let bytes = 0;
  const change = (next: Evacuation): void => {
    evacuation = options.probed === true ? withoutDoomed(next) : next;
    options.onChange?.(next, nowMs);
  };
  const begin = (): void => {
    for (const { uuid, hard } of nextStarts(evacuation)) {
      const index = indexOf.get(uuid) as number;
      running = [
        ...running,
        start(
          host.scenarios[index] as NamedScenario,
          index,
          { uuid, hard: hard || options.hardGuests?.includes(index) === true, alone: false },
          nowMs,
          options,
        ),
      ];
      change(started(evacuation, uuid));
    }
  };
  change(evacuation);
  begin();
  while (!isOver(evacuation) && running.length > 0) {
    const next = running.reduce((a, b) => (timeOf(b) < timeOf(a) ? b : a));
    nowMs = Math.max(nowMs, timeOf(next));
    if (next.stage === 'handing-over') {
      running = running.filter((one) => one !== next);
      bytes += next.world.truth().bytesSent;
      change(ended(evacuation, next.uuid, attemptOf(next)));
      begin();
    } else if (next.stage === 'starting') {
      next.stage = 'live';
      next.zeroMs = nowMs;
      share(running, host);
    } else if (!advance(next)) {
      next.stage = 'handing-over';
      next.untilMs = nowMs + HAND_OVER_MS;
      share(running, host);
    }
  }
  return {
    evacuation,
    totalSeconds: nowMs / 1000,
    bytes: bytes as Bytes,
    linkShare: nowMs > 0 ? bytes / ((host.link * nowMs) / 1000) : 0,
  };
}

const uuidOf = (index: number): string => `guest-${index}`;
const timeOf = (one: Running): number => (one.stage === 'live' ? one.zeroMs + one.world.atMs : one.untilMs);

function start(scenario: NamedScenario, index: number, { uuid, hard }: Start, nowMs: number, options: SimulatedEvacuationOptions): Running {
  const stream = new Stream();
  const world = new World(scenario, options.seed + index, { index, link: stream });
  const asked = hard ? harder(options.goal) : options.goal;
  const goal = goalFor(asked, world.domain, world.capabilities, learnedPair(scenario));
  const steps = stepper(options.controller, goal);
  const untilMs = nowMs + START_MS;
  return {
    uuid,
    goal,
    world,
    stream,
    steps,
    step: steps.initial,
    stage: 'starting',
    zeroMs: 0,
    untilMs,
    shared: false,
    bestDowntimeMs: undefined,
    reason: '',
  };
}

/** One observation and its answer; false once the migration is over. */
function advance(one: Running): boolean {
  const observation = one.world.next();
  if (observation === undefined) return false;
  one.step = one.steps.next(one.step, observation);
  const { decision } = one.step;
  if (decision.action === 'abort' || decision.action === 'deny') {
    one.reason = decision.reason.text;
    one.bestDowntimeMs = decision.forecast?.feasible === false ? decision.forecast.bestDowntimeMs : undefined;
  }
  one.world.apply(decision);
  return true;
}

/** Every stream that sends gets the same, and none more than a stream can. */
function share(running: readonly Running[], { link, streamMax }: HostToDrain): void {
  const sending = running.filter(({ stage }) => stage === 'live');
  for (const one of sending) {
    one.shared ||= sending.length > 1;
    const bytesPerMs = Math.min(streamMax, link / sending.length) / 1000;
    if (bytesPerMs === one.stream.bytesPerMs) continue;
    one.stream.bytesPerMs = bytesPerMs;
    one.world.relink();
  }
}

function attemptOf({ world, goal, shared, bestDowntimeMs, reason }: Running): Attempt {
  const truth = world.truth();
  const moved = truth.result === 'migrated';
  return {
    result: moved ? 'moved' : 'stayed',
    reason: moved ? 'moved' : reason || (world.ending?.reason ?? 'it stayed'),
    ...(moved ? { metTarget: (truth.downtimeMs ?? Number.POSITIVE_INFINITY) <= goal.targetDowntimeMs } : {}),
    seconds: truth.totalSeconds,
    bytesSent: truth.bytesSent,
    ...(truth.downtimeMs === null ? {} : { downtimeMs: truth.downtimeMs }),
    shared,
    ...(moved || bestDowntimeMs === undefined ? {} : { bestDowntimeMs }),
  };
}

function candidateOf(scenario: NamedScenario, index: number, { probed, goal, seed }: SimulatedEvacuationOptions): Candidate {
  const { domain, host, name } = scenario;
  const candidate = { uuid: uuidOf(index), name, domid: index + 1, memoryPages: pages(domain.memoryMib * 256) };
  const known = probed === true ? knownFrom(simulateProbe(scenario, seed + index, ms(LOOK_MS_DEFAULT)).looks) : undefined;
  if (known === undefined) return candidate;
  const { demandPercent, ...dirty } = known;
  const stall = goal.maxStallMs ?? goal.targetDowntimeMs;
  const floor = floorFor(stall, domain.activeVcpus ?? domain.vcpus, host.scheduler, ms(host.tsliceMs));
  return { ...candidate, dirty, ...floorSpeedOf(floor, demandPercent) };
}

/** With all known beforehand. */
export interface Clairvoyant {
  /** Guests that move when they have the link for themselves. */
  readonly movable: readonly number[];
  /** Every guest that is tried once in the best of the orders and numbers at a time: how long that takes, and how many it moves. */
  readonly totalSeconds: number;
  readonly moved: number;
  readonly lanes: number;
  /** No order at all is quicker, nor any plan that tries only who can move: every byte that those send when alone, over a link that never rests. */
  readonly leastSeconds: number;
}

export interface ClairvoyantOptions extends Omit<SimulatedEvacuationOptions, 'guests'> {
  /** Who is tried; who is known to move is tried in any case. */
  readonly tried: readonly number[];
  /** Orders that are looked at: by time, both ways, then shuffled ones. */
  readonly orders: number;
}

/** The yardstick: knows beforehand how each guest's migration goes when it is alone, and looks for the quickest order, at two numbers at a time. */
export function clairvoyant(options: ClairvoyantOptions): Clairvoyant {
  const { host, evacuation } = options;
  const once: EvacuationOptions = { ...evacuation, order: 'listed', parallel: 1, tries: 1 };
  const alone = (index: number, hardGuests: readonly number[]) => {
    const run = simulateEvacuation({ ...options, probed: false, evacuation: once, guests: [index], hardGuests });
    return { index, run, hard: hardGuests.length > 0, moves: run.evacuation.entries[0]?.status === 'moved' };
  };
  const solo = host.scenarios.map((_, index) => {
    const first = alone(index, []);
    const again = first.moves ? first : alone(index, [index]);
    return again.moves ? again : first;
  });
  const movable = solo.filter(({ moves }) => moves);
  const hardGuests = movable.filter(({ hard }) => hard).map(({ index }) => index);
  const ascending = solo
    .filter(({ index, moves }) => moves || options.tried.includes(index))
    .sort((a, b) => a.run.totalSeconds - b.run.totalSeconds)
    .map(({ index }) => index);
  const around = (START_MS + HAND_OVER_MS) / 1000;
  const least = movable.reduce((sum, { run }) => sum + run.bytes, 0) / host.link;
  const longest = Math.max(0, ...movable.map(({ run }) => run.totalSeconds - around));
  const full = Math.max(1, Math.round(host.link / host.streamMax));
  let best = { totalSeconds: Number.POSITIVE_INFINITY, moved: -1, lanes: 1 };
  for (let k = 0; k < options.orders; k++) {
    const guests = k === 0 ? [...ascending].reverse() : k === 1 ? ascending : shuffled(ascending, options.seed, k);
    for (const lanes of [full, full + 1]) {
      const run = simulateEvacuation({ ...options, probed: false, evacuation: { ...once, parallel: lanes }, guests, hardGuests });
      const { totalSeconds } = run;
      const moved = run.evacuation.entries.filter(({ status }) => status === 'moved').length;
      if (moved > best.moved || (moved === best.moved && totalSeconds < best.totalSeconds)) best = { totalSeconds, moved, lanes };
    }
  }
  return { movable: movable.map(({ index }) => index), ...best, leastSeconds: Math.max(least, longest) + around };
}

function shuffled(list: readonly number[], seed: number, k: number): readonly number[] {
  return list
    .map((value, i) => ({ value, key: unit(seed, 'evacuation', 1_000_000 + 1000 * k + i) }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}
