import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Finding } from '../../src/core/finding.ts';
import { STAND_IN_XL, standIn, UUID } from '../xen/stand-in.ts';
import { buildCli, type Cli } from './run-cli.ts';

vi.setConfig({ testTimeout: 60_000 });

let cli: Cli;
let folder: string;
let host: ReturnType<typeof standIn>;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.dispose());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-doctor-'));
  host = standIn();
});
afterEach(() => {
  host.remove();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (more: NodeJS.ProcessEnv = {}) => ({
  XTHROTTLE_STATE: join(folder, 'state'),
  XTHROTTLE_SOCKET: join(folder, 'run', 'control.sock'),
  ...more,
});

async function doctor(args: readonly string[] = [], more: NodeJS.ProcessEnv = {}) {
  const { code, stdout, stderr } = await cli.run(['doctor', '--json', ...args], environment(more));
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Finding & { readonly type: string; readonly code?: number });
  const of = (check: string) => lines.filter((line) => line.check === check);
  return { code, lines, stderr, of };
}

describe('doctor', () => {
  it('without Xen: says so, how to try it all the same, exit code 8', async () => {
    const { code, lines, of } = await doctor();
    expect(code).toBe(8);
    expect(of('Xen')[0]).toMatchObject({ level: 'problem', exit: 'noXl', todo: expect.stringContaining('xthrottle simulate') });
    expect(of('xl')).toEqual([]);
    expect(lines.at(-1)).toMatchObject({ type: 'result', exit: 'noXl', code: 8 });
    const people = await cli.run(['doctor'], environment());
    expect(people.code).toBe(8);
    expect(people.stdout).toMatch(/^problem {2}Xen /m);
    expect(people.stdout).toMatch(/\d+ problems?, \d+ warnings?, \d+ notes?, \d+ ok$/m);
  });
  it('looks at state directory, variable, journals and domains, and changes nothing', async () => {
    mkdirSync(join(folder, 'state'), { mode: 0o700 });
    const owner = { pid: 1, startTicks: 1, bootId: 'another' };
    writeFileSync(
      join(folder, 'state', `cap-${UUID}.json`),
      JSON.stringify({ v: 1, kind: 'cap', uuid: UUID, domid: 24, name: 'vm1', scheduler: 'credit', capOriginal: 0, capsSet: [40], owner }),
    );
    writeFileSync(join(folder, 'state', 'cap-torn.json'), '{');
    host.update((state) => void state.domains.push({ domid: 25, name: 'vm1--incoming', uuid: UUID.replace('d9', 'aa'), vcpus: 1, cap: 0 }));
    const { of } = await doctor([], { XTHROTTLE_XL: STAND_IN_XL, STAND_IN: host.folder, LIBXL_SAVE_HELPER: '/nonexistent' });
    expect(of('left behind')).toMatchObject([{ todo: 'xthrottle restore', exit: 'capNotRestored' }, { exit: 'capNotRestored' }]);
    expect(of('lost migrations')).toMatchObject([{ level: 'problem', todo: expect.stringContaining('xthrottle restore vm1 --half') }]);
    expect(of('LIBXL_SAVE_HELPER')).toMatchObject([{ level: 'problem' }]);
    expect(of('scheduler')).toMatchObject([{ level: 'ok', found: expect.stringContaining('credit') }]);
    expect(of('directories').map(({ level }) => level)).toEqual(['ok', 'ok']);
    expect(host.calls().filter((call) => /"sched-credit2?".*"-[ct]"|"destroy"|"debug-keys"/.test(call))).toEqual([]);
    expect((await doctor([], { XTHROTTLE_XL: STAND_IN_XL, STAND_IN: host.folder })).of('left behind')).toHaveLength(2);
  });
  it('a destination that is not reached is a problem; one that is an option of ssh is refused', async () => {
    const { of } = await doctor(['host2', '--ssh', 'false'], { XTHROTTLE_XL: STAND_IN_XL, STAND_IN: host.folder });
    expect(of('destination')).toMatchObject([{ level: 'problem', found: expect.stringContaining('host2 is not reached') }]);
    const refused = await cli.run(['doctor', '--', '-oProxyCommand=true'], environment());
    expect(refused.stdout).not.toContain('ProxyCommand');
  });
});

describe('probe', () => {
  it('on the simulated host: the curve, and both migrations; exit code by feasibility', async () => {
    const { code, stdout } = await cli.run(['probe', '--scenario', 'busy-database']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/10\.0 s +\d+ +[\d.]+ GiB +\d+ pages\/s/);
    expect(stdout).toMatch(/target met +no +yes/);
    const missed = await cli.run(['probe', '--scenario', 'busy-database', '--bandwidth', '1Gbit/s', '--json']);
    expect(missed.code).toBe(10);
    expect(JSON.parse(missed.stdout)).toMatchObject({
      type: 'probe',
      rateBytesPerSecond: 125e6,
      rehearsal: { feasible: false },
      looks: expect.any(Array),
    });
  });
  it.each([
    ['neither domain nor scenario', [], /needs a domain/],
    ['both', ['vm1', '--scenario', 'idle'], /needs a domain/],
    ['a rate without unit', ['--scenario', 'idle', '--bandwidth', '1000'], /--bandwidth expects a rate with a unit, got "1000"/],
    ['too short a time', ['--scenario', 'idle', '--duration', '10ms'], /--duration must be at least 500 ms/],
  ])('%s: exit code 2', async (_, args, text) => {
    const { code, stdout, stderr } = await cli.run(['probe', ...args]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(text);
  });
  it('without libxenctrl says so, and changes nothing', async () => {
    const { code, stderr } = await cli.run(['probe', 'vm1'], environment({ XTHROTTLE_XL: STAND_IN_XL, STAND_IN: host.folder }));
    expect(code).toBe(8);
    expect(stderr).toMatch(/a probe looks through libxenctrl[\s\S]*xthrottle doctor/);
  });
  it('restore --log-dirty needs a domain', async () => {
    expect((await cli.run(['restore', '--log-dirty'], environment())).code).toBe(2);
    expect((await cli.run(['restore', '--half'], environment())).code).toBe(2);
    expect((await cli.run(['restore', '--resume'], environment())).code).toBe(2);
  });
  it('restore --resume says what it finds, and what is in its way', async () => {
    const withXl = environment({ XTHROTTLE_XL: STAND_IN_XL, STAND_IN: host.folder });
    const runs = await cli.run(['restore', 'vm1', '--resume'], withXl);
    expect(runs).toMatchObject({ code: 0, stdout: expect.stringContaining('vm1: it is not suspended') });
    host.update((state) => {
      for (const domain of state.domains) if (domain.domid === 24) domain.state = '---ss-';
    });
    const standing = await cli.run(['restore', '24', '--resume', '--json'], withXl);
    // No Xen here.
    expect(JSON.parse(standing.stdout)).toMatchObject({ kind: 'resume', verdict: 'failed', hint: expect.stringContaining('--resume') });
    expect(standing.code).toBe(9);
  });
  it('restore --half destroys the half that never ran, and nothing else', async () => {
    const withXl = environment({ XTHROTTLE_XL: STAND_IN_XL, STAND_IN: host.folder });
    const half = { domid: 25, name: 'vm1--incoming', uuid: UUID, vcpus: 1, cap: 0 };
    host.update((state) => void state.domains.push({ ...half, state: '--p---', seconds: '0.0' }));
    const destroyed = await cli.run(['restore', 'vm1', '--half'], withXl);
    expect(destroyed).toMatchObject({ code: 0, stdout: expect.stringContaining('vm1--incoming: the half') });
    host.update((state) => void state.domains.push(half));
    expect((await cli.run(['restore', 'vm1', '--half'], withXl)).stdout).toContain('may be the guest itself');
    expect(host.calls().filter((call) => call.startsWith('call ["destroy"'))).toHaveLength(1);
  });
});
