import { capPercent } from '../core/cap.ts';
import type { Goal, Profile } from '../core/goal.ts';
import { stallOf } from '../core/stall.ts';
import { WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import { fixedMs, p2mFramesOf, suspendPagesOf } from './facts.ts';
import { grown, type Writer, writersOf } from './guest.ts';
import { type Span, Tables } from './planner-tables.ts';
import type { NamedScenario } from './scenario-files.ts';

/**
 * The clairvoyant planner: the lower bound that controllers are measured against.
 *
 * It knows the realisation (link, write rates, phases: all functions of seed and time) and keeps the constraints of the controllers: the
 * floor of the cap, the profile's slew limit from one round's mean speed to the next, the number of live rounds, the slice that the guest
 * runs before its last stall and the downtime would join. It chooses one mean speed a round so that the last dirty set fits the target at the
 * least lost work Σ (1 − speed) × time. Parking is not in it: a capped guest runs evenly. With `luck: 'best'` it is: the guest stands, or
 * runs, a stall longer than its cap asks for in any round that this suits, which no controller can count on.
 *
 * Forward dynamic programming over rounds. A node is (time, pages to send, speed of the round before, work lost); the time a round takes
 * follows from its pages alone. After each round only nodes stay that no other beats in pages, lost work and freedom to slow down at about
 * the same time. Where a round can be the last, the highest speed that still fits is found by bisection.
 */
export interface Plan {
  readonly attained: boolean;
  /** Mean speed of each round. */
  readonly speeds: readonly number[];
  readonly lostSeconds: number;
  readonly downtimeMs: number;
  readonly totalSeconds: number;
  readonly bytes: number;
  readonly rounds: number;
}

export interface PlannerOptions {
  readonly goal: Goal;
  /** Live rounds at most. */
  readonly rounds: number;
  /** Speeds tried in each round. */
  readonly speeds?: number;
  /** Nodes kept after each round. */
  readonly beam?: number;
  /** Any plan that fits will do. */
  readonly anyPlan?: boolean;
  /** How a capped guest gets its speed in a round: evenly (default), or parked and let run when it suits best. */
  readonly luck?: 'even' | 'best';
}

/** Slew limit of each profile: the least share of the mean speed of the round before. */
export const SLEW_OF: Readonly<Record<Profile, number>> = { progressive: 0.5, gradual: 0.8, steep: 0 };

const SPEEDS = 26;
/** 1: evenly by ratio; above: closer together near full speed. */
const CLUSTER = 2;
const BEAM = 640;
const BISECTIONS = 14;
/** Stock Xen ends the rounds below so many dirty pages. */
const STOCK_FEW_PAGES = 50;
/** Speeds by ratio end here: parking may leave a short round none at all. */
const LUCKY_SPEED_MIN = 0.02;
/** Nodes whose times differ by less than this share meet the same phases. */
const SAME_TIME = 0.02;
const SAME_PAGES = 0.01;
/** Speeds told apart, per octave: how far the next round may go down hangs on them. */
const SPEED_CELLS = 64;

interface Node {
  readonly atMs: number;
  readonly pages: number;
  readonly speedBefore: number;
  readonly lostMs: number;
  readonly sentPages: number;
  readonly speed: number;
  readonly parent: Node | undefined;
}

interface World {
  readonly scenario: NamedScenario;
  readonly goal: Goal;
  readonly tables: Tables;
  readonly writers: readonly Writer[];
  readonly suspendMs: number;
  readonly resumeMs: number;
  readonly suspendPages: number;
  readonly slew: number;
  readonly runFirstMs: number;
  readonly lucky: boolean;
}

/** The plan of least lost work; `attained` is false (and the rest that of the free run) when no plan fits the target. */
export function planMigration(scenario: NamedScenario, seed: number, options: PlannerOptions): Plan {
  const world = worldOf(scenario, seed, options.goal);
  const even = search(world, options);
  if (options.luck !== 'best' || !scenario.host.parking) return even;
  const lucky = search({ ...world, lucky: true }, options);
  // Their grids differ.
  return lucky.attained && (!even.attained || lucky.lostSeconds < even.lostSeconds) ? lucky : even;
}

/** True when a plan fits `share` of the target within `share` of the rounds. */
export function isFeasible(scenario: NamedScenario, seed: number, options: PlannerOptions, share = 0.75): boolean {
  const goal: Goal = { ...options.goal, targetDowntimeMs: (share * options.goal.targetDowntimeMs) as Goal['targetDowntimeMs'] };
  const rounds = Math.max(1, Math.floor(share * options.rounds));
  return search(worldOf(scenario, seed, goal), { ...options, goal, rounds, anyPlan: true }).attained;
}

function worldOf(scenario: NamedScenario, seed: number, goal: Goal): World {
  const ceiling = capPercent(goal.domain.capOriginal, goal.domain.vcpus);
  const floor = scenario.host.actuator ? Math.min(goal.capFloorPercent, ceiling) : ceiling;
  const { scheduler, tsliceMs, runFirstMs } = goal.capabilities;
  const stallMs = stallOf(floor, goal.domain.activeVcpus, scheduler, tsliceMs);
  return {
    scenario,
    goal,
    tables: new Tables(scenario, seed, floor, ceiling),
    writers: writersOf(scenario),
    suspendMs: fixedMs(scenario.suspend, seed, 'suspend'),
    resumeMs: fixedMs(scenario.resume, seed, 'resume'),
    suspendPages: suspendPagesOf(scenario, seed),
    slew: SLEW_OF[goal.profile],
    runFirstMs: stallMs > 0 ? runFirstMs : 0,
    lucky: false,
  };
}

/** What happens in the round that a node begins, whatever its speed. */
interface Round {
  readonly node: Node;
  readonly sentAtMs: number;
  readonly readAtMs: number;
  readonly span: Span;
  readonly spanToAsk: Span;
  /** The lowest mean speed, and the lowest that caps may ask for. */
  readonly limit: number;
  readonly capLimit: number;
  readonly full: number;
}

function roundOf(world: World, node: Node, index: number): Round {
  const { scenario, tables } = world;
  const copiedMs = tables.realisation.sentAt(node.atMs, node.pages * WIRE_BYTES_PER_PAGE);
  const absent = index === 0 ? Math.max(0, p2mFramesOf(scenario) - node.pages) / scenario.link.absentFramesPerSecond : 0;
  const sentAtMs = copiedMs + absent * 1000;
  const readAtMs = sentAtMs + scenario.host.roundOverheadMs;
  const span = tables.between(node.atMs, readAtMs);
  const capLimit = Math.min(span.fullSpeed, Math.max(span.floorSpeed, world.slew * node.speedBefore));
  const limit = Math.max(0, capLimit - luckOf(world, capLimit, readAtMs - node.atMs));
  return { node, sentAtMs, readAtMs, span, spanToAsk: tables.between(node.atMs, sentAtMs), limit, capLimit, full: span.fullSpeed };
}

/** How far parking can carry the mean speed of a span from what the cap asks for, either way: a stall more, or a stall less. */
function luckOf(world: World, speed: number, spanMs: number): number {
  if (!world.lucky || spanMs <= 0) return 0;
  return (speed * stallAt(world, speed, Math.min)) / spanMs;
}

/** What the next round's slew limit goes by: the mean speed, or the least that the caps can have asked for. */
function slewedFrom(world: World, round: Round, speed: number): number {
  if (!world.lucky || speed <= round.capLimit) return speed;
  const spanMs = round.readAtMs - round.node.atMs;
  let low = round.capLimit;
  let high = speed;
  for (let k = 0; k < BISECTIONS; k++) {
    const middle = (low + high) / 2;
    if (middle + luckOf(world, middle, spanMs) < speed) low = middle;
    else high = middle;
  }
  return low;
}

/** Unique pages dirty by writer after a span at `speed`, from `start` (an empty log). */
function dirtied(world: World, span: Span, speed: number, start?: readonly number[]): number[] {
  return world.writers.map((writer, i) => {
    const exposure = span.exposureMs[writer.classIndex] as number;
    return grown(writer, start?.[i] ?? 0, writer.ignoresCpu ? exposure : speed * exposure);
  });
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

interface Ending {
  readonly downtimeMs: number;
  readonly endMs: number;
  readonly pages: number;
}

/** The switch-over after a round at `speed`: lift, slice where the last stall needs one, suspend, stop-and-copy, resume. */
function ending(world: World, round: Round, speed: number): Ending {
  const { goal, scenario, tables } = world;
  const asked = dirtied(world, round.spanToAsk, speed);
  const throttled = speed < round.full - 1e-9;
  const passMs = round.sentAtMs + (throttled ? scenario.host.liftLatencyMs : 0);
  const lifted = throttled ? dirtied(world, tables.between(round.sentAtMs, passMs), speed, asked) : asked;
  const finish = (delayMs: number): Ending => {
    // A guest that its owner's cap holds back answers late.
    const standsMs = passMs + delayMs + world.suspendMs / round.full;
    const left = dirtied(world, tables.between(passMs, standsMs), round.full, lifted);
    const pages = Math.min(goal.domain.populatedPages, Math.round(sum(left)) + world.suspendPages);
    const endMs = tables.realisation.sentAt(standsMs, pages * WIRE_BYTES_PER_PAGE) + world.resumeMs;
    return { pages, endMs, downtimeMs: endMs - passMs - delayMs };
  };
  const direct = finish(0);
  // With luck the last stall ends just before.
  if (!throttled || world.lucky || world.runFirstMs === 0) return direct;
  const stallMs = stallAt(world, speed, Math.max);
  return direct.downtimeMs + stallMs <= goal.targetDowntimeMs ? direct : finish(world.runFirstMs);
}

/** The stall of the cap that gives this speed, by the highest demand there is the shortest it can be, by the lowest the longest. */
function stallAt(world: World, speed: number, which: (...demands: readonly number[]) => number): number {
  const { scenario, goal } = world;
  const demand = which(scenario.domain.cpuDemandPercent, ...scenario.phases.map((p) => p.cpuDemandPercent ?? 0));
  return stallOf(speed * demand, goal.domain.activeVcpus, goal.capabilities.scheduler, goal.capabilities.tsliceMs);
}

/** The start: everything is to be sent. */
const rootOf = (scenario: NamedScenario): Node => ({
  atMs: 0,
  pages: scenario.domain.memoryMib * 256,
  speedBefore: 1,
  lostMs: 0,
  sentPages: 0,
  speed: 1,
  parent: undefined,
});

function search(world: World, options: PlannerOptions): Plan {
  const { scenario, goal } = world;
  const openEnded = scenario.host.roundLimit === undefined;
  let nodes: readonly Node[] = [rootOf(scenario)];
  let best: { plan: Plan; lostMs: number } | undefined;
  for (let i = 0; i < options.rounds && nodes.length > 0; i++) {
    const children: Node[] = [];
    for (const node of nodes) {
      if (best !== undefined && node.lostMs >= best.lostMs) continue;
      const round = roundOf(world, node, i);
      const mustEnd = i === options.rounds - 1 || (!openEnded && i > 0 && node.pages < STOCK_FEW_PAGES);
      if (openEnded || mustEnd) {
        const last = fastestFit(world, round, goal.targetDowntimeMs);
        if (last !== undefined && (best === undefined || lostAfter(round, last, round.sentAtMs) < best.lostMs)) {
          best = { plan: planOf(world, round, last, i + 1), lostMs: lostAfter(round, last, round.sentAtMs) };
          if (options.anyPlan === true) return best.plan;
        }
      }
      if (mustEnd) continue;
      for (const speed of speedsIn(world, round, options.speeds ?? SPEEDS)) children.push(childOf(world, round, speed));
    }
    nodes = pruned(children, options.beam ?? BEAM);
  }
  return best?.plan ?? freeRun(world, options.rounds);
}

const lostAfter = (round: Round, speed: number, untilMs: number): number =>
  round.node.lostMs + (speed < round.full - 1e-9 ? (1 - speed) * (untilMs - round.node.atMs) : 0);

function childOf(world: World, round: Round, speed: number): Node {
  return {
    atMs: round.readAtMs,
    pages: Math.round(sum(dirtied(world, round.span, speed))),
    speedBefore: slewedFrom(world, round, speed),
    lostMs: lostAfter(round, speed, round.readAtMs),
    sentPages: round.node.sentPages + round.node.pages,
    speed,
    parent: round.node,
  };
}

/** The highest speed of the round after which the downtime fits; undefined when not even the lowest does. */
function fastestFit(world: World, round: Round, targetMs: number): number | undefined {
  const fits = (speed: number): boolean => ending(world, round, speed).downtimeMs <= targetMs;
  if (fits(round.full)) return round.full;
  if (round.limit >= round.full || !fits(round.limit)) return undefined;
  let low = round.limit;
  let high = round.full;
  for (let k = 0; k < BISECTIONS; k++) {
    const middle = (low + high) / 2;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function speedsIn(world: World, { limit, full }: Round, count: number): readonly number[] {
  if (!world.lucky) return speedsFrom(limit, full, count);
  return [...(limit < LUCKY_SPEED_MIN ? [limit] : []), ...speedsFrom(Math.min(full, Math.max(limit, LUCKY_SPEED_MIN)), full, count)];
}

/** Speeds from the limit to full, by ratio, closer together near full: a free last round needs no slice, and often little more than free before. */
function speedsFrom(limit: number, full: number, count: number): readonly number[] {
  if (limit >= full - 1e-9) return [full];
  return Array.from({ length: count }, (_, k) => full * (limit / full) ** ((1 - k / (count - 1)) ** CLUSTER));
}

/** Nodes that no other beats; when they are more than `most`, of those that are ever less alike only the cheapest stays. */
function pruned(nodes: readonly Node[], most: number): readonly Node[] {
  let kept = unbeaten(nodes, 1);
  for (let grain = 1.5; kept.length > most && grain < 100; grain *= 1.5) kept = unbeaten(kept, grain);
  return kept;
}

/** The cheapest node of each cell of time, pages and speed, if no cheaper one at about the same time has fewer pages and more freedom. */
function unbeaten(nodes: readonly Node[], grain: number): readonly Node[] {
  const cells = new Map<string, Node>();
  for (const node of nodes) {
    const time = Math.floor(Math.log(Math.max(1, node.atMs)) / (grain * SAME_TIME));
    const size = Math.floor(Math.log(Math.max(1, node.pages)) / (grain * SAME_PAGES));
    const key = `${time}:${size}:${Math.round((SPEED_CELLS / grain) * Math.log2(node.speedBefore))}`;
    const old = cells.get(key);
    if (old === undefined || node.lostMs < old.lostMs) cells.set(key, node);
  }
  const kept: Node[] = [];
  for (const node of [...cells.values()].sort((a, b) => a.lostMs - b.lostMs || a.pages - b.pages)) {
    const near = grain * SAME_TIME * node.atMs;
    const beaten = kept.some((k) => k.pages <= node.pages && k.speedBefore <= node.speedBefore && Math.abs(k.atMs - node.atMs) <= near);
    if (!beaten) kept.push(node);
  }
  return kept;
}

function planOf(world: World, round: Round, speed: number, rounds: number): Plan {
  const end = ending(world, round, speed);
  const speeds: number[] = [speed];
  for (let node: Node | undefined = round.node; node?.parent !== undefined; node = node.parent) speeds.unshift(node.speed);
  return {
    attained: end.downtimeMs <= world.goal.targetDowntimeMs,
    speeds,
    lostSeconds: lostAfter(round, speed, round.sentAtMs) / 1000,
    downtimeMs: end.downtimeMs,
    totalSeconds: end.endMs / 1000,
    bytes: (round.node.sentPages + round.node.pages + end.pages) * WIRE_BYTES_PER_PAGE,
    rounds,
  };
}

/** Nothing fits: what happens when nobody does anything. */
function freeRun(world: World, rounds: number): Plan {
  let node = rootOf(world.scenario);
  for (let i = 0; i < rounds - 1; i++) {
    const round = roundOf(world, node, i);
    node = childOf(world, round, round.full);
  }
  const last = roundOf(world, node, rounds - 1);
  return { ...planOf(world, last, last.full, rounds), attained: false };
}
