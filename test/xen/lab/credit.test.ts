import { expect, it } from 'vitest';
import { BUSY, gapsOf, type Migrated, observationsOf, TARGET } from './lab.ts';
import { onRealXen } from './suite.ts';

const capsSet = (run: Migrated): readonly number[] =>
  observationsOf(run).flatMap((o) => (o.type === 'cap-changed' && o.by === 'us' && o.cap.kind === 'capped' ? [o.cap.percent] : []));

/** At which share of the looks the guest was not seen to run, or to have nothing to do. */
function standingShare(run: Migrated): number {
  const seen = observationsOf(run).flatMap((o) => ('standingMs' in o && o.standingMs !== undefined ? [o.standingMs] : []));
  expect(seen.length, run.stderr).toBeGreaterThan(0);
  return seen.filter((ms) => ms > 0).length / seen.length;
}

onRealXen('credit1', (lab) => {
  const gaps = async (name: string): Promise<readonly number[]> => gapsOf(await lab.console(name, true));

  /** The longest gap of the guest in a migration: the switch-over, which is far longer than any stall allowed here. */
  async function gapOf(name: string, migration: () => Promise<Migrated>): Promise<readonly [number, Migrated]> {
    const before = (await gaps(name)).length;
    const run = await migration();
    await lab.sh('sleep 2');
    return [Math.max(0, ...(await gaps(name)).slice(before)), run];
  }

  it('(a) (c) a guest that stock Xen would stop for seconds goes over with a quarter of the pages and half the gap; cap none before and after', async () => {
    await lab.guest('idle', { memMib: 128, workingSetMib: 1, rate: 1 });
    const [idleGap, idle] = await gapOf('idle', () => lab.migrate('idle', { args: `--observe ${TARGET}` }));
    expect(idle.summary?.observedDowntimeMs).toBeGreaterThan(0);
    await lab.must('xl destroy idle');

    await lab.guest('vm1', BUSY);
    const [stockGap, stock] = await gapOf('vm1', () => lab.migrate('vm1', { args: `--observe ${TARGET}` }));
    expect(stock.summary?.lastDirtyPages).toBeGreaterThanOrEqual(5000);
    expect(capsSet(stock)).toEqual([]);

    const [gap, ours] = await gapOf('vm1', () => lab.migrate('vm1', { args: `${TARGET} --max-dirty-pages 1000 --on-miss proceed` }));
    console.info(
      `gaps: idle ${idleGap} ms, stock ${stockGap} ms, xthrottle ${gap} ms; last dirty pages: stock ${stock.summary?.lastDirtyPages}, xthrottle ${ours.summary?.lastDirtyPages}`,
    );
    expect([0, 3], ours.stderr).toContain(ours.code);
    expect(ours.summary).toMatchObject({ capBefore: 0, capRestored: true });
    expect(ours.summary?.lastDirtyPages).toBeLessThanOrEqual((stock.summary?.lastDirtyPages ?? 0) / 4);
    expect(capsSet(ours).length).toBeGreaterThan(0);
    expect(Math.min(...capsSet(ours))).toBeGreaterThanOrEqual(14);
    expect(gap - idleGap).toBeLessThanOrEqual((stockGap - idleGap) / 2);
    const [free, throttled] = [standingShare(stock), standingShare(ours)];
    console.info(`standing at a look: ${(100 * free).toFixed(0)} % of them under stock, ${(100 * throttled).toFixed(0)} % under xthrottle`);
    expect(throttled).toBeGreaterThan(free);
    expect((await lab.domains())['vm1']?.cap).toBe(0);
    await lab.must('xl destroy vm1');
  });

  it('(g) nobody listening: stock; (h) xl save and restore untouched', async () => {
    await lab.guest('vm1', { ...BUSY, rate: 100 });
    const front = '/opt/xthrottle/dist/src/xen/relay/front.sh';
    await lab.must(`LIBXL_SAVE_HELPER=${front} xl migrate -s '' vm1 'xl migrate-receive'`, 150_000);
    await lab.must(`export LIBXL_SAVE_HELPER=${front}; xl save vm1 /tmp/vm1.save && xl restore /tmp/vm1.save`, 150_000);
    expect((await lab.domains())['vm1']?.cap).toBe(0);
    await lab.must('rm /tmp/vm1.save; xl destroy vm1');
  });
});
