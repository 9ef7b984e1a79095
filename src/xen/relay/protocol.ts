import type { Bytes, Ms, Pages } from '../../core/units.ts';

/**
 * The socket protocol between the relay (client, one per migration) and xthrottle (server): JSON lines, each an object with a `type`.
 * The relay speaks first (`hello`), the server answers with `welcome` or `release`. Unknown types and fields are ignored by both.
 * A line longer than LINE_BYTES_MAX, or one that is not such an object, ends the connection; the migration then goes on as stock.
 */
export const PROTOCOL_VERSION = 1;
export const LINE_BYTES_MAX = 16_384;
/** How long a relay waits for leave to suspend, unless `welcome` says otherwise; the guest runs on meanwhile. */
export const SUSPEND_WAIT_MS = 3000;
/** How long a relay waits for the answer to a policy query, unless `welcome` says otherwise. */
export const POLICY_WAIT_MS = 1000;
/** No wait may be longer, whatever `welcome` says; the preloaded policy object gives up on the relay a second later. */
export const SUSPEND_WAIT_MS_MAX = 30_000;
export const POLICY_WAIT_MS_MAX = 4000;

export interface Hello {
  readonly type: 'hello';
  readonly version: number;
  readonly atMs: Ms;
  readonly domid: number;
  /** The save's flags as libxl gave them; bit 0 is "live". */
  readonly flags: number;
  readonly relayPid: number;
  readonly helperPid: number;
  /** The pre-copy policy object is loaded into the helper. */
  readonly policy: boolean;
  /** Why it is not, in words. */
  readonly policyMissing?: string;
  /** The running hypervisor, `4.17`. */
  readonly xenVersion?: string;
  /** The program whose libxl makes the save, as the kernel names it: `xl`, `libvirtd`. */
  readonly startedBy?: string;
}

interface Timed {
  /** CLOCK_MONOTONIC of the relay, which is that of every process on this host. */
  readonly atMs: Ms;
  /** What the helper has written to the migration stream so far. */
  readonly bytesSent: Bytes;
}

export type RelayMessage = Timed &
  (
    | { readonly type: 'round-start'; readonly round: number; readonly pagesToSend: Pages }
    | { readonly type: 'progress'; readonly round: number; readonly pagesSent: Pages; readonly pagesToSend: Pages }
    | PolicyQueryMessage
    | SuspendRequestMessage
    /** What became of the suspend request; `lifted` tells that the relay itself put the cap back first (undefined: it did not try). */
    | {
        readonly type: 'suspend-settled';
        readonly id: number;
        readonly result: 'passed-on' | 'denied';
        /** `timeout`: no answer came; `observe`: nobody was asked; `signal`: denied because the relay was told to end. */
        readonly by: 'server' | 'timeout' | 'observe' | 'signal';
        readonly lifted?: boolean;
      }
    | { readonly type: 'suspended' }
    | { readonly type: 'stop-and-copy'; readonly pagesSent: Pages; readonly pagesToSend: Pages }
    /** libxenguest's own result: 0 and 0, or its return value and errno. */
    | { readonly type: 'complete'; readonly result: number; readonly errno: number }
    /** A warning or error of the helper (xentoollog levels: 7 warning, 8 error, 9 critical). */
    | { readonly type: 'log'; readonly level: number; readonly context: string; readonly text: string }
    /** The helper has ended; the last message. Without it the relay itself was lost. */
    | { readonly type: 'end'; readonly exitCode?: number; readonly signal?: string }
  );

/** libxenguest asks for the policy's answer, before or after sending `round`; not `awaited`: for information, stock's answer was given. */
export interface PolicyQueryMessage {
  readonly type: 'policy-query';
  readonly id: number;
  readonly awaited: boolean;
  readonly when: 'before' | 'after';
  readonly round: number;
  readonly dirtyPages?: Pages;
  readonly totalWritten: Pages;
}

/** The helper wants the guest suspended, after `round`; not `awaited`: for information, it is passed on. */
export interface SuspendRequestMessage {
  readonly type: 'suspend-request';
  readonly id: number;
  readonly awaited: boolean;
  readonly round: number;
}

export type PolicyAnswer = 'continue' | 'stop-and-copy' | 'abort';

export interface Welcome {
  /** The cap to put back, in Xen's number (0 = none). */
  readonly capOriginal: number;
  readonly scheduler: 'credit' | 'credit2' | 'other';
  readonly domid: number;
  /** 0…30000; default 3000. */
  readonly suspendWaitMs?: number;
  /** 0…4000; default 1000. */
  readonly policyWaitMs?: number;
  /** Only report: nothing waits for an answer. */
  readonly observe?: boolean;
}

export type ServerMessage =
  | ({ readonly type: 'welcome'; readonly version: number } & Welcome)
  | { readonly type: 'release'; readonly reason?: string }
  | { readonly type: 'suspend-answer'; readonly id: number; readonly grant: boolean; readonly reason?: string; readonly afterMs?: number }
  /** `reason`: of an abort, for libxl's own output. */
  | { readonly type: 'policy-answer'; readonly id: number; readonly answer: PolicyAnswer; readonly reason?: string }
  /** `cap`: what is about to be set, in Xen's number. */
  | { readonly type: 'cap-set'; readonly set: boolean; readonly cap?: number }
  | { readonly type: 'abort'; readonly reason: string };

/** Lines cut from a stream; `overlong` once one exceeds LINE_BYTES_MAX, which ends the connection. */
export interface Lines {
  readonly lines: readonly string[];
  readonly rest: Buffer;
  readonly overlong: boolean;
}

/** Cuts complete lines from what was left and what came; chunks may be cut anywhere. */
export function cutLines(rest: Buffer, chunk: Buffer): Lines {
  const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
  const lines: string[] = [];
  let from = 0;
  for (let end = all.indexOf(10); end >= 0; end = all.indexOf(10, from)) {
    if (end - from > LINE_BYTES_MAX) return { lines, rest: Buffer.alloc(0), overlong: true };
    lines.push(all.toString('utf8', from, end));
    from = end + 1;
  }
  const left = all.subarray(from);
  if (left.length > LINE_BYTES_MAX) return { lines, rest: Buffer.alloc(0), overlong: true };
  return { lines, rest: Buffer.from(left), overlong: false };
}

export const encodeLine = (message: Hello | RelayMessage | ServerMessage): string => `${JSON.stringify(message)}\n`;

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

const whole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const finite = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const text = (value: unknown): value is string => typeof value === 'string';
const flag = (value: unknown): value is boolean => typeof value === 'boolean';
const oneOf =
  (...words: readonly string[]) =>
  (value: unknown): boolean =>
    text(value) && words.includes(value);
const maybe =
  (check: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    value === undefined || check(value);

type Shape = Readonly<Record<string, (value: unknown) => boolean>>;

const TIMED: Shape = { atMs: finite, bytesSent: whole };
const PROGRESS: Shape = { ...TIMED, pagesSent: whole, pagesToSend: whole };
const RELAY_SHAPES: Readonly<Record<string, Shape>> = {
  'round-start': { ...TIMED, round: whole, pagesToSend: whole },
  progress: { ...PROGRESS, round: whole },
  'policy-query': {
    ...TIMED,
    id: whole,
    awaited: flag,
    when: oneOf('before', 'after'),
    round: whole,
    dirtyPages: maybe(whole),
    totalWritten: whole,
  },
  'suspend-request': { ...TIMED, id: whole, awaited: flag, round: whole },
  'suspend-settled': {
    ...TIMED,
    id: whole,
    result: oneOf('passed-on', 'denied'),
    by: oneOf('server', 'timeout', 'observe', 'signal'),
    lifted: maybe(flag),
  },
  suspended: TIMED,
  'stop-and-copy': PROGRESS,
  complete: { ...TIMED, result: Number.isSafeInteger, errno: Number.isSafeInteger },
  log: { ...TIMED, level: whole, context: text, text },
  end: { ...TIMED, exitCode: maybe(whole), signal: maybe(text) },
};
const HELLO_SHAPE: Shape = {
  version: whole,
  atMs: finite,
  domid: whole,
  flags: whole,
  relayPid: whole,
  helperPid: whole,
  policy: flag,
  policyMissing: maybe(text),
  xenVersion: maybe(text),
  startedBy: maybe(text),
};
const SERVER_SHAPES: Readonly<Record<string, Shape>> = {
  welcome: {
    version: whole,
    capOriginal: whole,
    scheduler: oneOf('credit', 'credit2', 'other'),
    domid: whole,
    suspendWaitMs: maybe(finite),
    policyWaitMs: maybe(finite),
    observe: maybe(flag),
  },
  release: { reason: maybe(text) },
  'suspend-answer': { id: whole, grant: flag, reason: maybe(text), afterMs: maybe(finite) },
  'policy-answer': { id: whole, answer: oneOf('continue', 'stop-and-copy', 'abort'), reason: maybe(text) },
  'cap-set': { set: flag, cap: maybe(whole) },
  abort: { reason: text },
};

const fits = (fields: Fields, shape: Shape): boolean => Object.entries(shape).every(([name, check]) => check(fields[name]));

/** `ignore`: a type of a later version; `garbage`: not of this protocol. */
type Parsed<T> = T | 'ignore' | 'garbage';

function parse<T>(line: string, shapes: Readonly<Record<string, Shape>>): Parsed<T> {
  const fields = fieldsOf(line);
  if (fields === undefined || !text(fields['type'])) return 'garbage';
  if (!Object.hasOwn(shapes, fields['type'])) return 'ignore';
  return fits(fields, shapes[fields['type']] as Shape) ? (fields as T) : 'garbage';
}

/** The relay's first line; undefined when it is none. */
export function parseHello(line: string): Hello | undefined {
  const hello = parse<Hello>(line, { hello: HELLO_SHAPE });
  return typeof hello === 'string' ? undefined : hello;
}

export const parseRelayMessage = (line: string): Parsed<RelayMessage> => parse<RelayMessage>(line, RELAY_SHAPES);

export const parseServerMessage = (line: string): Parsed<ServerMessage> => parse<ServerMessage>(line, SERVER_SHAPES);
