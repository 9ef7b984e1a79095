import { controllerByName } from '../../../../controllers/registry.ts';
import { ms } from '../../../../src/core/units.ts';
import { simulate } from '../../../../src/sim/run.ts';
import { scenarioOf } from '../../../../src/sim/scenario-files.ts';
import { median } from '../../../bench/statistics.ts';
import type { Cell, Writer } from './cells.ts';
import { MAX_STALL_MS, type Measured } from './measure.ts';

/** What the simulated host says of the same migration: medians over the seeds. */
export interface Predicted {
  readonly gapMs: number;
  readonly withheldSeconds: number;
  readonly totalSeconds: number;
}

const SEEDS = 9;
const PAGES_PER_MIB = 256;
/** Of the emulator, as the project's facts have them: an uncapped guest stands so long after the request. */
const SUSPEND_MS = 120;
/** A cap through libxenctrl. */
const ACTUATOR_MS = 4;
/** A switch-over without pages to send, where stock was not measured. */
const RESUME_MS = 800;
const STOCK_ROUNDS = 5;

/** The same writer, link and target on the simulated host. Only the fixed costs are the emulator's: taken from its migration under stock. */
export function predict({ writer, linkBytesPerSecond, controller }: Cell, targetMs: number, stock: Measured | undefined): Predicted {
  const scenario = scenarioOf({
    description: 'a guest of the lab',
    domain: { memoryMib: writer.memMib, cpuDemandPercent: 100 },
    classes: [classOf(writer)],
    ...(writer.pattern === 'bursts'
      ? { phases: [{ atSeconds: 0 }, { atSeconds: 2, scale: 0 }], phasesRepeatSeconds: 4, phasesShiftSeconds: 4 }
      : {}),
    rateVariation: { sd: 0.05 },
    link: { bytesPerSecond: linkBytesPerSecond, variation: { sd: 0.05 } },
    suspend: { timeMs: SUSPEND_MS },
    resume: { timeMs: resumeMs(stock, linkBytesPerSecond) },
    host: { actuatorLatencyMs: ACTUATOR_MS, ...(controller === 'stock' ? { roundLimit: STOCK_ROUNDS } : {}) },
  });
  const runs = Array.from({ length: SEEDS }, (_, n) =>
    simulate({
      scenario,
      seed: n + 1,
      controller: controllerByName(controller === 'stock' ? 'none' : controller),
      options: { targetDowntimeMs: ms(targetMs), maxStallMs: ms(MAX_STALL_MS), onMiss: 'proceed' },
    }),
  );
  const middle = (of: (run: (typeof runs)[number]) => number) => median(runs.map(of)) ?? Number.NaN;
  return {
    gapMs: middle(({ truth }) => truth.switchOverGapMs ?? truth.guestGapMs),
    withheldSeconds: middle(({ truth }) => truth.lostGuestSeconds),
    totalSeconds: middle(({ truth }) => truth.totalSeconds),
  };
}

/** What stock's downtime of the same guest is beyond suspend and pages. An idle guest's would hold what the link had still buffered. */
function resumeMs(stock: Measured | undefined, linkBytesPerSecond: number): number {
  if (stock?.downtimeMs == null) return RESUME_MS;
  return Math.max(0, stock.downtimeMs - SUSPEND_MS - (1000 * (stock.lastDirtyPages ?? 0) * 4096) / linkBytesPerSecond);
}

function classOf({ pattern, workingSetMib, rate }: Writer) {
  const common = { name: pattern, pages: workingSetMib * PAGES_PER_MIB, writesPerSecond: rate };
  if (pattern === 'rand') return { ...common, pattern: 'uniform' as const };
  if (pattern === 'hot') return { ...common, pattern: 'hot-cold' as const, hotPagesShare: 0.1, hotWritesShare: 0.9 };
  return { ...common, pattern: 'sweep' as const };
}
