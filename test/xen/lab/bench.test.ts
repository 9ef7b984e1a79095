import { expect, it } from 'vitest';
import { cells, QUICK } from './bench/cells.ts';
import { type Measured, measure, targetOver, warmUp } from './bench/measure.ts';
import { lineOf } from './bench/table.ts';
import { onRealXen } from './suite.ts';

/** Far from what is measured (a tenth of the pages, a third of the gap): an emulator's luck is no failure. */
const PAGES_SHARE = 0.5;
const GAP_SHARE = 0.75;

onRealXen('controllers side by side', (lab) => {
  it('working-set suspends a busy guest with a fraction of what stock leaves, and puts the cap back', async () => {
    await warmUp(lab);
    const measured: Record<string, Measured> = {};
    for (const cell of cells.filter(({ id }) => QUICK.includes(id))) {
      const one = await measure(lab, cell, { targetMs: targetOver() });
      console.info(lineOf(one));
      measured[cell.controller] = one;
    }
    const { stock, 'working-set': ours } = measured;
    if (stock === undefined || ours === undefined) throw new Error('the sample lacks a controller');
    expect(stock).toMatchObject({ capPercentMin: null, rounds: 5 });
    expect(ours.lastDirtyPages ?? Number.NaN).toBeLessThan(PAGES_SHARE * (stock.lastDirtyPages ?? 0));
    expect(ours.gapMs).toBeLessThan(GAP_SHARE * stock.gapMs);
    expect(ours.capPercentMin).toBeGreaterThan(0);
    expect(ours.capRestored).toBe(true);
  });
});
