import { expect, it } from 'vitest';
import { BUSY, localLink, migratedOf, observationsOf, TARGET } from './lab.ts';
import { onRealXen } from './suite.ts';

onRealXen('the sidecar', (lab) => {
  it('(b) (c) an impossible target: never suspended, nothing left behind, xl says why; cap 60 stays 60', async () => {
    await lab.guest('vm1', BUSY);
    await lab.must('xl sched-credit -d vm1 -c 60');
    const before = (await lab.domains())['vm1'];
    const run = await lab.migrate('vm1', { args: '--verbose --target-downtime 100ms --max-stall 250ms --on-miss abort' });
    expect(run.code, run.stderr).toBe(4);
    // In xl's own output, where whoever reads the job's log looks.
    expect(run.stderr).toMatch(/^xthrottle: error: .*--on-miss abort: the guest stays here$/m);
    expect(run.summary).toMatchObject({ outcome: 'aborted', observedDowntimeMs: null, capBefore: 60, capAfter: 60, capRestored: true });
    expect(observationsOf(run).map((o) => o.type)).not.toContain('suspended');
    const after = await lab.domains();
    expect(after['vm1']).toEqual(before);
    expect(Object.keys(after)).toEqual(['Domain-0', 'vm1']);
    expect(await lab.logsDirty(before?.domid ?? 0)).toBe(false);
    await lab.beats('vm1');
  });

  it('(e) one sidecar steers two migrations at once, started by plain xl, and lists both', async () => {
    await lab.guest('vm1', { ...BUSY, memMib: 96, workingSetMib: 16 });
    await lab.guest('vm2', { ...BUSY, memMib: 96, workingSetMib: 16 });
    // One emulated CPU carries both ends of both migrations: dom0 goes before the guests, as Xen's own advice is, and the sidecar before the copying.
    await lab.must('xl sched-credit -d Domain-0 -w 1024');
    await lab.must(
      `(nice -n -10 xthrottle ${TARGET} --on-miss proceed --json > /tmp/watch.out 2> /tmp/watch.err & echo $! > /tmp/watch.pid); for i in $(seq 100); do [ -S /run/xthrottle/control.sock ] && exit 0; sleep 0.2; done; cat /tmp/watch.err; exit 1`,
    );
    const link = localLink(4_000_000);
    const front = '/opt/xthrottle/dist/src/xen/relay/front.sh';
    await lab.must(
      `export LIBXL_SAVE_HELPER=${front}; xl migrate -s '' vm1 '${link}' >/tmp/m1 2>&1 & LIBXL_SAVE_HELPER=${front} xl migrate -s '' vm2 '${link}' >/tmp/m2 2>&1; r=$?; wait; exit $r`,
      400_000,
    );
    await lab.must(
      'kill $(cat /tmp/watch.pid); for i in $(seq 50); do kill -0 $(cat /tmp/watch.pid) 2>/dev/null || exit 0; sleep 0.2; done; exit 1',
    );
    const run = migratedOf({ code: 0, stdout: await lab.must('cat /tmp/watch.out'), stderr: await lab.must('cat /tmp/watch.err') });
    const summaries = run.records.flatMap((record) => (record.type === 'summary' ? [record] : []));
    expect(summaries.map((s) => s.domain).sort(), run.stderr + (await lab.must('cat /tmp/m1 /tmp/m2'))).toEqual(['vm1', 'vm2']);
    for (const summary of summaries) expect(summary).toMatchObject({ capRestored: true, observedDowntimeSource: 'relay' });
    const domains = await lab.domains();
    expect(domains['vm1']?.cap).toBe(0);
    expect(domains['vm2']?.cap).toBe(0);
    await lab.must('xl sched-credit -d Domain-0 -w 256');
  });

  it('(f) SIGTERM to watch in a throttled round: cap back, the migration goes on as stock', async () => {
    await lab.guest('vm1', BUSY);
    const front = '/opt/xthrottle/dist/src/xen/relay/front.sh';
    const script =
      `rm -f /tmp/watch.out; (xthrottle ${TARGET} --on-miss proceed --json > /tmp/watch.out 2> /tmp/watch.err & echo $! > /tmp/watch.pid); ` +
      `for i in $(seq 100); do [ -S /run/xthrottle/control.sock ] && break; sleep 0.2; done; ` +
      `(LIBXL_SAVE_HELPER=${front} xl migrate -s '' vm1 '${localLink(4_000_000)}' > /tmp/m1 2>&1; echo $? > /tmp/m1.code) & ` +
      `for i in $(seq 600); do grep -q '"type":"cap-changed".*"capped"' /tmp/watch.out && break; sleep 0.2; done; ` +
      `kill -TERM $(cat /tmp/watch.pid); for i in $(seq 100); do kill -0 $(cat /tmp/watch.pid) 2>/dev/null || break; sleep 0.1; done; ` +
      `xl sched-credit -d vm1; wait`;
    const out = await lab.must(script, 400_000);
    expect(out).toMatch(/^vm1\s+\d+\s+256\s+0$/m);
    expect((await lab.must('cat /tmp/m1.code')).trim(), await lab.must('cat /tmp/m1')).toBe('0');
    expect((await lab.domains())['vm1']?.cap).toBe(0);
  });
});
