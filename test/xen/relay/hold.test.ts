import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RelayServer } from '../../../src/xen/relay/server.ts';
import { type Bench, bench, capture, save, serve, until } from './harness.ts';

// Programs are started: slow on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let at: Bench;
let server: RelayServer | undefined;
let hold: Server | undefined;
beforeAll(async () => {
  at = await bench();
});
afterAll(() => at.dispose());
afterEach(async () => {
  hold?.close();
  await server?.close();
});

/** Listens as the one who makes the guest smaller does. */
async function holding() {
  const path = `${at.socketPath}.hold`;
  const held: { socket: Socket; said: string }[] = [];
  hold = createServer((socket) => {
    const one = { socket, said: '' };
    held.push(one);
    socket.setEncoding('utf8').on('data', (text: unknown) => {
      one.said += String(text);
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => hold?.listen(path, resolve));
  return { path, held };
}

describe('a migration that is held before its first round', () => {
  it('does not start the save helper until it is let go, and then goes over', async () => {
    const side = await serve(at, (message, session) => {
      if (message.type === 'suspend-request') session.answerSuspend(message.id, true);
    });
    server = side.server;
    const { path, held } = await holding();
    const run = save(at, { script: capture('02-migrate-tap-helper.log.gz'), env: { XTHROTTLE_HOLD: path } });
    await until(() => held[0]?.said === '3\n', 'the relay asks');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(side.sessions).toEqual([]);
    expect(run.received()).toHaveLength(0);
    held[0]?.socket.end();
    expect(await run.exit).toEqual({ code: 0, signal: null });
    expect(side.sessions).toHaveLength(1);
  });
  it('is not started at all when told so', async () => {
    const side = await serve(at, () => undefined);
    server = side.server;
    const { path, held } = await holding();
    const run = save(at, { script: capture('02-migrate-tap-helper.log.gz'), env: { XTHROTTLE_HOLD: path } });
    await until(() => held[0]?.said === '3\n', 'the relay asks');
    held[0]?.socket.end('abort\n');
    expect(await run.exit).toMatchObject({ code: 127 });
    expect(side.sessions).toEqual([]);
  });
});
