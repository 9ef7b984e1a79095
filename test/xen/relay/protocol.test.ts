import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytes, ms, pages } from '../../../src/core/units.ts';
import {
  cutLines,
  encodeLine,
  type Hello,
  LINE_BYTES_MAX,
  parseHello,
  parseRelayMessage,
  parseServerMessage,
  type RelayMessage,
  type ServerMessage,
} from '../../../src/xen/relay/protocol.ts';

const hello: Hello = { type: 'hello', version: 1, atMs: ms(1.5), domid: 3, flags: 1, relayPid: 10, helperPid: 11, policy: false };
const timed = { atMs: ms(12.25), bytesSent: bytes(4096) };
const relayMessages: readonly RelayMessage[] = [
  { ...timed, type: 'round-start', round: 0, pagesToSend: pages(1044480) },
  { ...timed, type: 'progress', round: 0, pagesSent: pages(1024), pagesToSend: pages(1044480) },
  { ...timed, type: 'policy-query', id: 2, awaited: true, when: 'before', round: 1, dirtyPages: pages(7), totalWritten: pages(9) },
  { ...timed, type: 'policy-query', id: 3, awaited: true, when: 'after', round: 1, totalWritten: pages(16) },
  { ...timed, type: 'suspend-request', id: 1, awaited: true, round: 4 },
  { ...timed, type: 'suspend-settled', id: 1, result: 'denied', by: 'server' },
  { ...timed, type: 'suspended' },
  { ...timed, type: 'stop-and-copy', pagesSent: pages(0), pagesToSend: pages(220) },
  { ...timed, type: 'complete', result: -1, errno: 9 },
  { ...timed, type: 'log', level: 8, context: 'xc', text: 'Save failed' },
  { ...timed, type: 'end', exitCode: 0 },
];
const serverMessages: readonly ServerMessage[] = [
  { type: 'welcome', version: 1, capOriginal: 60, scheduler: 'credit', domid: 3, suspendWaitMs: 3000, observe: false },
  { type: 'release', reason: 'denied by name' },
  { type: 'suspend-answer', id: 1, grant: true, afterMs: 30 },
  { type: 'policy-answer', id: 2, answer: 'stop-and-copy' },
  { type: 'cap-set', set: true },
  { type: 'cap-set', set: true, cap: 40 },
  { type: 'abort', reason: 'deadline' },
];

describe('the socket protocol', () => {
  it('reads back every message it writes', () => {
    expect(parseHello(encodeLine(hello))).toEqual(hello);
    for (const message of relayMessages) expect(parseRelayMessage(encodeLine(message))).toEqual(message);
    for (const message of serverMessages) expect(parseServerMessage(encodeLine(message))).toEqual(message);
  });

  it('ignores fields and types that it does not know', () => {
    expect(parseHello(JSON.stringify({ ...hello, colour: 'blue' }))).toMatchObject(hello);
    expect(parseRelayMessage('{"type":"later-invention"}')).toBe('ignore');
    expect(parseServerMessage('{"type":"later-invention","id":1}')).toBe('ignore');
    expect(parseServerMessage('{"type":"constructor"}')).toBe('ignore');
  });

  it('takes a message that misses or mistypes a field for garbage', () => {
    for (const message of relayMessages) {
      for (const name of ['atMs', 'bytesSent']) {
        expect(parseRelayMessage(JSON.stringify({ ...message, [name]: undefined }))).toBe('garbage');
        expect(parseRelayMessage(JSON.stringify({ ...message, [name]: 'x' }))).toBe('garbage');
      }
    }
    expect(parseServerMessage('{"type":"suspend-answer","id":1}')).toBe('garbage');
    expect(parseServerMessage('{"type":"policy-answer","id":1,"answer":"maybe"}')).toBe('garbage');
    expect(parseHello(JSON.stringify({ ...hello, domid: -1 }))).toBeUndefined();
  });

  it('never throws on garbage', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        expect(parseRelayMessage(line)).toMatch(/ignore|garbage/);
        expect(parseServerMessage(line)).toMatch(/ignore|garbage/);
        expect(parseHello(line)).toBeUndefined();
      }),
    );
  });

  it('cuts the same lines however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 30 })), fc.integer({ min: 1, max: 9 }), (texts, step) => {
        const sent = texts.map((text) => text.replaceAll('\n', ' '));
        const all = Buffer.from(sent.map((text) => `${text}\n`).join(''));
        const got: string[] = [];
        let rest: Buffer = Buffer.alloc(0);
        for (let at = 0; at < all.length; at += step) {
          const cut = cutLines(rest, all.subarray(at, at + step));
          got.push(...cut.lines);
          rest = cut.rest;
        }
        expect(got).toEqual(sent);
      }),
    );
  });

  it('holds at most one line of bounded length', () => {
    expect(cutLines(Buffer.alloc(0), Buffer.alloc(LINE_BYTES_MAX, 65)).overlong).toBe(false);
    const over = cutLines(Buffer.alloc(0), Buffer.alloc(LINE_BYTES_MAX + 1, 65));
    expect([over.overlong, over.rest.length]).toEqual([true, 0]);
    expect(cutLines(Buffer.alloc(10, 65), Buffer.from(`${'A'.repeat(LINE_BYTES_MAX)}\n`)).overlong).toBe(true);
  });
});
