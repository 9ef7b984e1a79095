import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { settle } from '../../src/cli/settle.ts';
import { textfileName } from '../../src/telemetry/textfile.ts';
import type { RestoreOutcome } from '../../src/xen/restore.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-settle-'));
  for (const name of ['vm1', 'vm2']) writeFileSync(join(directory, textfileName(name)), `xthrottle_cap_restored{domain="${name}"} 0\n`);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const outcome = (kind: RestoreOutcome['kind'], what: string, verdict: RestoreOutcome['verdict']): RestoreOutcome =>
  ({ kind, what, verdict, before: null, after: null, original: null, text: 'told' }) as unknown as RestoreOutcome;
const says = (name: string) => / (\d)$/m.exec(readFileSync(join(directory, textfileName(name)), 'utf8'))?.[1];

describe('text files that say that a cap is not back', () => {
  it('say that it is once it was put back, and not while it is another process that has it', async () => {
    await settle(directory, [outcome('cap', 'vm1', 'restored'), outcome('cap', 'vm2', 'owner-alive')]);
    expect([says('vm1'), says('vm2')]).toEqual(['1', '0']);
  });
  it.each(['resume', 'half', 'logdirty'] as const)('go by the cap alone: a failed %s keeps none of them', async (kind) => {
    await settle(directory, [outcome('cap', 'vm1', 'restored'), outcome(kind, 'vm1', 'failed')], 'vm1');
    expect([says('vm1'), says('vm2')]).toEqual(['1', '0']);
  });
  it('stay while the cap could not be put back', async () => {
    await settle(directory, [outcome('cap', 'vm1', 'failed')]);
    expect(says('vm1')).toBe('0');
  });
});
