import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SummaryRecord } from '../../src/core/record.ts';
import { html, jsonForScript } from '../../src/view/html.ts';
import { report } from '../../src/view/report.ts';
import { thin } from '../../src/view/report-data.ts';
import { strip, stripScale } from '../../src/view/report-strip.ts';
import { migration } from '../trace/arbitrary.ts';
import { simulated, traceOf } from '../trace/runs.ts';

const scripts = (page: string): string[] => [...page.matchAll(/<script\b([^>]*)>([\s\S]*?)<\/script>/g)].map(([, , body]) => body ?? '');

describe('markup', () => {
  it('escapes everything that is put into it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { markup } = html`<p title="${text}">${[text]}</p>`;
        expect(markup.replace(/&(amp|lt|gt|quot|#39);/g, '')).not.toMatch(
          /^<p title="[^"]*[<>&'][^"]*">|<p title="[^"]*">[^<]*[>&"'][^<]*<\/p>$/,
        );
        expect(markup.match(/</g)).toHaveLength(2);
      }),
    );
  });

  it('JSON for a script cannot end it and says the same', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: 'binary' }), (value, text) => {
        const { markup } = jsonForScript([value, text, '</script><!--']);
        expect(markup).not.toMatch(/[<>]/);
        expect(JSON.parse(markup)).toEqual(JSON.parse(JSON.stringify([value, text, '</script><!--'])));
      }),
    );
  });
});

describe('the report', () => {
  it('is one page that asks nobody for anything and runs only its own script', async () => {
    const page = report([await traceOf(simulated())]);
    const [data, script] = scripts(page);
    const hash = createHash('sha256')
      .update(script ?? '')
      .digest('base64');
    expect(page).toContain(`script-src 'sha256-${hash}'`);
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/\b(src|href)="(?!#)/);
    expect(page).not.toMatch(/ style="/);
    expect(JSON.parse(data ?? '').runs).toHaveLength(1);
  });

  it('whatever the traces hold it has its two scripts and no more, and shows every name as text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(migration, { minLength: 1, maxLength: 3 }), async (migrations) => {
        const traces = await Promise.all(migrations.map(traceOf));
        const page = report(traces, { notes: ['<b>note</b>'] });
        expect(page.match(/<script/g)).toHaveLength(2);
        expect(page).not.toMatch(/<img|<b>|onerror=alert\(1\)>/);
        const [data] = scripts(page);
        expect(JSON.parse(data ?? '').runs).toHaveLength(traces.length);
      }),
      { numRuns: 30 },
    );
  });

  it('compares several runs', async () => {
    const page = report([await traceOf(simulated('busy-database', 'none')), await traceOf(simulated('busy-database', 'proportional'))]);
    expect(page).toContain('2 runs compared');
    expect(page.match(/<svg class="strip"/g)?.length).toBe(4);
    expect(page).toContain('busy-database · proportional');
  });
});

describe('thinning', () => {
  it('keeps first, last, lowest and highest, and every gap in its place', () => {
    const point = fc.tuple(fc.nat(1000), fc.option(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { nil: null }));
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 3000 }), fc.integer({ min: 40, max: 400 }), (points, most) => {
        const line = points.map(([, y], i) => [i, y] as const);
        const kept = thin(line, most);
        expect(kept[0]).toEqual(line[0]);
        expect(kept.at(-1)).toEqual(line.at(-1));
        const values = (of: typeof line) => of.flatMap(([, y]) => (y === null ? [] : [y]));
        if (values(line).length > 0) {
          expect(Math.max(...values([...kept]))).toBe(Math.max(...values(line)));
          expect(Math.min(...values([...kept]))).toBe(Math.min(...values(line)));
        }
        for (const [i, [x]] of kept.slice(1).entries()) expect(x).toBeGreaterThan(kept[i]?.[0] ?? -1);
        expect(kept.length).toBeLessThanOrEqual(Math.max(line.length <= most ? most : 0, Math.ceil(most * 1.25) + 5));
      }),
    );
  });
});

describe('the strip', () => {
  it('draws target, prediction and observation to scale, and says them', () => {
    const base = simulated('idle', 'none').at(-1) as SummaryRecord;
    const summary = { ...base, targetDowntimeMs: 200, predictedDowntimeMs: 100, predictedDowntimeRangeMs: null, observedDowntimeMs: 400 };
    expect(stripScale([summary])).toBeCloseTo(416);
    const { markup } = strip(summary, 400);
    expect(markup).toContain('strip-bad');
    expect(markup).toContain('width="312.0"');
    expect(markup).toContain('x1="160.0"');
    expect(markup).toContain('observed 400 ms');
  });
});
