import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startGuard } from '../../src/xen/guard.ts';
import { startTicksOf } from '../../src/xen/owner.ts';
import { STAND_IN_XL, standIn, UUID } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

// Node cannot run TypeScript everywhere, so the two programs are bundled first; inside node_modules, so that packages resolve.
let programs: string;
beforeAll(async () => {
  programs = mkdtempSync(join(resolve('node_modules'), '.test-'));
  await build({
    entryPoints: ['src/xen/guard-main.ts', 'test/xen/fixtures/steerer.ts'],
    outdir: programs,
    entryNames: '[name]',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
  });
});
afterAll(() => rmSync(programs, { recursive: true, force: true }));

let host: ReturnType<typeof standIn>;
let child: ChildProcess | undefined;
beforeEach(() => {
  host = standIn();
  host.update((s) => {
    if (s.domains[1] !== undefined) s.domains[1].cap = 60;
  });
});
afterEach(() => {
  child?.kill('SIGKILL');
  host.remove();
});

const guardMain = () => join(programs, 'guard-main.mjs');
const until = async (condition: () => boolean, what: string) => {
  for (let i = 0; i < 600; i++) {
    if (condition()) return;
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error(`never: ${what}\n${host.calls().join('\n')}`);
};

/** Starts the steerer and waits until the domain is capped; answers with the guard's pid. */
async function steerer(how = 'wait'): Promise<number> {
  child = spawn(process.execPath, [join(programs, 'steerer.mjs'), host.directory, guardMain(), UUID, how], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
    env: { ...process.env, XTHROTTLE_XL: STAND_IN_XL },
  });
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await until(() => /capped \d+\n/.test(said), 'capped');
  return Number(/capped (\d+)/.exec(said)?.[1]);
}

const sets = () =>
  host
    .calls()
    .filter((line) => line.startsWith('done') && line.includes('"-c"'))
    .map((line) => Number(/"(\d+)"\]$/.exec(line)?.[1]));

describe("the dead man's switch", () => {
  it('puts the cap back when xthrottle is killed', async () => {
    const guard = await steerer();
    expect(host.cap()).toBe(20);
    child?.kill('SIGKILL');
    await until(() => host.cap() === 60, 'restored');
    await until(() => startTicksOf(guard) === undefined, 'the guard ends');
    expect(sets()).toEqual([20, 60]);
    expect(readdirSync(host.directory)).toEqual([]);
  });
  it('survives the death of the whole process group, and signals meant to end it', async () => {
    const guard = await steerer();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(guard, signal);
    process.kill(-(child?.pid as number), 'SIGKILL');
    await until(() => host.cap() === 60, 'restored');
    await until(() => startTicksOf(guard) === undefined, 'the guard ends');
  });
  it('has the last word over a call of xl that was under way', async () => {
    host.update((s) => {
      s.slowMs = { 'sched-credit set': 700 };
    });
    const guard = await steerer('racing');
    const before = host.calls().length;
    await until(
      () =>
        host
          .calls()
          .slice(before)
          .some((l) => l.startsWith('call') && l.includes('"-c"')),
      'a call under way',
    );
    child?.kill('SIGKILL');
    await until(() => startTicksOf(guard) === undefined, 'the guard ends');
    expect(host.cap()).toBe(60);
    expect(sets()).toContain(10);
    expect(sets().at(-1)).toBe(60);
  });
  it("leaves an admin's cap alone", async () => {
    const guard = await steerer();
    host.update((s) => {
      if (s.domains[1] !== undefined) s.domains[1].cap = 33;
    });
    child?.kill('SIGKILL');
    await until(() => startTicksOf(guard) === undefined, 'the guard ends');
    expect(host.cap()).toBe(33);
    expect(sets()).toEqual([20]);
  });
  it('goes without a trace when xthrottle says goodbye', async () => {
    const guard = await steerer('leave');
    await until(() => startTicksOf(guard) === undefined && child?.exitCode === 0, 'both end');
    expect(host.cap()).toBe(60);
    expect(sets()).toEqual([20, 60]);
    expect(readdirSync(host.directory)).toEqual([]);
  });
  it('says why when it cannot be started', async () => {
    expect(existsSync('/nonexistent.mjs')).toBe(false);
    expect(await startGuard({ directory: host.directory, mainPath: '/nonexistent.mjs' })).toMatchObject({
      reason: expect.stringContaining('ended at once'),
    });
  });
});
