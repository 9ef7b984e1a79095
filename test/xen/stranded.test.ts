import { describe, expect, it } from 'vitest';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import type { SaveProcess } from '../../src/xen/save-processes.ts';
import { lookAfter, type StrandedOptions } from '../../src/xen/stranded.ts';
import { fakeXl, type StandInDomain, UUID } from './stand-in.ts';

const vm1 = { domid: 24, name: 'vm1', uuid: UUID };
const helper: SaveProcess = { pid: 7, kind: 'save', domid: 24, args: [] };

/** A guest, and what happens to it in the seconds between the looks. */
function scene(first: Partial<StandInDomain>, later: Readonly<Record<number, () => void>> = {}, refuses = false) {
  const fake = fakeXl();
  Object.assign(fake.domain(), { cap: 90, ...first });
  const processes: SaveProcess[] = [];
  const resumed: number[] = [];
  let seconds = 0;
  const system: StrandedOptions['system'] = {
    open: async () => ({
      xc: {
        resume: (domid: number) => {
          if (refuses) return { reason: 'Xen refused (errno 22)' };
          resumed.push(seconds);
          fake.domain(domid).state = '-b----';
          return 'resumed';
        },
        close: () => undefined,
      } as unknown as Xenctrl,
    }),
    processes: () => processes,
    sleep: async (ms) => {
      if (ms < 1000) return;
      seconds += 1;
      later[seconds]?.();
    },
  };
  const look = (how: Partial<StrandedOptions> = {}) =>
    lookAfter(vm1, fake.xl, { isOurs: true, mayRunThere: false, mayYetSuspend: true, system, ...how });
  return { ...fake, look, processes, resumed, seconds: () => seconds };
}
const stands = { state: '---ss-' } as const;

describe('after a migration that failed', () => {
  it('a guest that was left suspended is resumed, not at first sight', async () => {
    const { look, resumed } = scene(stands);
    expect(await look()).toMatchObject({ resumed: true, text: expect.stringContaining('resumed it here') });
    expect(resumed).toHaveLength(1);
    expect(resumed[0]).toBeGreaterThanOrEqual(2);
  });

  it('one that a save helper of a dead xl keeps to itself is taken from it, after a while, and resumed', async () => {
    const { look, resumed, processes } = scene(stands);
    processes.push(helper);
    const ended: number[] = [];
    const endRest = (pid: number) => {
      ended.push(pid);
      processes.length = 0;
      return true;
    };
    expect(await look({ endRest })).toMatchObject({ resumed: true });
    expect(ended).toEqual([7]);
    expect(resumed[0]).toBeGreaterThanOrEqual(5);
  });
  it.each([{ mayRunThere: true }, { isOurs: false }])('nothing is taken from it with %j', async (how) => {
    const { look, processes } = scene(stands);
    processes.push(helper);
    const ended: number[] = [];
    expect(await look({ ...how, endRest: (pid) => ended.push(pid) > 0 })).toMatchObject({ resumed: false });
    expect(ended).toEqual([]);
  });

  it('one that xl itself resumes is left alone', async () => {
    const { look, resumed, domain } = scene(stands, { 1: () => Object.assign(domain(), { state: '-b----' }) });
    expect(await look({ mayYetSuspend: false })).toBeUndefined();
    expect(resumed).toEqual([]);
  });

  it('one that runs is seen once, where nothing can suspend it any more', async () => {
    const { look, resumed, calls } = scene({ state: 'r-----' });
    expect(await look({ mayYetSuspend: false })).toBeUndefined();
    expect({ calls: calls.length, resumed }).toEqual({ calls: 1, resumed: [] });
  });

  it('one that suspends only after xl was killed is resumed then', async () => {
    const { look, resumed, domain } = scene({ state: 'r-----' }, { 3: () => Object.assign(domain(), stands) });
    expect(await look()).toMatchObject({ resumed: true });
    expect(resumed[0]).toBeGreaterThanOrEqual(5);
  });

  it('one that goes on running is not watched for ever', async () => {
    const { look, seconds } = scene({ state: 'r-----' });
    expect(await look()).toBeUndefined();
    expect(seconds()).toBeLessThan(20);
  });

  it.each([
    ['xl had let the receiver start it', stands, { mayRunThere: true }],
    ['xl had renamed it for that', { ...stands, name: 'vm1--migratedaway' }, {}],
    ['the same seen from the sidecar', stands, { mayRunThere: true, isOurs: false }],
  ] as const)('never where it may run at the destination: %s; both hosts are to be looked at', async (_name, first, how) => {
    const { look, resumed } = scene(first);
    const stranded = await look(how);
    expect(stranded).toMatchObject({ resumed: false });
    expect(stranded?.text).toMatch(/STANDS SUSPENDED.*both hosts.*xl destroy 24.*xthrottle restore 24 --resume/);
    expect(resumed).toEqual([]);
  });

  it('never by the sidecar, which says what to do', async () => {
    const { look, resumed } = scene(stands);
    expect(await look({ isOurs: false })).toMatchObject({
      resumed: false,
      text: expect.stringContaining('xthrottle restore 24 --resume --log-dirty'),
    });
    expect(resumed).toEqual([]);
  });

  it('a helper that is about to end is waited for', async () => {
    const { look, resumed, processes } = scene(stands, { 4: () => void processes.pop() });
    processes.push(helper);
    expect(await look()).toMatchObject({ resumed: true });
    expect(resumed[0]).toBeGreaterThanOrEqual(6);
  });

  it('a helper that does not end is named', async () => {
    const { look, resumed, processes } = scene(stands);
    processes.push(helper);
    expect((await look())?.text).toMatch(/STANDS SUSPENDED.*pid 7.*--resume/);
    expect(resumed).toEqual([]);
  });

  it('HVM: refused, with what to do', async () => {
    const { look, resumed } = scene({ ...stands, type: 'hvm' });
    expect((await look())?.text).toMatch(/STANDS SUSPENDED.*HVM.*xl destroy 24/);
    expect(resumed).toEqual([]);
  });

  it('a resume that Xen refuses is told, with the command', async () => {
    expect((await scene(stands, {}, true).look())?.text).toMatch(/STANDS SUSPENDED.*errno 22.*xthrottle restore 24 --resume/);
  });

  it('an xl that does not answer for a while costs nothing; one that never does is told of', async () => {
    const { look, resumed, state } = scene(stands, { 5: () => void delete state.fail });
    state.fail = { list: 'libxl: error: no' };
    expect(await look()).toMatchObject({ resumed: true });
    expect(resumed).toHaveLength(1);
    const never = scene(stands);
    never.state.rubbish = 'list';
    expect((await never.look())?.text).toMatch(/cannot be read.*--resume/);
  });

  it('one that is gone, or another of its domid, is nobody to look after', async () => {
    expect(await scene({ ...stands, uuid: '11111111-2222-4333-8444-555555555555' }).look()).toBeUndefined();
    const { look, state } = scene(stands);
    state.domains.pop();
    expect(await look()).toBeUndefined();
  });

  it('stops looking when it is told to', async () => {
    const { look, seconds } = scene(stands);
    expect(await look({ signal: AbortSignal.abort() })).toBeUndefined();
    expect(seconds()).toBe(0);
  });
});
