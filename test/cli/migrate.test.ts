import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { standIn, UUID } from '../xen/stand-in.ts';
import { buildCli, type Cli, migrating } from './run-cli.ts';

// Programs are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

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

const migrate = (how: string, signalled = '') => cli.run(['migrate', 'vm1', 'host2'], migrating(host, how, signalled));
const migrations = () => host.calls().filter((call) => call.includes('"migrate"'));

/** As a process left it that is dead. */
function leave(capOriginal: number, capsSet: readonly number[], owner = { pid: 1, startTicks: 1, bootId: 'another boot' }) {
  mkdirSync(host.directory, { recursive: true, mode: 0o700 });
  const entry = { v: 1, kind: 'cap', uuid: UUID, domid: 24, name: 'vm1', scheduler: 'credit', capOriginal, capsSet, owner };
  writeFileSync(join(host.directory, `cap-${UUID}.json`), JSON.stringify(entry));
}

describe('xthrottle migrate, when xl ends without its save helper having reached us', () => {
  it('fails with what xl said', async () => {
    const { code, stderr } = await migrate('fail');
    expect(stderr).toContain('no such host');
    expect(code).toBe(EXIT_CODES.migrationFailed.code);
  });
  it('and the guest stands: that it does is said, with the command', async () => {
    host.update((state) => {
      for (const domain of state.domains) if (domain.domid === 24) domain.state = '---ss-';
    });
    const { code, stderr } = await migrate('fail');
    expect(stderr).toMatch(/vm1: THE GUEST STANDS SUSPENDED HERE.*xthrottle restore 24 --resume/);
    expect(code).toBe(EXIT_CODES.migrationFailed.code);
  });
  it('says that nobody watched the target, also while something of ssh outlives xl', async () => {
    const { code, stderr } = await migrate('orphan');
    expect(stderr).toContain('not under control');
    expect(code).toBe(EXIT_CODES.missed.code);
  });
});

describe('xthrottle migrate on a domain that carries the cap of an earlier run', () => {
  it('puts it back and refuses to go on while it cannot: that cap would travel', async () => {
    host.update((state) => {
      const vm = state.domains.find((d) => d.domid === 24);
      if (vm !== undefined) vm.cap = 20;
      state.fail = { 'sched-credit set': 'libxl: error: no' };
    });
    leave(60, [20]);
    const { code, stderr } = await migrate('fail');
    expect(code).toBe(EXIT_CODES.capNotRestored.code);
    expect(stderr).toContain('xl sched-credit -d 24 -c 60');
    expect(migrations()).toEqual([]);
  });
});

describe('xthrottle migrate, interrupted', () => {
  it('before xl migrate was started: it is not started', async () => {
    const { code } = await migrate('hang', 'vcpu-list');
    expect(code).toBe(EXIT_CODES.interrupted.code);
    expect(migrations()).toEqual([]);
  });
  it('before the relay came: xl is ended', async () => {
    const { code, stderr } = await migrate('hang', 'migrate');
    expect(code).toBe(EXIT_CODES.interrupted.code);
    expect(stderr).toContain('before the first round');
    expect(migrations()).toHaveLength(1);
  });
  it('while a save helper is at work without us: a guest that suspends after xl has gone is not missed', async () => {
    const { code, stderr } = await migrate('helper', 'migrate');
    expect(stderr).toMatch(/THE GUEST STANDS SUSPENDED HERE/);
    expect(code).toBe(EXIT_CODES.migrationFailed.code);
  });
});
