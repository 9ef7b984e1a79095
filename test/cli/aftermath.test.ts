import { describe, expect, it } from 'vitest';
import { clearUp, tellOfCap } from '../../src/cli/aftermath.ts';
import type { Output } from '../../src/cli/output.ts';
import { XthrottleError } from '../../src/core/errors.ts';
import type { RestoreOutcome } from '../../src/xen/restore.ts';

const DOMAIN = { name: 'db 1', domid: 7 };
const FAILED = { exitCode: 1, migrated: false } as const;

function heard() {
  const lines: string[] = [];
  return { lines, output: { say: (text: string) => void lines.push(text) } as unknown as Output };
}
const outcome = (verdict: RestoreOutcome['verdict']) =>
  ({
    kind: 'logdirty',
    what: 'db 1',
    uuid: 'u',
    domid: 7,
    original: null,
    verdict,
    before: null,
    after: null,
    text: 'told',
  }) as unknown as RestoreOutcome;

describe('after a migration that failed', () => {
  it('a half left there: the command that removes it, for a host and for a command', async () => {
    const { lines, output } = heard();
    await clearUp({ result: { ...FAILED, half: 'there' }, destination: 'host2', domain: DOMAIN, output });
    await clearUp({ result: { ...FAILED, half: 'maybe' }, destination: 'pv | xl migrate-receive', domain: DOMAIN, output });
    expect(lines[0]).toContain(`ssh host2 xl destroy "'db 1--incoming'"`);
    expect(lines[1]).toContain("there: xl destroy 'db 1--incoming'");
  });
  it('a half on this very host: the command that mends it', async () => {
    const { lines, output } = heard();
    const asked: string[] = [];
    const isHere = async (name: string) => {
      asked.push(name);
      return true;
    };
    await clearUp({ result: { ...FAILED, half: 'maybe' }, destination: 'pv | xl migrate-receive', domain: DOMAIN, isHere, output });
    expect(asked).toEqual(['db 1--incoming']);
    expect(lines).toEqual([expect.stringContaining("xthrottle restore 'db 1' --half")]);
  });
  it('the receiver was seen to end: its half may be there, whatever xl says', async () => {
    const { lines, output } = heard();
    const here = { destination: 'host2', domain: DOMAIN, output, receiverLost: true };
    await clearUp({ ...here, result: FAILED });
    await clearUp({ ...here, result: FAILED, isHere: async () => false });
    await clearUp({ ...here, result: FAILED, isHere: () => Promise.reject(new Error('xl is gone')) });
    await clearUp({ ...here, result: { exitCode: 0, migrated: true } });
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toContain(`ssh host2 xl destroy "'db 1--incoming'"`);
  });
  it('log-dirty is turned off without a word; when that fails, it says what to do', async () => {
    const { lines, output } = heard();
    const released: number[] = [];
    await clearUp({
      result: FAILED,
      destination: 'h',
      domain: DOMAIN,
      output,
      releaseLogDirty: async (domid) => {
        released.push(domid);
        return outcome('restored');
      },
    });
    expect({ released, lines }).toEqual({ released: [7], lines: [] });
    await clearUp({ result: FAILED, destination: 'h', domain: DOMAIN, output, releaseLogDirty: async () => outcome('failed') });
    await clearUp({
      result: FAILED,
      destination: 'h',
      domain: DOMAIN,
      output,
      releaseLogDirty: () => Promise.reject(new Error('xl is gone')),
    });
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toContain('xthrottle restore 7 --log-dirty');
  });
  it('a helper that is about to end is waited for', async () => {
    const { output } = heard();
    const verdicts: RestoreOutcome['verdict'][] = ['in-use', 'restored'];
    await clearUp({
      result: FAILED,
      destination: 'h',
      domain: DOMAIN,
      output,
      releaseLogDirty: async () => outcome(verdicts.shift() ?? 'failed'),
    });
    expect(verdicts).toEqual([]);
  });
  it('nothing after a success, or when the domain has gone', async () => {
    const { lines, output } = heard();
    const gone = () => Promise.reject(new XthrottleError('noDomain', 'gone'));
    await clearUp({ result: { exitCode: 0, migrated: true }, destination: 'h', domain: DOMAIN, output, releaseLogDirty: gone });
    await clearUp({ result: FAILED, destination: 'h', domain: DOMAIN, output, releaseLogDirty: gone });
    expect(lines).toEqual([]);
  });
});

describe('after a migration that only the sidecar saw', () => {
  const told = (summary: Partial<Parameters<typeof tellOfCap>[0]>, startedBy: string | undefined) => {
    const { lines, output } = heard();
    tellOfCap({ domain: 'db1', outcome: 'met', capBefore: 60, ...summary }, startedBy, output);
    return lines;
  };
  it("libvirt's leave the cap behind: the command that sets it at the destination", () => {
    for (const program of ['libvirtd', 'virtxend']) {
      expect(told({}, program)).toEqual([expect.stringContaining('virsh -c xen:///system schedinfo db1 --set cap=60')]);
      expect(told({ outcome: 'missed' }, program)).toHaveLength(1);
    }
  });
  it('nothing to tell: xl carries it, there was none, or the guest stayed', () => {
    expect([
      ...told({}, 'xl'),
      ...told({}, undefined),
      ...told({ capBefore: 0 }, 'libvirtd'),
      ...told({ outcome: 'aborted' }, 'libvirtd'),
      ...told({ outcome: 'failed' }, 'libvirtd'),
    ]).toEqual([]);
  });
});
