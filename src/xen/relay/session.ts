import type { Socket } from 'node:net';
import type { Observable } from 'rxjs';
import { handoff } from './handoff.ts';
import {
  cutLines,
  encodeLine,
  type Hello,
  type PolicyAnswer,
  PROTOCOL_VERSION,
  parseHello,
  parseRelayMessage,
  type RelayMessage,
  type ServerMessage,
  type Welcome,
} from './protocol.ts';

/** One migration's relay. Every call is fire and forget: to a relay that is gone it does nothing. */
export interface RelaySession {
  readonly hello: Hello;
  /** In order, for one subscriber; nothing before the subscription is lost. Completes when the relay is gone, never errors. */
  readonly messages$: Observable<RelayMessage>;
  /** Takes the migration on. Until then the relay reports, and answers as stock Xen when its waits run out. */
  welcome(options: Welcome): void;
  /** Leaves the migration alone: it goes on as stock, `messages$` completes. */
  release(reason?: string): void;
  /**
   * Leave to suspend. Lift the cap before granting. `afterMs`: the relay passes the request on only so much later (0…5000).
   * Denied: the guest is never suspended, the migration fails cleanly and libxl's output carries `reason`.
   */
  answerSuspend(id: number, grant: boolean, reason?: string, afterMs?: number): void;
  answerPolicy(id: number, answer: PolicyAnswer, reason?: string): void;
  /**
   * True before a cap below the original is set, with that cap; false once the original is back. Only in between does a relay that lost us
   * lift it, and only a cap that it was told of here: another one is somebody else's.
   */
  capSet(set: boolean, cap?: number): void;
  /** Ends the migration with the guest left here. Before the suspend request: SIGTERM to the helper; waiting at it: denied. */
  abort(reason: string): void;
}

/** A relay reports each 1024 pages: more than this unread means that nobody reads. */
const MESSAGES_WAITING_MAX = 4096;
const HELLO_WAIT_MS = 5000;

/** Reads `socket`; calls `onHello` once if it speaks our protocol, else ends the connection. */
export function attend(socket: Socket, onHello: (session: RelaySession) => void): void {
  const messages = handoff<RelayMessage>(MESSAGES_WAITING_MAX);
  let rest: Buffer = Buffer.alloc(0);
  let state: 'new' | 'greeted' | 'refused' = 'new';
  const impatience = setTimeout(() => socket.destroy(), HELLO_WAIT_MS);
  const refuse = (reason: string) => {
    state = 'refused';
    send(socket, { type: 'release', reason });
    socket.destroySoon();
  };
  const line = (text: string): void => {
    if (socket.destroyed || state === 'refused') return;
    if (state === 'greeted') {
      const message = parseRelayMessage(text);
      if (message === 'garbage') socket.destroy();
      else if (message !== 'ignore') messages.next(message);
      return;
    }
    const hello = parseHello(text);
    clearTimeout(impatience);
    if (hello === undefined) refuse('not a hello');
    else if (hello.version !== PROTOCOL_VERSION) refuse(`protocol ${hello.version}, expected ${PROTOCOL_VERSION}`);
    else {
      state = 'greeted';
      onHello(sessionOf(socket, hello, messages.stream$));
    }
  };
  socket.on('data', (chunk: Buffer) => {
    const cut = cutLines(rest, chunk);
    rest = cut.rest;
    for (const text of cut.lines) line(text);
    if (cut.overlong) socket.destroy();
  });
  // An 'error' is always followed by 'close'.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    clearTimeout(impatience);
    messages.complete();
  });
}

function send(socket: Socket, message: ServerMessage): void {
  if (socket.writable) socket.write(encodeLine(message));
}

function sessionOf(socket: Socket, hello: Hello, messages$: Observable<RelayMessage>): RelaySession {
  return {
    hello,
    messages$,
    welcome: (options) => send(socket, { type: 'welcome', version: PROTOCOL_VERSION, ...options }),
    release(reason) {
      send(socket, { type: 'release', ...(reason === undefined ? {} : { reason }) });
      socket.destroySoon();
    },
    answerSuspend: (id, grant, reason, afterMs) =>
      send(socket, {
        type: 'suspend-answer',
        id,
        grant,
        ...(reason === undefined ? {} : { reason }),
        ...(afterMs === undefined ? {} : { afterMs }),
      }),
    answerPolicy: (id, answer, reason) => send(socket, { type: 'policy-answer', id, answer, ...(reason === undefined ? {} : { reason }) }),
    capSet: (set, cap) => send(socket, { type: 'cap-set', set, ...(cap === undefined ? {} : { cap }) }),
    abort: (reason) => send(socket, { type: 'abort', reason }),
  };
}
