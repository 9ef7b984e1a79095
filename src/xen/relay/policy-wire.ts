import { endianness } from 'node:os';
import type { PolicyAnswer } from './protocol.ts';

/**
 * What the preloaded policy object and the relay say to each other: fixed sizes, host byte order (policy.c has the same as structs).
 * The object greets once (`hello`), then asks; each question has the next id and waits for the answer with that id.
 */
export const POLICY_PROTOCOL = 1;
export const REQUEST_BYTES = 40;
export const REPLY_BYTES = 16;
const MAGIC = 0x78746870;
const KIND_HELLO = 0;
const KIND_QUERY = 1;
const LITTLE = endianness() === 'LE';

export type PolicyRequest =
  /** `refusal` 0: the object supplies the policy; else why it leaves stock's in place. */
  | { readonly kind: 'hello'; readonly refusal: number }
  /** `iteration` as libxenguest counts: of the round about to be sent, or one more than that of the round just sent; −1: not known. */
  | {
      readonly kind: 'query';
      readonly id: number;
      readonly iteration: number;
      readonly totalWritten: number;
      readonly dirtyCount: number;
    };

const REFUSALS: Readonly<Record<number, string>> = {
  1: 'the policy object was built for another version of Xen than the hypervisor that runs',
  2: 'the policy object was built for another version of libxenguest than the one that is loaded',
  3: 'the save helper already has a pre-copy policy',
};
export const refusalText = (code: number): string => REFUSALS[code] ?? `the policy object refused (${code})`;

/** One request; undefined when the bytes are none. */
export function decodeRequest(bytes: Buffer): PolicyRequest | undefined {
  if (bytes.length !== REQUEST_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, LITTLE) !== MAGIC || view.getUint16(4, LITTLE) !== POLICY_PROTOCOL) return undefined;
  const id = view.getUint32(8, LITTLE);
  const iteration = view.getUint32(12, LITTLE);
  switch (view.getUint16(6, LITTLE)) {
    case KIND_HELLO:
      return { kind: 'hello', refusal: iteration };
    case KIND_QUERY:
      return {
        kind: 'query',
        id,
        iteration,
        totalWritten: Number(view.getBigUint64(16, LITTLE)),
        dirtyCount: Number(view.getBigInt64(24, LITTLE)),
      };
    default:
      return undefined;
  }
}

const ANSWERS: Readonly<Record<PolicyAnswer, number>> = { continue: 0, 'stop-and-copy': 1, abort: -1 };

export function encodeReply(id: number, answer: PolicyAnswer): Buffer {
  const bytes = Buffer.alloc(REPLY_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, REPLY_BYTES);
  view.setUint32(0, MAGIC, LITTLE);
  view.setUint16(4, POLICY_PROTOCOL, LITTLE);
  view.setUint32(8, id, LITTLE);
  view.setInt32(12, ANSWERS[answer], LITTLE);
  return bytes;
}

/** libxenguest's own policy: stop after five rounds, or when fewer than 50 pages are dirty (xg_sr_save.c, simple_precopy_policy). */
export function stockAnswer(iteration: number, dirtyCount: number): PolicyAnswer {
  return (dirtyCount >= 0 && dirtyCount < 50) || iteration >= 5 ? 'stop-and-copy' : 'continue';
}
