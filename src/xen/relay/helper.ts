import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import type { Duplex, Readable, Writable } from 'node:stream';

/** `--save-domain STREAM-FD BACK-CHANNEL-FD DOMID FLAGS CALLBACK-FLAGS STREAM-TYPE`, as libxl gave them. */
export interface Job {
  readonly args: readonly string[];
  /** Descriptors that the helper inherits by number. */
  readonly fds: readonly number[];
  readonly domid: number;
  readonly flags: number;
}

/** Reads the arguments of a save; undefined when they are not as libxl writes them. */
export function jobOf(args: readonly string[]): Job | undefined {
  const [mode, , , domid, flags] = args;
  if (mode !== '--save-domain' || args.length !== 7 || !isNumber(domid) || !isNumber(flags)) return undefined;
  return { args, fds: descriptorsOf(args), domid: Number(domid), flags: Number(flags) };
}

const isNumber = (text: string | undefined): text is string => text !== undefined && /^\d{1,10}$/.test(text);

/** The first two arguments after the mode, in a save and in a restore; −1 is none, and 0…2 are the control pipes and stderr. */
const descriptorsOf = (args: readonly string[]): readonly number[] => [
  ...new Set(
    args
      .slice(1, 3)
      .filter(isNumber)
      .map(Number)
      .filter((fd) => fd > 2 && fd < 1 << 20),
  ),
];

export interface Helper {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Its control pipe: what it says to libxl and what it reads from it. */
  readonly says: Readable;
  readonly hears: Writable;
  /** The policy object's channel, where it was loaded. */
  readonly policy?: Duplex;
}

/** A preloaded object and nothing else of ours: its path, and the environment that tells it its descriptor. */
export interface Preload {
  readonly path: string;
  environment(fd: number): Readonly<Record<string, string>>;
}

/** Starts the real helper on the same descriptors, by number, and closes our own copies of them, so that its end ends the stream. */
export function startHelper(path: string, job: Job, preload: Preload | undefined): Promise<Helper> {
  const policyFd = preload === undefined ? undefined : Math.max(2, ...job.fds) + 1;
  const stdio = stdioOf('pipe', job.fds);
  if (policyFd !== undefined) stdio.push('pipe');
  const child = spawn(path, job.args, { stdio, env: environmentOf(preload, policyFd) });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      child.off('error', reject);
      child.on('error', () => undefined);
      for (const fd of job.fds) closeSync(fd);
      const policy = policyFd === undefined ? undefined : (child.stdio[policyFd] as unknown as Duplex);
      resolve({
        process: child,
        pid: child.pid as number,
        says: child.stdout as Readable,
        hears: child.stdin as Writable,
        ...(policy === undefined ? {} : { policy }),
      });
    });
  });
}

/** stdin and stdout as `control`, our stderr, and `fds` by their numbers; from 3 on, "ignore" leaves a number closed. */
function stdioOf(control: 'pipe' | 'inherit', fds: readonly number[]): ('pipe' | 'inherit' | 'ignore' | number)[] {
  const stdio: ('pipe' | 'inherit' | 'ignore' | number)[] = [control, control, 'inherit'];
  for (let fd = 3; fd <= Math.max(2, ...fds); fd++) stdio.push(fds.includes(fd) ? fd : 'ignore');
  return stdio;
}

function environmentOf(preload: Preload | undefined, policyFd: number | undefined): NodeJS.ProcessEnv {
  if (preload === undefined || policyFd === undefined) return process.env;
  const others = process.env['LD_PRELOAD'];
  return {
    ...process.env,
    ...preload.environment(policyFd),
    LD_PRELOAD: others === undefined || others === '' ? preload.path : `${preload.path}:${others}`,
  };
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long the control pipe may stay open after the helper's end (somebody else holds it). */
const CLOSE_WAIT_MS = 1000;

/** Settles when the helper has ended and all it said is read. */
export function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      const timer = setTimeout(() => resolve({ code, signal }), CLOSE_WAIT_MS);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
  });
}

/** Ends this process as the helper ended. */
export function endAs(exit: Exit): void {
  if (exit.signal !== null) {
    for (const signal of FORWARDED) process.removeAllListeners(signal);
    try {
      process.kill(process.pid, exit.signal);
    } catch {
      process.exit(1);
    }
    // Node ignores SIGPIPE: what a shell would report.
    setTimeout(() => process.exit(exit.signal === 'SIGPIPE' ? 141 : 1), 500);
    return;
  }
  process.exit(exit.code ?? 1);
}

/** What libxl or a person sends us is meant for the helper. */
export const FORWARDED: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP'];

/** Runs the helper as if we were not there; for when there is no server after all. */
export async function becomeHelper(path: string, args: readonly string[]): Promise<void> {
  const fds = descriptorsOf(args);
  const child = spawn(path, args, { stdio: stdioOf('inherit', fds) });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  const failed = new Promise<Exit>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`xthrottle: cannot start ${path}: ${error.message}\n`);
      resolve({ code: 127, signal: null });
    });
  });
  child.once('spawn', () => {
    for (const fd of fds) closeSync(fd);
  });
  endAs(await Promise.race([exitOf(child), failed]));
}

/** Bytes that `pid` has written so far, to everything; undefined when the kernel does not say. */
export function bytesWritten(pid: number): number | undefined {
  try {
    const match = /^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

/** The name of a process's program, as the kernel keeps it; undefined when it does not say. */
export function programOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** The running hypervisor's version, `4.17`; undefined where this is no Xen. */
export function xenVersion(): string | undefined {
  const read = (part: string): string => readFileSync(`/sys/hypervisor/version/${part}`, 'latin1').trim();
  try {
    return `${read('major')}.${read('minor')}`;
  } catch {
    return undefined;
  }
}
