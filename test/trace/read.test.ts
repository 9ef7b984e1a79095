import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XthrottleError } from '../../src/core/errors.ts';
import { linesOf } from '../../src/trace/lines.ts';
import { readTrace } from '../../src/trace/read.ts';
import { migration } from './arbitrary.ts';
import { asLines, chunked, read, simulated } from './runs.ts';

const usage = async (work: Promise<unknown>): Promise<XthrottleError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(XthrottleError);
  expect((error as XthrottleError).exit).toBe('usage');
  return error as XthrottleError;
};

describe('a trace that was written is read back', () => {
  it('record by record, whatever the names and numbers, infinities included', async () => {
    await fc.assert(
      fc.asyncProperty(migration, fc.integer({ min: 1, max: 5000 }), async (records, size) => {
        const { traces } = await read(asLines(records), size);
        expect(traces).toHaveLength(1);
        expect(traces[0]?.records).toEqual(records);
        expect(traces[0]?.summary).toEqual(records.find(({ type }) => type === 'summary'));
      }),
    );
  });

  it('from a simulated run, without complaints', async () => {
    const records = simulated();
    const { traces, notes } = await read(asLines(records));
    expect(notes).toEqual([]);
    expect(traces[0]?.records).toEqual(records);
  });

  it('also when several migrations are interleaved', async () => {
    const [a, b] = [simulated('idle', 'none', 1), simulated('idle', 'none', 2)].map((records, i) =>
      records.map((r) => ({ ...r, id: `m${i}` })),
    );
    const mixed = (a ?? [])
      .flatMap((record, i) => [record, ...(b?.[i] === undefined ? [] : [b[i]])])
      .concat((b ?? []).slice(a?.length ?? 0));
    const { traces } = await read(asLines(mixed));
    expect(traces.map(({ id }) => id)).toEqual(['m0', 'm1']);
    expect(traces[1]?.records).toEqual(b);
  });
});

describe('what is wrong with a file is tolerated and said, or refused', () => {
  const some = simulated('idle', 'none');
  const whole = asLines([...some.slice(0, 12), some.at(-1)]);
  const firstLine = whole.indexOf('\n') + 1;

  it('cut anywhere after its first line it gives the records before the cut', async () => {
    const lines = whole.split('\n').slice(0, -1);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: firstLine, max: whole.length - 2 }), async (cut) => {
        const text = whole.slice(0, cut);
        const { traces, notes } = await read(text);
        const complete = text.split('\n').length - 1;
        const tail = text.slice(text.lastIndexOf('\n') + 1);
        const tailIsWhole = tail === lines[complete];
        expect(traces[0]?.records).toHaveLength(complete + (tailIsWhole ? 1 : 0));
        expect(notes.some((note) => note.includes('cut off'))).toBe(tail !== '' && !tailIsWhole);
        expect(notes.some((note) => note.includes('no summary'))).toBe(true);
      }),
    );
  });

  it('unknown fields and record types of later writers are ignored', async () => {
    const [start, ...rest] = simulated('idle', 'none');
    const lines = asLines([{ ...start, colour: 'blue' }, { type: 'weather', id: 'x', sunny: true }, ...rest]);
    const { traces, notes } = await read(lines);
    expect(traces[0]?.records).toEqual([start, ...rest]);
    expect(notes).toEqual([]);
  });

  it('a record of before a guest was let run for less than a timeslice: it was one', async () => {
    const old = simulated().map((record) => {
      if (record.type !== 'start') return record;
      const { runFirstMs: _, ...capabilities } = record.goal.capabilities;
      return { ...record, goal: { ...record.goal, capabilities } };
    });
    const { traces, notes } = await read(asLines(old as ReturnType<typeof simulated>));
    expect(notes).toEqual([]);
    const start = traces[0]?.records.find((record) => record.type === 'start');
    expect(start?.goal.capabilities.runFirstMs).toBe(start?.goal.capabilities.tsliceMs);
  });

  it('a line that is no record is skipped and named', async () => {
    const [start, ...rest] = simulated('idle', 'none');
    const { traces, notes } = await read(`${asLines([start])}nonsense\n${asLines([{ type: 'decision', id: 'x' }, ...rest])}`);
    expect(traces[0]?.records).toHaveLength(rest.length + 1);
    expect(notes[0]).toMatch(/line 2 is not JSON/);
    expect(notes[1]).toMatch(/line 3 is not a record \(atMs/);
  });

  it('a line longer than allowed is skipped without being held', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(whole.slice(0, firstLine));
      for (let i = 0; i < 200; i++) yield Buffer.alloc(16 * 1024, 'x');
      yield Buffer.from(`\n${whole.slice(firstLine)}`);
    }
    const lines = [];
    for await (const line of linesOf(endless(), 100_000)) lines.push(line);
    expect(lines[1]).toEqual({ number: 2, tooLong: true });
    expect(lines).toHaveLength(whole.split('\n').length);
  });

  it('a later version is refused before anything of it is believed', async () => {
    const error = await usage(read('{"type":"start","v":2,"id":"m"}\n'));
    expect(error.message).toMatch(/version 2/);
    expect(error.hint).toBeDefined();
  });

  it('no migration, no file, a folder, too many records: a usage error', async () => {
    await usage(read(''));
    await usage(read('{"type":"note","id":"m","level":"info","text":"alone"}\n'));
    await usage(readTrace('/nonexistent/trace.jsonl'));
    await usage(readTrace('/tmp'));
    const { readTraceFrom } = await import('../../src/trace/read.ts');
    await usage(readTraceFrom(chunked(whole), 'x', { recordsMax: 3 }));
  });

  it('any bytes at all give a result or a usage error', async () => {
    const mangled = fc.tuple(fc.nat({ max: whole.length }), fc.uint8Array({ maxLength: 40 })).map(([at, bytes]) => {
      const original = Buffer.from(whole);
      return Buffer.concat([original.subarray(0, at), bytes, original.subarray(at + bytes.length)]);
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), mangled), async (bytes) => {
        try {
          const { traces } = await read(bytes);
          for (const { records } of traces) expect(records[0]?.type).toBe('start');
        } catch (error) {
          expect(error).toBeInstanceOf(XthrottleError);
        }
      }),
    );
  });
});
