import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SummaryRecord } from '../../src/core/record.ts';
import { storyOf } from '../../src/trace/story.ts';
import { explain } from '../../src/view/explain.ts';
import { columnsOf } from '../../src/view/text.ts';
import { migration } from '../trace/arbitrary.ts';
import { simulated, traceOf } from '../trace/runs.ts';

describe('a story', () => {
  it('has the rounds that the summary counts, each ending where the next begins', async () => {
    const records = simulated('hot-cold', 'step-down');
    const story = storyOf(await traceOf(records));
    expect(story.rounds.map(({ round }) => round)).toEqual(Array.from({ length: (records.at(-1) as SummaryRecord).rounds }, (_, i) => i));
    for (const [i, round] of story.rounds.slice(1).entries()) expect(story.rounds[i]?.endMs).toBeCloseTo(round.startMs, 6);
    const sent = story.rounds.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    expect(sent).toBeLessThanOrEqual((records.at(-1) as SummaryRecord).bytesSent);
    expect(sent).toBeGreaterThan(0.9 * (records.at(-1) as SummaryRecord).bytesSent);
  });
});

describe('explain', () => {
  it('tells who, what, why and at what cost', async () => {
    const records = simulated('busy-database', 'proportional');
    const summary = records.at(-1) as SummaryRecord;
    const text = explain(await traceOf(records)).replace(/\s+/g, ' ');
    expect(text).toContain('orders-db, a guest with 16.0 GiB of memory and 4 vCPUs');
    expect(text).toContain('a target downtime of 200 ms');
    expect(text).toMatch(/Round 0 sent all memory in/);
    expect(text).toMatch(/The cap was first lowered .* in round/);
    expect(text).toMatch(/lost about .* of CPU/);
    expect(text).toContain(`Rounds ${summary.rounds} `);
    for (const record of records) {
      if (record.type !== 'decision' || record.decision.action === 'hold') continue;
      expect(text).toContain(record.decision.reason.text);
    }
  });

  it('says when the end is missing, and what the reader tolerated', async () => {
    const text = explain(await traceOf(simulated('idle', 'none').slice(0, 20)), ['the last line is cut off']);
    expect(text).toContain('The end was not recorded');
    expect(text).toContain('the last line is cut off');
  });

  it('keeps to its width and writes no escape, whatever the trace', async () => {
    await fc.assert(
      fc.asyncProperty(migration, fc.integer({ min: 40, max: 140 }), async (records, columns) => {
        for (const line of explain(await traceOf(records), [], columns).split('\n')) {
          expect(columnsOf(line)).toBeLessThanOrEqual(columns);
          expect(line).not.toMatch(/\p{C}/u);
        }
      }),
    );
  });
});
