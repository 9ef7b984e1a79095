import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBalloon } from '../../src/xen/balloon.ts';
import { preflight } from '../../src/xen/domain.ts';
import { createJournal } from '../../src/xen/journal.ts';
import { thisProcess } from '../../src/xen/owner.ts';
import { held } from '../../src/xen/relay/hold.ts';
import { restoreLeftovers } from '../../src/xen/restore.ts';
import { fakeXl, type StandInDomain, UUID } from './stand-in.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-balloon-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const directory = () => join(folder, 'state');
const entries = () => readdirSync(directory()).filter((name) => name.endsWith('.json'));

/** A guest of 128 MiB that is to migrate with 64. */
async function open(guest: Partial<StandInDomain> = {}) {
  const fake = fakeXl();
  Object.assign(fake.domain(), { balloonMib: 32, ...guest });
  const notes: string[] = [];
  const shrunk: number[] = [];
  let clock = 0;
  const balloon = await openBalloon({
    xl: fake.xl,
    domain: await preflight('vm1', fake.xl),
    targetKib: 65_536,
    holdPath: join(folder, 'hold.sock'),
    guarded: async () => undefined,
    note: (_, text) => notes.push(text),
    onShrunk: (kib) => shrunk.push(kib),
    journal: createJournal(directory()),
    pollMs: 1,
    now: () => {
      clock += 500;
      return clock;
    },
  });
  return { fake, balloon, notes, shrunk, relay: () => held(balloon.holdPath, 24) };
}

describe('a guest that is smaller while it migrates', () => {
  it('is shrunk once the relay asks, before its migration may begin, and has its memory back when it stays', async () => {
    const { fake, balloon, relay, notes, shrunk } = await open();
    expect(fake.domain().targetKib).toBeUndefined();
    expect(await relay()).toBe(true);
    expect(fake.domain()).toMatchObject({ targetKib: 65_536, memMib: 64 });
    expect(shrunk).toEqual([65_536]);
    expect(notes).toEqual(['shrunk from 128 MiB to 64 MiB']);
    expect(entries()).toEqual([`balloon-${UUID}.json`]);
    expect(await balloon.giveBack()).toMatchObject({ restored: true });
    expect(fake.domain().targetKib).toBe(131_072);
    expect(entries()).toEqual([]);
    expect(await balloon.giveBack()).toMatchObject({ restored: true });
  });
  it('that went away has taken its own target along: nothing is done to what is here of its UUID', async () => {
    const { fake, balloon, relay } = await open();
    await relay();
    fake.state.domains.pop();
    fake.state.domains.push({ domid: 31, name: 'vm1', uuid: UUID, vcpus: 1, cap: 0, targetKib: 131_072 });
    expect(await balloon.giveBack()).toMatchObject({ restored: true });
    expect(fake.calls.filter((call) => call[0] === 'mem-set')).toHaveLength(1);
    expect(entries()).toEqual([]);
  });
  it('without a balloon driver is left as it is, with the reason, and migrates all the same', async () => {
    const { fake, relay, notes, shrunk } = await open({ balloonMib: 0 });
    expect(await relay()).toBe(true);
    expect(notes.at(-1)).toMatch(/no balloon driver/);
    expect(shrunk).toEqual([]);
    expect(fake.domain().targetKib).toBe(131_072);
    expect(entries()).toEqual([]);
  });
  it('that cannot become so small goes on with what it has', async () => {
    const { relay, shrunk, notes } = await open({ leastMib: 107 });
    await relay();
    expect(shrunk).toEqual([107 * 1024]);
    expect(notes[0]).toMatch(/to 107 MiB, though 64 MiB were asked for/);
  });
  it('that has gone as far as it can before the first look has moved, and keeps to that', async () => {
    const { relay, shrunk, notes } = await open({ balloonMib: 128, leastMib: 77, isQuick: true });
    await relay();
    expect(notes).toEqual(['shrunk from 128 MiB to 77 MiB, though 64 MiB were asked for']);
    expect(shrunk).toEqual([77 * 1024]);
  });
  it('is not shrunk where that cannot be journalled', async () => {
    const { fake, relay, notes } = await open();
    const other = { ...thisProcess(), pid: 1, startTicks: 1 };
    await createJournal(directory(), undefined, other).write({
      v: 1,
      kind: 'balloon',
      uuid: UUID,
      domid: 24,
      name: 'vm1',
      targetOriginalKib: 131_072,
      targetsSetKib: [70_000],
      owner: other,
    });
    expect(await relay()).toBe(true);
    expect(notes[0]).toMatch(/not shrunk/);
    expect(fake.calls.some((call) => call[0] === 'mem-set')).toBe(false);
  });
  it('has the same target again where xl reads a constant more than it was given', async () => {
    const { fake, balloon, relay } = await open({ fudgeKib: 1024, targetKib: 131_072 });
    await relay();
    expect(fake.domain().targetKib).toBe(65_536);
    await balloon.giveBack();
    expect(fake.domain().targetKib).toBe(131_072);
  });
  it('keeps what somebody else has set since', async () => {
    const { fake, balloon, relay } = await open();
    await relay();
    fake.domain().targetKib = 100_000;
    expect(await balloon.giveBack()).toMatchObject({ restored: true });
    expect(fake.domain().targetKib).toBe(100_000);
  });
  it('that cannot be given its memory back is said, with the command, and kept for the next start', async () => {
    const { fake, balloon, relay } = await open();
    await relay();
    fake.state.fail = { 'mem-set': 'libxl: error: no' };
    expect(await balloon.giveBack()).toMatchObject({ restored: false, hint: expect.stringContaining('xl mem-set 24 131072k') });
    delete fake.state.fail;
    const outcomes = await restoreLeftovers({ xl: fake.xl, directory: directory(), owner: thisProcess(), sleep: async () => undefined });
    expect(outcomes).toMatchObject([{ kind: 'balloon', verdict: 'restored', what: 'vm1', before: 65_536, after: 131_072 }]);
    expect(entries()).toEqual([]);
  });
});

describe('the hold', () => {
  it('lets go where nobody listens, or none was asked for', async () => {
    expect(await held(undefined, 24)).toBe(true);
    expect(await held(join(folder, 'nosuch'), 24)).toBe(true);
  });
});
