import { describe, expect, it } from 'vitest';
import { bytes, type Close, initialTally, ms, pages, summarise, type Tally, tally } from '../../src/core/index.ts';
import { goal } from './fixtures.ts';

const close: Close = {
  id: 'vm1-1',
  controller: 'working-set',
  result: 'migrated',
  abortedByUs: false,
  observedDowntimeMs: 73,
  capAfter: 0,
  capRestored: true,
};
const hold = { action: 'hold', reason: { code: 'none', text: 'nothing', numbers: {} } } as const;

/** What was sent after the suspend, and nothing else. */
function sent(lastPages: number, of = goal()): Tally {
  const at = { type: 'stop-and-copy', atMs: ms(1000), pagesToSend: pages(lastPages), bytesSent: bytes(0) } as const;
  return tally(initialTally(of), at, hold, of);
}

describe('how it came out', () => {
  it('is worded in what the target counts', () => {
    const byPages = goal({ maxDirtyPages: pages(5000) });
    expect(summarise(sent(7044), close, byPages)).toMatchObject({
      outcome: 'missed',
      reason: '7044 pages sent after the suspend against a target of 5000 pages',
    });
    expect(summarise(sent(5000), close, byPages).outcome).toBe('met');
    expect(summarise(initialTally(byPages), close, byPages).reason).toMatch(/^an unknown number of pages/);
    expect(summarise(sent(7044), close, goal())).toMatchObject({ outcome: 'met', reason: 'downtime 73 ms against a target of 200 ms' });
  });
});
