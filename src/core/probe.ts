import { curveThrough, type DirtyCurve, shapeOf } from './dirty-curve.ts';
import { type CpuPercent, cpuPercent, type Ms, ms, type Pages, type PagesPerSecond, pages, pagesPerSecond } from './units.ts';

/** One look at a guest that runs free: unique pages dirtied since log-dirty went on, and the CPU time it used meanwhile. */
export interface ProbeLook {
  /** Since log-dirty went on. */
  readonly timeMs: Ms;
  readonly dirtyPages: Pages;
  /** Used since then, over all vCPUs. */
  readonly cpuMs?: Ms;
}

export interface CurveRow {
  readonly workMs: Ms;
  readonly pages: Pages;
  /** New unique pages per second there: what a round of that length adds at its end. */
  readonly newPagesPerSecond: PagesPerSecond;
}

/** What a probe says of a guest. */
export interface ProbeFindings {
  readonly curve: DirtyCurve;
  /** D(w) at round figures of work up to the probe's length, and at its end. */
  readonly rows: readonly CurveRow[];
  /** Unique pages dirtied in all. */
  readonly dirtyPages: Pages;
  readonly durationMs: Ms;
  /** Unique pages in the first second (or, of a shorter probe, a second at the same pace). */
  readonly dirtyRate: PagesPerSecond;
  /** CPU used; undefined when it could not be read. */
  readonly demandPercent?: CpuPercent;
  /** The writable working set: where the curve has levelled off; where it has not, at least this much. */
  readonly workingSet: { readonly pages: Pages; readonly levelledOff: boolean };
}

/** Work at which the table has a row, ms. */
const ROWS_MS = [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000] as const;
/** A curve that still grows by less than this share when the work doubles has levelled off. */
const LEVEL_SHARE = 0.1;
/** Looks that are needed to say anything. */
const LOOKS_MIN = 3;

/**
 * The dirty curve of one undisturbed run. Nothing holds the guest back (but a cap of its own), so its full-speed work is the time that has
 * passed. undefined with fewer than three looks.
 */
export function findingsOf(looks: readonly ProbeLook[]): ProbeFindings | undefined {
  const last = looks.at(-1);
  if (last === undefined || looks.length < LOOKS_MIN || !(last.timeMs > 0)) return undefined;
  const curve = curveThrough(looks.map(({ timeMs, dirtyPages }) => ({ workMs: timeMs, pages: dirtyPages })));
  const shape = shapeOf(curve);
  const at = (workMs: number): number => interpolated(looks, workMs);
  const marks = [...ROWS_MS.filter((mark) => mark < 0.97 * last.timeMs && mark >= (looks[0]?.timeMs ?? 0)), last.timeMs];
  const rows = marks.map((workMs) => ({
    workMs: ms(workMs),
    pages: pages(Math.round(at(workMs))),
    newPagesPerSecond: pagesPerSecond((1000 * shape.exponentAt(workMs * 0.999) * at(workMs)) / workMs),
  }));
  const second = Math.min(1000, last.timeMs);
  const [half, full] = [at(last.timeMs / 2), at(last.timeMs)];
  return {
    curve,
    rows,
    dirtyPages: last.dirtyPages,
    durationMs: last.timeMs,
    dirtyRate: pagesPerSecond((at(second) * 1000) / second),
    ...(last.cpuMs === undefined ? {} : { demandPercent: cpuPercent((100 * last.cpuMs) / last.timeMs) }),
    workingSet: { pages: last.dirtyPages, levelledOff: full <= half * (1 + LEVEL_SHARE) },
  };
}

/** Between two looks in a straight line; before the first from nothing. */
function interpolated(looks: readonly ProbeLook[], timeMs: number): number {
  let before: ProbeLook = { timeMs: ms(0), dirtyPages: pages(0) };
  for (const look of looks) {
    if (look.timeMs >= timeMs) {
      const span = look.timeMs - before.timeMs;
      return span <= 0 ? look.dirtyPages : before.dirtyPages + ((timeMs - before.timeMs) / span) * (look.dirtyPages - before.dirtyPages);
    }
    before = look;
  }
  return before.dirtyPages;
}
