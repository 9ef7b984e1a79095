import { describe, expect, it } from 'vitest';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import { type ReleaseSystem, releaseLogDirty, restoreLogDirty } from '../../src/xen/log-dirty.ts';
import type { SaveProcess } from '../../src/xen/save-processes.ts';
import { fakeXl, UUID } from './stand-in.ts';

const vm1 = { domid: 24, name: 'vm1', uuid: UUID };
const helper = (pid = 700, domid = 24): SaveProcess => ({ pid, kind: 'save', domid, args: [] });

/** Looks at the process table answer one after the other; ticks stand still at 1000. */
function system(looks: readonly (readonly SaveProcess[])[], started: Readonly<Record<number, number>> = {}) {
  const terminated: number[] = [];
  let look = 0;
  const fake: ReleaseSystem = {
    processes: () => looks[Math.min(look++, looks.length - 1)] ?? [],
    terminate: (pid) => void terminated.push(pid),
    startTicks: (pid) => started[pid],
    nowTicks: () => 1000,
  };
  return { fake, terminated };
}

function logDirty(works = true) {
  const calls: string[] = [];
  return {
    calls,
    api: {
      enable: () => 'enabled' as const,
      disable: (domid: number) => {
        calls.push(`off ${domid}`);
        return works;
      },
    },
  };
}

describe('turning log-dirty off', () => {
  it('is done where nothing saves the domain', () => {
    const { api, calls } = logDirty();
    expect(releaseLogDirty(vm1, api, system([[helper(1, 7)]]).fake)).toEqual({ result: 'off' });
    expect(calls).toEqual(['off 24']);
  });
  it.each([
    ['a save helper of it', helper()],
    ['a helper that does not tell its domain', { pid: 701, kind: 'foreign', args: ['xenguest'] } as const],
    ['an xl that has only begun', { pid: 702, kind: 'toolstack', args: ['xl', 'migrate', 'vm1', 'host2'] } as const],
  ])('never under %s', (_, process) => {
    const { api, calls } = logDirty();
    expect(releaseLogDirty(vm1, api, system([[process]]).fake)).toMatchObject({
      result: 'in-use',
      text: expect.stringContaining(String(process.pid)),
    });
    expect(calls).toEqual([]);
  });
  it('a helper that came in between is ended, since it may have missed pages', () => {
    const { fake, terminated } = system([[], [helper()]], { 700: 999 });
    expect(releaseLogDirty(vm1, logDirty().api, fake)).toMatchObject({ result: 'ended-migration' });
    expect(terminated).toEqual([700]);
  });
  it('one that was surely started afterwards, or is only an xl, is left alone', () => {
    const after = system([[], [helper(), { pid: 703, kind: 'toolstack', args: ['xl', 'migrate', 'vm1', 'h'] }]], { 700: 1010, 703: 900 });
    expect(releaseLogDirty(vm1, logDirty().api, after.fake)).toEqual({ result: 'off' });
    expect(after.terminated).toEqual([]);
  });
  it('says so when Xen refuses', () => {
    expect(releaseLogDirty(vm1, logDirty(false).api, system([[]]).fake)).toMatchObject({ result: 'failed' });
  });
});

describe('what restore does with it', () => {
  const opened = (api: ReturnType<typeof logDirty>['api']) => async () => ({
    xc: { logDirty: api, close: () => undefined } as unknown as Xenctrl,
  });

  it('off, for the very domain', async () => {
    const { api, calls } = logDirty();
    expect(await restoreLogDirty(vm1, fakeXl().xl, opened(api), system([[]]).fake)).toMatchObject({ verdict: 'restored' });
    expect(calls).toEqual(['off 24']);
  });
  it.each([{ domid: 25 }, { uuid: UUID.replace('d9', 'aa') }])(
    'nothing for another one that has its domid or its UUID: %j',
    async (change) => {
      const { api, calls } = logDirty();
      expect(await restoreLogDirty({ ...vm1, ...change }, fakeXl().xl, opened(api), system([[]]).fake)).toMatchObject({ verdict: 'gone' });
      expect(calls).toEqual([]);
    },
  );
  it('nothing under a migration, and a word why', async () => {
    const { api, calls } = logDirty();
    expect(await restoreLogDirty(vm1, fakeXl().xl, opened(api), system([[helper()]]).fake)).toMatchObject({ verdict: 'in-use' });
    expect(calls).toEqual([]);
  });
  it('failures are values', async () => {
    expect(await restoreLogDirty(vm1, fakeXl().xl, async () => ({ reason: 'no koffi' }))).toMatchObject({
      verdict: 'failed',
      text: expect.stringContaining('no koffi'),
    });
    const broken = fakeXl({ fail: { list: 'libxl: error: away' } });
    expect(await restoreLogDirty(vm1, broken.xl, opened(logDirty().api))).toMatchObject({ verdict: 'failed' });
  });
});
