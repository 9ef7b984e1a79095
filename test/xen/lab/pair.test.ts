import { expect, it } from 'vitest';
import { DEFAULT_PAIR } from '../../../src/core/options.ts';
import { type Migrated, observationsOf } from './lab.ts';
import { type Moved, moveOver } from './pair.ts';
import { onTwoXenHosts } from './suite.ts';

const lowestCap = (run: Migrated): number =>
  Math.min(
    ...observationsOf(run).flatMap((o) => (o.type === 'cap-changed' && o.by === 'us' && o.cap.kind === 'capped' ? [o.cap.percent] : [])),
  );

/** By how much longer the downtime was than predicted, in ms. */
function excess({ summary }: Moved): number {
  const { predictedDowntimeMs, observedDowntimeMs } = summary ?? {};
  if (predictedDowntimeMs == null || observedDowntimeMs == null) throw new Error(`not both: ${predictedDowntimeMs}, ${observedDowntimeMs}`);
  return observedDowntimeMs - predictedDowntimeMs;
}

/** The fixed cost that a run reckoned with, in ms. */
const costOf = ({ records }: Moved): number => records.find((record) => record.type === 'start')?.goal.overheadMs.value ?? Number.NaN;

/** How much of a misprediction may have other causes (the last pages, the rate): the emulator's moods are not judged. */
const OTHER_MS = 100;

onTwoXenHosts('two hosts, ssh and a shaped link', 32, (a, b) => {
  it('both ways; its own cap arrives, not the one it was throttled to; what a switch-over costs is learned, and reckoned with the next time', async () => {
    await a.lab.guest('vm1', { memMib: 96, workingSetMib: 16, rate: 3000 });
    await a.lab.must('xl sched-credit -d vm1 -c 60');
    // 2 s, as on one host, is not to be had once the fixed costs are known: it would use up all its rounds for the lowest there is.
    const options = '--target-downtime 3s --max-stall 250ms --on-miss proceed';
    const first = await moveOver('vm1', a, b, options);
    const back = await moveOver('vm1', b, a, options);
    const again = await moveOver('vm1', a, b, options);
    for (const run of [first, back, again]) {
      expect([0, 3], run.stderr).toContain(run.code);
      expect(run.summary).toMatchObject({ observedDowntimeSource: 'handover', capBefore: 60, capAfter: 60, capRestored: true });
      expect(lowestCap(run)).toBeLessThan(60);
      expect(run.capThere).toBe(60);
      console.info(
        `predicted ${Math.round(run.summary?.predictedDowntimeMs ?? 0)} ms, observed ${Math.round(run.summary?.observedDowntimeMs ?? 0)} ms, the guest's gap ${run.gapMs} ms; ${run.summary?.rounds} rounds, ${run.summary?.lastDirtyPages} pages last, cap ${lowestCap(run)} %`,
      );
    }
    await b.lab.beats('vm1');
    expect(Object.keys(await a.lab.domains())).toEqual(['Domain-0']);
    const learned = JSON.parse(await a.lab.must('cat /var/lib/xthrottle/pairs.json')) as {
      readonly pairs: readonly (readonly [string, { readonly overheadMs: readonly number[] }])[];
    };
    expect(learned.pairs.map(([to, { overheadMs }]) => [to, overheadMs.length])).toEqual([[a.other, 2]]);
    const [cost = Number.NaN] = learned.pairs[0]?.[1].overheadMs ?? [];
    expect(costOf(first)).toBe(DEFAULT_PAIR.overheadMs.value);
    expect(costOf(again)).toBeCloseTo(cost, 3);
    expect(again.summary?.predictedDowntimeMs).toBeGreaterThan(cost);
    // It is what the first was mispredicted by.
    expect(Math.abs(excess(first) - (cost - costOf(first)))).toBeLessThan(Math.max(OTHER_MS, Math.abs(excess(first)) / 2));
  });
});
