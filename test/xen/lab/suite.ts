import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import { Lab, prepareLab, whyNoLab } from './lab.ts';

/** A guest that dirties memory faster than the lab's links carry it. */
export const BUSY = { memMib: 128, workingSetMib: 32, rate: 3000 } as const;

/** Fixed costs in the emulator are near a second, so the target is 2 s; the stalls allowed still exercise the floor. */
export const TARGET = '--target-downtime 2s --max-stall 250ms';

/** Tests in one lab (PORT, default 2222) that boots before them; each starts from no guest. Skipped, with the reason, where there is no lab. */
export function onRealXen(title: string, tests: (lab: Lab) => void, boot: Parameters<Lab['boot']>[0] = {}): void {
  const why = whyNoLab();
  if (why !== undefined) console.info(`skipped: real Xen, ${title}: ${why}`);
  describe.skipIf(why !== undefined)(`real Xen, ${title}`, () => {
    const lab = new Lab(Number(process.env['PORT'] ?? 2222));
    beforeAll(async () => {
      prepareLab();
      await lab.boot(boot);
      await lab.deploy();
    });
    beforeEach(() => lab.clear());
    afterAll(() => lab.stop());
    tests(lab);
  });
}
