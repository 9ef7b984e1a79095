import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, localLink, migratedOf, prepareLab, whyNoLab } from './lab.ts';

const why = whyNoLab();
if (why !== undefined) console.info(`skipped: real Xen: ${why}`);

const FRONT = '/usr/lib/xthrottle/front.sh';
const BUSY = { memMib: 128, workingSetMib: 32, rate: 3000 } as const;
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
const NEWER = `${version}+newer`;

describe.skipIf(why !== undefined)('real Xen, the Debian package, in a dom0 without node and without systemd', () => {
  const lab = new Lab(Number(process.env['PORT'] ?? 2222));
  // DEBS: a folder that has both packages already.
  const made = process.env['DEBS'];
  const folder = made ?? mkdtempSync(join(tmpdir(), 'xthrottle-deb-'));

  beforeAll(async () => {
    prepareLab();
    const include = join(
      process.env['LAB'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'xenlab'),
      'kern/usr/include',
    );
    for (const one of made === undefined ? [version, NEWER] : []) {
      const args = ['src/packaging/deb.mjs', '--out', folder, '--level', '0', '--version', one, '--xen-include', include, '--xen', '4.17'];
      const ran = spawnSync(process.execPath, args, { encoding: 'utf8' });
      if (ran.status !== 0) throw new Error(ran.stderr);
    }
    await lab.boot();
    await lab.must('mv /usr/local/bin/node /root/not-in-path; ! command -v node');
    for (const name of readdirSync(folder)) {
      const sent = await lab.sh(`cat > /root/${name}`, 120_000, readFileSync(join(folder, name)));
      if (sent.code !== 0) throw new Error(sent.stderr);
    }
  }, 600_000);
  afterAll(async () => {
    if (made === undefined) rmSync(folder, { recursive: true, force: true });
    await lab.stop();
  });

  const dpkg = (args: string) => lab.must(`export PATH=/usr/sbin:/usr/bin:/sbin:/bin; dpkg ${args} 2>&1`, 300_000);
  const sidecarPid = async (): Promise<string> => (await lab.must('cat /run/xthrottle/control.sock.pid')).trim();
  /** The sidecar as the unit starts it, but by hand. */
  const startSidecar = () =>
    lab.must(
      '(setsid xthrottle watch --json >>/root/watch.out 2>>/root/watch.err </dev/null &) ; for i in $(seq 150); do [ -S /run/xthrottle/control.sock ] && exit 0; sleep 0.2; done; cat /root/watch.err; exit 1',
    );
  /** A plain `xl migrate` of vm1 in the background; its exit code goes to /root/xl.code. */
  const startXl = (bytesPerSecond: number) =>
    lab.must(
      `rm -f /root/xl.code; : >/root/watch.out; (LIBXL_SAVE_HELPER=${FRONT} setsid sh -c "xl migrate -s '' vm1 '${localLink(bytesPerSecond)}' >/root/xl.out 2>&1; echo \\$? >/root/xl.code" </dev/null >/dev/null 2>&1 &)`,
    );
  const seen = (pattern: string, seconds: number) =>
    lab.must(
      `for i in $(seq ${seconds * 5}); do grep -q '${pattern}' /root/watch.out && exit 0; sleep 0.2; done; cat /root/watch.err; exit 1`,
      300_000,
    );
  const xlEnded = () =>
    lab.must(
      'for i in $(seq 900); do [ -s /root/xl.code ] && cat /root/xl.code && exit 0; sleep 0.2; done; cat /root/xl.out; exit 1',
      300_000,
    );
  const watched = async () => {
    await seen('"type":"summary"', 60);
    return migratedOf({ code: 0, stdout: await lab.must('cat /root/watch.out'), stderr: await lab.must('cat /root/watch.err') });
  };

  it('installs, says that it is well, and runs', async () => {
    await dpkg(`-i /root/xthrottle_${version}_*.deb`);
    expect((await lab.must('dpkg --audit; dpkg -V xthrottle')).trim()).toBe('');
    expect((await lab.must('xthrottle --version')).trim()).toBe(version);
  });

  it('migrates under control: options from its configuration file, rounds by its policy object, looks through its library', async () => {
    await lab.guest('vm1', BUSY);
    await lab.must(
      "sed -i '1i target-downtime = 2s\\nmax-stall = 250ms\\non-miss = proceed\\ncontroller = step-down' /etc/xthrottle/xthrottle.conf",
    );
    const run = await lab.migrate('vm1');
    expect([0, 3], run.stderr).toContain(run.code);
    expect(run.stderr).not.toMatch(/five live rounds|no looks inside rounds|no guard/);
    expect(run.summary).toMatchObject({ capRestored: true, capBefore: 0 });
    const start = run.records.find((record) => record.type === 'start');
    expect(start).toMatchObject({ goal: { targetDowntimeMs: 2000, maxStallMs: 250 } });
    expect(run.stdout).toMatch(/"cap-changed"[^\n]*"capped"/);
    expect((await lab.domains())['vm1']?.cap).toBe(0);
  });

  it('upgrades while the sidecar steers a migration: that one and the next are controlled by the sidecar that runs', async () => {
    await startSidecar();
    const pid = await sidecarPid();
    await startXl(6_000_000);
    await seen('"type":"observation"', 60);
    // Everything is replaced in round 0: guard, caps, gate and the lift come after.
    await dpkg(`-i --force-confold /root/xthrottle_${NEWER}_*.deb`);
    expect((await lab.must('xthrottle --version')).trim()).toBe(NEWER);
    expect(await sidecarPid()).toBe(pid);
    expect((await xlEnded()).trim()).toBe('0');
    const first = await watched();
    expect(first.summary, first.stderr).toMatchObject({ capRestored: true });
    expect(['met', 'missed']).toContain(first.summary?.outcome);
    expect(first.stdout).toMatch(/"cap-changed"[^\n]*"capped"/);
    expect((await lab.domains())['vm1']?.cap).toBe(0);

    await startXl(8_000_000);
    expect((await xlEnded()).trim()).toBe('0');
    const second = await watched();
    expect(second.summary, second.stderr).toMatchObject({ capRestored: true });
    expect((await lab.domains())['vm1']?.cap).toBe(0);
  });

  it('removal in the middle of a throttled migration puts the cap back and lets it go on as stock; purge leaves nothing', async () => {
    await startXl(6_000_000);
    await seen('"cap-changed".*"capped"', 120);
    const pid = await sidecarPid();
    await dpkg('-r xthrottle');
    expect((await lab.sh(`kill -0 ${pid}`)).code).not.toBe(0);
    for (const { cap } of Object.values(await lab.domains())) expect(cap).toBe(0);
    expect((await xlEnded()).trim()).toBe('0');
    expect((await lab.domains())['vm1']?.cap).toBe(0);
    expect((await lab.must('ls /etc/xthrottle')).trim()).toBe('xthrottle.conf');
    await dpkg('-P xthrottle');
    expect(
      (
        await lab.must("find / -xdev -iname '*xthrottle*' ! -path '/root/*' ! -path '/proc/*'; ls -d /run/xthrottle 2>/dev/null || true")
      ).trim(),
    ).toBe('');
    expect((await lab.must('readlink /proc/[0-9]*/exe | grep xthrottle || true')).trim()).toBe('');
  });
});
