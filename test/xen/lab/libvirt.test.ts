import { expect, it } from 'vitest';
import { type GuestOptions, observationsOf, TARGET } from './lab.ts';
import { onTwoXenHosts } from './suite.ts';

const DEBS = ['libvirt-daemon', 'libvirt-daemon-driver-xen', 'libvirt-clients'];
const FRONT = '/opt/xthrottle/dist/src/xen/relay/front.sh';
const BUSY = { memMib: 96, workingSetMib: 16, rate: 3000 } as const;
const CALM = { memMib: 96, workingSetMib: 2, rate: 200 } as const;
const VIRSH = 'virsh -c xen:///system';

onTwoXenHosts(
  'libvirt',
  48,
  (a, b) => {
    /** The variable is the daemon's: virsh only asks it. It serves both directions: at the destination the front stands before the restore. */
    const daemons = async () => {
      for (const { lab } of [a, b]) await lab.must(`virtup LIBXL_SAVE_HELPER=${FRONT}`);
    };
    /** A guest that libvirt knows, made from one of xl's. */
    const guest = async (name: string, options: GuestOptions) => {
      await a.lab.guest(name, options);
      await a.lab.must(
        `xl destroy ${name}; ${VIRSH} domxml-from-native xen-xl /run/domu/${name}.cfg > /tmp/${name}.xml && ` +
          `${VIRSH} define /tmp/${name}.xml && rm -f /var/log/xen/console/guest-${name}.log && ${VIRSH} start ${name} && ` +
          `for i in $(seq 100); do grep -aq 'DIRTIER ready' /var/log/xen/console/guest-${name}.log && exit 0; sleep 0.2; done; exit 1`,
      );
    };
    const virshMigrate = (name: string) =>
      a.lab.sh(`${VIRSH} migrate --live ${name} xen+ssh://${a.other}/system tcp://${a.other}`, 280_000);
    const sidecar = async (options: string) => {
      const run = await a.lab.background(`--json ${options}`);
      await run.says('listening at');
      return run;
    };

    it("virsh migrate is denied as xl's is: the guest stays, libvirt's log says why; then controlled and reported as xl's is, but for the cap, which libvirt leaves behind", async () => {
      await daemons();
      await guest('vm3', BUSY);
      await a.lab.must('xl sched-credit -d vm3 -c 60');
      const before = (await a.lab.domains())['vm3'];

      const strict = await sidecar('--target-downtime 100ms --max-stall 250ms --on-miss abort');
      const refused = await virshMigrate('vm3');
      expect(refused.code, refused.stdout).not.toBe(0);
      await strict.signal('TERM');
      const denied = await strict.done();
      expect(denied.summary, denied.stderr).toMatchObject({ domain: 'vm3', outcome: 'aborted', capBefore: 60, capAfter: 60 });
      expect(observationsOf(denied).map((o) => o.type)).not.toContain('suspended');
      expect((await a.lab.domains())['vm3']).toEqual(before);
      expect(await a.lab.logsDirty(before?.domid ?? 0)).toBe(false);
      expect(await a.lab.must('cat /var/log/libvirt/libxl/libxl-driver.log')).toContain('--on-miss abort: the guest stays here');
      await b.lab.until('its half is gone', 30, async () => (await b.lab.domains())['vm3'] === undefined);
      await a.lab.beats('vm3');

      // In pages: capped at 60 % it would fit the target in time without us. This controller throttles whatever it thinks of the target.
      const lenient = await sidecar(`${TARGET} --controller step-down --max-dirty-pages 600 --on-miss proceed`);
      const moved = await virshMigrate('vm3');
      expect(moved.code, moved.stderr).toBe(0);
      await lenient.says('which libvirt does not carry');
      await lenient.signal('TERM');
      const run = await lenient.done();
      expect(run.summary, run.stderr).toMatchObject({
        domain: 'vm3',
        observedDowntimeSource: 'relay',
        capBefore: 60,
        capAfter: null,
        capRestored: true,
      });
      expect(run.summary?.capPercentMin, run.stderr).toBeLessThan(60);
      expect(['met', 'missed']).toContain(run.summary?.outcome);
      const { outcome, rounds, lastDirtyPages, predictedDowntimeMs, observedDowntimeMs, capPercentMin } = run.summary ?? {};
      console.info(JSON.stringify({ outcome, rounds, lastDirtyPages, predictedDowntimeMs, observedDowntimeMs, capPercentMin }));
      console.info(run.stderr);
      expect((await a.lab.domains())['vm3']).toBeUndefined();
      expect((await b.lab.domains())['vm3']?.cap).toBe(0);
      await b.lab.beats('vm3');
      // What the sidecar said to do.
      const todo = /There: (virsh .*)$/m.exec(run.stderr)?.[1] ?? 'false';
      await b.lab.must(todo);
      expect((await b.lab.domains())['vm3']?.cap).toBe(60);
    });

    it('nobody listening, and a plain save and restore: as without us', async () => {
      await daemons();
      await guest('vm4', CALM);
      await a.lab.must(`${VIRSH} save vm4 /tmp/vm4.save && ${VIRSH} restore /tmp/vm4.save && rm /tmp/vm4.save`, 200_000);
      await a.lab.beats('vm4');
      const moved = await virshMigrate('vm4');
      expect(moved.code, moved.stderr).toBe(0);
      await b.lab.beats('vm4');
    });
  },
  DEBS,
);
