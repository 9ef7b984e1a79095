import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bytes, ms } from '../../src/core/units.ts';
import type { RelayMessage } from '../../src/xen/relay/protocol.ts';
import { suspendWatchdog } from '../../src/xen/suspend-watchdog.ts';

const at = { atMs: ms(1), bytesSent: bytes(1) };
const suspended: RelayMessage = { type: 'suspended', ...at };
const complete: RelayMessage = { type: 'complete', result: 0, errno: 0, ...at };

describe('--suspend-timeout', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('ends a stop-and-copy that runs too long, once, and says why', () => {
    const said: string[] = [];
    const watchdog = suspendWatchdog(ms(3000), (reason) => said.push(reason));
    vi.advanceTimersByTime(60_000);
    watchdog.read(suspended);
    watchdog.read(suspended);
    vi.advanceTimersByTime(2999);
    expect(said).toEqual([]);
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual(['--suspend-timeout: the guest stood for 3000 ms and was not sent yet; it resumes here']);
  });

  it.each([['complete'], ['stop']])('leaves the hand-over alone (%s)', (how) => {
    const said: string[] = [];
    const watchdog = suspendWatchdog(ms(3000), (reason) => said.push(reason));
    watchdog.read(suspended);
    vi.advanceTimersByTime(2000);
    if (how === 'stop') watchdog.stop();
    else watchdog.read(complete);
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual([]);
  });

  it('is off unless asked for', () => {
    const said: string[] = [];
    suspendWatchdog(undefined, (reason) => said.push(reason)).read(suspended);
    vi.advanceTimersByTime(3_600_000);
    expect(said).toEqual([]);
  });
});
