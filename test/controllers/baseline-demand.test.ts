import { describe, expect, it } from 'vitest';
import { autoConverge } from '../../controllers/auto-converge.ts';
import { stepDown } from '../../controllers/step-down.ts';
import { ms } from '../../src/core/index.ts';
import { simulate } from '../../src/sim/run.ts';
import { loadScenario } from '../../src/sim/scenario-files.ts';

/** Caps as they were set for a guest of 400 % whose capped readings are those of a parked one, with the share of its demand that was meant. */
const capsOf = (controller: typeof autoConverge | typeof stepDown) =>
  simulate({
    scenario: loadScenario('stress'),
    seed: 1,
    controller,
    options: { targetDowntimeMs: ms(150) },
    records: true,
  }).records.flatMap((record) => {
    if (record.type !== 'decision' || record.decision.action !== 'set-cap' || record.decision.cap.kind !== 'capped') return [];
    const { throttlePercent, speedPercent } = record.decision.reason.numbers ?? {};
    const meant = speedPercent ?? 100 - (throttlePercent ?? Number.NaN);
    return [{ set: record.decision.cap.percent, meant: 4 * meant }];
  });

describe.each([
  ['auto-converge', autoConverge],
  ['step-down', stepDown],
] as const)('%s', (_, controller) => {
  it('takes its share of what the guest uses unthrottled, however it was throttled since', () => {
    const caps = capsOf(controller).filter(({ meant }) => meant > 100);
    expect(caps.length).toBeGreaterThan(1);
    for (const { set, meant } of caps) expect(set / meant).toBeCloseTo(1, 1);
  });
});
