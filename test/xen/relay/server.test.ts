import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { XthrottleError } from '../../../src/core/errors.ts';
import { ms } from '../../../src/core/units.ts';
import { encodeLine, type Hello, LINE_BYTES_MAX } from '../../../src/xen/relay/protocol.ts';
import { listen, type RelayServer, type RelaySession } from '../../../src/xen/relay/server.ts';
import { until } from './harness.ts';

let dir: string;
let path: string;
let server: RelayServer | undefined;
const clients: Socket[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'server-'));
  path = join(dir, 'control.sock');
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await server?.close();
  server = undefined;
  rmSync(dir, { recursive: true, force: true });
});

function dial(): Socket {
  const client = connect(path);
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

const helloOf = (domid: number): Hello => ({
  type: 'hello',
  version: 1,
  atMs: ms(1),
  domid,
  flags: 1,
  relayPid: 2,
  helperPid: 3,
  policy: false,
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('the socket', () => {
  it('is ours alone, and says whose', async () => {
    server = await listen(path);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(`${path}.pid`, 'utf8')).toBe(`${process.pid}\n`);
  });

  it('closes, although a relay that was stopped reads nothing any more', async () => {
    server = await listen(path);
    const sessions: RelaySession[] = [];
    server.sessions$.subscribe((session) => sessions.push(session));
    const client = dial();
    client.pause();
    client.write(encodeLine(helloOf(1)));
    await until(() => sessions.length === 1, 'the session');
    for (let i = 0; i < 1000; i++) sessions[0]?.abort('x'.repeat(10_000));
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it('gets a directory of mode 700, and none that others can write to', async () => {
    path = join(dir, 'made', 'control.sock');
    server = await listen(path);
    expect(lstatSync(join(dir, 'made')).mode & 0o777).toBe(0o700);
    mkdirSync(join(dir, 'open'));
    chmodSync(join(dir, 'open'), 0o755);
    const error = await failure(listen(join(dir, 'open', 'control.sock')));
    expect(error).toBeInstanceOf(XthrottleError);
    expect(error).toMatchObject({ exit: 'usage', hint: expect.stringContaining('chmod 700') });
  });

  it('is refused to a second xthrottle and goes on serving the first', async () => {
    server = await listen(path);
    const error = await failure(listen(path));
    expect(error).toMatchObject({ exit: 'usage', message: expect.stringContaining('another xthrottle is listening') });
    expect(readFileSync(`${path}.pid`, 'utf8')).toBe(`${process.pid}\n`);
    const sessions: RelaySession[] = [];
    server.sessions$.subscribe((session) => sessions.push(session));
    dial().write(encodeLine(helloOf(1)));
    await until(() => sessions.length === 1, 'the session');
  });

  it('of a dead process is replaced', async () => {
    // A socket that nobody accepts on: closed without removing its name.
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(join(dir, 'x'), resolve));
    const { linkSync } = await import('node:fs');
    linkSync(join(dir, 'x'), path);
    await new Promise((resolve) => dead.close(resolve));
    writeFileSync(`${path}.pid`, '1\n');
    expect(lstatSync(path).isSocket()).toBe(true);
    server = await listen(path);
    expect(readFileSync(`${path}.pid`, 'utf8')).toBe(`${process.pid}\n`);
    const sessions: RelaySession[] = [];
    server.sessions$.subscribe((session) => sessions.push(session));
    dial().write(encodeLine(helloOf(1)));
    await until(() => sessions.length === 1, 'the session');
  });

  it.each(['file', 'symbolic link'])('never replaces nor follows a %s', async (kind) => {
    const precious = join(dir, 'precious');
    writeFileSync(precious, 'precious');
    if (kind === 'file') writeFileSync(path, 'precious');
    else symlinkSync(precious, path);
    expect(await failure(listen(path))).toMatchObject({ exit: 'usage', message: expect.stringContaining('is not a socket') });
    expect(readFileSync(precious, 'utf8')).toBe('precious');
  });

  it('does not write its pid through a symbolic link', async () => {
    const precious = join(dir, 'precious');
    writeFileSync(precious, 'precious');
    symlinkSync(precious, `${path}.pid`);
    server = await listen(path);
    expect(readFileSync(precious, 'utf8')).toBe('precious');
    expect(lstatSync(`${path}.pid`).isFile()).toBe(true);
  });

  it('with too long a path is refused', async () => {
    expect(await failure(listen(join(dir, 'x'.repeat(120))))).toMatchObject({
      exit: 'usage',
      message: expect.stringContaining('too long'),
    });
  });

  it('is gone after close, which can be called twice', async () => {
    server = await listen(path);
    await Promise.all([server.close(), server.close()]);
    expect([existsSync(path), existsSync(`${path}.pid`)]).toEqual([false, false]);
  });
});

describe('relays', () => {
  it('are handed over with what they said before anybody listened', async () => {
    server = await listen(path);
    const client = dial();
    client.write(encodeLine(helloOf(7)));
    client.end('{"type":"suspended","atMs":2,"bytesSent":3}\n{"type":"end","atMs":3,"bytesSent":3,"exitCode":0}\n');
    const sessions: RelaySession[] = [];
    server.sessions$.subscribe((session) => sessions.push(session));
    await until(() => sessions.length === 1, 'the session');
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      sessions[0]?.messages$.subscribe({ next: (message) => seen.push(message.type), complete: resolve });
    });
    await done;
    expect(seen).toEqual(['suspended', 'end']);
    expect(sessions[0]?.hello.domid).toBe(7);
    // To one that is gone: nothing happens.
    sessions[0]?.answerSuspend(1, true);
  });

  it('of another protocol are told so and let go', async () => {
    server = await listen(path);
    const client = dial();
    client.write(encodeLine({ ...helloOf(1), version: 99 }));
    const heard: Buffer[] = [];
    client.on('data', (chunk) => heard.push(chunk));
    await new Promise((resolve) => client.once('close', resolve));
    expect(JSON.parse(Buffer.concat(heard).toString())).toMatchObject({ type: 'release', reason: expect.stringContaining('99') });
  });

  it.each([
    ['garbage', 'GET / HTTP/1.1\r\n\r\n'],
    ['an endless line', 'A'.repeat(LINE_BYTES_MAX + 2)],
    ['a hello and then garbage', `${encodeLine(helloOf(9))}garbage\n`],
    ['a hello that is none', '{"type":"hello"}\n'],
  ])('that send %s are cut off, others go on', async (_name, bytes) => {
    server = await listen(path);
    const sessions: RelaySession[] = [];
    server.sessions$.subscribe((session) => sessions.push(session));
    const bad = dial();
    bad.resume();
    bad.write(bytes);
    await new Promise((resolve) => bad.once('close', resolve));
    dial().write(encodeLine(helloOf(1)));
    await until(() => sessions.some((session) => session.hello.domid === 1), 'the good one');
  });

  it('can be many, and more than enough are turned away', async () => {
    server = await listen(path);
    const sessions: RelaySession[] = [];
    server.sessions$.subscribe((session) => sessions.push(session));
    for (let domid = 0; domid < 300; domid++)
      dial()
        .resume()
        .write(encodeLine(helloOf(domid)));
    await until(() => sessions.length >= 256, 'as many as may be');
    await until(() => clients.filter((client) => client.destroyed).length >= 300 - 256, 'the rest to be turned away');
    expect(sessions.length).toBe(256);
    expect(new Set(sessions.map((session) => session.hello.domid)).size).toBe(sessions.length);
  });
});
