import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openService } from '../../src/cli/service.ts';
import { openNotifier } from '../../src/xen/notify.ts';

const ENV = { NOTIFY_SOCKET: '/run/systemd/notify' };

describe('what systemd is told', () => {
  it('is nothing where nobody asked', async () => {
    const send = vi.fn(async () => undefined);
    for (const env of [{}, { NOTIFY_SOCKET: '' }, { WATCHDOG_USEC: '1000' }]) {
      const notifier = openNotifier({ env, send });
      notifier.ready();
      notifier.status('x');
      notifier.stopping();
      await notifier.close();
    }
    expect(send).not.toHaveBeenCalled();
  });

  it('is the newest status while an earlier message is on its way, in one line, and no message is lost', async () => {
    const sent: (readonly string[])[] = [];
    let go: () => void = () => undefined;
    const first = new Promise<void>((resolve) => {
      go = resolve;
    });
    const notifier = openNotifier({
      env: ENV,
      send: async (assignments) => {
        sent.push(assignments);
        await first;
      },
    });
    notifier.ready();
    for (const text of ['one', 'two', 'th\nree']) notifier.status(text);
    notifier.stopping();
    go();
    await notifier.close();
    expect(sent).toEqual([['READY=1'], ['STATUS=th ree', 'STOPPING=1']]);
  });

  it('pings the watchdog more often than it bites, only when it is ours, and not after the end', async () => {
    vi.useFakeTimers();
    try {
      const pingsOf = async (pid: number): Promise<number> => {
        const send = vi.fn(async (_: readonly string[]) => undefined);
        const notifier = openNotifier({ env: { ...ENV, WATCHDOG_USEC: '8000000', WATCHDOG_PID: String(pid) }, send });
        notifier.ready();
        await vi.advanceTimersByTimeAsync(8000);
        await notifier.close();
        await vi.advanceTimersByTimeAsync(8000);
        return send.mock.calls.filter(([assignments]) => assignments.includes('WATCHDOG=1')).length;
      };
      expect(await pingsOf(process.pid)).toBe(4);
      expect(await pingsOf(process.pid + 1)).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('counts migrations, also those that fail', async () => {
    const said: string[] = [];
    const service = openService({
      ready: () => said.push('ready'),
      status: (text) => said.push(text),
      stopping: () => said.push('stopping'),
      close: async () => undefined,
    });
    service.listening(false);
    await Promise.allSettled([service.counted(Promise.resolve(1)), service.counted(Promise.reject(new Error('x')))]);
    service.stopping();
    expect(said).toEqual([
      '0 migrations controlled now, 0 before',
      'ready',
      '1 migrations controlled now, 0 before',
      '2 migrations controlled now, 0 before',
      '1 migrations controlled now, 1 before',
      '0 migrations controlled now, 2 before',
      'letting 0 migrations go; caps are put back',
      'stopping',
    ]);
  });
});

describe('through systemd-notify', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'xthrottle-notify-'));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(dir, { recursive: true, force: true });
  });
  const program = (text: string): void => {
    writeFileSync(join(dir, 'systemd-notify'), `#!/bin/sh\n${text}\n`);
    chmodSync(join(dir, 'systemd-notify'), 0o755);
  };

  it('hands the words over as they are, each an argument', async () => {
    program(`printf '%s\\n' "$@" >> ${dir}/said`);
    vi.stubEnv('PATH', `${dir}:${process.env['PATH']}`);
    const notifier = openNotifier({ env: ENV });
    notifier.ready();
    notifier.status('two words; $(false)');
    await notifier.close();
    expect(readFileSync(join(dir, 'said'), 'utf8')).toBe('READY=1\nSTATUS=two words; $(false)\n');
  });

  it.each([
    ['it is missing', undefined],
    ['it fails', 'exit 1'],
    ['it is killed', 'kill -9 $$'],
  ])('nothing happens when %s', async (_, text) => {
    if (text === undefined) vi.stubEnv('PATH', dir);
    else {
      program(text);
      vi.stubEnv('PATH', `${dir}:${process.env['PATH']}`);
    }
    const notifier = openNotifier({ env: ENV });
    notifier.ready();
    notifier.status('x');
    await expect(notifier.close()).resolves.toBeUndefined();
  });
});
