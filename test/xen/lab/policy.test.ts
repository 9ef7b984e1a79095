import { expect, it } from 'vitest';
import { BUSY, localLink, type Migrated, observationsOf } from './lab.ts';
import { onRealXen } from './suite.ts';

/** What is left after these rounds does not depend on how fast the emulator is, only on how its link compares with the guest. */
const PAGES = 1500;
/** Half speed: the dirty set shrinks by a third or so in a round, so that it takes many. */
const MANY_ROUNDS = `--target-downtime 2s --max-dirty-pages ${PAGES} --min-cap 50 --max-stall 250ms --on-miss proceed`;
/** Says what a policy or a suspend request is answered, and never moves the cap. */
const SCRIPTED = (answers: string): string => `
  const because = (text) => ({ code: 'scripted', text, numbers: {} });
  export default {
    name: 'scripted',
    summary: 'for a test',
    initial: () => null,
    decide(state, o) {
      ${answers}
      return [state, { action: o.type === 'suspend-request' ? 'grant' : 'hold', reason: because('wait') }];
    },
  };`;
const GO_ON = SCRIPTED('');
const ABORT = SCRIPTED(
  "if (o.type === 'policy-query' && o.round === 2) return [state, { action: 'abort', reason: because('the policy aborts') }];",
);

onRealXen('the pre-copy policy', (lab) => {
  const rounds = (run: Migrated): number => run.summary?.rounds ?? 0;
  const controller = async (text: string): Promise<string> => {
    const sent = await lab.sh('cat > /root/scripted.mjs', 30_000, Buffer.from(text));
    expect(sent.code, sent.stderr).toBe(0);
    return '--controller /root/scripted.mjs --target-downtime 2s';
  };

  it("goes on at the floor for more rounds than stock's five, and leaves a quarter of what stock leaves", async () => {
    await lab.guest('vm1', BUSY);
    const stock = await lab.migrate('vm1', { args: '--observe --target-downtime 2s' });
    expect(rounds(stock), stock.stderr).toBe(5);
    const ours = await lab.migrate('vm1', { args: MANY_ROUNDS, timeoutMs: 300_000 });
    console.info(
      `rounds: stock ${rounds(stock)}, xthrottle ${rounds(ours)}; last pages ${stock.summary?.lastDirtyPages}, ${ours.summary?.lastDirtyPages}`,
    );
    expect(rounds(ours), ours.stderr).toBeGreaterThan(rounds(stock));
    expect(4 * (ours.summary?.lastDirtyPages ?? Number.NaN)).toBeLessThanOrEqual(stock.summary?.lastDirtyPages ?? 0);
    expect(ours.summary).toMatchObject({ capPercentMin: 50, capRestored: true });
    expect(ours.summary?.predictedLastPages).toBeGreaterThan(0);
    expect(observationsOf(ours).some((o) => o.type === 'policy-query')).toBe(true);
  });

  it('switches over as soon as the dirty set fits: fewer rounds and bytes than stock', async () => {
    await lab.guest('vm1', { memMib: 96, workingSetMib: 6, rate: 1500 });
    const stock = await lab.migrate('vm1', { args: '--observe --target-downtime 2s' });
    const ours = await lab.migrate('vm1', { args: `--target-downtime 2s --max-dirty-pages 4000 --on-miss proceed` });
    expect(rounds(ours), ours.stderr).toBeLessThan(rounds(stock));
    expect(ours.summary?.bytesSent).toBeLessThan(stock.summary?.bytesSent ?? 0);
    expect(ours.summary).toMatchObject({ outcome: 'met', capPercentMin: null });
  });

  it('aborts by policy: never suspended, log-dirty off, nothing left behind, and the next migration works', async () => {
    await lab.guest('vm1', BUSY);
    const before = await lab.domains();
    const run = await lab.migrate('vm1', { args: `--verbose ${await controller(ABORT)}` });
    expect(run.code, run.stderr).toBe(4);
    expect(run.stderr).toMatch(/^xthrottle: error: the policy aborts$/m);
    expect(run.summary).toMatchObject({ outcome: 'aborted', reason: 'the policy aborts', capRestored: true });
    expect(observationsOf(run).map((o) => o.type)).not.toContain('suspend-request');
    expect(await lab.domains()).toEqual(before);
    expect(await lab.logsDirty(before['vm1']?.domid ?? 0)).toBe(false);
    const again = await lab.migrate('vm1', { args: '--observe --target-downtime 2s' });
    expect([0, 3], again.stderr).toContain(again.code);
  });

  it.each([
    ['killed', 'KILL'],
    ['stopped', 'STOP'],
  ])('xthrottle %s in round 1: the rounds end as those of stock', async (_name, signal) => {
    await lab.guest('vm1', BUSY);
    const args = await controller(GO_ON);
    // A plain xl under the sidecar: it outlives it. Round 1 is long enough to be met.
    const out = await lab.must(
      `rm -f /tmp/w.*; (xthrottle ${args} --json > /tmp/w.out 2> /tmp/w.err & echo $! > /tmp/w.pid); ` +
        'for i in $(seq 150); do [ -S /run/xthrottle/control.sock ] && break; sleep 0.2; done; ' +
        `(LIBXL_SAVE_HELPER=/opt/xthrottle/dist/src/xen/relay/front.sh xl migrate -s '' vm1 '${localLink(6_000_000)}' > /tmp/w.xl 2>&1; echo $? > /tmp/w.code) & ` +
        `for i in $(seq 600); do grep -q '"type":"round-start".*"round":1,' /tmp/w.out && break; sleep 0.1; done; kill -${signal} $(cat /tmp/w.pid); ` +
        `wait; cat /tmp/w.code; kill -CONT $(cat /tmp/w.pid) 2>/dev/null; kill -KILL $(cat /tmp/w.pid) 2>/dev/null; xl sched-credit -d vm1`,
      300_000,
    );
    expect(out, await lab.must('cat /tmp/w.xl /tmp/w.err')).toMatch(/^0$/m);
    expect(out).toMatch(/^vm1\s+\d+\s+256\s+0$/m);
  });

  it('a peer that talks rubbish, or an object built for another Xen: five rounds as stock, and it is said', async () => {
    await lab.guest('vm1', BUSY);
    const args = await controller(GO_ON);
    const sent = await lab.sh(
      'cat > /root/rubbish.mjs; printf "#!/bin/sh\\nexec node /root/rubbish.mjs \\"\\$@\\"\\n" > /root/rubbish; chmod +x /root/rubbish',
      30_000,
      Buffer.from(RUBBISH),
    );
    expect(sent.code, sent.stderr).toBe(0);
    const real = '/usr/lib/xen-4.17/bin/libxl-save-helper';
    const rubbish = await lab.migrate('vm1', { args, environment: `REAL=${real} XTHROTTLE_REAL_HELPER=/root/rubbish` });
    // Stock's last dirty set is above the target.
    expect([0, 3], rubbish.stderr).toContain(rubbish.code);
    expect(rubbish.stderr).toContain('the policy object did not answer in time');
    expect(rounds(rubbish)).toBe(5);
    await lab.must(
      "cd /opt/xthrottle/dist/src/xen/relay; mkdir -p /root/old; cp policy.so /root/old/; sed 's/4\\.17/4.99/' policy.so.json > /root/old/policy.so.json",
    );
    const old = await lab.migrate('vm1', { args, environment: 'XTHROTTLE_POLICY=/root/old/policy.so' });
    expect(old.stderr).toContain('the policy object was built for Xen 4.99, this is 4.17');
    expect(rounds(old)).toBe(5);
  });

  it('--suspend-timeout: a link that stalls in the stop-and-copy; the guest resumes here', async () => {
    await lab.guest('vm1', BUSY);
    const before = await lab.domains();
    const args = await controller(GO_ON);
    const out = await lab.must(
      `rm -f /tmp/s.*; (xthrottle migrate vm1 '${localLink(6_000_000)}' --json ${args} --max-rounds 2 --suspend-timeout 5s -- -s '' > /tmp/s.out 2> /tmp/s.err; echo $? > /tmp/s.code) & ` +
        `for i in $(seq 1200); do grep -q '"type":"suspend-request"' /tmp/s.out && break; sleep 0.05; done; kill -STOP $(pgrep -x linkrate); ` +
        'for i in $(seq 150); do [ -s /tmp/s.code ] && break; sleep 0.2; done; kill -CONT $(pgrep -x linkrate); wait; cat /tmp/s.code',
      300_000,
    );
    expect(out.trim(), await lab.must('cat /tmp/s.err; tail -c 2000 /tmp/s.out')).toBe('4');
    expect(await lab.must('tail -n 1 /tmp/s.out')).toContain('--suspend-timeout: the guest stood for 5000 ms');
    expect(await lab.domains()).toEqual(before);
    await lab.beats('vm1');
  });
});

/** Stands between relay and helper: the helper's policy object talks to this instead of to the relay. */
const RUBBISH = `
  import { spawn } from 'node:child_process';
  import { randomBytes } from 'node:crypto';
  const fd = Number(process.env.XTHROTTLE_POLICY_FD);
  const args = process.argv.slice(2);
  const kept = new Set([args[1], args[2]].map(Number));
  const stdio = ['inherit', 'inherit', 'inherit'];
  for (let i = 3; i <= fd; i++) stdio.push(i === fd ? 'pipe' : kept.has(i) ? i : 'ignore');
  const helper = spawn(process.env.REAL, args, { stdio });
  const timer = setInterval(() => helper.stdio[fd].write(randomBytes(64)), 20);
  helper.stdio[fd].on('error', () => clearInterval(timer));
  process.on('SIGTERM', () => helper.kill('SIGTERM'));
  helper.on('exit', (code) => process.exit(code ?? 1));
`;
