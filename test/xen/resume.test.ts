import { describe, expect, it } from 'vitest';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import { type ResumeSystem, resumeDomain, resumeNamed } from '../../src/xen/resume.ts';
import type { ResumeCall } from '../../src/xen/resume-call.ts';
import type { SaveProcess } from '../../src/xen/save-processes.ts';
import { fakeXl, type StandInDomain, type StandInState, UUID } from './stand-in.ts';

const dom0: StandInDomain = { domid: 0, name: 'Domain-0', uuid: '00000000-0000-0000-0000-000000000000', vcpus: 1, cap: 0, type: 'pv' };
const standing: StandInDomain = { domid: 24, name: 'vm1', uuid: UUID, vcpus: 1, cap: 90, state: '---ss-' };
const vm1 = { domid: 24, name: 'vm1', uuid: UUID };

/** A host with a suspended guest; `answer`: what libxenctrl says when it is told to resume it. */
function host(change: Partial<StandInDomain> = {}, more: Partial<StandInState> = {}, others: StandInDomain[] = []) {
  const fake = fakeXl({ domains: [{ ...dom0 }, { ...standing, ...change }, ...others], ...more });
  const resumed: number[] = [];
  let closed = 0;
  const system = (answer?: ResumeCall | 'ignored', processes: readonly SaveProcess[] = []): ResumeSystem => ({
    open: async () => ({
      xc: {
        resume: (domid: number) => {
          resumed.push(domid);
          if (answer === undefined || answer === 'untold') fake.domain(domid).state = '-b----';
          return answer === undefined || answer === 'ignored' ? 'resumed' : answer;
        },
        close: () => {
          closed += 1;
        },
      } as unknown as Xenctrl,
    }),
    processes: () => processes,
    sleep: async () => undefined,
  });
  return { ...fake, system, resumed, closed: () => closed };
}

describe('a guest that a lost migration left suspended', () => {
  it.each(['pvh', 'pv'])('goes on where it stands (%s); its state and cap are read back', async (type) => {
    const { xl, system, resumed, closed } = host({ type });
    expect(await resumeDomain(vm1, xl, system())).toMatchObject({
      kind: 'resume',
      verdict: 'restored',
      domid: 24,
      after: 90,
      text: expect.stringContaining('90 %'),
    });
    expect({ resumed, closed: closed() }).toEqual({ resumed: [24], closed: 1 });
  });

  it.each([
    ['runs', 'r-----'],
    ['is paused', '--p---'],
    ['was shut down by its own will, and kept', '---s--'],
    ['has crashed', '---sc-'],
  ])('not one that %s', async (_name, state) => {
    const { xl, system, resumed } = host({ state });
    expect(await resumeDomain(vm1, xl, system())).toMatchObject({ verdict: 'already' });
    expect(resumed).toEqual([]);
  });

  it('not another domain that has its domid now', async () => {
    const { xl, system, resumed } = host({ uuid: '11111111-2222-4333-8444-555555555555' });
    expect(await resumeDomain(vm1, xl, system())).toMatchObject({ verdict: 'gone' });
    expect(resumed).toEqual([]);
  });

  it.each(['hvm', 'rubbish'])('not one with a device model, or perhaps (%s): what to do is said', async (type) => {
    const { xl, system, resumed } = host({ type });
    expect(await resumeDomain(vm1, xl, system())).toMatchObject({ verdict: 'failed', hint: expect.stringContaining('xl destroy 24') });
    expect(resumed).toEqual([]);
  });

  it.each([
    ['a save helper', { pid: 7, kind: 'save', domid: 24, args: [] }],
    ['an xl migrate', { pid: 7, kind: 'toolstack', args: ['xl', 'migrate', '24', 'host2'] }],
    ['a helper that does not tell its domain', { pid: 7, kind: 'foreign', args: ['xenguest'] }],
  ] as const)('not while %s may have it', async (_name, process) => {
    const { xl, system, resumed } = host();
    expect(await resumeDomain(vm1, xl, system(undefined, [process]))).toMatchObject({
      verdict: 'in-use',
      text: expect.stringContaining('pid 7'),
    });
    expect(resumed).toEqual([]);
  });

  it("another domain's helper does not keep it", async () => {
    const { xl, system } = host();
    expect(await resumeDomain(vm1, xl, system(undefined, [{ pid: 7, kind: 'save', domid: 31, args: [] }]))).toMatchObject({
      verdict: 'restored',
    });
  });

  it('not beside itself: one that a migration within this host has started', async () => {
    const twin: StandInDomain = { ...standing, domid: 25, name: 'vm1', state: '-b----', seconds: '3.0' };
    const { xl, system, resumed } = host({ name: 'vm1--migratedaway' }, {}, [twin]);
    expect(await resumeDomain(vm1, xl, system())).toMatchObject({ verdict: 'failed', text: expect.stringContaining('domain 25') });
    expect(resumed).toEqual([]);
  });

  it('not while its half on this host may still be started by a receiver; the half alone does not keep it', async () => {
    const half: StandInDomain = { ...standing, domid: 25, name: 'vm1--incoming', state: '--p---', seconds: '0.0' };
    const { xl, system, resumed } = host({}, {}, [half]);
    expect(await resumeDomain(vm1, xl, system(undefined, [{ pid: 9, kind: 'receiver', args: [] }]))).toMatchObject({ verdict: 'in-use' });
    expect(resumed).toEqual([]);
    expect(await resumeDomain(vm1, xl, system())).toMatchObject({ verdict: 'restored' });
  });

  it('says so when libxenctrl cannot be had, Xen refuses, or nothing comes of it', async () => {
    const { xl, system } = host();
    const none: ResumeSystem = { ...system(), open: async () => ({ reason: 'koffi is not installed' }) };
    expect(await resumeDomain(vm1, xl, none)).toMatchObject({ verdict: 'failed', text: expect.stringContaining('koffi') });
    expect(await resumeDomain(vm1, xl, system({ reason: 'Xen refused (errno 22)' }))).toMatchObject({
      verdict: 'failed',
      text: expect.stringContaining('errno 22'),
      hint: expect.stringContaining('xthrottle restore 24 --resume'),
    });
    expect(await resumeDomain(vm1, xl, system('ignored'))).toMatchObject({ verdict: 'failed' });
    expect(await resumeDomain(vm1, host({}, { rubbish: 'list' }).xl, system())).toMatchObject({ verdict: 'failed' });
  });

  it('a xenstored that could not be told is told of', async () => {
    const { xl, system } = host();
    expect(await resumeDomain(vm1, xl, system('untold'))).toMatchObject({
      verdict: 'restored',
      text: expect.stringContaining('xenstored'),
    });
  });
});

describe('by name', () => {
  it.each(['vm1', '24', UUID])('as %s', async (wanted) => {
    const { xl, system, resumed } = host();
    expect(await resumeNamed(wanted, xl, system())).toMatchObject({ verdict: 'restored', what: 'vm1' });
    expect(resumed).toEqual([24]);
  });

  it('one that xl has renamed in the hand-over only by that name, and how it gets its own back', async () => {
    const { xl, system, resumed } = host({ name: 'vm1--migratedaway' });
    expect(await resumeNamed('vm1', xl, system())).toMatchObject({ verdict: 'failed' });
    expect(resumed).toEqual([]);
    expect(await resumeNamed('vm1--migratedaway', xl, system())).toMatchObject({ verdict: 'restored', hint: 'xl rename 24 vm1' });
  });

  it('hostile names come out printable, and lend nobody their state', async () => {
    const name = `\u001b[2Jx  24 96 1 ---ss- 0.0 ${UUID} \ny`;
    const { xl, system, resumed } = host({ name, state: '-b----' });
    const outcome = await resumeNamed('24', xl, system());
    expect(outcome).toMatchObject({ verdict: 'already' });
    for (const control of ['\u001b', '\n']) expect(outcome.what).not.toContain(control);
    expect((await resumeNamed('\u001b[2Jno', xl, system())).what).not.toContain('\u001b');
    expect(resumed).toEqual([]);
  });

  it('none there: nothing is done', async () => {
    expect(await resumeNamed('vm2', host().xl, host().system())).toMatchObject({ verdict: 'failed', text: expect.stringContaining('vm2') });
  });
});
