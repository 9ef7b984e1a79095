import { existsSync, readdirSync, readFileSync, readlinkSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RelayServer } from '../../../src/xen/relay/server.ts';
import { type Bench, bench, capture, SAVE, save, serve, until } from './harness.ts';

// Programs are started: slow on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let at: Bench;
let server: RelayServer | undefined;

beforeAll(async () => {
  at = await bench();
});
afterAll(() => at.dispose());
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** Where a descriptor leads; empty when it was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

const types = (messages: readonly { readonly type: string }[]) => messages.map((message) => message.type);
const logged = (frames: readonly unknown[]) => frames.filter((frame) => (frame as { type: string }).type === 'log');

describe('a migration with xthrottle listening', () => {
  it('goes over unchanged when the suspension is granted, and every round is reported', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, true);
    });
    server = side.server;
    const script = capture('02-migrate-tap-helper.log.gz');
    const run = save(at, { script });
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('reply 3 1');
    expect(run.log()).toContain('done');
    // Byte for byte what the helper says without us.
    const alone = save(at, { script, env: { XTHROTTLE_SOCKET: `${at.socketPath}.none` } });
    await alone.exit;
    expect(run.received().equals(alone.received())).toBe(true);

    const { hello } = side.sessions[0] ?? {};
    // Whose libxl it is: here these tests' own process.
    const startedBy = readFileSync(`/proc/${process.pid}/comm`, 'utf8').trim();
    expect(hello).toMatchObject({ domid: 3, flags: 1, policy: false, startedBy });
    const starts = side.messages.filter((message) => message.type === 'round-start');
    expect(starts.map((message) => [message.round, message.pagesToSend])).toEqual([
      [0, 1044480],
      [1, 8390],
      [2, 6336],
      [3, 4782],
      [4, 3989],
    ]);
    // Each round's last count, before whatever comes next.
    for (const [round, pages] of starts.map((message) => [message.round, message.pagesToSend] as const)) {
      const last = side.messages.filter((message) => message.type === 'progress' && message.round === round).at(-1);
      expect(last).toMatchObject({ pagesSent: pages, pagesToSend: pages });
    }
    const tail = side.messages.slice(side.messages.findIndex((message) => message.type === 'suspend-request'));
    expect([...new Set(types(tail))]).toEqual(['suspend-request', 'suspend-settled', 'suspended', 'stop-and-copy', 'complete', 'end']);
    expect(tail.filter((message) => message.type === 'stop-and-copy').at(-1)).toMatchObject({ pagesSent: 3592, pagesToSend: 3592 });
    expect(side.messages.at(-1)).toMatchObject({ type: 'end', exitCode: 0 });
    expect(side.messages.find((message) => message.type === 'suspend-settled')).toMatchObject({ result: 'passed-on', by: 'server' });
    // What went to the stream, and never less than before.
    const bytes = side.messages.map((message) => message.bytesSent);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    const atMs = side.messages.map((message) => message.atMs);
    expect(atMs).toEqual([...atMs].sort((a, b) => a - b));
    // What the helper wrote to the control pipe and its own log counts until it is read.
    expect(bytes.at(-1)).toBeGreaterThan(0.95 * run.stream());
    expect(bytes.at(-1)).toBeLessThan(1.1 * run.stream());
  });

  it('keeps no copy of the stream descriptor beside the helper', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, true);
    });
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    const { relayPid = 0, helperPid = 0 } = side.sessions[0]?.hello ?? {};
    expect(relayPid).toBe(run.child.pid);
    // The number may have been used again, for something else.
    const held = readdirSync(`/proc/${relayPid}/fd`).map((fd) => linkOf(`/proc/${relayPid}/fd/${fd}`));
    expect(held.filter((target) => target.endsWith('/stream'))).toEqual([]);
    expect(readlinkSync(`/proc/${helperPid}/fd/15`)).toMatch(/stream$/);
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
  });

  it('reads frames that arrive byte by byte', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, true);
    });
    server = side.server;
    const run = save(at, { env: { STAND_IN_CUT: '1' } });
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(side.messages.filter((message) => message.type === 'round-start')).toHaveLength(4);
  });

  it('fails cleanly, and says why in libxl’s log, when the suspension is denied', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, false, 'downtime would be 10.7 s, the target is 200 ms');
    });
    server = side.server;
    const run = save(at);
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('reply 3 0');
    expect(run.log()).toContain('failed cleanly');
    expect(run.frames.some((frame) => frame.type === 'suspend')).toBe(false);
    expect(logged(run.frames)).toContainEqual({
      type: 'log',
      level: 8,
      errno: -1,
      context: 'xthrottle',
      text: 'downtime would be 10.7 s, the target is 200 ms',
    });
    expect(side.messages.find((message) => message.type === 'suspend-settled')).toMatchObject({ result: 'denied', by: 'server' });
    expect(side.messages.find((message) => message.type === 'complete')).toMatchObject({ result: -1 });
  });

  it('passes the request on only after the time that a grant asks for', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, true, undefined, 300);
    });
    server = side.server;
    const run = save(at);
    expect(await run.exit).toEqual({ code: 0, signal: null });
    const asked = side.messages.find((message) => message.type === 'suspend-request')?.atMs ?? 0;
    const passed = side.messages.find((message) => message.type === 'suspend-settled')?.atMs ?? 0;
    expect(passed - asked).toBeGreaterThanOrEqual(295);
  });

  it('lifts the cap itself and goes on as stock when no answer comes', async () => {
    const side = await serve(at, () => undefined, { capOriginal: 60, suspendWaitMs: 200 });
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=0' } });
    await until(() => side.sessions.length === 1, 'the relay');
    side.sessions[0]?.capSet(true, 40);
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.xl()).toBe('sched-credit -d 3\nsched-credit -d 3 -c 60\n');
    expect(run.log()).toContain('reply 3 1');
    expect(side.messages.find((message) => message.type === 'suspend-settled')).toMatchObject({
      result: 'passed-on',
      by: 'timeout',
      lifted: true,
    });
  });

  it('asks nobody when it only observes', async () => {
    const side = await serve(at, () => undefined, { observe: true, suspendWaitMs: 30_000 });
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=0' } });
    await until(() => side.messages.some((message) => message.type === 'progress'), 'progress');
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.xl()).toBe('');
    expect(side.messages.find((message) => message.type === 'suspend-request')).toMatchObject({ awaited: false });
  });

  it('goes on as stock, cap lifted, when the server dies in a round', async () => {
    const side = await serve(at, () => undefined, { capOriginal: 0, scheduler: 'credit2' });
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 3" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    side.sessions[0]?.capSet(true);
    await until(() => side.messages.some((message) => message.type === 'round-start' && message.round === 3), 'round 3');
    await side.server.close();
    await until(() => run.xl().includes(' -c '), 'the lift');
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.xl()).toBe('sched-credit2 -d 3 -c 0\n');
    expect(run.log()).toContain('reply 3 1');
  });

  it('leaves a cap alone that somebody else has set when the server dies', async () => {
    const side = await serve(at, () => undefined, { capOriginal: 60 });
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 3" done=1024' }, xlPrints: 'vm1    3    256   33' });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    side.sessions[0]?.capSet(true, 40);
    await until(() => side.messages.some((message) => message.type === 'round-start' && message.round === 3), 'round 3');
    await side.server.close();
    await until(() => logged(run.frames).some((frame) => (frame as { text: string }).text.includes('it stays')), 'its words');
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.xl()).toBe('sched-credit -d 3\n');
    expect(run.log()).toContain('reply 3 1');
  });

  it('leaves a cap alone that nobody set when the server dies', async () => {
    const side = await serve(at, () => undefined);
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 3" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    await side.server.close();
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.xl()).toBe('');
  });

  it('goes on at once when the server dies while it is asked', async () => {
    const side = await serve(at, (message) => {
      if (message.type === 'suspend-request') void side.server.close();
    });
    const run = save(at);
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('reply 3 1');
  });

  it('is let go by a release and then asks nothing', async () => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 3" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    side.sessions[0]?.release('not ours');
    await until(() => side.gone() === 1, 'the relay to let go');
    run.go();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('reply 3 1');
    expect(types(side.messages)).not.toContain('suspend-request');
  });
});

describe('ending a migration early', () => {
  it('passes SIGTERM on to the helper in a round', async () => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=1024' } });
    await until(() => run.log().includes('holding'), 'the helper to hold');
    run.child.kill('SIGTERM');
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('failed cleanly');
    expect(side.messages.filter((message) => message.type === 'log').map((message) => message.text)[0]).toContain('Bad file descriptor');
  });

  it('turns an abort in a round into SIGTERM, with the reason in libxl’s log', async () => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    side.sessions[0]?.abort('cannot converge');
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('failed cleanly');
    expect(logged(run.frames)).toContainEqual({ type: 'log', level: 8, errno: -1, context: 'xthrottle', text: 'cannot converge' });
  });

  it.each([
    ['a signal', (run: ReturnType<typeof save>) => run.child.kill('SIGTERM'), 'signal'],
    ['an abort', undefined, 'server'],
  ])('answers %s while leave is asked for by denying, never by a signal to the waiting helper', async (_name, end, by) => {
    let asked = false;
    const side = await serve(at, (message, session) => {
      if (message.type !== 'suspend-request') return;
      asked = true;
      if (end === undefined) session.abort('stopped by hand');
    });
    server = side.server;
    const run = save(at);
    await until(() => asked, 'the suspend request');
    end?.(run);
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('reply 3 0');
    expect(run.log()).not.toContain('SIGTERM');
    expect(run.frames.some((frame) => frame.type === 'suspend')).toBe(false);
    expect(side.messages.find((message) => message.type === 'suspend-settled')).toMatchObject({ result: 'denied', by });
  });

  it('takes an abort after the suspension to the helper, which resumes the guest', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, true);
    });
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 5" done=2048' } });
    await until(() => run.log().includes('holding'), 'the helper to hold');
    side.sessions[0]?.abort('the stop-and-copy stalled');
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain('failed cleanly');
  });

  it.each(['SIGKILL', 'SIGABRT'] as const)('ends by %s when the helper does', async (signal) => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    process.kill(side.sessions[0]?.hello.helperPid ?? 0, signal);
    expect(await run.exit).toEqual({ code: null, signal });
    expect(side.messages.at(-1)).toMatchObject({ type: 'end', signal });
  });

  it('ends the helper when libxl is gone', async () => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const run = save(at, { env: { STAND_IN_HOLD: 'iteration 2" done=1024' } });
    await until(() => run.log().includes('holding') && side.sessions.length === 1, 'the helper to hold');
    run.child.stdin?.destroy();
    run.child.stdout?.destroy();
    run.go();
    await run.exit;
    expect(run.log()).not.toContain('done');
  });
});

describe('what is not ours becomes the real helper', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['xl save', ['--save-domain', '15', '-1', '3', '0', '136', '0']],
    ['Remus', ['--save-domain', '15', '-1', '3', '1', '136', '1']],
    ['COLO', ['--save-domain', '15', '15', '3', '1', '136', '2']],
    ['a restore', ['--restore-domain', '15', '-1', '2', '1', '0', '2', '0', '768', '0']],
    ['arguments of a later libxl', [...SAVE, '9']],
    ['flags that are no number', ['--save-domain', '15', '-1', '3', 'x1', '136', '0']],
    ['nothing', []],
  ];
  it.each(cases)('%s', async (_name, args) => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const run = save(at, { args, env: { STAND_IN_EXIT: '7' } });
    expect(await run.exit).toEqual({ code: 7, signal: null });
    // By exec: the same process.
    expect(run.log()).toContain(`pid ${run.child.pid}`);
    expect(run.log()).toContain(`args ${args.join(' ')}\n`);
    expect(side.sessions).toEqual([]);
  });

  it('a migration with nobody listening', async () => {
    const run = save(at);
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain(`pid ${run.child.pid}`);
    expect(run.log()).toContain('fd 15 ');
    expect(run.log()).toMatch(/fd 15 .*stream/);
  });

  it('a migration without node', async () => {
    server = await serve(at, () => undefined).then((side) => side.server);
    const run = save(at, { env: { XTHROTTLE_NODE: '/nonexistent/node' } });
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain(`pid ${run.child.pid}`);
  });

  it('a migration when the socket is there and its owner is not', async () => {
    const side = await serve(at, () => undefined);
    server = side.server;
    writeFileSync(`${at.socketPath}.pid`, '999999999\n');
    const run = save(at);
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(run.log()).toContain(`pid ${run.child.pid}`);
    expect(side.sessions).toEqual([]);
  });

  it('the relay runs on the node beside it, where a package brought one, though the front is reached by a link', async () => {
    const { spawnSync } = await import('node:child_process');
    server = await serve(at, () => undefined).then((side) => side.server);
    const [front, node] = [join(at.dir, 'front.sh'), join(at.dir, 'bin/node')];
    symlinkSync('bin/front.sh', front);
    writeFileSync(node, '#!/bin/sh\necho "ours: $*"\n', { mode: 0o755 });
    const env = { PATH: process.env['PATH'] ?? '', XTHROTTLE_SOCKET: at.socketPath, XTHROTTLE_REAL_HELPER: '/bin/true' };
    try {
      expect(spawnSync(front, SAVE, { env, encoding: 'utf8' }).stdout).toBe(`ours: ${join(at.dir, 'bin/relay.js')} ${SAVE.join(' ')}\n`);
    } finally {
      for (const path of [front, node]) unlinkSync(path);
    }
  });

  it('a missing helper is named, with what to do', async () => {
    const { spawnSync } = await import('node:child_process');
    const result = spawnSync(at.front, SAVE, { env: { PATH: process.env['PATH'] ?? '' }, encoding: 'utf8' });
    if (existsSync('/sys/hypervisor/version')) return;
    expect(result.status).toBe(127);
    expect(result.stderr).toContain('XTHROTTLE_REAL_HELPER');
  });
});
