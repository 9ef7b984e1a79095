import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ProcessSeen, processSeen } from '../../src/xen/owner.ts';
import { type WatchSystem, watchReceiver } from '../../src/xen/receiver-watch.ts';

const RELAY = 678;
const XL = 674;
const RECEIVER = 677;

/** xl (674) with its relay and, below a shell, the link and the receiver; and the receiver of somebody else's migration. */
function table() {
  const rows: Record<number, ProcessSeen & { args: string[] }> = {};
  const add = (pid: number, parent: number, ...args: string[]) => {
    rows[pid] = { pid, parent, group: 1, startTicks: pid * 10, args };
  };
  add(1, 0, 'init');
  add(XL, 600, 'xl', 'migrate', '-s', '', 'vm1', 'linkrate 1 | xl migrate-receive');
  add(675, XL, 'sh', '-c', 'linkrate 1 | xl migrate-receive');
  add(676, 675, 'linkrate', '1');
  add(RECEIVER, 675, '/usr/lib/xen-4.17/bin/xl', 'migrate-receive');
  add(RELAY, XL, 'node', 'relay.js', '--save-domain', '11', '-1', '3', '1', '0', '0');
  add(657, 1, '/usr/lib/xen-4.17/bin/xl', 'migrate-receive');
  const system: WatchSystem = {
    see: (pid) => rows[pid],
    pids: () => Object.keys(rows).map(Number),
    args: (pid) => rows[pid]?.args ?? [],
  };
  return { rows, add, system };
}

describe('watching the receiver', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('tells once when it has ended', () => {
    const { rows, system } = table();
    const lost = vi.fn();
    watchReceiver(RELAY, lost, system);
    vi.advanceTimersByTime(10_000);
    expect(lost).not.toHaveBeenCalled();
    delete rows[RECEIVER];
    vi.advanceTimersByTime(2000);
    expect(lost).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(10_000);
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it('is not deceived by another process with its pid, nor by a new parent', () => {
    const { rows, add, system } = table();
    const lost = vi.fn();
    watchReceiver(RELAY, lost, system);
    // Its shell has ended.
    rows[RECEIVER] = { ...(rows[RECEIVER] as ProcessSeen & { args: string[] }), parent: 1 };
    vi.advanceTimersByTime(5000);
    expect(lost).not.toHaveBeenCalled();
    add(RECEIVER, 1, 'sleep', '1');
    rows[RECEIVER] = { ...(rows[RECEIVER] as ProcessSeen & { args: string[] }), startTicks: 99_999 };
    vi.advanceTimersByTime(2000);
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it('says nothing after stop', () => {
    const { rows, system } = table();
    const lost = vi.fn();
    const watch = watchReceiver(RELAY, lost, system);
    watch.stop();
    delete rows[RECEIVER];
    vi.advanceTimersByTime(10_000);
    expect(lost).not.toHaveBeenCalled();
  });

  it('says nothing when the relay has ended before it, however late we are told', () => {
    const { rows, system } = table();
    const lost = vi.fn();
    watchReceiver(RELAY, lost, system);
    delete rows[RELAY];
    delete rows[RECEIVER];
    vi.advanceTimersByTime(60_000);
    expect(lost).not.toHaveBeenCalled();
  });

  it('says nothing when the migration is over a moment after the receiver', () => {
    const { rows, system } = table();
    const lost = vi.fn();
    const watch = watchReceiver(RELAY, lost, system);
    delete rows[RECEIVER];
    vi.advanceTimersByTime(1001);
    watch.stop();
    vi.advanceTimersByTime(10_000);
    expect(lost).not.toHaveBeenCalled();
  });

  it.each([
    ['the receiver is on another host', RECEIVER],
    ['its relay is gone', RELAY],
  ])("takes nobody else's, and gives up, where %s", (_name, pid) => {
    const { rows, system } = table();
    delete rows[pid];
    const pids = vi.spyOn(system, 'pids');
    const lost = vi.fn();
    watchReceiver(RELAY, lost, system);
    delete rows[657];
    vi.advanceTimersByTime(60_000);
    expect(lost).not.toHaveBeenCalled();
    expect(pids.mock.calls.length).toBeLessThanOrEqual(3);
  });

  it('takes none when xl is gone and the relay belongs to init', () => {
    const { rows, system } = table();
    rows[RELAY] = { ...(rows[RELAY] as ProcessSeen & { args: string[] }), parent: 1 };
    const lost = vi.fn();
    watchReceiver(RELAY, lost, system);
    delete rows[657];
    delete rows[RECEIVER];
    vi.advanceTimersByTime(60_000);
    expect(lost).not.toHaveBeenCalled();
  });
});

it('processes of this host are seen with their parent, zombies not', async () => {
  const child = spawn('sleep', ['100'], { stdio: 'ignore' });
  await once(child, 'spawn');
  expect(processSeen(child.pid ?? -1)).toMatchObject({ pid: child.pid, parent: process.pid });
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(processSeen(child.pid ?? -1)).toBeUndefined();
});
