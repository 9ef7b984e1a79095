import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { handOver } from '../../src/xen/hand-over.ts';
import { capturedWrites } from './stand-in.ts';

const STEPS = [
  'ready',
  'transfer-complete',
  'target-acknowledged',
  'permission-given',
  'permission-got',
  'domain-started',
  'target-reports-success',
  'success',
];
const readAll = (chunks: readonly string[]) => {
  const reader = handOver();
  return { steps: chunks.flatMap((chunk) => reader.push(chunk)), reader };
};
/** Cuts text at arbitrary places. */
const cuts = (text: string) =>
  fc.array(fc.nat(text.length), { maxLength: 200 }).map((places) => {
    const at = [...new Set([0, ...places, text.length])].sort((a, b) => a - b);
    return at.slice(1).map((end, i) => text.slice(at[i], end));
  });

describe('what xl migrate tells of the hand-over', () => {
  it.each(['02-migrate-default-pipe.txt', '02-migrate-v-pipe.txt'])('every step of %s, in order', (capture) => {
    const { steps, reader } = readAll(capturedWrites(capture));
    expect(steps).toEqual(STEPS);
    expect(reader.reason()).toBeUndefined();
  });
  it('the same wherever the text is cut', () => {
    const text = capturedWrites('02-migrate-default-pipe.txt').join('');
    fc.assert(
      fc.property(cuts(text), (chunks) => {
        expect(readAll(chunks).steps).toEqual(STEPS);
      }),
    );
  });
  it('the same when other messages begin in the middle of its lines', () => {
    const writes = capturedWrites('02-migrate-v-pipe.txt');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(writes.length), fc.constantFrom('xc: ', 'libxl: error: ', 'x'))), (noise) => {
        const mixed = writes.flatMap((write, i) => [...noise.filter(([at]) => at === i).map(([, text]) => text), write]);
        expect(readAll(mixed).steps).toEqual(STEPS);
      }),
    );
  });
  it('that the receiver may start the guest: from the permission on, and not before', () => {
    const writes = capturedWrites('02-migrate-default-pipe.txt');
    const at = writes.findIndex((write) => write.includes('Giving target permission'));
    expect(at).toBeGreaterThan(0);
    expect(readAll(writes.slice(0, at)).reader.mayRunThere()).toBe(false);
    expect(readAll(writes.slice(0, at + 1)).reader.mayRunThere()).toBe(true);
    expect(readAll(writes).reader.mayRunThere()).toBe(true);
    expect(readAll(capturedWrites('06-abort-receiver-kill.txt')).reader.mayRunThere()).toBe(false);
  });
  it('why it failed: the verdict with the first error', () => {
    const { steps, reader } = readAll(capturedWrites('06-abort-helper-term.txt'));
    expect(steps).toContain('failed');
    expect(steps).not.toContain('success');
    expect(reader.reason()).toMatch(/^Migration failed, failed to suspend at sender\. .*Failed to write page data to stream/);
  });
  it('that the guest was resumed here', () => {
    const { steps, reader } = readAll(capturedWrites('06-abort-receiver-kill.txt'));
    expect(steps).toContain('failed-resuming');
    expect(reader.reason()).toContain('resuming at sender');
  });
  it('without end: memory stays bounded and steps are still seen', () => {
    const reader = handOver();
    for (let i = 0; i < 2000; i++) reader.push('x'.repeat(1000));
    expect(reader.push('Migration successful.')).toEqual(['success']);
  });
  it('in words that cannot move the cursor', () => {
    const { reader } = readAll(['libxl: error: \u001b[31mgone\nMigration failed, \u001b[2J\n']);
    expect(reader.reason()).not.toContain('\u001b');
  });
});

describe('the receiving half at the destination', () => {
  const half = (text: string) => readAll([text]).reader.half();
  it('is there when xl says so, and may be when the receiver was lost', () => {
    expect(
      half('libxl: error: libxl_create.c:1: Domain with name "vm1--incoming" already exists\nMigration failed, resuming at sender.\n'),
    ).toBe('there');
    expect(half(capturedWrites('06-abort-receiver-kill.txt').join(''))).toBe('maybe');
  });
  it('is no matter after a success, nor after an abort at the source', () => {
    expect(half(capturedWrites('02-migrate-v-pipe.txt').join(''))).toBeUndefined();
    expect(half('xc: error: save callback suspend() failed: 0\nMigration failed, failed to suspend at sender.\n')).toBeUndefined();
  });
});
