import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Signaller } from '../../../src/xen/relay/signaller.ts';

/** A control pipe with a reader as the relay's, and what was unread at each signal. */
function pipe() {
  const says = new PassThrough({ highWaterMark: 1 << 20 });
  const unread: number[] = [];
  const signaller = new Signaller(() => unread.push(says.readableLength), says);
  says.on('data', (chunk: Buffer) => signaller.read(chunk.length));
  return { says, signaller, unread };
}

describe('a signal to the save helper', () => {
  afterEach(() => vi.useRealTimers());

  it('goes at once when the control pipe is empty and nothing is asked', async () => {
    const { signaller, unread } = pipe();
    signaller.send('SIGTERM');
    await sleep(20);
    expect(unread).toEqual([0]);
    expect(signaller.waiting).toBe(false);
  });

  it('waits until the pipe, full because its reader paused, is empty', async () => {
    const { says, signaller, unread } = pipe();
    says.pause();
    for (let i = 0; i < 8; i++) says.write(Buffer.alloc(65_536));
    says.write(Buffer.alloc(100));
    signaller.send('SIGTERM');
    expect(unread).toEqual([]);
    await sleep(50);
    expect(unread).toEqual([0]);
  });

  it('waits for the answer that the helper waits for, in pieces or not', async () => {
    const { signaller, unread } = pipe();
    signaller.asked();
    signaller.send('SIGTERM');
    await sleep(50);
    expect(unread).toEqual([]);
    signaller.answered(1);
    await sleep(20);
    expect(unread).toEqual([]);
    signaller.answered(3);
    await sleep(20);
    expect(unread).toEqual([0]);
  });

  it('waits no longer than three seconds', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { signaller, unread } = pipe();
    signaller.asked();
    signaller.send('SIGTERM');
    vi.advanceTimersByTime(2999);
    expect(unread).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(unread).toEqual([0]);
  });

  it('is not sent to a helper that has ended', async () => {
    const { signaller, unread } = pipe();
    signaller.asked();
    signaller.send('SIGTERM');
    signaller.close();
    signaller.answered(4);
    await sleep(20);
    expect(unread).toEqual([]);
  });
});
