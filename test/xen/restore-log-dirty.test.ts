import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createJournal } from '../../src/xen/journal.ts';
import type { LogDirtyEntry } from '../../src/xen/journal-entry.ts';
import type { LogDirtyRestored } from '../../src/xen/log-dirty.ts';
import { type Owner, thisProcess } from '../../src/xen/owner.ts';
import { isLeft, restoreLeftovers } from '../../src/xen/restore.ts';
import { fakeXl, UUID } from './stand-in.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-logdirty-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const dead: Owner = { ...thisProcess(), startTicks: 1 };
const leave = async (owner: Owner): Promise<void> => {
  const entry: LogDirtyEntry = { v: 1, kind: 'logdirty', uuid: UUID, domid: 24, name: 'vm1', owner };
  await createJournal(directory, undefined, owner).write(entry);
};
const restore = (answers: readonly LogDirtyRestored['verdict'][], more: object = {}) => {
  let asked = 0;
  return restoreLeftovers({
    xl: fakeXl().xl,
    directory,
    sleep: async () => undefined,
    logDirty: async () => ({ verdict: answers[Math.min(asked++, answers.length - 1)] ?? 'failed', text: 'said' }),
    ...more,
  });
};

describe('log-dirty mode that a dead probe left', () => {
  it.each(['restored', 'gone'] as const)('%s: forgotten', async (verdict) => {
    await leave(dead);
    expect(await restore([verdict])).toMatchObject([{ kind: 'logdirty', what: 'vm1', domid: 24, verdict }]);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('that a migration has now is looked at again later: its journal stays', async () => {
    await leave(dead);
    const [outcome] = await restore(['in-use']);
    expect(outcome).toMatchObject({ verdict: 'in-use' });
    expect(outcome !== undefined && isLeft(outcome)).toBe(false);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('is tried again, and when it never works kept, with what to do', async () => {
    await leave(dead);
    expect(await restore(['failed', 'failed', 'restored'])).toMatchObject([{ verdict: 'restored' }]);
    await leave(dead);
    const [outcome] = await restore(['failed']);
    expect(outcome).toMatchObject({ verdict: 'failed', hint: expect.stringContaining('xthrottle restore 24 --log-dirty') });
    expect(outcome !== undefined && isLeft(outcome)).toBe(true);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('of a living probe is left to it', async () => {
    await leave(thisProcess());
    expect(await restore(['restored'])).toMatchObject([{ verdict: 'owner-alive' }]);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('is found by its domain', async () => {
    await leave(dead);
    expect(await restore(['restored'], { domain: 'vm2' })).toEqual([]);
    expect(await restore(['restored'], { domain: 'vm1' })).toHaveLength(1);
  });
});
