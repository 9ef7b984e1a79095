import { closeSync, openSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { descriptorWriter, lineWriter } from '../../src/trace/line-writer.ts';

describe('a line writer', () => {
  it('writes every line once and in order, whatever the output does between', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 60 }), fc.array(fc.boolean()), async (lines, waits) => {
        let written = '';
        let call = 0;
        const writer = lineWriter(async (chunk) => {
          if (waits[call++ % Math.max(1, waits.length)] === true) await new Promise((done) => setImmediate(done));
          written += chunk.toString();
        });
        for (const line of lines) expect(writer.write(line)).toBe(true);
        await writer.close();
        expect(written).toBe(lines.map((line) => `${Buffer.from(line).toString()}\n`).join(''));
      }),
    );
  });

  it('never waits for a stuck output: it takes what fits and counts what does not', async () => {
    let release = (): void => undefined;
    const stuck = new Promise<void>((resolve) => {
      release = resolve;
    });
    let bytes = 0;
    const writer = lineWriter(
      async (chunk) => {
        await stuck;
        bytes += chunk.length;
      },
      { queueBytesMax: 1000 },
    );
    const taken = Array.from({ length: 500 }, () => writer.write('x'.repeat(9))).filter(Boolean).length;
    expect(taken).toBe(100);
    expect(writer.dropped).toBe(400);
    release();
    await writer.close();
    expect(bytes).toBe(1000);
    expect(writer.write('late')).toBe(false);
  });

  it('says once what broke the output and takes nothing more', async () => {
    const errors: unknown[] = [];
    const fd = openSync('/dev/full', 'w');
    const writer = descriptorWriter(fd, { onError: (error) => errors.push(error) });
    writer.write('one');
    writer.write('two');
    await expect.poll(() => writer.broken).toBe(true);
    expect(writer.write('three')).toBe(false);
    await writer.close();
    closeSync(fd);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({ code: 'ENOSPC' });
  });
});
