import { chmodSync, linkSync, lstatSync, mkdirSync, renameSync, type Stats, unlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import type { Observable } from 'rxjs';
import { XthrottleError } from '../../core/errors.ts';
import { handoff } from './handoff.ts';
import { attend, type RelaySession } from './session.ts';

export type { RelaySession } from './session.ts';

export interface RelayServer {
  readonly socketPath: string;
  /** Each relay that introduced itself, for one subscriber; completes when the server is closed. */
  readonly sessions$: Observable<RelaySession>;
  /** Lets every relay go (their migrations go on as stock) and removes the socket. Idempotent. */
  close(): Promise<void>;
}

export const DEFAULT_SOCKET = '/run/xthrottle/control.sock';
/** Connections at a time; a host has far fewer migrations. */
const CLIENTS_MAX = 256;
const SESSIONS_WAITING_MAX = 256;
/** sockaddr_un.sun_path with its NUL. */
const SOCKET_PATH_BYTES_MAX = 107;
const PROBE_WAIT_MS = 1000;
const CLOSE_WAIT_MS = 1000;

/**
 * Listens for relays at `socketPath`, mode 0600, in a directory of ours with mode 0700 (made if it is not there), and writes our pid
 * to `<socketPath>.pid`, by which the front knows that somebody listens. The socket of a dead process is replaced.
 * Throws XthrottleError: `usage` when another xthrottle listens there or the path cannot be used safely, `unexpected` when the system refuses.
 */
export async function listen(socketPath: string): Promise<RelayServer> {
  const ours = `${socketPath}.${process.pid}`;
  if (Buffer.byteLength(ours) > SOCKET_PATH_BYTES_MAX) {
    throw new XthrottleError('usage', `the socket path ${socketPath} is too long`, {
      hint: `give one of at most ${SOCKET_PATH_BYTES_MAX - String(process.pid).length - 1} bytes in XTHROTTLE_SOCKET`,
    });
  }
  prepareDirectory(dirname(socketPath));
  const sockets = new Set<Socket>();
  const sessions = handoff<RelaySession>(SESSIONS_WAITING_MAX);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    attend(socket, (session) => sessions.next(session));
  });
  server.maxConnections = CLIENTS_MAX;
  await bind(server, ours);
  try {
    await claim(ours, socketPath);
  } catch (error) {
    server.close();
    throw error;
  }
  const inode = lstatSync(socketPath).ino;
  let closing: Promise<void> | undefined;
  return {
    socketPath,
    sessions$: sessions.stream$,
    close() {
      closing ??= new Promise((resolve) => {
        if (statOf(socketPath)?.ino === inode) for (const path of [`${socketPath}.pid`, socketPath]) removeIfThere(path);
        server.close(() => resolve());
        for (const socket of sockets) socket.destroySoon();
        // A relay that was stopped never reads its last words.
        setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, CLOSE_WAIT_MS).unref();
        sessions.complete();
      });
      return closing;
    },
  };
}

function prepareDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new XthrottleError('unexpected', `cannot make the socket's directory ${directory}`, { hint: 'run as root', cause });
  }
  const stat = lstatSync(directory);
  const hint = `give a path in a directory of its own in XTHROTTLE_SOCKET, or: chown ${process.getuid?.()} ${directory} && chmod 700 ${directory}`;
  if (!stat.isDirectory()) throw new XthrottleError('usage', `${directory} is not a directory`, { hint });
  if (stat.uid !== process.getuid?.() || (stat.mode & 0o077) !== 0) {
    throw new XthrottleError(
      'usage',
      `${directory} must be ours and closed to others (mode 700), because who writes there steers domains`,
      {
        hint,
      },
    );
  }
}

function bind(server: Server, path: string): Promise<void> {
  removeIfThere(path);
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) => reject(new XthrottleError('unexpected', `cannot listen at ${path}: ${cause.message}`, { cause }));
    server.once('error', failed);
    server.listen(path, () => {
      server.off('error', failed);
      server.on('error', () => undefined);
      chmodSync(path, 0o600);
      resolve();
    });
  });
}

/** Gives the bound socket its public name; link(2) never replaces, so of two that start together one is told of the other. */
async function claim(ours: string, socketPath: string): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      linkSync(ours, socketPath);
      writePid(socketPath);
      unlinkSync(ours);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new XthrottleError('unexpected', `cannot make ${socketPath}`, { cause: error });
      }
    }
    await clearStale(socketPath);
  }
  throw new XthrottleError('unexpected', `cannot claim ${socketPath}: others keep taking it`);
}

/** Removes what a dead process left at `socketPath`; throws when it is alive, or was no socket. */
async function clearStale(socketPath: string): Promise<void> {
  const found = statOf(socketPath);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new XthrottleError('usage', `${socketPath} is there and is not a socket`, {
      hint: 'remove it, or give another path in XTHROTTLE_SOCKET',
    });
  }
  if (await isAnswered(socketPath)) {
    throw new XthrottleError('usage', `another xthrottle is listening at ${socketPath}`, {
      hint: 'use that one, stop it, or give another path in XTHROTTLE_SOCKET',
    });
  }
  if (statOf(socketPath)?.ino === found.ino) removeIfThere(socketPath);
}

function isAnswered(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (answered: boolean) => {
      clearTimeout(timer);
      probe.destroy();
      resolve(answered);
    };
    // Somebody who holds the socket but is too busy to accept is alive.
    const timer = setTimeout(() => settle(true), PROBE_WAIT_MS);
    probe.once('connect', () => settle(true));
    probe.once('error', (error: NodeJS.ErrnoException) => settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}

function writePid(socketPath: string): void {
  const draft = join(dirname(socketPath), `.${basename(socketPath)}.pid.${process.pid}`);
  removeIfThere(draft);
  writeFileSync(draft, `${process.pid}\n`, { flag: 'wx', mode: 0o600 });
  renameSync(draft, `${socketPath}.pid`);
}

const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
