import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cells as contests, idleIdOf } from './lab/bench/cells.ts';
import { type Measured, targetOver } from './lab/bench/measure.ts';
import { markdownOf as benchMarkdownOf, type Contender, winnersOf } from './lab/bench/table.ts';
import { type Cell, cellOf, cells, SAMPLE, twinId } from './lab/faults/cells.ts';
import { isVoid, lostIn, placeOf } from './lab/faults/judge.ts';
import type { Facts } from './lab/faults/run-cell.ts';
import { markdownOf } from './lab/faults/table.ts';
import { intoFile, Results } from './lab/results.ts';

const CELL = cellOf('kill relay, throttled round');
const well = { running: [{ name: 'vm1', domid: 9 }], others: [], beats: true, memory: 'ok', cap: 90 } as const;
const FACTS: Facts = {
  id: CELL.id,
  injected: { moment: true, hit: [42], granted: false, code: 0, signal: null, hanging: [], notes: [], stderr: '' },
  found: well,
  ownCap: 90,
  domidBefore: 8,
  leftover: false,
  logDirty: 'off',
  saidLeftover: false,
  saidLogDirty: false,
  journal: 0,
  next: 'works',
  after: { ...well, running: [{ name: 'vm1', domid: 10 }] },
};
const found = (change: Partial<Facts['found']>): Facts => ({ ...FACTS, found: { ...well, ...change } });

describe('what the lab calls lost', () => {
  it('nothing, when the guest runs once, whole and free, here or there', () => {
    expect(lostIn(CELL, FACTS)).toEqual([]);
    expect(placeOf(FACTS)).toBe('moved');
    expect(placeOf({ ...FACTS, domidBefore: 9 })).toBe('stays');
  });
  it.each<[string, Facts]>([
    ['runs twice', found({ running: [...well.running, { name: 'vm1--incoming', domid: 10 }] })],
    ['runs under the name of a half', found({ running: [{ name: 'vm1--migratedaway', domid: 9 }] })],
    ['stands', found({ running: [], others: [{ name: 'vm1', domid: 8, state: '---s--' }] })],
    ['is gone', found({ running: [] })],
    ['says nothing', found({ beats: false })],
    ['has damaged memory', found({ memory: 'BAD' })],
    ['did not verify its memory', found({ memory: 'unknown' })],
    ['has a cap of ours', found({ cap: 20 })],
    ['has none any more', found({ cap: 0 })],
    ['pays for log-dirty, untold', { ...FACTS, logDirty: 'on' }],
    ['pays for log-dirty though told', { ...FACTS, logDirty: 'on', saidLogDirty: true, logDirtyAfterRestore: 'on' }],
    ['has an untold half', { ...FACTS, leftover: true }],
    ['cannot be migrated again', { ...FACTS, next: 'fails' }],
    ['can be only after a guess', { ...FACTS, next: 'works after destroying what was left' }],
    ['is damaged by the next one', { ...FACTS, after: { ...well, memory: 'BAD' } }],
    ['is stopped by the next one', { ...FACTS, after: { ...well, running: [] } }],
    ['gets a wrong cap by the next one', { ...FACTS, after: { ...well, cap: 20 } }],
    ['was never let go', { ...FACTS, injected: { ...FACTS.injected, timedOut: true } }],
    ['leaves a process', { ...FACTS, injected: { ...FACTS.injected, hanging: ['helper'] } }],
    ['leaves an entry', { ...FACTS, journal: 1 }],
  ])('a guest that %s', (_name, facts) => {
    expect(lostIn(CELL, facts)).not.toEqual([]);
  });
  it('a fault that struck nobody shows nothing', () => {
    expect(isVoid(CELL, FACTS)).toBe(false);
    expect(isVoid(CELL, { ...FACTS, injected: { ...FACTS.injected, hit: [] } })).toBe(true);
  });
  it('the table has each fault once, and stock beside it', () => {
    const stock: Facts = { ...found({ cap: 20 }), id: twinId(cellOf('kill helper, suspended')) };
    const stamp = { commit: 'abc', at: '' };
    const text = markdownOf([
      { ...FACTS, ...stamp },
      { ...stock, ...stamp },
    ]);
    expect(text.match(/^\| kill/gm)).toHaveLength(2);
    expect(text).toContain('cap 20 instead of 90');
    expect(text).toContain('lost under xthrottle in 0, on stock Xen in 1.');
  });
});

describe('the cells', () => {
  it('are each there once, stock has the twins of all that can strike it, CI takes at most eight', () => {
    const ids = cells.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const isStock = ({ victim }: Cell) => victim !== 'xthrottle' && victim !== 'relay';
    for (const cell of cells) if (cell.stock || isStock(cell)) expect(ids).toContain(twinId(cell));
    expect(SAMPLE.length).toBeLessThanOrEqual(8);
    expect(ids.slice(0, SAMPLE.length)).toEqual(SAMPLE);
  });
});

describe('results', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xthrottle-results-'));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  it('outlive the run that made them, and only those of this commit count as done', () => {
    const file = join(folder, 'sub', 'results.json');
    new Results<{ id: string; value: number }>(file).add({ id: 'a', value: 1 });
    const again = new Results<{ id: string; value: number }>(file);
    expect(again.isDone('a')).toBe(true);
    expect(again.get('a')?.value).toBe(1);
    writeFileSync(file, JSON.stringify([{ ...again.get('a'), commit: 'another' }]));
    const later = new Results<{ id: string; value: number }>(file);
    expect(later.isDone('a')).toBe(false);
    expect(later.all).toHaveLength(1);
  });
});

describe('the table of controllers on real Xen', () => {
  it('says of each row at which commit it was measured', () => {
    const measured = (id: string, commit: string): Measured & { readonly commit: string; readonly at: string } => ({
      id,
      commit,
      at: '2026-01-01T00:00:00Z',
      targetMs: 3900,
      gapMs: 1800,
      lostSeconds: 3,
      withheldSeconds: 1,
      totalSeconds: 40,
      downtimeMs: 1700,
      rounds: 5,
      lastDirtyPages: 900,
      capPercentMin: null,
      outcome: 'met',
      capRestored: true,
      rateBefore: 2500,
    });
    const text = benchMarkdownOf([measured('seq, 8 MB/s, stock', 'aaa1111'), measured('seq, 8 MB/s, working-set', 'bbb2222')]);
    expect(text).toMatch(/^\| seq, 8 MB\/s, stock \| 3900 \|.*\| aaa1111 \|$/m);
    expect(text).toMatch(/^\| seq, 8 MB\/s, working-set \|.*\| bbb2222 \|$/m);
  });
});

describe('the target on real Xen', () => {
  it('is half as much again as an idle guest stands, in steps, and never below that of a fast emulator', () => {
    expect([undefined, 0, 1600, 1680, 2535].map((gapMs) => targetOver(gapMs))).toEqual([2500, 2500, 2500, 2600, 3900]);
  });
  it('every link of the bench has its idle guest, which is measured before the others', () => {
    const ids = contests.map(({ id }) => id);
    for (const cell of contests) expect(ids.indexOf(idleIdOf(cell))).toBeLessThanOrEqual(ids.indexOf(cell.id));
    for (const cell of contests) expect(ids).toContain(idleIdOf(cell));
  });
});

describe('who wins', () => {
  const ran = (controller: Contender['controller'], gapMs: number, withheldSeconds: number): Contender => ({
    controller,
    targetMs: 2500,
    gapMs,
    withheldSeconds,
  });
  it('who meets the target at the least cost to the guest; the shortest gap when nobody does', () => {
    expect(winnersOf([ran('stock', 9000, 0), ran('step-down', 1500, 9), ran('working-set', 2400, 4)])).toEqual(['working-set']);
    expect(winnersOf([ran('stock', 9000, 0), ran('step-down', 4500, 9)])).toEqual(['step-down']);
    expect(winnersOf([])).toEqual([]);
  });
  it('by the target that each was run with', () => {
    const longer = { ...ran('working-set', 3000, 1), targetMs: 3800 };
    expect(winnersOf([ran('step-down', 3000, 0), longer])).toEqual(['working-set']);
  });
  it('those that are hardly behind are level with the best, which comes first', () => {
    expect(winnersOf([ran('step-down', 2000, 8), ran('auto-converge', 2000, 11), ran('working-set', 2400, 7)])).toEqual([
      'working-set',
      'step-down',
    ]);
  });
});

describe('a table in a file', () => {
  it('stands between its marks, and the rest stays', () => {
    const dir = mkdtempSync(join(tmpdir(), 'xthrottle-marks-'));
    const file = join(dir, 'x.md');
    writeFileSync(file, 'before\n<a>\nold\n<b>\nafter\n');
    intoFile(file, ['<a>', '<b>'], 'new');
    expect(readFileSync(file, 'utf8')).toBe('before\n<a>\n\nnew\n\n<b>\nafter\n');
    expect(() => intoFile(file, ['<c>', '<b>'], 'new')).toThrow('<c>');
    rmSync(dir, { recursive: true });
  });
});
