import { EXIT_CODES } from '../core/errors.ts';
import { ms } from '../core/units.ts';
import { resultLines } from '../evacuate/table.ts';
import { type Clairvoyant, clairvoyant, simulateEvacuation } from '../sim/evacuation.ts';
import { drawHost, HOST_DISTRIBUTION } from '../sim/evacuation-draw.ts';
import { showBytesRate, showSeconds } from '../view/human.ts';
import type { EvacuateArguments } from './evacuate.ts';
import { evacuationGoal } from './evacuation-goal.ts';
import { controllerOf } from './load-controller.ts';
import { parseWhole } from './quantities.ts';

const GUESTS_MAX = 100;
/** Of the yardstick: ascending, descending and a shuffled one. */
const ORDERS = 3;
/** Unless another is asked for: what the drawn guests can mostly meet. */
const TARGET = { targetDowntimeMs: ms(300) } as const;

/** Drains a simulated host, and says how much longer that took than the best order there is. Throws XthrottleError('usage'). */
export async function evacuateSimulated(argv: EvacuateArguments, count: string): Promise<number> {
  const guests = parseWhole('--simulate', count, 1, GUESTS_MAX);
  const seed = parseWhole('--seed', argv.seed, 0, 2 ** 31 - 1);
  const controller = await controllerOf(argv);
  const host = drawHost(seed, guests);
  const { goal, evacuation: asked } = evacuationGoal(argv, TARGET);
  const evacuation = { link: host.link, ...asked };
  const options = { host, seed, controller, goal, evacuation, probed: argv.probe !== 'off' };
  const run = simulateEvacuation(options);
  const tried = run.evacuation.entries.flatMap(({ attempts }, index) => (attempts.length > 0 ? [index] : []));
  const best = clairvoyant({ ...options, tried, orders: ORDERS });
  const moved = run.evacuation.entries.filter(({ status }) => status === 'moved').length;
  if (argv.json) {
    const { totalSeconds, linkShare } = run;
    const summary = {
      type: 'evacuation-simulated',
      seed,
      guests,
      moved,
      totalSeconds,
      linkShare,
      clairvoyant: best,
      ratio: totalSeconds / best.totalSeconds,
    };
    process.stdout.write(`${JSON.stringify(summary)}\n`);
  } else {
    const lines = argv.quiet ? [] : [...HOST_DISTRIBUTION, '', ...resultLines(run.evacuation), ''];
    const stream = `seed ${seed}, ${guests} guests, link ${showBytesRate(host.link)}, one stream ${showBytesRate(host.streamMax)}, target ${goal.targetDowntimeMs} ms`;
    process.stdout.write(`${[...lines, stream, ...yardstick(run.totalSeconds, moved, best)].join('\n')}\n`);
  }
  return EXIT_CODES.ok.code;
}

function yardstick(totalSeconds: number, moved: number, best: Clairvoyant): readonly string[] {
  const ratio = (of: number): string => (Number.isFinite(of) && of > 0 ? (totalSeconds / of).toFixed(3) : '-');
  return [
    `total time ${showSeconds(totalSeconds)}, ${moved} moved`,
    `clairvoyant order: ${showSeconds(best.totalSeconds)} (${best.lanes} at a time), ${best.moved} moved: ratio ${ratio(best.totalSeconds)}`,
    `${best.movable.length} can move at all, and who tried only those would take ${showSeconds(best.leastSeconds)} at least: ratio ${ratio(best.leastSeconds)}`,
  ];
}
