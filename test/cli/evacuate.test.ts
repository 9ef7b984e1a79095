import { existsSync, readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EvacuateArguments } from '../../src/cli/evacuate.ts';
import { evacuationGoal } from '../../src/cli/evacuation-goal.ts';
import { parseEvacuation } from '../../src/cli/evacuation-store.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { Evacuation } from '../../src/evacuate/plan.ts';
import { standIn, UUID } from '../xen/stand-in.ts';
import { buildCli, type Cli, migrating } from './run-cli.ts';

// Programs are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let cli: Cli;
let host: ReturnType<typeof standIn>;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.dispose());
beforeEach(() => {
  host = standIn();
});
afterEach(() => host.remove());

const evacuate = (args: readonly string[], how = 'fail', signalled = '') =>
  cli.run(['evacuate', 'host2', '--probe', 'off', '--no-config', ...args], migrating(host, how, signalled));
const migrations = () => host.calls().filter((call) => call.includes('"migrate"'));
const plans = () => (existsSync(host.directory) ? readdirSync(host.directory).filter((name) => name.startsWith('evacuation-')) : []);

describe('xthrottle evacuate', () => {
  it('lists the choices of each option once, and goes straight to the floor unless told', async () => {
    const help = (await cli.run(['evacuate', '--help'])).stdout.replaceAll(/\s+/g, ' ');
    expect(help).toContain('[choices: "progressive", "steep", "gradual"]');
    const bare = {
      order: 'auto',
      tries: '2',
      'on-miss': 'abort',
      controller: 'none',
      'controller-option': [],
    } as unknown as EvacuateArguments;
    expect(evacuationGoal(bare).goal.profile).toBe('steep');
    expect(evacuationGoal({ ...bare, profile: 'gradual' }).goal.profile).toBe('gradual');
  });
  it('--dry-run says who would leave when, and who would stay; nothing is migrated', async () => {
    host.update((state) => {
      state.domains.push({ domid: 30, name: 'router', uuid: UUID.replace('d9', 'aa'), vcpus: 1, cap: 0 });
      state.domains.push({ domid: 31, name: 'old', uuid: UUID.replace('d9', 'bb'), vcpus: 1, cap: 0, type: 'pv' });
    });
    const { code, stdout } = await evacuate(['--dry-run', '--json', '--bandwidth', '1Gbit/s', '--deny', 'router']);
    expect(code).toBe(0);
    const plan = JSON.parse(stdout);
    expect(plan).toMatchObject({ type: 'evacuation-plan', destination: 'host2', plan: [{ name: 'vm1', memoryBytes: 134_217_728 }] });
    expect(plan.left.map(({ name, why }: { name: string; why: string }) => [name, why])).toEqual([
      ['router', '--deny'],
      ['old', expect.stringContaining('shadow')],
    ]);
    expect(migrations()).toEqual([]);
    expect(plans()).toEqual([]);
  });
  it('tries a guest whose migration fails once more, leaves it with what xl said, and keeps no plan', async () => {
    const { code, stdout } = await evacuate([]);
    expect(code).toBe(EXIT_CODES.migrationFailed.code);
    expect(stdout).toMatch(/vm1 +LEFT HERE +2 .*no such host/);
    expect(stdout).toContain('0 moved, 1 left here');
    expect(migrations()).toHaveLength(2);
    expect(plans()).toEqual([]);
  });
  it('interrupted, it ends the migration that runs and keeps the plan; asked again it goes on', async () => {
    const first = await evacuate(['--json'], 'hang', 'migrate');
    expect(first.code, first.stderr).toBe(EXIT_CODES.interrupted.code);
    expect(JSON.parse(first.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      type: 'evacuation',
      moved: [],
      left: [],
      notBegun: [{ name: 'vm1' }],
    });
    expect(plans()).toHaveLength(1);
    const again = await evacuate(['--tries', '1']);
    expect(again.stderr).toContain('goes on with the evacuation to host2');
    expect(plans()).toEqual([]);
  });
  it('with nobody to move is done, with all of them denied says so', async () => {
    expect((await evacuate(['--deny', 'vm1'])).code).toBe(EXIT_CODES.aborted.code);
    host.update((state) => {
      state.domains.pop();
    });
    expect((await evacuate([])).code).toBe(0);
    expect(migrations()).toEqual([]);
  });
  it('needs a destination', async () => {
    const { code, stderr } = await cli.run(['evacuate', '--no-config']);
    expect(code).toBe(EXIT_CODES.usage.code);
    expect(stderr).toContain('needs a destination');
  });
});

describe('the plan on disk', () => {
  const plan: Evacuation = {
    v: 1,
    destination: 'host2',
    options: { order: 'auto', tries: 2, targetDowntimeMs: 300 as never, floorSpeed: 0.1 },
    entries: [{ candidate: { uuid: UUID, name: 'vm1', domid: 1, memoryPages: 10 as never }, status: 'waiting', attempts: [] }],
  };
  it('is taken back as it was, and nothing else is taken for one', () => {
    expect(parseEvacuation(JSON.stringify(plan), 'host2')).toEqual(plan);
    for (const text of ['', '{', '[]', 'null', '{"v":1}', JSON.stringify({ ...plan, v: 2 }), JSON.stringify({ ...plan, entries: [{}] })])
      expect(parseEvacuation(text, 'host2')).toBeUndefined();
    expect(parseEvacuation(JSON.stringify(plan), 'host3')).toBeUndefined();
  });
});
