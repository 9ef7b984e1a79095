/**
 * The control pipe from libxl's save helper to libxl: a uint16 length and that many bytes, of which the first two are the type; all in
 * host byte order, strings as uint32 length with the NUL. A reply is a bare int on the helper's stdin. The types are numbered in the
 * order of libxl_save_msgs_gen.pl, the same in every release from 4.14 on.
 */
import { endianness } from 'node:os';

export type Frame =
  | { readonly type: 'log'; readonly level: number; readonly errno: number; readonly context: string; readonly text: string }
  | { readonly type: 'progress'; readonly context: string; readonly what: string; readonly done: number; readonly total: number }
  | { readonly type: 'suspend' }
  | { readonly type: 'complete'; readonly result: number; readonly errno: number }
  /** Not ours to understand: another type, or one whose arguments are not as expected. Passed on as it is. */
  | { readonly type: 'opaque' };

export const LOG_WARNING = 7;
export const LOG_ERROR = 8;
/** uint16 length and the most that it can say. */
export const FRAME_BYTES_MAX = 2 + 0xffff;

const TYPES = { log: 1, progress: 2, suspend: 3, complete: 10 } as const;
const LITTLE = endianness() === 'LE';
/** Longest text that `encodeFrame` puts into a string. */
const TEXT_BYTES_MAX = 8192;

const u16 = (from: Buffer, at: number): number => (LITTLE ? from.readUInt16LE(at) : from.readUInt16BE(at));
const u32 = (from: Buffer, at: number): number => (LITTLE ? from.readUInt32LE(at) : from.readUInt32BE(at));
const i32 = (from: Buffer, at: number): number => (LITTLE ? from.readInt32LE(at) : from.readInt32BE(at));
const u64 = (from: Buffer, at: number): number => Number(LITTLE ? from.readBigUInt64LE(at) : from.readBigUInt64BE(at));

/**
 * Cuts whole frames, as their exact bytes, from what was left and what came; chunks may be cut anywhere. `rest` is shorter than one
 * frame (at most FRAME_BYTES_MAX), whatever comes.
 */
export function cutFrames(rest: Buffer, chunk: Buffer): { readonly frames: readonly Buffer[]; readonly rest: Buffer } {
  const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  const frames: Buffer[] = [];
  let at = 0;
  while (all.length - at >= 2) {
    const end = at + 2 + u16(all, at);
    if (end > all.length) break;
    frames.push(all.subarray(at, end));
    at = end;
  }
  // A copy, so that a few bytes don't keep a large chunk alive.
  return { frames, rest: Buffer.from(all.subarray(at)) };
}

/** Whether the helper waits for an answer to this frame, whatever it says: types 3 to 8 and 10. */
export function awaitsReply(frame: Buffer): boolean {
  const type = frame.length < 4 ? 0 : u16(frame, 2);
  return (type >= 3 && type <= 8) || type === TYPES.complete;
}

/** What one whole frame (with its length) says; never throws. */
export function decodeFrame(frame: Buffer): Frame {
  try {
    return decode(frame) ?? { type: 'opaque' };
  } catch (error) {
    // Reading past the end of a short frame.
    if (error instanceof RangeError) return { type: 'opaque' };
    throw error;
  }
}

function decode(frame: Buffer): Frame | undefined {
  switch (u16(frame, 2)) {
    case TYPES.log: {
      const context = stringAt(frame, 12);
      const text = stringAt(frame, context.next);
      if (text.next !== frame.length) return undefined;
      return { type: 'log', level: u32(frame, 4), errno: i32(frame, 8), context: context.text, text: text.text };
    }
    case TYPES.progress: {
      const context = stringAt(frame, 4);
      const what = stringAt(frame, context.next);
      // unsigned long: 8 bytes, or 4 where the toolstack is a 32-bit program.
      const wide = frame.length - what.next === 16;
      if (!wide && frame.length - what.next !== 8) return undefined;
      const done = wide ? u64(frame, what.next) : u32(frame, what.next);
      const total = wide ? u64(frame, what.next + 8) : u32(frame, what.next + 4);
      if (!Number.isSafeInteger(done) || !Number.isSafeInteger(total)) return undefined;
      return { type: 'progress', context: context.text, what: what.text, done, total };
    }
    case TYPES.suspend:
      return frame.length === 4 ? { type: 'suspend' } : undefined;
    case TYPES.complete:
      return frame.length === 12 ? { type: 'complete', result: i32(frame, 4), errno: i32(frame, 8) } : undefined;
    default:
      return undefined;
  }
}

function stringAt(frame: Buffer, at: number): { readonly text: string; readonly next: number } {
  const length = u32(frame, at);
  const next = at + 4 + length;
  if (length < 1 || next > frame.length || frame[next - 1] !== 0) throw new RangeError('a string that does not end in its frame');
  return { text: frame.toString('utf8', at + 4, next - 1), next };
}

/** A frame as its bytes, length included. Strings lose their NULs and what exceeds 8 KiB. */
export function encodeFrame(frame: Exclude<Frame, { type: 'opaque' }>): Buffer {
  const body = Buffer.concat([number16(TYPES[frame.type]), ...fieldsOf(frame)]);
  return Buffer.concat([number16(body.length), body]);
}

function fieldsOf(frame: Exclude<Frame, { type: 'opaque' }>): Buffer[] {
  switch (frame.type) {
    case 'log':
      return [number32(frame.level), number32(frame.errno), string(frame.context), string(frame.text)];
    case 'progress':
      return [string(frame.context), string(frame.what), number64(frame.done), number64(frame.total)];
    case 'suspend':
      return [];
    case 'complete':
      return [number32(frame.result), number32(frame.errno)];
  }
}

/** The int with which libxl answers a frame that waits for one. */
export const encodeReply = (value: number): Buffer => number32(value);

const filled = (size: number, fill: (view: DataView) => void): Buffer => {
  const bytes = Buffer.alloc(size);
  fill(new DataView(bytes.buffer, bytes.byteOffset, size));
  return bytes;
};
const number16 = (value: number): Buffer => filled(2, (view) => view.setUint16(0, value, LITTLE));
const number32 = (value: number): Buffer => filled(4, (view) => view.setInt32(0, value, LITTLE));
const number64 = (value: number): Buffer => filled(8, (view) => view.setBigUint64(0, BigInt(value), LITTLE));

function string(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('\0', ''), 'utf8').subarray(0, TEXT_BYTES_MAX);
  return Buffer.concat([number32(bytes.length + 1), bytes, Buffer.alloc(1)]);
}
