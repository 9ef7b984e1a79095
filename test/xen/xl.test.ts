import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { XthrottleError } from '../../src/core/errors.ts';
import { ms } from '../../src/core/units.ts';
import { startTicksOf } from '../../src/xen/owner.ts';
import { plainXl } from '../../src/xen/plain-xl.ts';
import { createXl, type XlCall } from '../../src/xen/xl.ts';
import { xlOutput } from '../../src/xen/xl-errors.ts';
import { STAND_IN_XL, standIn } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let host: ReturnType<typeof standIn>;
beforeEach(() => {
  host = standIn();
});
afterEach(() => host.remove());

describe('calling xl', () => {
  it('gives its arguments as they are, never through a shell', async () => {
    const odd = ['list', '$(touch /tmp/x)', '; reboot', 'a b', '-c'];
    await host.xl()(odd);
    expect(JSON.parse(host.calls()[0]?.slice('call '.length) ?? '')).toEqual(odd);
  });
  it('tells the observer of each call', async () => {
    const seen: XlCall[] = [];
    const xl = host.xl({ onCall: (call) => seen.push(call) });
    await xl(['list', '-l']);
    await xl(['list', 'nosuch']);
    expect(seen.map((c) => [c.command, c.ok])).toEqual([
      ['list', true],
      ['list', false],
    ]);
    expect(seen.every((c) => c.ms > 0)).toBe(true);
  });
  it('turns what xl says into an error with a hint', async () => {
    await expect(xlOutput(host.xl(), ['list', 'nosuch'])).rejects.toMatchObject({
      exit: 'noDomain',
      message: expect.stringContaining('nosuch'),
    });
  });
  it.each(['createXl', 'plainXl'])('%s does not wait for what its kill cannot end', async (name) => {
    // Stands for an xl that no signal reaches while the hypervisor has it: its output stays open.
    const [program, pidFile] = [join(host.folder, 'stuck'), join(host.folder, 'stuck.pid')];
    writeFileSync(program, `#!/bin/sh\nsetsid sh -c 'echo $$ >${pidFile}; exec sleep 100' &\nexec sleep 100\n`, { mode: 0o755 });
    const xl = name === 'createXl' ? host.xl({ binary: program, timeoutMs: ms(1000) }) : plainXl(program, ms(1000));
    const result = await xl(['list']);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(startTicksOf(pid)).toBeDefined();
    process.kill(pid, 'SIGKILL');
    expect(result).toMatchObject({ ok: false, timedOut: true });
  });
  it('ends a call that hangs, with all its group', async () => {
    host.update((s) => {
      s.hang = 'list';
    });
    const result = await host.xl({ timeoutMs: ms(300) })(['list']);
    expect(result).toMatchObject({ ok: false, timedOut: true });
    expect(host.calls().some((line) => line.startsWith('done'))).toBe(false);
  });
  it.each([
    ['missing', '/nonexistent/xl', 'not found'],
    ['not executable', '/etc/passwd', 'cannot be started'],
  ])('says so when xl is %s', async (_, binary, text) => {
    const failure = await createXl({ binary })(['list']).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(XthrottleError);
    expect(failure).toMatchObject({ exit: 'noXl', message: expect.stringContaining(text), hint: expect.stringContaining('dom0') });
  });
  it('tells a host without rights or hypervisor from other failures', async () => {
    host.update((s) => {
      s.fail = {
        list: 'xencall: error: Could not obtain handle on privileged command interface: No such file or directory\ncannot init xl context',
      };
    });
    await expect(xlOutput(host.xl(), ['list'])).rejects.toMatchObject({ exit: 'noXl' });
  });
  it("does the same in the guard's runner", async () => {
    const xl = plainXl(STAND_IN_XL);
    expect((await xl(['list', '-l'])).ok).toBe(true);
    expect(await xl(['list', 'nosuch'])).toMatchObject({
      ok: false,
      exitCode: 1,
      stderr: expect.stringContaining('invalid domain identifier'),
    });
    await expect(plainXl('/nonexistent/xl')(['list'])).rejects.toMatchObject({ exit: 'noXl' });
  });
});

describe('an xl that no signal reaches', () => {
  it('is let go, and who it was is told: it may still do what it was to do', async () => {
    const who = { pid: 4711, startTicks: 1, bootId: 'x' };
    const done: string[] = [];
    const xl = createXl({
      timeoutMs: ms(10),
      start: () => ({
        ended: new Promise(() => undefined),
        who: () => who,
        kill: () => done.push('kill'),
        leave: () => done.push('leave'),
      }),
    });
    expect(await xl(['sched-credit', '-d', '24', '-c', '20'])).toMatchObject({ ok: false, timedOut: true, lingers: who });
    expect(done).toEqual(['kill', 'leave']);
  });
});
