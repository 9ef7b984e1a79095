import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import { Lab, PORT, prepareLab, whyNoLab } from './lab.ts';

/** Tests in one lab (PORT, default 2222) that boots before them; each starts from no guest. Skipped, with the reason, where there is no lab. */
export function onRealXen(title: string, tests: (lab: Lab) => void, boot: Parameters<Lab['boot']>[0] = {}): void {
  const why = whyNoLab();
  if (why !== undefined) console.info(`skipped: real Xen, ${title}: ${why}`);
  describe.skipIf(why !== undefined)(`real Xen, ${title}`, () => {
    const lab = new Lab(PORT);
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
