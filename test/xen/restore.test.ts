import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { link, lstat, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createJournal, type JournalFs, readJournals } from '../../src/xen/journal.ts';
import { type CapEntry, fileOf, type TsliceEntry } from '../../src/xen/journal-entry.ts';
import { type Owner, thisProcess } from '../../src/xen/owner.ts';
import { isLeft, restoreLeftovers } from '../../src/xen/restore.ts';
import { fakeXl, type StandInState, UUID } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

const NODE_FS: JournalFs = { open, rename, link, unlink, mkdir, lstat, readdir, readFile };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-restore-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const dead: Owner = { ...thisProcess(), startTicks: 1 };
const left = async (change: Partial<CapEntry> = {}): Promise<CapEntry> => {
  const entry: CapEntry = {
    v: 1,
    kind: 'cap',
    uuid: UUID,
    domid: 24,
    name: 'vm1',
    scheduler: 'credit',
    capOriginal: 0,
    capsSet: [40, 20],
    owner: dead,
    ...change,
  };
  await createJournal(directory, undefined, entry.owner).write(entry);
  return entry;
};
const at = (cap: number, change: Partial<StandInState> = {}) => {
  const fake = fakeXl(change);
  fake.domain().cap = cap;
  return fake;
};
const noSleep = async () => undefined;
const restore = (fake: ReturnType<typeof fakeXl>, more: object = {}) =>
  restoreLeftovers({ xl: fake.xl, directory, sleep: noSleep, ...more });

describe('what a dead process left', () => {
  it.each([0, 60])('is put back to %d, read back, and forgotten', async (capOriginal) => {
    await left({ capOriginal });
    const fake = at(20);
    expect(await restore(fake)).toMatchObject([
      { verdict: 'restored', what: 'vm1', before: 20, after: capOriginal, original: capOriginal },
    ]);
    expect(fake.domain().cap).toBe(capOriginal);
    expect(readdirSync(directory)).toEqual([]);
    expect(await restore(fake)).toEqual([]);
  });
  it('under credit2 too', async () => {
    await left({ scheduler: 'credit2' });
    const fake = at(20, { scheduler: 'credit2' });
    expect(await restore(fake)).toMatchObject([{ verdict: 'restored' }]);
    expect(fake.domain().cap).toBe(0);
  });
  it('stays when somebody else has set another cap since', async () => {
    await left();
    const fake = at(33);
    expect(await restore(fake)).toMatchObject([{ verdict: 'changed-by-other', before: 33, after: 33 }]);
    expect(fake.sets()).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('needs nothing when the cap is back, or the domain has gone', async () => {
    await left();
    expect(await restore(at(0))).toMatchObject([{ verdict: 'already' }]);
    await left({ uuid: UUID.replace('d9', 'aa') });
    expect(await restore(at(20))).toMatchObject([{ verdict: 'gone' }]);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('is not done to another domain that has the domid now', async () => {
    await left({ uuid: UUID.replace('d9', 'aa') });
    const fake = at(20);
    await restore(fake);
    expect(fake.domain().cap).toBe(20);
  });
  it('follows the domain by UUID to its new domid', async () => {
    await left();
    const fake = at(0);
    fake.state.domains.push({ domid: 31, name: 'vm1', uuid: UUID, vcpus: 1, cap: 20 });
    expect(await restore(fake)).toMatchObject([{ verdict: 'restored', domid: 31 }]);
    expect(fake.domain(31).cap).toBe(0);
  });
  it('is left to a process that lives, unless all is asked for', async () => {
    await left({ owner: thisProcess() });
    const fake = at(20);
    expect(await restore(fake)).toMatchObject([{ verdict: 'owner-alive' }]);
    expect(fake.calls).toEqual([]);
    expect(await restore(fake, { all: true })).toMatchObject([{ verdict: 'restored' }]);
  });
  it('is restricted to one domain where asked', async () => {
    await left();
    const fake = at(20);
    expect(await restore(fake, { domain: 'vm2' })).toEqual([]);
    expect(await restore(fake, { domain: 'vm1' })).toMatchObject([{ verdict: 'restored' }]);
  });
  it('is tried again when xl fails, and kept with the command to do it by hand when it never works', async () => {
    await left({ capOriginal: 60 });
    const fake = at(20, { fail: { 'sched-credit set': 'libxl: error: xenstored is away' } });
    const [outcome] = await restore(fake);
    expect(outcome).toMatchObject({ verdict: 'failed', before: 20, hint: 'by hand: xl sched-credit -d 24 -c 60' });
    expect(outcome !== undefined && isLeft(outcome)).toBe(true);
    expect(fake.sets().length).toBeGreaterThan(1);
    delete fake.state.fail;
    expect(await restore(fake)).toMatchObject([{ verdict: 'restored', after: 60 }]);
  });
  it('is not believed restored when xl says so and it reads otherwise', async () => {
    await left();
    expect(await restore(at(20, { ignoreSets: true }))).toMatchObject([{ verdict: 'failed', text: expect.stringContaining('reads 20 %') }]);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('is looked at again after a while: a call of the dead process may still have landed', async () => {
    await left();
    const fake = at(20);
    const outcomes = await restoreLeftovers({
      xl: fake.xl,
      directory,
      settleMs: 1,
      sleep: async () => {
        fake.domain().cap = 40;
      },
    });
    expect(outcomes).toMatchObject([{ verdict: 'restored', before: 40, after: 0 }]);
    expect(fake.domain().cap).toBe(0);
  });
  it.each([{ settleMs: 1 }, { fail: true }])(
    'is left alone once a new process steers the domain, and so is its journal: %j',
    async ({ settleMs, fail }) => {
      await left();
      const fake = at(20, fail === true ? { fail: { 'sched-credit set': 'libxl: error: no' } } : {});
      const fresh: CapEntry = { ...(await left()), owner: thisProcess(), capsSet: [40] };
      await restoreLeftovers({
        xl: fake.xl,
        directory,
        owner: dead,
        ...(settleMs === undefined ? {} : { settleMs }),
        sleep: async () => {
          delete fake.state.fail;
          fake.domain().cap = 40;
          rmSync(join(directory, fileOf(fresh)));
          await createJournal(directory).write(fresh);
        },
      });
      expect(fake.domain().cap).toBe(40);
      expect((await readJournals(directory)).entries).toEqual([fresh]);
    },
  );
  it('corrupt files are reported and kept aside', async () => {
    writeFileSync(join(directory, 'cap-broken.json'), '{"v":1,');
    expect(await restore(at(20))).toMatchObject([
      { verdict: 'corrupt', what: 'cap-broken.json', hint: expect.stringContaining('by hand') },
    ]);
    expect(readdirSync(directory)).toEqual(['cap-broken.json.corrupt']);
  });
  it("a pool's timeslice comes back the same way", async () => {
    const entry: TsliceEntry = { v: 1, kind: 'tslice', pool: 'Pool-0', tsliceOriginalMs: 30, tslicesSetMs: [5], owner: dead };
    await createJournal(directory, undefined, dead).write(entry);
    const fake = at(0, { tslice: 5 });
    expect(await restore(fake)).toMatchObject([{ kind: 'tslice', verdict: 'restored', before: 5, after: 30 }]);
    expect(fake.state.tslice).toBe(30);
    await createJournal(directory, undefined, dead).write(entry);
    fake.state.tslice = 7;
    expect(await restore(fake)).toMatchObject([{ verdict: 'changed-by-other' }]);
    expect(fake.state.tslice).toBe(7);
  });
});

describe('whatever was in force', () => {
  it('a cap is changed only to the original, only when it is one that we set, and xl is given only whole numbers', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(100), fc.nat(100), fc.uniqueArray(fc.nat(100), { maxLength: 5 }), async (now, capOriginal, capsSet) => {
        await left({ capOriginal, capsSet });
        const fake = at(now);
        const [outcome] = await restore(fake);
        const ours = capsSet.includes(now);
        expect(fake.domain().cap).toBe(ours ? capOriginal : now);
        expect(outcome?.verdict).toBe(now === capOriginal ? 'already' : ours ? 'restored' : 'changed-by-other');
        expect(fake.sets().every((cap) => cap === capOriginal)).toBe(true);
        expect(readdirSync(directory)).toEqual([]);
      }),
    );
  });
});

describe('while a call of the dead process is under way', () => {
  it('its cap may still come: the entry stays, and the report says so', async () => {
    await left();
    const fake = at(20);
    const [outcome] = await restore(fake, { callsUnderWay: () => [4711] });
    expect(outcome).toMatchObject({ verdict: 'failed', after: 0, text: expect.stringContaining('pid 4711') });
    expect(fake.domain().cap).toBe(0);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('it is waited for, and what it did meanwhile is undone', async () => {
    await left();
    const fake = at(20);
    let polls = 0;
    const callsUnderWay = () => {
      if (++polls > 1) return [];
      fake.domain().cap = 40;
      return [4711];
    };
    expect(await restore(fake, { callsUnderWay })).toMatchObject([{ verdict: 'restored', before: 40 }]);
    expect(fake.domain().cap).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('a living owner, with --all', () => {
  it('keeps its entry, and what it sets before it sees our change is put back too', async () => {
    await left({ owner: thisProcess() });
    const fake = at(20);
    let slept = 0;
    const sleep = async () => {
      // A cap that was not in the entry when it was first read.
      if (++slept > 1) return;
      writeFileSync(
        join(directory, `cap-${UUID}.json`),
        JSON.stringify({ ...(await readJournals(directory)).entries[0], capsSet: [40, 20, 10] }),
      );
      fake.domain().cap = 10;
    };
    expect(await restore(fake, { all: true, sleep })).toMatchObject([{ verdict: 'restored', before: 10 }]);
    expect(fake.domain().cap).toBe(0);
    expect((await readJournals(directory)).entries).toMatchObject([{ capsSet: [40, 20, 10] }]);
  });
});

describe('a disk that cannot be read now', () => {
  const flaky = (failures: number, code = 'EIO') => {
    let left = failures;
    return {
      ...NODE_FS,
      readFile: async (path: string, encoding: 'utf8') => {
        if (left-- > 0) throw Object.assign(new Error(code), { code });
        return readFile(path, encoding);
      },
    };
  };
  it('is read again, and nothing is taken for corrupt', async () => {
    await left();
    const fake = at(20);
    expect(await restore(fake, { fs: flaky(2) })).toMatchObject([{ verdict: 'restored' }]);
  });
  it('is reported when it stays so', async () => {
    await left();
    const fake = at(20);
    const outcomes = await restore(fake, { fs: flaky(100, 'EMFILE') });
    expect(outcomes).toMatchObject([{ kind: 'file', verdict: 'failed' }]);
    expect(outcomes.every(isLeft)).toBe(true);
    expect(readdirSync(directory)).toEqual([`cap-${UUID}.json`]);
  });
});

describe('an answer of xl that is none', () => {
  const rubbish = (fake: ReturnType<typeof fakeXl>, of: string, stdout: string) => ({
    xl: async (args: readonly string[]) => {
      const result = await fake.xl(args);
      return args.join(' ').startsWith(of) ? { ...result, stdout } : result;
    },
  });
  it.each(['[]', 'null', ''])('a list without the domain (%s) does not mean that it has gone', async (stdout) => {
    await left();
    const fake = at(20);
    const [outcome] = await restore(fake, rubbish(fake, 'list -l', stdout));
    expect(outcome?.verdict).toBe(stdout === '' ? 'failed' : 'restored');
  });
  it('nor does a table without domain 0', async () => {
    await left({ domid: 99, uuid: 'd926f8f0-ce70-4649-b2c4-b6a282664893' });
    const fake = at(20);
    expect(await restore(fake, rubbish(fake, 'list -v', 'x'))).toMatchObject([{ verdict: 'failed' }]);
    expect(await restore(fake)).toMatchObject([{ verdict: 'gone' }]);
  });
  it.each(['', 'what?'])('no timeslice in it (%j) does not mean that the pool has gone', async (stdout) => {
    const owner = dead;
    const entry: TsliceEntry = { v: 1, kind: 'tslice', pool: 'Pool-0', tsliceOriginalMs: 30, tslicesSetMs: [5], owner };
    await createJournal(directory, undefined, owner).write(entry);
    const fake = at(0, { tslice: 5 });
    expect(await restore(fake, rubbish(fake, 'sched-credit -s', stdout))).toMatchObject([{ verdict: 'failed' }]);
    expect(await restore(fake)).toMatchObject([{ verdict: 'restored' }]);
    expect(fake.state.tslice).toBe(30);
  });
  it('a set that says something has not been done', async () => {
    await left();
    const fake = at(20);
    const lying = {
      xl: async (args: readonly string[]) => (args.includes('-c') ? { ...(await fake.xl(['info'])), stdout: 'rubbish' } : fake.xl(args)),
    };
    expect(await restore(fake, lying)).toMatchObject([{ verdict: 'failed', text: expect.stringContaining('answered') }]);
  });
});
