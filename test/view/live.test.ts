import { EventEmitter } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MigrationRecord } from '../../src/core/record.ts';
import { bar, plotCells } from '../../src/view/braille.ts';
import { wantsColor } from '../../src/view/colors.ts';
import { frameOf, liveSink } from '../../src/view/live.ts';
import { addNote, foldLive, initialLive, type LiveModel } from '../../src/view/live-model.ts';
import { render } from '../../src/view/live-render.ts';
import { columnsOf } from '../../src/view/text.ts';
import { migration } from '../trace/arbitrary.ts';
import { simulated } from '../trace/runs.ts';

const folded = (records: readonly MigrationRecord[], model: LiveModel = initialLive): LiveModel => records.reduce(foldLive, model);
const renamed = (records: readonly MigrationRecord[], id: string): readonly MigrationRecord[] =>
  records.map((record) => ({ ...record, id }));
const wide = { columns: 100, rows: 30, color: false };

const run = simulated('busy-database', 'proportional');
const untilCapped = run.slice(0, run.findLastIndex((r) => r.type === 'decision' && r.decision.action === 'set-cap') + 40);

describe('the screen', () => {
  it('shows round, dirty set against target, cap and floor, downtime and the last decision with its reason', () => {
    const text = render(folded(untilCapped), wide).join('\n');
    const reason = untilCapped.findLast((r) => r.type === 'decision' && r.decision.action === 'set-cap');
    expect(text).toMatch(/1 running, 0 ended/);
    expect(text).toMatch(/round +\d \(0-4\)/);
    expect(text).toMatch(/dirty +\d+ pages, .*target fits \d+/);
    expect(text).toMatch(/cap +\d+ % .*floor \d+ %/);
    expect(text).toMatch(/downtime .* predicted/);
    expect(text).toContain('┄');
    expect(text).toMatch(/[\u2801-\u28ff]{5}/);
    if (reason?.type === 'decision') expect(text).toContain(reason.decision.reason.text.slice(0, 40));
  });

  it('keeps an ended migration in sight, with how it ended', () => {
    const text = render(folded(run), wide).join('\n');
    expect(text).toMatch(/0 running, 1 ended/);
    expect(text).toMatch(/orders-db .*(target|aborted)/);
  });

  it('makes room for many: from blocks with charts to one line each', () => {
    const many = Array.from({ length: 40 }, (_, i) => renamed(untilCapped, `m${i}`)).reduce(
      (model, records) => folded(records, model),
      initialLive,
    );
    const lines = render(many, { columns: 80, rows: 20, color: false });
    expect(lines).toHaveLength(20);
    expect(lines.filter((line) => line.startsWith('orders-db'))).toHaveLength(18);
    expect(lines.at(-1)).toBe('and 22 more');
  });

  it('keeps the ranges of downtime and ETA where there is room for one line each', () => {
    const records = simulated('busy-database', 'working-set');
    const until = records.slice(0, records.findLastIndex((r) => r.type === 'decision' && r.decision.action === 'set-cap') + 1);
    const many = Array.from({ length: 9 }, (_, i) => renamed(until, `m${i}`)).reduce((model, own) => folded(own, model), initialLive);
    const [, line = ''] = render(many, { columns: 140, rows: 8, color: false });
    expect(line).toMatch(/downtime \d+ \(\d+…\d+\) ms {2}ETA [\d.]+ \([\d.]+…[\d.]+\) m?s/);
  });

  it('shows notes without letting them write escapes', () => {
    const lines = render(addNote(initialLive, 'warning', 'the \u001b[31mdisk\nis full'), wide);
    expect(lines.at(-1)).toBe('warning: the \u{FFFD}[31mdisk is full');
  });

  it('never exceeds the terminal, whatever its size and the records', () => {
    fc.assert(
      fc.property(
        fc.array(migration, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 0, max: 140 }),
        fc.integer({ min: 0, max: 50 }),
        (migrations, columns, rows) => {
          const model = migrations.reduce((sum, records, i) => folded(renamed(records, `${i}`), sum), initialLive);
          const lines = render(model, { columns, rows, color: false });
          expect(lines.length).toBeLessThanOrEqual(rows);
          for (const line of lines) {
            expect(columnsOf(line)).toBeLessThanOrEqual(columns);
            expect(line).not.toMatch(/\p{C}/u);
          }
          // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escapes
          const stripped = render(model, { columns, rows, color: true }).map((line) => line.replace(/\u001b\[\d+m/g, ''));
          expect(stripped).toEqual(lines);
        },
      ),
    );
  });

  it('remembers a bounded number of chart points and of ended migrations', () => {
    const long = simulated('bursts', 'none').slice(0, -1);
    const model = folded(long);
    expect(model.migrations[0]?.chart.length).toBeLessThanOrEqual(400);
    const ended = Array.from({ length: 30 }, (_, i) => renamed([run[0] as MigrationRecord, run.at(-1) as MigrationRecord], `e${i}`));
    expect(ended.reduce((sum, records) => folded(records, sum), initialLive).migrations.length).toBeLessThanOrEqual(9);
  });
});

describe('drawing', () => {
  it('a bar is as wide as asked and grows with its share', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(share, share, fc.integer({ min: 1, max: 80 }), (a, b, width) => {
        const [low, high] = [bar(Math.min(a, b), width), bar(Math.max(a, b), width)];
        for (const { full, empty } of [low, high]) expect(columnsOf(full + empty)).toBe(width);
        expect(low.full.length).toBeLessThanOrEqual(high.full.length);
      }),
    );
  });

  it('a plot puts higher values higher and marks what is above the line', () => {
    const cells = plotCells({ columns: 2, rows: 2, heights: [0, 0, 1, 1], line: [0.4, 0.4, 0.4, 0.4] });
    expect(cells.map((row) => row.map(({ kind }) => kind))).toEqual([
      ['blank', 'over'],
      ['data', 'data'],
    ]);
  });
});

describe('colours', () => {
  it('are for terminals, and NO_COLOR switches them off', () => {
    expect(wantsColor({ isTTY: true }, {})).toBe(true);
    expect(wantsColor({ isTTY: true }, { NO_COLOR: '' })).toBe(true);
    expect(wantsColor({ isTTY: true }, { NO_COLOR: '0' })).toBe(false);
    expect(wantsColor({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
    expect(wantsColor({ isTTY: false }, {})).toBe(false);
    expect(wantsColor({}, {})).toBe(false);
  });
});

describe('the painter', () => {
  it('enters the alternate screen, paints, and leaves it as it was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'live-'));
    const path = join(folder, 'terminal');
    const fd = openSync(path, 'w');
    const listeners = process.listenerCount('exit');
    const terminal = Object.assign(new EventEmitter(), { fd, columns: 60, rows: 12, isTTY: true }) as unknown as NodeJS.WriteStream & {
      fd: number;
    };
    const sink = liveSink({ terminal, color: false, everyMs: 5 });
    for (const record of untilCapped) sink.write(record);
    await expect.poll(() => readFileSync(path, 'utf8')).toContain('1 running');
    terminal.columns = 30;
    terminal.emit('resize');
    await sink.close();
    closeSync(fd);
    const text = readFileSync(path, 'utf8');
    rmSync(folder, { recursive: true });
    expect(text.startsWith('\u001b[?1049h')).toBe(true);
    expect(text.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
    expect(process.listenerCount('exit')).toBe(listeners);
    expect(process.listenerCount('SIGTSTP') + terminal.listenerCount('resize')).toBe(0);
  });

  it('a frame clears each line before it writes it, and what is below the last', () => {
    expect(frameOf(['a', 'b'], 2)).toBe('\u001b[?2026h\u001b[H\u001b[Ka\r\n\u001b[Kb\u001b[?2026l');
    expect(frameOf(['a'], 2)).toContain('\r\n\u001b[J');
  });
});
