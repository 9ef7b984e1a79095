import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UNCAPPED } from '../../src/core/cap.ts';
import { because } from '../../src/core/decision.ts';
import type { MigrationRecord, SummaryRecord } from '../../src/core/record.ts';
import { bytes, ms, pages } from '../../src/core/units.ts';
import { lineWriter } from '../../src/trace/line-writer.ts';
import { jsonSink } from '../../src/view/json.ts';
import { summaryLines, type TableOptions, tableSink } from '../../src/view/table.ts';
import { columnsOf } from '../../src/view/text.ts';
import { goal } from '../core/fixtures.ts';
import { migration } from '../trace/arbitrary.ts';
import { simulated } from '../trace/runs.ts';

async function printed(records: readonly MigrationRecord[], options: TableOptions): Promise<string[]> {
  let text = '';
  const sink = tableSink(
    lineWriter(async (chunk) => {
      text += chunk.toString();
    }),
    () => options,
  );
  for (const record of records) sink.write(record);
  await sink.close();
  return text.split('\n').slice(0, -1);
}
const piped: TableOptions = { color: false, prefix: false };

describe('the table of a migration', () => {
  const records = simulated('busy-database', 'proportional');
  const summary = records.at(-1) as SummaryRecord;

  it('has a line for each round and each decision that changes something, with its reason', async () => {
    const lines = await printed(records, piped);
    for (let round = 0; round < summary.rounds; round++) {
      expect(
        lines.some((line) => new RegExp(`^ +\\S+ \\S+ +${round} +\\d+ +[\\d.]+ [KMG]iB`).test(line)),
        `round ${round}`,
      ).toBe(true);
    }
    const acted = records.flatMap((record) => (record.type === 'decision' && record.decision.action !== 'hold' ? [record.decision] : []));
    expect(acted.length).toBeGreaterThan(2);
    for (const { reason } of acted) expect(lines.filter((line) => line.includes(reason.text)).length).toBeGreaterThan(0);
  });

  it('shows downtime and ETA with their ranges', async () => {
    const lines = await printed(simulated('busy-database', 'working-set'), piped);
    expect(lines.some((line) => /\d \(\d+…\d+\) ms +[\d.]+ \([\d.]+…[\d.]+\) m?s {2}/.test(line))).toBe(true);
  });

  it('ends in a summary that says outcome, downtimes and caps', async () => {
    const text = (await printed(records, piped)).join('\n');
    expect(text).toMatch(/Downtime, target +200 ms/);
    expect(text).toMatch(/Cap +none before, none after/);
    expect(text).toMatch(new RegExp(`Rounds +${summary.rounds}`));
  });

  it('puts the domain before each line when there are several', async () => {
    const lines = await printed(records, { ...piped, prefix: true });
    const rows = lines.filter((line) => line.includes('cap to'));
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) expect(row.startsWith('orders-db ')).toBe(true);
  });

  it('shows what happens to the cap besides us, and effects that failed', async () => {
    const id = 'm';
    const lines = await printed(
      [
        { type: 'start', v: 1, id, host: 'xen', controller: 'none', observe: false, goal: goal() },
        {
          type: 'observation',
          id,
          observation: { type: 'round-start', atMs: ms(5), round: 0, pagesToSend: pages(99), bytesSent: bytes(0) },
        },
        { type: 'observation', id, observation: { type: 'cap-changed', atMs: ms(10), cap: UNCAPPED, by: 'other' } },
        { type: 'effect', id, atMs: ms(20), action: 'restore', result: 'failed', error: 'xl said\nno' },
      ],
      piped,
    );
    expect(
      lines.some((line) => /0 +99 +396 KiB/.test(line)),
      'the round is shown even without a decision',
    ).toBe(true);
    expect(lines.some((line) => line.includes('by somebody else'))).toBe(true);
    expect(lines.at(-1)).toMatch(/restore failed: xl said no/);
  });

  it('says would when it only watches', async () => {
    const id = 'm';
    const decision = { action: 'uncap', reason: because('x', 'why') } as const;
    const lines = await printed(
      [
        { type: 'start', v: 1, id, host: 'xen', controller: 'none', observe: true, goal: goal() },
        { type: 'observation', id, observation: { type: 'tick', atMs: ms(5) } },
        { type: 'decision', id, atMs: ms(5), decision },
      ],
      piped,
    );
    expect(lines.at(-1)).toContain('would: cap back: why');
  });
});

describe('whatever the records hold', () => {
  it('no line is wider than the terminal, and no name can write an escape', async () => {
    await fc.assert(
      fc.asyncProperty(migration, fc.integer({ min: 20, max: 220 }), fc.boolean(), async (records, columns, prefix) => {
        for (const line of await printed(records, { columns, prefix, color: false })) {
          expect(columnsOf(line)).toBeLessThanOrEqual(columns);
          expect(line).not.toMatch(/\p{C}/u);
        }
      }),
    );
  });

  it('the only escapes are colours', async () => {
    await fc.assert(
      fc.asyncProperty(migration, async (records) => {
        for (const line of await printed(records, { columns: 100, prefix: true, color: true })) {
          // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escapes
          expect(line.replace(/\u001b\[\d+m/g, '')).not.toMatch(/\p{C}/u);
        }
      }),
    );
  });

  it('a cap that was not restored stands out', () => {
    const summary = { ...(simulated('idle', 'none').at(-1) as SummaryRecord), capRestored: false, capBefore: 60, capAfter: 12 };
    expect(summaryLines(summary, piped).join('\n')).toContain('60 % before; NOT RESTORED, now 12 %');
  });

  it('--json prints each record on one line', async () => {
    await fc.assert(
      fc.asyncProperty(migration, async (records) => {
        let text = '';
        const sink = jsonSink(
          lineWriter(async (chunk) => {
            text += chunk.toString();
          }),
        );
        for (const record of records) sink.write(record);
        await sink.close();
        expect(text.split('\n')).toHaveLength(records.length + 1);
      }),
    );
  });
});
