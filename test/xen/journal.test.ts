import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { link, lstat, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createJournal, type JournalFs, readJournals } from '../../src/xen/journal.ts';
import { type CapEntry, fileOf, parseEntry, type TsliceEntry } from '../../src/xen/journal-entry.ts';
import { isAlive, startTicksOf, thisProcess } from '../../src/xen/owner.ts';
import { UUID } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let directory: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-journal-'));
  directory = join(folder, 'state');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const entry = (change: Partial<CapEntry> = {}): CapEntry => ({
  v: 1,
  kind: 'cap',
  uuid: UUID,
  domid: 24,
  name: 'vm1',
  scheduler: 'credit',
  capOriginal: 60,
  capsSet: [],
  owner: thisProcess(),
  ...change,
});
const NODE_FS: JournalFs = { open, rename, link, unlink, mkdir, lstat, readdir, readFile };

/** Stops the world at its n-th file operation: that one and all that follow do not happen, as if the power had gone. */
function crashingFs(after: number): JournalFs & { readonly crashed: () => boolean } {
  let left = after;
  let crashed = false;
  const step = async <T>(work: () => Promise<T>): Promise<T> => {
    if (left-- > 0) return work();
    crashed = true;
    throw new Error('power lost');
  };
  return {
    ...NODE_FS,
    crashed: () => crashed,
    open: (path, flags, mode) =>
      step(async () => {
        const handle = await open(path, flags, mode);
        return {
          writeFile: (text: Parameters<typeof handle.writeFile>[0]) =>
            step(() => handle.writeFile(text)).catch(async (error: unknown) => {
              // Half of it had reached the disk.
              await handle.writeFile(String(text).slice(0, String(text).length / 2));
              throw error;
            }),
          sync: () => step(() => handle.sync()),
          close: () => handle.close(),
        } as never;
      }),
    rename: (a, b) => step(() => rename(a, b)),
    link: (a, b) => step(() => link(a, b)),
    unlink: (a) => step(() => unlink(a)),
  };
}

describe('the cap journal', () => {
  it('is on disk when write returns, for its owner alone', async () => {
    const journal = createJournal(directory);
    expect(await journal.write(entry({ capsSet: [40] }))).toEqual({ ok: true });
    expect(await readJournals(directory)).toEqual({ entries: [entry({ capsSet: [40] })], corrupt: [], failed: [] });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, fileOf(entry()))).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('is replaced by later changes and gone when removed', async () => {
    const journal = createJournal(directory);
    for (const capsSet of [[], [40], [40, 20]]) await journal.write(entry({ capsSet }));
    expect((await readJournals(directory)).entries).toEqual([entry({ capsSet: [40, 20] })]);
    await journal.remove(entry());
    await journal.remove(entry());
    expect(readdirSync(directory)).toEqual([]);
  });
  it('holds the newest of writes that were started together', async () => {
    const journal = createJournal(directory);
    await Promise.all([1, 2, 3, 4, 5].map((cap) => journal.write(entry({ capsSet: [cap] }))));
    expect((await readJournals(directory)).entries).toEqual([entry({ capsSet: [5] })]);
  });
  it('at whatever step the power goes: the old or the new entry, never a torn one, and ok only when it is the new one', async () => {
    let steps = 0;
    for (let crash = 0; crash < 40; crash++) {
      rmSync(directory, { recursive: true, force: true });
      await createJournal(directory).write(entry({ capsSet: [40] }));
      const fs = crashingFs(crash);
      const result = await createJournal(directory, fs).write(entry({ capsSet: [40, 20] }));
      const { entries, corrupt } = await readJournals(directory);
      expect(corrupt).toEqual([]);
      const caps = entries.map((e) => (e.kind === 'cap' ? e.capsSet : []));
      expect([[[40]], [[40, 20]]]).toContainEqual(caps);
      if (result.ok) expect(caps).toEqual([[40, 20]]);
      if (!fs.crashed()) {
        expect(result.ok).toBe(true);
        break;
      }
      steps++;
    }
    expect(steps).toBeGreaterThanOrEqual(6);
  });
  it('of the first entry, too: nothing or all of it', async () => {
    for (let crash = 0; crash < 12; crash++) {
      rmSync(directory, { recursive: true, force: true });
      const result = await createJournal(directory, crashingFs(crash)).write(entry());
      const { entries, corrupt } = await readJournals(directory);
      expect(corrupt).toEqual([]);
      expect(entries.length).toBeLessThanOrEqual(1);
      if (result.ok) expect(entries).toEqual([entry()]);
    }
  });
  it('says so when it cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    expect(await createJournal(join(folder, 'file')).write(entry())).toMatchObject({ ok: false, why: 'unwritable' });
    const full: JournalFs = { ...NODE_FS, open: async () => Promise.reject(new Error('ENOSPC: no space left on device')) };
    expect(await createJournal(directory, full).write(entry())).toMatchObject({
      ok: false,
      why: 'unwritable',
      text: expect.stringContaining('ENOSPC'),
    });
  });
  it('leaves no drafts on a full disk, however often it is tried', async () => {
    const full: JournalFs = {
      ...NODE_FS,
      open: async (path, flags, mode) => {
        const file = await open(path, flags, mode);
        return { writeFile: async () => Promise.reject(new Error('ENOSPC')), sync: () => file.sync(), close: () => file.close() } as never;
      },
    };
    const journal = createJournal(directory, full);
    for (let i = 0; i < 3; i++) expect(await journal.write(entry())).toMatchObject({ ok: false, why: 'unwritable' });
    expect(readdirSync(directory)).toEqual([]);
  });
  it("never takes another living process's domain, nor overwrites what a dead one left", async () => {
    const parent = { pid: process.ppid, startTicks: startTicksOf(process.ppid) ?? 0, bootId: thisProcess().bootId };
    await createJournal(directory, NODE_FS, parent).write(entry({ owner: parent }));
    expect(await createJournal(directory).write(entry())).toMatchObject({
      ok: false,
      why: 'owned',
      text: expect.stringContaining(String(parent.pid)),
    });
    const dead = { ...parent, startTicks: 1 };
    writeFileSync(join(directory, fileOf(entry())), JSON.stringify(entry({ owner: dead })));
    expect(await createJournal(directory).write(entry())).toMatchObject({
      ok: false,
      why: 'unwritable',
      text: expect.stringContaining('restore'),
    });
    expect((await readJournals(directory)).entries).toEqual([entry({ owner: dead })]);
  });
  it('does not follow a link laid in its way, nor use a directory that others can write to', async () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'precious');
    await createJournal(directory).write(entry());
    rmSync(join(directory, fileOf(entry())));
    symlinkSync(victim, join(directory, fileOf(entry())));
    expect(await createJournal(directory).write(entry())).toMatchObject({ ok: false });
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    symlinkSync(directory, join(folder, 'linked'));
    expect(await createJournal(join(folder, 'linked')).write(entry())).toMatchObject({ ok: false, why: 'unwritable' });
  });
});

describe('reading journals', () => {
  it('keeps what is no journal aside, and reads the rest', async () => {
    await createJournal(directory).write(entry());
    const bad = { 'cap-x.json': '{', [`cap-${UUID.replace('d', 'e')}.json`]: JSON.stringify(entry()), 'tslice-ff.json': '' };
    for (const [name, text] of Object.entries(bad)) writeFileSync(join(directory, name), text);
    const listing = await readJournals(directory);
    expect(listing.entries).toEqual([entry()]);
    expect([...listing.corrupt].sort()).toEqual(Object.keys(bad).sort());
    expect(readdirSync(directory).filter((name) => name.endsWith('.corrupt'))).toHaveLength(3);
    expect((await readJournals(directory)).corrupt).toEqual([]);
  });
  it('of a directory that is not there: nothing', async () => {
    expect(await readJournals(join(folder, 'nosuch'))).toEqual({ entries: [], corrupt: [], failed: [] });
  });
  it('never throws, whatever a file holds, and takes back exactly what was written', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) => {
        expect(parseEntry(text)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(800), fc.array(fc.nat(800)), (name, capOriginal, capsSet) => {
        const written = entry({ name, capOriginal, capsSet });
        expect(parseEntry(JSON.stringify(written))).toEqual(written);
      }),
    );
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 1000 }), (pool, tsliceOriginalMs) => {
        const written: TsliceEntry = { v: 1, kind: 'tslice', pool, tsliceOriginalMs, tslicesSetMs: [5], owner: thisProcess() };
        expect(parseEntry(JSON.stringify(written))).toEqual(written);
        expect(fileOf(written)).toMatch(/^tslice-[0-9a-f]+-\d+-\d+\.json$/);
      }),
    );
  });
  it('takes no entry with a field out of range', () => {
    const wrong: readonly Partial<Record<keyof CapEntry, unknown>>[] = [
      { v: 2 },
      { uuid: '../../etc/passwd' },
      { capOriginal: -1 },
      { capOriginal: 65_535 },
      { capOriginal: 1.5 },
      { capsSet: ['40'] },
      { scheduler: 'rtds' },
      { owner: { pid: 'x' } },
      { domid: -1 },
    ];
    for (const change of wrong) expect(parseEntry(JSON.stringify({ ...entry(), ...change }))).toBeUndefined();
  });
});

describe('who owns a journal', () => {
  it('is alive by pid, start time and boot', () => {
    const us = thisProcess();
    expect(isAlive(us)).toBe(true);
    expect(isAlive({ ...us, startTicks: us.startTicks + 1 })).toBe(false);
    expect(isAlive({ ...us, bootId: 'another' })).toBe(false);
  });

  it('a file that cannot be read now is neither corrupt nor moved aside', async () => {
    const journal = createJournal(directory);
    await journal.write(entry());
    for (const code of ['EIO', 'EMFILE', 'EACCES']) {
      const broken: JournalFs = {
        ...NODE_FS,
        readFile: async () => {
          throw Object.assign(new Error(code), { code });
        },
      };
      expect(await readJournals(directory, broken)).toEqual({ entries: [], corrupt: [], failed: [fileOf(entry())] });
    }
    expect((await readJournals(directory)).entries).toEqual([entry()]);
  });
});
