import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Finding } from '../../../src/core/finding.ts';
import { Lab, localLink, prepareLab, whyNoLab } from './lab.ts';

const why = whyNoLab();
if (why !== undefined) console.info(`skipped: real Xen, doctor and probe: ${why}`);

const BUSY = { memMib: 128, workingSetMib: 32, rate: 3000 } as const;
const STATE = '/var/lib/xthrottle';

describe.skipIf(why !== undefined)('real Xen, doctor and probe', () => {
  const lab = new Lab(Number(process.env['PORT'] ?? 2222));

  beforeAll(async () => {
    prepareLab();
    await lab.boot();
    await lab.deploy();
    await lab.guest('vm1', BUSY);
  });
  afterAll(() => lab.stop());

  const domidOf = async (name: string): Promise<number> => Number((await lab.must(`xl domid ${name}`)).trim());

  async function doctor(
    args = '',
  ): Promise<{ readonly code: number; readonly findings: readonly Finding[]; of(check: string): readonly Finding[] }> {
    const ran = await lab.sh(`xthrottle doctor --json ${args}`);
    const lines = ran.stdout.split('\n').filter((line) => line.startsWith('{'));
    const findings = lines.map((line) => JSON.parse(line) as Finding & { readonly type: string }).filter(({ type }) => type === 'finding');
    expect(findings.length, ran.stderr).toBeGreaterThan(10);
    return { code: ran.code, findings, of: (check) => findings.filter((finding) => finding.check === check) };
  }

  /** Starts a long probe in the background and waits until Xen logs. */
  async function startProbe(name: string): Promise<void> {
    await lab.must(
      `rm -f /tmp/probe.*; (xthrottle probe ${name} --duration 10m > /tmp/probe.out 2> /tmp/probe.err & echo $! > /tmp/probe.pid; wait $!; echo $? > /tmp/probe.code) </dev/null >/dev/null 2>&1 & ` +
        `for i in $(seq 100); do ls ${STATE}/logdirty-*.json >/dev/null 2>&1 && break; sleep 0.2; done; sleep 2; ls ${STATE}/logdirty-*.json`,
    );
    expect(await lab.logsDirty(await domidOf(name))).toBe(true);
  }
  const forgotten = () =>
    lab.must(
      `for i in $(seq 150); do ls ${STATE}/logdirty-*.json >/dev/null 2>&1 || exit 0; sleep 0.2; done; ls ${STATE}; cat /tmp/probe.err; exit 1`,
    );

  it('finds nothing amiss in a fresh dom0 but its clock', async () => {
    const { code, findings, of } = await doctor('--deep');
    expect(findings.filter(({ level }) => level === 'problem')).toEqual([]);
    expect(findings.flatMap(({ check, level }) => (level === 'warning' ? [check] : []))).toEqual(['clock']);
    expect(code).toBe(10);
    expect(of('Xen')[0]?.found).toBe('Xen 4.17, dom0');
    expect(of('save helper')[0]?.found).toBe('/usr/lib/xen-4.17/bin/libxl-save-helper');
    expect(of('libxenctrl')[0]).toMatchObject({ level: 'ok', found: expect.stringContaining('1 guest') });
    expect(of('scheduler')[0]?.found).toContain('credit, timeslice 30 ms');
    expect(of('policy object')[0]?.level).toBe('ok');
    expect(of('log-dirty')[0]?.level).toBe('ok');
  });

  it('finds the receiving half of a lost migration, and what it says mends that', async () => {
    // As a receiver leaves it: built, paused, never run.
    await lab.must(`sed 's/^name = .*/name = "vm9--incoming"/' /run/domu/vm1.cfg > /run/domu/half.cfg; xl create -p /run/domu/half.cfg`);
    const { code, of } = await doctor();
    const [found] = of('lost migrations');
    expect(found).toMatchObject({ level: 'problem', found: expect.stringContaining('vm9--incoming was left') });
    expect(found?.todo).toContain('xthrottle restore vm9 --half');
    expect(code).toBe(11);
    await lab.must('xthrottle restore vm9 --half');
    expect(Object.keys(await lab.domains())).not.toContain('vm9--incoming');
    expect((await doctor()).of('lost migrations').filter(({ level }) => level === 'problem')).toEqual([]);
  });

  it('finds a cap that a dead owner left, and what it says puts it back', async () => {
    const domid = await domidOf('vm1');
    const [, uuid = ''] = /([0-9a-f-]{36})/.exec(await lab.must('xl list -v vm1')) ?? [];
    const owner = { pid: 1, startTicks: 1, bootId: 'another boot' };
    const entry = { v: 1, kind: 'cap', uuid, domid, name: 'vm1', scheduler: 'credit', capOriginal: 0, capsSet: [40], owner };
    await lab.must(`mkdir -p -m 700 ${STATE}; echo '${JSON.stringify(entry)}' > ${STATE}/cap-${uuid}.json; xl sched-credit -d vm1 -c 40`);
    const { code, of } = await doctor();
    expect(of('left behind')).toMatchObject([{ level: 'problem', found: expect.stringContaining('40 %'), todo: 'xthrottle restore' }]);
    expect(code).toBe(9);
    await lab.must('xthrottle restore');
    expect((await doctor()).of('left behind')).toMatchObject([{ level: 'ok' }]);
    expect((await lab.domains())['vm1']?.cap).toBe(0);
  });

  it('probes: a sequential writer over 32 MiB levels off near 8192 pages; log-dirty is off afterwards', async () => {
    const ran = await lab.sh('xthrottle probe vm1 --duration 8s --bandwidth 8MB/s --target-downtime 2s --max-stall 250ms --json');
    expect([0, 10], ran.stderr).toContain(ran.code);
    const said = JSON.parse(ran.stdout) as {
      readonly dirtyRate: number;
      readonly workingSet: { readonly pages: number; readonly levelledOff: boolean };
      readonly looks: readonly { readonly dirtyPages: number }[];
      readonly lookShare: number;
      readonly rehearsal: { readonly rounds: readonly unknown[]; readonly lastPages: number };
      readonly stock: { readonly lastPages: number; readonly rounds: readonly unknown[] };
    };
    console.info(
      `probe: ${said.workingSet.pages} pages, ${Math.round(said.dirtyRate)} pages/s at first, ${said.looks.length} looks in ${(100 * said.lookShare).toFixed(2)} % of the time; rehearsed: stock ${said.stock.lastPages}, ours ${said.rehearsal.lastPages} pages at the suspend`,
    );
    expect(said.workingSet.levelledOff).toBe(true);
    expect(said.workingSet.pages).toBeGreaterThan(0.9 * 8192);
    expect(said.workingSet.pages).toBeLessThan(1.25 * 8192);
    expect(said.dirtyRate).toBeGreaterThan(1000);
    expect(said.dirtyRate).toBeLessThan(9000);
    expect(said.lookShare).toBeLessThan(0.11);
    expect(said.stock.rounds).toHaveLength(5);
    expect(said.rehearsal.lastPages).toBeLessThan(said.stock.lastPages);
    expect(await lab.logsDirty(await domidOf('vm1'))).toBe(false);
    await forgotten();
  });

  it('SIGTERM and SIGKILL to a probe: log-dirty is off soon after, and the journal empty', async () => {
    const domid = await domidOf('vm1');
    await startProbe('vm1');
    await lab.must('kill -TERM $(cat /tmp/probe.pid)');
    await forgotten();
    expect(await lab.logsDirty(domid)).toBe(false);
    expect((await lab.must('for i in $(seq 50); do [ -s /tmp/probe.code ] && break; sleep 0.2; done; cat /tmp/probe.code')).trim()).toBe(
      '143',
    );
    await startProbe('vm1');
    await lab.must('kill -KILL $(cat /tmp/probe.pid)');
    await forgotten();
    expect(await lab.logsDirty(domid)).toBe(false);
  });

  it('a migration that begins under a probe has log-dirty for itself; killed, the guard turns it off', async () => {
    const domid = await domidOf('vm1');
    await startProbe('vm1');
    await lab.must(`(xl migrate -s '' vm1 '${localLink(4_000_000)}' > /tmp/m1 2>&1; echo $? > /tmp/m1.code) </dev/null >/dev/null 2>&1 &`);
    await lab.must('for i in $(seq 100); do [ -s /tmp/probe.code ] && exit 0; sleep 0.2; done; cat /tmp/probe.err; exit 1');
    expect(await lab.must('cat /tmp/probe.out /tmp/probe.err')).toMatch(/migration/);
    await lab.sh('sleep 2');
    expect(await lab.logsDirty(domid), 'on for the migration').toBe(true);
    await lab.must("kill -KILL $(ps -o pid,args | awk '/[x]l migrate -s/ && !/sh -c/ {print $1}')");
    await forgotten();
    expect(await lab.logsDirty(domid)).toBe(false);
    await lab.must('for i in $(seq 100); do xl list | grep -q -- --incoming || exit 0; sleep 0.2; done; xl list; exit 1');
  });

  it('a migration that is left to itself after a probe succeeds; log-dirty left on without a probe is found and turned off', async () => {
    await startProbe('vm1');
    await lab.must(`xl migrate -s '' vm1 '${localLink(8_000_000)}'`, 150_000);
    await forgotten();
    const domid = await domidOf('vm1');
    await lab.must(
      `(xl migrate -s '' vm1 '${localLink(2_000_000)}' > /tmp/m1 2>&1) </dev/null >/dev/null 2>&1 & sleep 6; kill -KILL $(ps -o pid,args | awk '/[x]l migrate -s/ && !/sh -c/ {print $1}'); sleep 3`,
    );
    expect((await doctor('--deep')).of('log-dirty')).toMatchObject([
      { level: 'warning', todo: expect.stringContaining(`restore ${domid} --log-dirty`) },
    ]);
    await lab.must(`xthrottle restore ${domid} --log-dirty`);
    expect(await lab.logsDirty(domid)).toBe(false);
    expect((await doctor('--deep')).of('log-dirty')).toMatchObject([{ level: 'ok' }]);
  });
});
