import { connect, type Socket } from 'node:net';
import {
  cutLines,
  encodeLine,
  type Hello,
  PROTOCOL_VERSION,
  parseServerMessage,
  type RelayMessage,
  type ServerMessage,
} from './protocol.ts';

/** The relay's side of the socket. */
export interface Link {
  readonly open: boolean;
  send(message: Hello | RelayMessage): void;
  /** Gives the server up, as if it were lost. */
  drop(): void;
  /** Sends what is left, at most for `withinMs`. */
  finish(withinMs: number): Promise<void>;
}

export interface LinkListener {
  onMessage(message: ServerMessage): void;
  /** The server is gone or let us go; called once, never after `finish`. */
  onLost(released: boolean): void;
}

/** Unread by the server beyond this: progress is dropped; beyond twice this the server counts as lost. */
const UNSENT_BYTES_MAX = 1 << 20;

/** Connects to the server; undefined when that does not work within `withinMs`. */
export function dial(socketPath: string, withinMs: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const timer = setTimeout(() => settle(undefined), withinMs);
    const settle = (result: Socket | undefined) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      // Whatever is emitted later on a connection that was given up.
      socket.on('error', () => undefined);
      if (result === undefined) socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => settle(socket));
    socket.once('error', () => settle(undefined));
  });
}

export function linkOver(socket: Socket, listener: LinkListener): Link {
  let rest: Buffer = Buffer.alloc(0);
  let open = true;
  const lose = (released: boolean) => {
    if (!open) return;
    open = false;
    socket.destroy();
    listener.onLost(released);
  };
  const take = (line: string) => {
    if (!open) return;
    const message = parseServerMessage(line);
    if (message === 'ignore') return;
    if (message === 'garbage' || (message.type === 'welcome' && message.version !== PROTOCOL_VERSION)) lose(false);
    else if (message.type === 'release') lose(true);
    else listener.onMessage(message);
  };
  socket.on('data', (chunk: Buffer) => {
    const cut = cutLines(rest, chunk);
    rest = cut.rest;
    for (const line of cut.lines) take(line);
    if (cut.overlong) lose(false);
  });
  socket.on('close', () => lose(false));
  return {
    get open() {
      return open;
    },
    send(message) {
      if (!open) return;
      const unsent = socket.writableLength;
      if (unsent > 2 * UNSENT_BYTES_MAX) lose(false);
      else if (unsent <= UNSENT_BYTES_MAX || message.type !== 'progress') socket.write(encodeLine(message));
    },
    drop: () => lose(false),
    finish(withinMs) {
      if (!open) return Promise.resolve();
      open = false;
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, withinMs);
        socket.end(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}
