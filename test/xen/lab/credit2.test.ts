import { expect, it } from 'vitest';
import { onRealXen } from './suite.ts';

onRealXen(
  'credit2',
  (lab) => {
    it('(d) caps go through sched-credit2 and are back at the destination', async () => {
      await lab.guest('vm1', { memMib: 128, workingSetMib: 32, rate: 3000 });
      const run = await lab.migrate('vm1', { args: '--target-downtime 2s --max-stall 250ms --on-miss proceed --controller step-down' });
      expect([0, 3], run.stderr).toContain(run.code);
      const caps = run.records.flatMap((r) =>
        r.type === 'observation' && r.observation.type === 'cap-changed' ? [r.observation.cap] : [],
      );
      expect(caps.some((cap) => cap.kind === 'capped')).toBe(true);
      expect(run.summary).toMatchObject({ capBefore: 0, capRestored: true });
      expect((await lab.domains('sched-credit2'))['vm1']?.cap).toBe(0);
    });
  },
  { sched: 'credit2' },
);
