import { describe, expect, it } from 'vitest';
import { exactly } from '../../src/core/estimate.ts';
import { findingsOf, type ProbeFindings } from '../../src/core/probe.ts';
import type { Rehearsal } from '../../src/core/rehearsal.ts';
import { bytes, bytesPerSecond, ms, pages } from '../../src/core/units.ts';
import { type ProbeReport, probeLines } from '../../src/view/probe.ts';

const looks = Array.from({ length: 40 }, (_, i) => ({
  timeMs: ms(50 * (i + 1)),
  dirtyPages: pages(Math.min(4096, 100 * (i + 1))),
  cpuMs: ms(20 * (i + 1)),
}));
const rehearsal = (change: Partial<Rehearsal> = {}): Rehearsal => ({
  rounds: [{ round: 0, pagesToSend: pages(32_768), timeMs: ms(1200), capPercentMin: 0 }],
  outcome: 'migrates',
  reason: 'fits',
  lastPages: pages(300),
  downtimeMs: exactly(ms(90)),
  totalMs: ms(2000),
  bytesSent: bytes(1e8),
  capPercentMin: 0,
  stallMaxMs: ms(0),
  lostCpuMs: ms(0),
  feasible: true,
  ...change,
});
const report = (change: Partial<ProbeReport> = {}): ProbeReport => ({
  domain: 'vm1',
  findings: findingsOf(looks) as ProbeFindings,
  looks: looks.length,
  lookShare: 0.034,
  rate: bytesPerSecond(125e6),
  rateAssumed: true,
  targetMs: 200,
  controller: 'working-set',
  stock: rehearsal(),
  ours: rehearsal(),
  notes: [],
  ...change,
});

describe("a probe's page", () => {
  it('has the curve, the working set and both migrations, and says what was assumed', () => {
    const text = probeLines(report()).join('\n');
    expect(text).toMatch(/^vm1: unique pages dirtied .* seen for 2\.00 s \(40 looks, 3\.4 % of the time\)/);
    expect(text).toMatch(/1\.00 s +2000 +7\.81 MiB/);
    expect(text).toContain('still growing');
    expect(text).toContain('assumed: --bandwidth');
    expect(text).toMatch(/target met +yes +yes/);
    expect(text).not.toContain('Why not');
  });
  it('says why not, and that the guest is never suspended then', () => {
    const ours = rehearsal({
      outcome: 'stays',
      feasible: false,
      reason: 'even at the floor of 18 % the best downtime is 900 ms',
      capPercentMin: 18,
    });
    const text = probeLines(report({ ours, rateAssumed: false })).join('\n');
    expect(text).toMatch(/dirty at the suspend +300 pages +never suspended/);
    expect(text).toContain('Why not: even at the floor of 18 %');
    expect(text).not.toContain('assumed');
  });
  it('keeps many rounds short, and names harmless', () => {
    const rounds = Array.from({ length: 30 }, (_, round) => ({ round, pagesToSend: pages(1000), timeMs: ms(40), capPercentMin: 20 }));
    const lines = probeLines(report({ domain: 'a\u001b[2Jb', ours: rehearsal({ rounds }), notes: ['mind\u0007 this'] }));
    expect(lines.filter((line) => /^ +round \d+/.test(line))).toHaveLength(12);
    expect(lines.some((line) => line.includes('… 18 more'))).toBe(true);
    expect(lines.join('')).not.toMatch(/\p{Cc}/u);
  });
});
