import { type Stamped, tableOf } from '../results.ts';
import { type Cell, type ControllerName, cells, stockIdOf } from './cells.ts';
import type { Measured } from './measure.ts';
import { type Predicted, predict } from './predict.ts';

type Result = Stamped<Measured>;

const seconds = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

export const lineOf = ({ id, gapMs, lostSeconds, totalSeconds, rounds, lastDirtyPages, capPercentMin, outcome }: Measured): string =>
  `${id}: gap ${Math.round(gapMs)} ms, lost ${seconds(lostSeconds)} s, total ${seconds(totalSeconds)} s, ${rounds} rounds, ${lastDirtyPages ?? '?'} pages last, lowest cap ${capPercentMin ?? 'none'}, ${outcome}`;

interface Both {
  readonly cell: Cell;
  readonly real: Result;
  readonly sim: Predicted;
}

/** A contender, and what it cost the guest: seconds that its caps withheld, and the gap. */
export interface Contender {
  readonly controller: ControllerName;
  readonly targetMs: number;
  readonly gapMs: number;
  readonly withheldSeconds: number;
}

/** What is closer together than this is level: cells run again differ by as much, those of stock by up to two seconds. */
const LEVEL_SHARE = 0.15;
const LEVEL_SECONDS = 1;

const costOf = ({ withheldSeconds, gapMs }: Contender): number => withheldSeconds + gapMs / 1000;

/** Those that meet the target at the least cost to the guest, the best first; where none meets it, those with the shortest gap. */
export function winnersOf(contenders: readonly Contender[]): readonly ControllerName[] {
  const meeting = contenders.filter(({ gapMs, targetMs }) => gapMs <= targetMs);
  const [among, cost] = meeting.length > 0 ? [meeting, costOf] : [contenders, ({ gapMs }: Contender) => gapMs / 1000];
  const [best, ...others] = among.toSorted((a, b) => cost(a) - cost(b));
  if (best === undefined) return [];
  const level = (1 + LEVEL_SHARE) * cost(best) + LEVEL_SECONDS;
  return [best, ...others.filter((other) => cost(other) <= level)].map(({ controller }) => controller);
}

export function markdownOf(results: readonly Result[]): string {
  const byId = new Map(results.map((result) => [result.id, result]));
  const both: readonly Both[] = cells.flatMap((cell) => {
    const real = byId.get(cell.id);
    return real === undefined ? [] : [{ cell, real, sim: predict(cell, real.targetMs, byId.get(stockIdOf(cell))) }];
  });
  const rows = both.map(({ cell, real, sim }) => [
    cell.id,
    `${real.targetMs}`,
    `${Math.round(real.gapMs)}`,
    seconds(real.lostSeconds),
    seconds(real.withheldSeconds),
    seconds(real.totalSeconds),
    `${real.rounds}`,
    `${real.lastDirtyPages ?? '–'}`,
    `${real.capPercentMin ?? '–'}`,
    `${Math.round(sim.gapMs)}`,
    seconds(sim.withheldSeconds),
    seconds(sim.totalSeconds),
    real.commit,
  ]);
  const head = [
    'writer, link, controller',
    'target ms',
    'gap ms',
    'lost s',
    'withheld s',
    'total s',
    'rounds',
    'last pages',
    'lowest cap',
    'sim gap ms',
    'sim withheld s',
    'sim total s',
    'commit',
  ];
  return [
    `${results.length} of ${cells.length} cells, each with its target and the commit that it was measured at. Gap and lost work by the guest's own clock; lost: seconds without work between the last heartbeat before and the last after, the gap and what log-dirty mode slows among them; withheld: of that what the caps took, by the guest's CPU time. A contest is won by who meets the target at the least cost to the guest, withheld and gap together (lost differs by seconds from run to run where nothing is withheld); within ${LEVEL_SECONDS} s and ${100 * LEVEL_SHARE} % of it the others are level. In the columns called sim: the simulated host on the same parameters, medians of its seeds; of the emulator it knows the switch-over's fixed cost, from the stock row.`,
    '',
    tableOf([head, ...rows]),
    '',
    ...judged(both),
  ].join('\n');
}

function judged(both: readonly Both[]): readonly string[] {
  const busy = both.filter(({ cell }) => cell.writerName !== 'idle');
  const nameOf = ({ cell }: Both): string => `${cell.writerName}, ${cell.linkBytesPerSecond / 1e6} MB/s`;
  const contests = [...new Set(busy.map(nameOf))].map((name) => [name, busy.filter((each) => nameOf(each) === name)] as const);
  // Stock's own rows taught the fixed cost: they are no test of it.
  const factors = busy
    .filter(({ cell }) => cell.controller !== 'stock')
    .map(({ real, sim }) => Math.max(real.gapMs / sim.gapMs, sim.gapMs / real.gapMs));
  const lines = contests.flatMap(([name, all]) => {
    if (all.length < 2) return [];
    const winners = (of: 'real' | 'sim') =>
      winnersOf(all.map((each) => ({ ...each[of], targetMs: each.real.targetMs, controller: each.cell.controller })));
    const real = winners('real');
    const [sim] = winners('sim');
    const right = sim !== undefined && real.includes(sim);
    return [
      `- ${name}: ${real.join(', ')}${real.length > 1 ? ' are level' : ' wins'}, the simulated host says ${sim}${right ? '' : ' (**wrong**)'}.`,
    ];
  });
  if (factors.length === 0) return lines;
  const sorted = factors.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return [
    ...lines,
    `- The simulated gap is within a factor of ${middle.toFixed(2)} (median) and ${(sorted.at(-1) ?? Number.NaN).toFixed(2)} (worst) of the real one.`,
  ];
}
