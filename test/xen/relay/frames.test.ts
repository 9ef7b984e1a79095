import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutFrames, decodeFrame, encodeFrame, encodeReply, FRAME_BYTES_MAX, type Frame } from '../../../src/xen/relay/frames.ts';

const text = fc.string({ maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const frame: fc.Arbitrary<Exclude<Frame, { type: 'opaque' }>> = fc.oneof(
  fc.record({ type: fc.constant('log' as const), level: fc.nat(9), errno: int32, context: text, text }),
  fc.record({
    type: fc.constant('progress' as const),
    context: text,
    what: text,
    done: fc.nat(Number.MAX_SAFE_INTEGER),
    total: fc.nat(Number.MAX_SAFE_INTEGER),
  }),
  fc.constant({ type: 'suspend' as const }),
  fc.record({ type: fc.constant('complete' as const), result: int32, errno: int32 }),
);
const cuts = fc.array(fc.nat(1), { maxLength: 200 });

/** Splits at each position where `marks` has a 1, repeating. */
function chunksOf(bytes: Buffer, marks: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let from = 0;
  for (let at = 1; at <= bytes.length; at++) {
    if (at < bytes.length && marks[at % Math.max(1, marks.length)] !== 1) continue;
    chunks.push(bytes.subarray(from, at));
    from = at;
  }
  return chunks;
}

function cutAll(chunks: readonly Buffer[]): { readonly frames: Buffer[]; readonly rest: Buffer; readonly restMax: number } {
  let rest: Buffer = Buffer.alloc(0);
  let restMax = 0;
  const frames: Buffer[] = [];
  for (const chunk of chunks) {
    const cut = cutFrames(rest, chunk);
    frames.push(...cut.frames);
    rest = cut.rest;
    restMax = Math.max(restMax, rest.length);
  }
  return { frames, rest, restMax };
}

describe('control frames', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(frame, (value) => {
        expect(decodeFrame(encodeFrame(value))).toEqual(value);
      }),
    );
  });

  it('are the same however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), cuts, (values, marks) => {
        const bytes = Buffer.concat(values.map(encodeFrame));
        const { frames, rest } = cutAll(chunksOf(bytes, marks));
        expect(frames.map(decodeFrame)).toEqual(values);
        expect(rest.length).toBe(0);
      }),
    );
  });

  it('lose no byte of anything, hold less than one frame and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000 }), cuts, (garbage, marks) => {
        const bytes = Buffer.from(garbage);
        const { frames, rest, restMax } = cutAll(chunksOf(bytes, marks));
        expect(Buffer.concat([...frames, rest]).equals(bytes)).toBe(true);
        expect(restMax).toBeLessThan(FRAME_BYTES_MAX);
        for (const one of frames) decodeFrame(one);
      }),
    );
  });

  it('with damaged arguments are opaque, never misread', () => {
    fc.assert(
      fc.property(frame, fc.nat(10_000), fc.nat(255), (value, where, byte) => {
        const bytes = encodeFrame(value);
        bytes[2 + (where % (bytes.length - 2))] = byte;
        expect(['log', 'progress', 'suspend', 'complete', 'opaque']).toContain(decodeFrame(bytes).type);
        // One byte short of its arguments.
        const short = encodeFrame(value).subarray(0, -1);
        expect(decodeFrame(short).type).toBe('opaque');
      }),
    );
  });

  it.each([0, 1])('of %i bytes, which have no type, are opaque', (length) => {
    const bytes = Buffer.concat([Buffer.from(new Uint16Array([length]).buffer), Buffer.alloc(length)]);
    expect(cutFrames(Buffer.alloc(0), bytes).frames).toHaveLength(1);
    expect(decodeFrame(bytes)).toEqual({ type: 'opaque' });
  });

  it('of the longest length are whole', () => {
    const bytes = Buffer.concat([Buffer.from(new Uint16Array([0xffff]).buffer), Buffer.alloc(0xffff, 7)]);
    expect(bytes.length).toBe(FRAME_BYTES_MAX);
    expect(cutFrames(bytes.subarray(0, 40_000), bytes.subarray(40_000)).frames).toHaveLength(1);
  });

  it('of a 32-bit toolstack carry 4-byte longs', () => {
    const wide = encodeFrame({ type: 'progress', context: 'xc', what: 'Frames iteration 2', done: 1024, total: 6336 });
    const body = Buffer.concat([wide.subarray(2, wide.length - 16), Buffer.from(new Uint32Array([1024, 6336]).buffer)]);
    const narrow = Buffer.concat([Buffer.from(new Uint16Array([body.length]).buffer), body]);
    expect(decodeFrame(narrow)).toMatchObject({ type: 'progress', what: 'Frames iteration 2', done: 1024, total: 6336 });
  });

  it('fit their length whatever the text of a log line', () => {
    const bytes = encodeFrame({ type: 'log', level: 8, errno: -1, context: 'xthrottle', text: 'é\0'.repeat(100_000) });
    const { frames, rest } = cutFrames(Buffer.alloc(0), bytes);
    expect([frames.length, rest.length]).toEqual([1, 0]);
    expect(decodeFrame(bytes)).toMatchObject({ type: 'log', context: 'xthrottle' });
  });

  it('are answered by an int in host byte order', () => {
    expect(new Int32Array(new Uint8Array(encodeReply(-1)).buffer)[0]).toBe(-1);
    expect(new Int32Array(new Uint8Array(encodeReply(1)).buffer)[0]).toBe(1);
  });
});
