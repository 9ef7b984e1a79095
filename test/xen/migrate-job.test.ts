import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type MigrateJobOptions, startMigrateJob } from '../../src/xen/migrate-job.ts';
import { startTicksOf } from '../../src/xen/owner.ts';
import { capturedWrites } from './stand-in.ts';

// Programs are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-job-'));
  process.env['STAND_IN'] = folder;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Report {
  readonly pid: number;
  readonly transport: number;
  readonly args: readonly string[];
  readonly helper: string;
  readonly socket: string;
  readonly locale: string;
}

const start = (pieces: readonly (string | number)[], code: number, more: Partial<MigrateJobOptions> = {}) => {
  writeFileSync(join(folder, 'script.json'), JSON.stringify({ pieces, code }));
  return startMigrateJob({
    domid: 24,
    destination: 'host2',
    front: '/usr/lib/xthrottle/front.sh',
    socketPath: '/run/x/control.sock',
    binary: fileURLToPath(new URL('fixtures/xl-migrate.mjs', import.meta.url)),
    ...more,
  });
};
const report = async (): Promise<Report> => {
  for (let i = 0; i < 400 && !existsSync(join(folder, 'report.json')); i++) await new Promise((r) => setTimeout(r, 25));
  return JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report;
};

describe('the wrapped xl migrate', () => {
  it('is told the domid, our options as they are, the front and the private socket', async () => {
    await start([], 0, { xlOptions: ['-s', '', '--debug'], destination: 'a b; reboot' }).done;
    const { args, helper, socket, locale } = await report();
    expect(args).toEqual(['migrate', '-s', '', '--debug', '24', 'a b; reboot']);
    expect([helper, socket, locale]).toEqual(['/usr/lib/xthrottle/front.sh', '/run/x/control.sock', 'C']);
  });
  it('tells the steps of the hand-over, when the guest ran, and shows its output as it comes', async () => {
    const writes = capturedWrites('02-migrate-default-pipe.txt');
    let shown = '';
    const job = start(
      writes.flatMap((write) => [write, 5]),
      0,
      {
        onOutput: (text) => {
          shown += text;
        },
      },
    );
    const [steps, result] = await Promise.all([lastValueFrom(job.steps$.pipe(toArray())), job.done]);
    expect(steps.map((s) => s.step).slice(-3)).toEqual(['domain-started', 'target-reports-success', 'success']);
    expect(result).toMatchObject({ exitCode: 0, migrated: true });
    expect(result.startedAtMs).toBe(steps.find((s) => s.step === 'domain-started')?.atMs);
    expect(result.reason).toBeUndefined();
    expect(shown).toBe(writes.join(''));
  });
  it('that failed says why, in its own words', async () => {
    const result = await start(capturedWrites('06-abort-helper-term.txt'), 1).done;
    expect(result).toMatchObject({ exitCode: 1, migrated: false, reason: expect.stringContaining('failed to suspend at sender') });
  });
  it.each(['hang', 'stubborn'])('is not left behind, nor its transport: %s', async (how) => {
    const job = start([how], 0);
    const { pid, transport } = await report();
    expect(startTicksOf(transport)).toBeDefined();
    await job.terminate(300);
    await job.done;
    expect([startTicksOf(pid), startTicksOf(transport)]).toEqual([undefined, undefined]);
  });
  it('takes no destination that xl would read as an option', () => {
    for (const destination of ['-oProxyCommand=x', '']) {
      expect(() => start([], 0, { destination })).toThrow(expect.objectContaining({ exit: 'usage' }));
    }
  });
  it('that cannot be started is an error with a hint', async () => {
    await expect(start([], 0, { binary: '/nonexistent/xl' }).done).rejects.toMatchObject({
      exit: 'noXl',
      hint: expect.stringContaining('dom0'),
    });
  });
  const READY = 'migration target: Ready to receive domain.\n';
  it.each([
    ['before there was a receiver', [], undefined],
    ['while one was at work, which may wait for a dead link with half a guest', [READY], 'maybe'],
    ['once it may have started the guest', [READY, 'migration sender: Giving target permission to start.\n'], undefined],
  ])('killed %s: whether its half may be left', async (_when, said, half) => {
    let shown = '';
    const job = start([...said, 'hang'], 0, {
      onOutput: (text) => {
        shown += text;
      },
    });
    const { pid } = await report();
    for (let i = 0; i < 400 && shown.length < said.join('').length; i++) await new Promise((r) => setTimeout(r, 25));
    process.kill(pid, 'SIGKILL');
    const result = await job.done;
    job.endRest((await report()).transport);
    expect([result.signal, result.half]).toEqual(['SIGKILL', half]);
  });
  it('killed: what it left of its process group is ended on demand, and nobody else', async () => {
    const job = start(['hang'], 0);
    const { pid, transport } = await report();
    process.kill(pid, 'SIGKILL');
    expect(await job.done).toMatchObject({ signal: 'SIGKILL', migrated: false });
    expect(job.endRest(process.pid)).toBe(false);
    expect(startTicksOf(transport)).toBeDefined();
    expect(job.endRest(transport)).toBe(true);
    for (let i = 0; i < 400 && startTicksOf(transport) !== undefined; i++) await new Promise((r) => setTimeout(r, 25));
    expect(startTicksOf(transport)).toBeUndefined();
    expect(job.endRest(transport)).toBe(false);
  });
});
