import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import { Lab, PORT, prepareLab, whyNoLab } from './lab.ts';
import { bootPair, type End, PAIR, shape } from './pair.ts';

/** `describe`, or the same skipped, with the reason, where there is no lab. */
function describeXen(title: string, tests: () => void): void {
  const why = whyNoLab();
  if (why !== undefined) console.info(`skipped: real Xen, ${title}: ${why}`);
  describe.skipIf(why !== undefined)(`real Xen, ${title}`, tests);
}

/** Tests in one lab (PORT, default 2222) that boots before them; each starts from no guest. */
export function onRealXen(title: string, tests: (lab: Lab) => void, boot: Parameters<Lab['boot']>[0] = {}): void {
  describeXen(title, () => {
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

/** Tests between two hosts (PORT and the next) over a link of so many Mbit/s; `debs`: what they need in dom0 besides. */
export function onTwoXenHosts(title: string, megabits: number, tests: (a: End, b: End) => void, debs: readonly string[] = []): void {
  describeXen(title, () => {
    const [a, b] = PAIR;
    beforeAll(async () => {
      prepareLab(debs);
      await bootPair();
      await shape(megabits);
    });
    beforeEach(async () => {
      for (const { lab } of PAIR) await lab.clear();
    });
    afterAll(() => Lab.pair(PORT, 'stop'));
    tests(a, b);
  });
}
