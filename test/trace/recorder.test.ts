import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MigrationRecord } from '../../src/core/record.ts';
import { rotate, safePart, traceName } from '../../src/trace/directory.ts';
import { readTrace } from '../../src/trace/read.ts';
import { type RecorderOptions, recorder } from '../../src/trace/recorder.ts';
import { hostileName } from './arbitrary.ts';
import { simulated } from './runs.ts';

let root: string;
let warnings: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'recorder-'));
  warnings = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const open = (more: Partial<RecorderOptions> = {}) =>
  recorder({ directory: join(root, 'traces'), warn: (text) => warnings.push(text), ...more });
const files = (): string[] => readdirSync(join(root, 'traces')).sort();
const renamed = (records: readonly MigrationRecord[], id: string, name = 'vm1'): readonly MigrationRecord[] =>
  records.map((r) =>
    r.type === 'start'
      ? { ...r, id, goal: { ...r.goal, domain: { ...r.goal.domain, name } } }
      : r.type === 'summary'
        ? { ...r, id }
        : { ...r, id },
  );
const run = simulated('idle', 'none');

describe('the flight recorder', () => {
  it('writes each migration to a private file of its own that reads back the same', async () => {
    const sink = open();
    const [a, b] = [renamed(run, 'a'), renamed(run, 'b')];
    a.forEach((record, i) => {
      sink.write(record);
      sink.write(b[i] as MigrationRecord);
    });
    await sink.close();
    expect(files()).toHaveLength(2);
    for (const [id, records] of [
      ['a', a],
      ['b', b],
    ] as const) {
      const path = sink.pathOf(id) ?? '';
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect((await readTrace(path)).traces[0]?.records).toEqual(records);
    }
    expect(statSync(join(root, 'traces')).mode & 0o777).toBe(0o700);
    expect(warnings).toEqual([]);
  });

  it('keeps the newest within the number of files', async () => {
    const sink = open({
      filesMax: 3,
      now: (() => {
        let day = 1;
        return () => new Date(Date.UTC(2026, 0, day++));
      })(),
    });
    for (let i = 0; i < 6; i++) {
      for (const record of renamed(run, `m${i}`)) sink.write(record);
      await expect.poll(() => sink.pathOf(`m${i}`)).toBeDefined();
    }
    await sink.close();
    expect(files().map((name) => name.slice(0, 8))).toEqual(['20260104', '20260105', '20260106']);
  });

  it('says in the trace how many records the bound of a file kept out, and still writes the end', async () => {
    const sink = open({ fileBytesMax: 4000 });
    for (const record of run) sink.write(record);
    await sink.close();
    const { traces, notes } = await readTrace(join(root, 'traces', files()[0] ?? ''));
    const records = traces[0]?.records ?? [];
    const note = records.find((record) => record.type === 'note');
    expect(note?.type === 'note' && note.dropped).toBe(run.length - (records.length - 1));
    expect(records.at(-1)?.type).toBe('summary');
    expect(notes.some((text) => text.includes('missing'))).toBe(true);
  });

  it('never makes write wait or throw, and warns once, when the directory cannot be used', async () => {
    writeFileSync(join(root, 'traces'), 'a file is in the way');
    const sink = open();
    for (const id of ['a', 'b']) for (const record of renamed(run, id)) sink.write(record);
    await sink.close();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/control goes on/);
  });

  it('does not follow a symbolic link in place of its directory, nor write where others may', async () => {
    mkdirSync(join(root, 'elsewhere'));
    symlinkSync(join(root, 'elsewhere'), join(root, 'traces'));
    const linked = open();
    for (const record of run) linked.write(record);
    await linked.close();
    expect(readdirSync(join(root, 'elsewhere'))).toEqual([]);
    rmSync(join(root, 'traces'));
    mkdirSync(join(root, 'traces'));
    chmodSync(join(root, 'traces'), 0o777);
    const shared = open();
    for (const record of run) shared.write(record);
    await shared.close();
    expect(files()).toEqual([]);
    expect(warnings).toHaveLength(2);
  });

  it('never opens a file that is there already: the next name is taken', async () => {
    const now = () => new Date(0);
    mkdirSync(join(root, 'traces'), { mode: 0o700 });
    const taken = join(root, 'traces', traceName(now(), 'vm1', 'a'));
    symlinkSync(join(root, 'victim'), taken);
    const sink = open({ now });
    for (const record of renamed(run, 'a')) sink.write(record);
    await sink.close();
    expect(() => readFileSync(join(root, 'victim'))).toThrow();
    expect(sink.pathOf('a')).not.toBe(taken);
    expect(warnings).toEqual([]);
  });

  it('ignores records of migrations it has not seen begin', async () => {
    const sink = open();
    for (const record of run.slice(1)) sink.write(record);
    await sink.close();
    expect(() => files()).toThrow();
  });
});

describe('file names', () => {
  it('stay within the directory, whatever the domain is called', () => {
    fc.assert(
      fc.property(hostileName, hostileName, (domain, id) => {
        expect(traceName(new Date(0), domain, id)).toMatch(/^19700101T000000Z-[A-Za-z0-9_.-]+-[A-Za-z0-9_.-]+\.jsonl$/);
        expect(safePart(domain)).not.toMatch(/^\.|\/|^$/);
      }),
    );
  });
});

describe('rotation', () => {
  it('keeps both bounds, deletes the oldest first, spares open files and leaves what is not a trace', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 500 }), { maxLength: 12 }),
        fc.nat({ max: 8 }),
        fc.nat({ max: 2000 }),
        fc.nat({ max: 11 }),
        async (sizes, filesMax, bytesMax, spared) => {
          const directory = mkdtempSync(join(root, 'r-'));
          const paths = sizes.map((size, i) => {
            const path = join(directory, traceName(new Date(Date.UTC(2026, 0, 1 + i)), 'vm', `${i}`));
            writeFileSync(path, 'x'.repeat(size));
            return path;
          });
          writeFileSync(join(directory, 'README'), 'mine');
          const spare = new Set(paths.slice(spared, spared + 1));
          const gone = new Set(await rotate(directory, { filesMax, bytesMax }, spare));
          expect(readdirSync(directory)).toContain('README');
          const left = paths.filter((path) => !gone.has(path));
          expect(readdirSync(directory)).toHaveLength(left.length + 1);
          for (const path of spare) expect(gone.has(path)).toBe(false);
          const others = left.filter((path) => !spare.has(path));
          if (others.length > 0) {
            expect(left.length).toBeLessThanOrEqual(filesMax);
            expect(left.reduce((sum, path) => sum + statSync(path).size, 0)).toBeLessThanOrEqual(bytesMax);
            const oldestLeft = paths.indexOf(others[0] as string);
            for (const path of gone) expect(paths.indexOf(path)).toBeLessThan(oldestLeft);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
