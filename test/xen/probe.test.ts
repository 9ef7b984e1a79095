import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ms, pages } from '../../src/core/units.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import { type ProbeOptions, probeDomain } from '../../src/xen/probe.ts';
import type { SaveProcess } from '../../src/xen/save-processes.ts';
import { UUID } from './stand-in.ts';

vi.setConfig({ testTimeout: 60_000 });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-probe-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const vm1 = { domid: 24, name: 'vm1', uuid: UUID, vcpus: 1 };
const helper: SaveProcess = { pid: 700, kind: 'save', domid: 24, args: [] };

/** A hypervisor with one domain: log-dirty on or off, a counter that is not reset, as Xen's. */
function hypervisor(stale = 5000) {
  const state = { on: false, log: [] as string[], count: stale, grows: 100, refuses: false, answers: true };
  const xenctrl = {
    library: 'libxenctrl.so.4.17',
    dirtyPages: () => {
      if (!state.answers) return undefined;
      if (state.on) state.count += state.grows;
      return pages(state.count);
    },
    cpu: () => ({ cpuTimeMs: ms(performance.now() / 2), onlineVcpus: 1 }),
    logDirty: {
      enable: () => {
        if (state.refuses || state.on) return 'refused' as const;
        state.on = true;
        state.log.push(`on, journal ${readdirSync(directory).length}`);
        return 'enabled' as const;
      },
      disable: () => {
        state.on = false;
        state.log.push('off');
        return true;
      },
    },
    close: () => undefined,
  } as unknown as Xenctrl;
  return { state, xenctrl };
}

function options(xenctrl: Xenctrl, change: Partial<ProbeOptions> = {}) {
  const dismissed: boolean[] = [];
  const running: SaveProcess[] = [];
  const all: ProbeOptions = {
    domain: vm1,
    xenctrl,
    durationMs: ms(300),
    directory,
    guard: async () => ({ pid: 1, alive: () => true, dismiss: async () => void dismissed.push(true) }),
    processes: () => running,
    system: { processes: () => running, terminate: () => undefined, startTicks: () => 0, nowTicks: () => 1 },
    ...change,
  };
  return { all, running, dismissed };
}

describe('a probe', () => {
  it('counts from an empty log, journals before it begins, and leaves nothing behind', async () => {
    const { state, xenctrl } = hypervisor();
    const { all, dismissed } = options(xenctrl);
    const probed = await probeDomain(all);
    expect(probed).toMatchObject({ ended: 'complete', released: { result: 'off' } });
    expect(state.log).toEqual(['on, journal 1', 'off']);
    expect(probed.looks[0]?.dirtyPages).toBe(100);
    expect(probed.looks.length).toBeGreaterThan(3);
    expect(probed.looks.at(-1)?.cpuMs).toBeGreaterThan(0);
    expect(readdirSync(directory)).toEqual([]);
    expect(dismissed).toEqual([true]);
  });
  it('that is told to stop keeps what it saw and turns it off', async () => {
    const { state, xenctrl } = hypervisor();
    const stop = new AbortController();
    const { all } = options(xenctrl, {
      durationMs: ms(60_000),
      signal: stop.signal,
      onLook: ({ timeMs }) => void (timeMs > 50 && stop.abort()),
    });
    expect(await probeDomain(all)).toMatchObject({ ended: 'signal', released: { result: 'off' } });
    expect(state.on).toBe(false);
  });
  it('turns it off when a consumer of looks fails', async () => {
    const { state, xenctrl } = hypervisor();
    const { all } = options(xenctrl, {
      onLook: () => {
        throw new Error('broken consumer');
      },
    });
    await expect(probeDomain(all)).rejects.toThrow('broken consumer');
    expect(state.log.at(-1)).toBe('off');
    expect(readdirSync(directory)).toEqual([]);
  });
  it('refuses under a migration, and where Xen logs already or cannot: nothing is turned off', async () => {
    const busy = hypervisor();
    const first = options(busy.xenctrl);
    first.running.push(helper);
    await expect(probeDomain(first.all)).rejects.toMatchObject({ exit: 'noDomain', message: expect.stringContaining('pid 700') });
    const logged = hypervisor();
    logged.state.on = true;
    const second = options(logged.xenctrl);
    await expect(probeDomain(second.all)).rejects.toMatchObject({
      exit: 'noDomain',
      hint: expect.stringContaining('restore 24 --log-dirty'),
    });
    expect([busy.state.log, logged.state.log]).toEqual([[], []]);
    expect(logged.state.on).toBe(true);
    expect(readdirSync(directory)).toEqual([]);
    expect(second.dismissed).toEqual([true]);
  });
  it('leaves log-dirty to a migration that begins meanwhile; journal and guard stay until that has ended', async () => {
    const { state, xenctrl } = hypervisor();
    const { all, running, dismissed } = options(xenctrl, { durationMs: ms(60_000) });
    setTimeout(() => running.push(helper), 100);
    expect(await probeDomain(all)).toMatchObject({ ended: 'migration', released: { result: 'in-use' } });
    expect(state).toMatchObject({ on: true, log: ['on, journal 1'] });
    expect(readdirSync(directory)).toEqual([`logdirty-${UUID}.json`]);
    expect(dismissed).toEqual([]);
  });
  it('a count that falls was cleared by somebody: theirs from then on', async () => {
    const { state, xenctrl } = hypervisor();
    const { all } = options(xenctrl, {
      durationMs: ms(60_000),
      onLook: ({ timeMs }) => {
        if (timeMs > 60) state.count = 0;
      },
    });
    expect(await probeDomain(all)).toMatchObject({ ended: 'migration' });
    expect(state.on).toBe(true);
  });
  it('a migration seen only at the very end counts, too', async () => {
    const { state, xenctrl } = hypervisor();
    const { all } = options(xenctrl, {
      system: { processes: () => [helper], terminate: () => undefined, startTicks: () => 0, nowTicks: () => 1 },
    });
    expect(await probeDomain(all)).toMatchObject({ ended: 'complete', released: { result: 'in-use' } });
    expect(state.on).toBe(true);
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('a domain that goes away ends it', async () => {
    const { state, xenctrl } = hypervisor();
    const { all } = options(xenctrl, {
      durationMs: ms(60_000),
      onLook: () => {
        state.answers = false;
      },
    });
    expect(await probeDomain(all)).toMatchObject({ ended: 'domain' });
    expect(readdirSync(directory)).toEqual([]);
  });
  it('two at a time: the second is told of the first', async () => {
    const { xenctrl, state } = hypervisor();
    const first = probeDomain(options(xenctrl, { durationMs: ms(1000) }).all);
    await vi.waitFor(() => expect(state.on).toBe(true));
    const other = options(hypervisor().xenctrl);
    // The same process holds the entry: another one would be told `owned`; here Xen's own test is what refuses.
    await expect(probeDomain({ ...other.all, xenctrl })).rejects.toMatchObject({ exit: 'noDomain' });
    await first;
  });
});
