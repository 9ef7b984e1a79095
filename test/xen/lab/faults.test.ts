import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cellOf, SAMPLE } from './faults/cells.ts';
import { installInjector } from './faults/inject.ts';
import { isVoid, lostIn } from './faults/judge.ts';
import { type Facts, runCell } from './faults/run-cell.ts';
import { lineOf } from './faults/table.ts';
import { Lab, prepareLab, whyNoLab } from './lab.ts';

const why = whyNoLab();
if (why !== undefined) console.info(`skipped: real Xen: ${why}`);

describe.skipIf(why !== undefined)('real Xen: nothing is lost', () => {
  const lab = new Lab(Number(process.env['PORT'] ?? 2222));
  let before: Facts | undefined;

  beforeAll(async () => {
    prepareLab();
    await lab.boot();
    await lab.deploy();
    await installInjector(lab);
  });
  afterAll(() => lab.stop());

  it.each(SAMPLE.map((id) => [id]))('%s', async (id) => {
    const cell = cellOf(id);
    const facts = await runCell(lab, cell, before);
    before = facts;
    console.info(lineOf(cell, facts));
    expect(isVoid(cell, facts)).toBe(false);
    expect(lostIn(cell, facts), facts.injected.stderr).toEqual([]);
  });
});
