import { expect, it } from 'vitest';
import { gapsOf, localLink } from './lab.ts';
import { onRealXen } from './suite.ts';

const BUSY = { memMib: 128, workingSetMib: 16, rate: 2000 } as const;
const CALM = { memMib: 128, workingSetMib: 2, rate: 200 } as const;

/** A shorter timeslice, less to send, and draining the host: what changes more than one domain's cap. */
onRealXen('more than one cap', (lab) => {
  const tslice = async () => Number(/tslice=(\d+)ms/.exec(await lab.must('xl sched-credit -s -p Pool-0'))?.[1]);
  const targetKib = async (name: string) => Number(/"target_memkb": (\d+)/.exec(await lab.must(`xl list -l $(xl domid ${name})`))?.[1]);
  const memMib = async (name: string) => Number((await lab.must(`xl list ${name} | awk 'NR == 2 { print $(NF - 3) }'`)).trim());
  const link = localLink(6_000_000);

  it('--tslice 5ms: in force while it migrates, a lower floor for the same stall, and back', async () => {
    await lab.guest('vm1', BUSY);
    const run = await lab.background(
      `migrate vm1 '${link}' --json --tslice 5ms --target-downtime 2s --max-stall 100ms --on-miss proceed -- -s ''`,
    );
    await lab.until('shortened', 60, async () => (await tslice()) === 5);
    const ended = await run.done();
    expect([0, 3], ended.stderr).toContain(ended.code);
    expect(await tslice()).toBe(30);
    const start = ended.records.find((record) => record.type === 'start');
    expect(start?.goal.capabilities.tsliceMs).toBe(5);
    // 100 ms is 43 % at 30 ms, and 6 % at 5 ms.
    expect(start?.goal.capFloorPercent).toBe(6);
    const stalls = gapsOf(await lab.console('vm1', true));
    console.info(
      `--tslice 5ms: lowest cap ${ended.summary?.capPercentMin} %, longest stall by law ${ended.summary?.stallMaxMs} ms, gaps ${stalls.join(' ')} ms`,
    );
    expect(await lab.must('ls -A /var/lib/xthrottle | grep -c "^tslice-" || true')).toBe('0\n');
  });

  it('--tslice 5ms, xthrottle killed: its guard puts the timeslice and the cap back, the migration goes on', async () => {
    await lab.guest('vm1', BUSY);
    const run = await lab.background(
      `migrate vm1 '${localLink(2_000_000)}' --json --tslice 5ms --target-downtime 2s --max-stall 100ms --on-miss proceed -- -s ''`,
    );
    await lab.until('shortened', 60, async () => (await tslice()) === 5);
    await run.signal('KILL');
    await lab.until('back', 60, async () => (await tslice()) === 30);
    await lab.until('cap back', 30, async () => Object.values(await lab.domains()).every(({ cap }) => cap === 0));
    await lab.until('no entry', 30, async () => (await lab.must('ls -A /var/lib/xthrottle | grep -c "^tslice-" || true')) === '0\n');
  });

  it('--tslice for credit1 only; out of range is refused', async () => {
    await lab.guest('vm1', CALM);
    const ran = await lab.migrate('vm1', { args: '--tslice 1500ms' });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('from 1 to 1000');
  });

  it('--balloon: fewer bytes, less time; the guest has its memory again where it arrives', async () => {
    const options = '--target-downtime 5s --on-miss proceed';
    await lab.guest('vm1', CALM);
    const whole = await lab.migrate('vm1', { args: options });
    expect([0, 3], whole.stderr).toContain(whole.code);
    const smaller = await lab.migrate('vm1', { args: `${options} --balloon 64m` });
    expect([0, 3], smaller.stderr).toContain(smaller.code);
    expect(smaller.stderr).toMatch(/shrunk from 1\d\d MiB to \d+ MiB/);
    expect(smaller.summary?.bytesSent ?? 0).toBeLessThan(0.8 * (whole.summary?.bytesSent ?? 0));
    console.info(
      `--balloon 64m of 128 MiB: ${whole.summary?.bytesSent} → ${smaller.summary?.bytesSent} bytes, ${whole.summary?.totalSeconds} → ${smaller.summary?.totalSeconds} s; ${/shrunk.*/.exec(smaller.stderr)?.[0]}`,
    );
    expect(await targetKib('vm1')).toBe(131_072);
    await lab.until('grown again', 60, async () => (await memMib('vm1')) >= 126);
    expect(await lab.must('ls -A /var/lib/xthrottle | grep -c "^balloon-" || true')).toBe('0\n');
  });

  it('--balloon: the guest that stays has its memory back; so it has when xthrottle is killed', async () => {
    await lab.guest('vm1', BUSY);
    const stayed = await lab.migrate('vm1', { args: '--balloon 64m --target-downtime 100ms --max-stall 250ms --on-miss abort' });
    expect(stayed.code, stayed.stderr).toBe(4);
    expect(await targetKib('vm1')).toBe(131_072);
    await lab.until('grown again', 60, async () => (await memMib('vm1')) >= 126);
    const run = await lab.background(`migrate vm1 '${localLink(1_000_000)}' --json --balloon 64m --target-downtime 2s -- -s ''`);
    await lab.until('shrunk', 90, async () => (await targetKib('vm1')) === 65_536);
    await run.signal('KILL');
    await lab.until('given back', 60, async () => (await targetKib('vm1')) === 131_072);
  });

  it('--balloon: a guest without a balloon driver is migrated whole, and it says so', async () => {
    await lab.guest('vm1', CALM);
    await lab.must(
      "xl destroy vm1; sed 's/quiet/quiet initcall_blacklist=balloon_init/' /run/domu/vm1.cfg > /run/domu/nodriver.cfg; xl create /run/domu/nodriver.cfg; sleep 12",
    );
    const ran = await lab.migrate('vm1', { args: '--target-downtime 5s --on-miss proceed --balloon 64m' });
    expect([0, 3], ran.stderr).toContain(ran.code);
    expect(ran.stderr).toContain('no balloon driver');
    expect(await targetKib('vm1')).toBe(131_072);
  });

  it('evacuate: looks at both guests, plans, moves them, and tells', async () => {
    await lab.guest('vm1', CALM);
    await lab.guest('vm2', { ...CALM, memMib: 96 });
    const options = `--target-downtime 5s --on-miss proceed --probe 1s`;
    const plan = await lab.sh(`xthrottle evacuate '${link}' --dry-run --bandwidth 6MB/s ${options}`, 120_000);
    console.info(plan.stdout);
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.stdout).toMatch(/vm1 +128 MiB +\d.*\nvm2|vm2 +96.* MiB +\d.*\nvm1/);
    const before = await lab.domains();
    const ran = await lab.sh(`xthrottle evacuate '${link}' ${options} -- -s ''`, 300_000);
    console.info(ran.stdout);
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stdout).toMatch(/2 moved, 0 left here/);
    const after = await lab.domains();
    for (const name of ['vm1', 'vm2']) {
      expect(after[name]?.cap).toBe(0);
      expect(after[name]?.domid).not.toBe(before[name]?.domid);
    }
  });
});
