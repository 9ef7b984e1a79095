import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { cutFrames, decodeFrame, encodeReply, type Frame } from '../../../src/xen/relay/frames.ts';
import type { RelayMessage } from '../../../src/xen/relay/protocol.ts';
import { listen, type RelayServer, type RelaySession } from '../../../src/xen/relay/server.ts';

const here = (path: string): string => new URL(path, import.meta.url).pathname;
export const STAND_IN = here('stand-in-helper.mjs');

export function capture(name: string): string {
  const bytes = readFileSync(here(`../captures/${name}`));
  return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** A directory with the built relay and its front, sockets and logs. */
export interface Bench {
  readonly dir: string;
  readonly front: string;
  readonly socketPath: string;
  dispose(): void;
}

export async function bench(): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'relay-'));
  mkdirSync(join(dir, 'bin'));
  await build({
    entryPoints: [here('../../../src/xen/relay/relay.ts')],
    outfile: join(dir, 'bin/relay.js'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
  writeFileSync(join(dir, 'bin/package.json'), '{"type":"module"}');
  const front = join(dir, 'bin/front.sh');
  copyFileSync(here('../../../src/xen/relay/front.sh'), front);
  chmodSync(front, 0o755);
  mkdirSync(join(dir, 'run'), { mode: 0o700 });
  return { dir, front, socketPath: join(dir, 'run/control.sock'), dispose: () => rmSync(dir, { recursive: true, force: true }) };
}

export const SAVE = ['--save-domain', '15', '-1', '3', '1', '136', '0'];
const STREAM_FD = 15;

export interface Save {
  readonly child: ChildProcess;
  /** What libxl got, frame by frame. */
  readonly frames: readonly Frame[];
  readonly received: () => Buffer;
  readonly log: () => string;
  readonly stream: () => number;
  readonly xl: () => string;
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  go(): void;
}

export interface SaveOptions {
  readonly args?: readonly string[];
  readonly script?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The row that `xl sched-credit -d` shows. */
  readonly xlPrints?: string;
  /** libxl's reply to the suspend request. */
  readonly suspendReply?: number;
}

let runs = 0;

/** Runs the front as libxl would: control pipes, stream descriptor by number, replies to what waits for one. */
export function save(at: Bench, options: SaveOptions = {}): Save {
  const dir = join(at.dir, `save${++runs}`);
  mkdirSync(dir);
  const [log, go, stream, script, xl] = ['log', 'go', 'stream', 'script', 'xl'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
    string,
  ];
  writeFileSync(script, options.script ?? capture('02-migrate-tap-helper-without-round0.txt'));
  writeFileSync(`${xl}.sh`, `#!/bin/sh\necho "$*" >>'${xl}'\ncase "$*" in *' -c '*) ;; *) echo '${options.xlPrints ?? ''}' ;; esac\n`, {
    mode: 0o755,
  });
  const stdio: ('pipe' | 'ignore' | 'inherit' | number)[] = ['pipe', 'pipe', 'pipe'];
  for (let fd = 3; fd < STREAM_FD; fd++) stdio.push('ignore');
  stdio.push(openSync(stream, 'w'));
  const child = spawn(at.front, options.args ?? SAVE, {
    stdio,
    env: {
      PATH: process.env['PATH'] ?? '',
      XTHROTTLE_SOCKET: at.socketPath,
      XTHROTTLE_REAL_HELPER: STAND_IN,
      XTHROTTLE_NODE: process.execPath,
      XTHROTTLE_XL: `${xl}.sh`,
      STAND_IN_SCRIPT: script,
      STAND_IN_LOG: log,
      STAND_IN_GO: go,
      ...options.env,
    },
  });
  const frames: Frame[] = [];
  const chunks: Buffer[] = [];
  let rest: Buffer = Buffer.alloc(0);
  child.stdin?.on('error', () => undefined);
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    const cut = cutFrames(rest, chunk);
    rest = cut.rest;
    for (const bytes of cut.frames) {
      frames.push(decodeFrame(bytes));
      const type = bytes.readUInt16LE(2);
      if (type === 3) child.stdin?.write(encodeReply(options.suspendReply ?? 1));
      else if (type === 7 || type === 10) child.stdin?.write(encodeReply(0));
    }
  });
  child.stderr?.pipe(process.stderr);
  const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  return {
    child,
    frames,
    received: () => Buffer.concat(chunks),
    log: () => read(log),
    stream: () => read(stream).length,
    xl: () => read(xl),
    exit: new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal }))),
    go: () => writeFileSync(go, ''),
  };
}

/** A server that welcomes each relay and collects what it says; `on` is called for each message. */
export async function serve(
  at: Bench,
  on: (message: RelayMessage, session: RelaySession) => void,
  welcome: Partial<Parameters<RelaySession['welcome']>[0]> = {},
): Promise<{ readonly server: RelayServer; readonly sessions: RelaySession[]; readonly messages: RelayMessage[]; gone(): number }> {
  const server = await listen(at.socketPath);
  const sessions: RelaySession[] = [];
  const messages: RelayMessage[] = [];
  let gone = 0;
  server.sessions$.subscribe((session) => {
    sessions.push(session);
    session.welcome({ capOriginal: 0, scheduler: 'credit', domid: session.hello.domid, ...welcome });
    session.messages$.subscribe({
      next(message) {
        messages.push(message);
        on(message, session);
      },
      complete() {
        gone++;
      },
    });
  });
  return { server, sessions, messages, gone: () => gone };
}

/** Until `what` holds; fails after 20 s. */
export async function until(what: () => boolean, name: string): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (what()) return;
    await sleep(10);
  }
  throw new Error(`waited 20 s for: ${name}`);
}
