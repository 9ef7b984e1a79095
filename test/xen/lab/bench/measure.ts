import { gapsOf, type Lab } from '../lab.ts';
import { type Cell, WRITERS } from './cells.ts';

/** The stall allowed still exercises the floor. */
export const MAX_STALL_MS = 250;

/** Half as much again as an idle guest stands while the emulator has the machine to itself: 1.6 to 1.8 s. */
const TARGET_MS_MIN = 2500;
const OVER_IDLE = 1.5;
const TARGET_STEP_MS = 100;

/**
 * The target for a link on which an idle guest stood so long: at less than half as much again every guest has to be brought to next to
 * nothing, and controllers cannot differ. How fast the emulator is differs from day to day.
 */
export const targetOver = (idleGapMs = 0): number =>
  Math.max(TARGET_MS_MIN, TARGET_STEP_MS * Math.ceil((OVER_IDLE * idleGapMs) / TARGET_STEP_MS));

export interface MeasureOptions {
  readonly targetMs: number;
  /** Called with the trace, one record a line, even where the rest fails. */
  readonly keep?: (trace: string) => void;
}

/** One migration, by the guest's own clock where it has one. */
export interface Measured {
  readonly id: string;
  readonly targetMs: number;
  /** Longest standstill that the guest saw (CLOCK_BOOTTIME) while it was migrated: the switch-over, with a stall that joins it. */
  readonly gapMs: number;
  /** Guest seconds without work, of throttling, gap and log-dirty faults together, against its own rate before. */
  readonly lostSeconds: number;
  /** Of it what xthrottle says that its caps withheld, by the guest's CPU time. */
  readonly withheldSeconds: number;
  readonly totalSeconds: number;
  readonly downtimeMs: number | null;
  readonly rounds: number;
  readonly lastDirtyPages: number | null;
  readonly capPercentMin: number | null;
  readonly outcome: string;
  readonly capRestored: boolean;
  /** Work a second before the migration. */
  readonly rateBefore: number;
}

const NAME = 'vm1';
const MEASURED_BEFORE_SECONDS = 8;

/**
 * The first migration after a boot takes the emulator longer: what it teaches is forgotten. The second teaches the pair of hosts, so that no
 * controller is the first to meet it.
 */
export async function warmUp(lab: Lab): Promise<void> {
  for (const writer of ['idle', 'hot']) {
    await lab.clear();
    await lab.must('rm -f /var/lib/xthrottle/pairs.json');
    await lab.guest(NAME, WRITERS[writer]);
    await lab.migrate(NAME, { args: '--observe' });
  }
}

/** A fresh guest, migrated once. Throws when it was not migrated. */
export async function measure(
  lab: Lab,
  { id, writer, linkBytesPerSecond, controller }: Cell,
  { targetMs, keep }: MeasureOptions,
): Promise<Measured> {
  await lab.clear();
  // What earlier migrations taught of this pair stays: an emulator's fixed costs are not those of hardware.
  await lab.guest(NAME, writer);
  await lab.sh(`sleep ${MEASURED_BEFORE_SECONDS}`);
  const textBefore = await lab.console(NAME, false);
  const before = beatsOf(textBefore);
  const which = controller === 'stock' ? '--observe' : `--controller ${controller} --on-miss proceed`;
  const run = await lab.migrate(NAME, {
    linkBytesPerSecond,
    args: `${which} --target-downtime ${targetMs}ms --max-stall ${MAX_STALL_MS}ms`,
    timeoutMs: 400_000,
  });
  keep?.(run.stdout);
  await lab.sh('sleep 2');
  const text = (await lab.console(NAME, false)) + (await lab.console(NAME, true));
  const after = beatsOf(text);
  const { summary } = run;
  const [first, begin, end] = [before[0], before.at(-1), after.at(-1)];
  if (summary === undefined || (run.code !== 0 && run.code !== 3)) throw new Error(`not migrated (exit ${run.code}): ${run.stderr}`);
  if (first === undefined || begin === undefined || end === undefined || begin.bootSeconds <= first.bootSeconds)
    throw new Error('the guest said too little of itself');
  const rateBefore = (begin.work - first.work) / (begin.bootSeconds - first.bootSeconds);
  return {
    id,
    targetMs,
    gapMs: Math.max(0, ...gapsOf(text).slice(gapsOf(textBefore).length)),
    lostSeconds: end.bootSeconds - begin.bootSeconds - (end.work - begin.work) / rateBefore,
    withheldSeconds: summary.lostWorkSeconds,
    totalSeconds: summary.totalSeconds,
    downtimeMs: summary.observedDowntimeMs,
    rounds: summary.rounds,
    lastDirtyPages: summary.lastDirtyPages,
    capPercentMin: summary.capPercentMin,
    outcome: summary.outcome,
    capRestored: summary.capRestored,
    rateBefore,
  };
}

interface Beat {
  readonly bootSeconds: number;
  readonly work: number;
}

const beatsOf = (text: string): readonly Beat[] =>
  [...text.matchAll(/HB seq=\d+ boot=([\d.]+) mono=[\d.]+ real=[\d.]+ pages=(\d+)/g)].map((match) => ({
    bootSeconds: Number(match[1]),
    work: Number(match[2]),
  }));
