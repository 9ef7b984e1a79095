import { describe, expect, it } from 'vitest';
import { destroyHalf } from '../../src/xen/half.ts';
import type { SaveProcess } from '../../src/xen/save-processes.ts';
import { fakeXl, type StandInDomain, type StandInState, UUID } from './stand-in.ts';

const dom0: StandInDomain = { domid: 0, name: 'Domain-0', uuid: '00000000-0000-0000-0000-000000000000', vcpus: 1, cap: 0, type: 'pv' };
const vm1: StandInDomain = { domid: 24, name: 'vm1', uuid: UUID, vcpus: 1, cap: 0 };
const half: StandInDomain = { domid: 25, name: 'vm1--incoming', uuid: UUID, vcpus: 1, cap: 0, state: '--p---', seconds: '0.0' };

const host = (change: Partial<StandInDomain> = {}, state: Partial<StandInState> = {}) =>
  fakeXl({ domains: [{ ...dom0 }, { ...vm1 }, { ...half, ...change }], ...state });
const destroyed = (calls: readonly (readonly string[])[]) => calls.filter(([command]) => command === 'destroy');
const nobody = (): readonly SaveProcess[] => [];

describe('the half that a lost migration left', () => {
  it.each(['vm1', 'vm1--incoming'])('is destroyed by its domid, asked for as %s; the guest stays', async (wanted) => {
    const { xl, calls, state } = host();
    expect(await destroyHalf(wanted, xl, nobody)).toMatchObject({ verdict: 'restored', kind: 'half', domid: 25 });
    expect(destroyed(calls)).toEqual([['destroy', '25']]);
    expect(state.domains.map(({ domid }) => domid)).toEqual([0, 24]);
  });

  it.each([
    ['runs', { state: 'r-----', seconds: '0.0' }],
    ['is blocked, after it ran', { state: '-b----', seconds: '3.1' }],
    ['was paused after it ran', { state: '--p---', seconds: '0.1' }],
  ])('stays when it %s: it may be the guest', async (_name, change) => {
    const { xl, calls } = host(change);
    expect(await destroyHalf('vm1', xl, nobody)).toMatchObject({ verdict: 'failed', text: expect.stringContaining('may be the guest') });
    expect(destroyed(calls)).toEqual([]);
  });

  it.each([
    ['the receiving xl', { pid: 7, kind: 'receiver', args: [] }],
    ['its restore helper', { pid: 7, kind: 'restore', domid: 25, args: [] }],
    ['a restore helper of which nobody knows the domain', { pid: 7, kind: 'restore', args: [] }],
  ] as const)('stays while %s lives', async (_name, process) => {
    const { xl, calls } = host();
    expect(await destroyHalf('vm1', xl, () => [process])).toMatchObject({ verdict: 'in-use' });
    expect(destroyed(calls)).toEqual([]);
  });

  it("another domain's helpers do not keep it", async () => {
    const { xl } = host();
    const others: readonly SaveProcess[] = [
      { pid: 7, kind: 'restore', domid: 31, args: [] },
      { pid: 8, kind: 'save', domid: 24, args: [] },
    ];
    expect(await destroyHalf('vm1', xl, () => others)).toMatchObject({ verdict: 'restored' });
  });

  it('is not there: nothing is done', async () => {
    const { xl, calls } = fakeXl();
    expect(await destroyHalf('vm1', xl, nobody)).toMatchObject({ verdict: 'gone' });
    expect(await destroyHalf('vm2', host().xl, nobody)).toMatchObject({ verdict: 'gone' });
    expect(destroyed(calls)).toEqual([]);
  });

  it('says so when xl fails, or does nothing', async () => {
    expect(await destroyHalf('vm1', host({}, { fail: { destroy: 'libxl: error: no' } }).xl, nobody)).toMatchObject({
      verdict: 'failed',
      hint: expect.stringContaining('xl destroy'),
    });
    expect(await destroyHalf('vm1', host({}, { ignoreSets: true }).xl, nobody)).toMatchObject({ verdict: 'failed' });
    expect(await destroyHalf('vm1', host({}, { rubbish: 'list' }).xl, nobody)).toMatchObject({ verdict: 'failed' });
  });

  it('a guest whose name looks like rows of a table does not lend the half its state', async () => {
    const name = `x  25 96 1 --p--- 0.0 ${UUID} \ny`;
    const { xl, calls } = fakeXl({ domains: [{ ...dom0 }, { ...vm1, name }, { ...half, state: 'r-----', seconds: '4.0' }] });
    expect(await destroyHalf('vm1', xl, nobody)).toMatchObject({ verdict: 'failed' });
    expect(destroyed(calls)).toEqual([]);
  });
});
