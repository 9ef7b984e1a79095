import { execa } from 'execa';
import { XthrottleError } from '../core/errors.ts';
import { type Ms, ms } from '../core/units.ts';
import { type Owner, processOf } from './owner.ts';
import { type RunXl, XL_OUTPUT_BYTES_MAX, XL_TIMEOUT_MS, type XlResult, xlBinary } from './xl-errors.ts';

/** One finished call, for metrics: `command` is xl's subcommand, a bounded vocabulary. */
export interface XlCall {
  readonly command: string;
  readonly ms: Ms;
  readonly ok: boolean;
}

export interface XlOptions {
  /** Default: XTHROTTLE_XL, else xl of PATH. */
  readonly binary?: string;
  readonly timeoutMs?: Ms;
  readonly onCall?: (call: XlCall) => void;
  /** Starts the program; default: execa. */
  readonly start?: StartProgram;
}

/** How a program ended, and what it wrote. */
export interface ProgramEnd {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly isMaxBuffer?: boolean;
  readonly stdout: string;
  readonly stderr: string;
  readonly code?: string | undefined;
  readonly cause?: unknown;
}

/** A program that was started: `ended` never rejects; `kill` ends its whole group, `leave` stops waiting for it. */
export interface Program {
  readonly ended: Promise<ProgramEnd>;
  /** Which process it is; undefined when it has ended, or never started. */
  who(): Owner | undefined;
  kill(): void;
  leave(): void;
}

export type StartProgram = (binary: string, args: readonly string[]) => Program;

/** A killed xl ends at once, unless it hangs in the hypervisor, where no signal reaches it, or something holds its output. */
const KILL_WAIT_MS = 1000;

/**
 * The one way to call xl: an argument array (never a shell), C locale, no stdin, bounded output and time. Each call is a session of its
 * own, so that Ctrl-C at the terminal or the end of our process group does not cut a cap change in half; when time is up its whole
 * group is killed.
 */
export function createXl(options: XlOptions = {}): RunXl {
  const binary = options.binary ?? xlBinary();
  const timeoutMs = options.timeoutMs ?? XL_TIMEOUT_MS;
  const start = options.start ?? startProgram;
  return async (args) => {
    const result = await runOnce(start, binary, args, timeoutMs);
    options.onCall?.({ command: args[0] ?? '', ms: result.tookMs, ok: result.ok });
    return result;
  };
}

async function runOnce(start: StartProgram, binary: string, args: readonly string[], timeoutMs: Ms): Promise<XlResult> {
  const startedAt = performance.now();
  const program = start(binary, args);
  let timedOut = false;
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<'overdue'>((resolve) => {
    timer = setTimeout(() => {
      timedOut = true;
      program.kill();
      timer = setTimeout(() => resolve('overdue'), KILL_WAIT_MS);
    }, timeoutMs);
  });
  const result = await Promise.race([program.ended, overdue]).finally(() => clearTimeout(timer));
  const tookMs = ms(performance.now() - startedAt);
  if (result === 'overdue') {
    const lingers = program.who();
    program.leave();
    return { ok: false, timedOut, stdout: '', stderr: '', tookMs, ...(lingers === undefined ? {} : { lingers }) };
  }
  if (result.exitCode === undefined && result.signal === undefined && !timedOut && !result.isMaxBuffer) throw cannotStart(binary, result);
  return {
    ok: result.exitCode === 0 && !timedOut,
    ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
    timedOut,
    stdout: result.stdout,
    stderr: result.stderr,
    tookMs,
  };
}

const startProgram: StartProgram = (binary, args) => {
  const child = execa(binary, [...args], {
    reject: false,
    detached: true,
    cleanup: false,
    stdin: 'ignore',
    env: { LC_ALL: 'C' },
    maxBuffer: XL_OUTPUT_BYTES_MAX,
    stripFinalNewline: false,
  });
  return {
    ended: Promise.resolve(child),
    who: () => processOf(child.pid),
    kill: () => killGroup(child.pid),
    leave() {
      // It may end when the kernel lets it; we do not wait for it any more.
      child.unref();
      child.stdout?.destroy();
      child.stderr?.destroy();
    },
  };
};

/** Ends a process group that we started; one that is gone already is no error. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (pid === undefined || pid <= 1) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: it has ended.
  }
}

export function cannotStart(binary: string, failure: { readonly code?: string | undefined; readonly cause?: unknown }): XthrottleError {
  const code = failure.code ?? (failure.cause as NodeJS.ErrnoException | undefined)?.code;
  const missing = code === 'ENOENT';
  return new XthrottleError('noXl', `${binary} ${missing ? 'was not found' : `cannot be started (${code ?? 'unknown'})`}`, {
    hint: missing
      ? 'run in dom0 of a Xen host; xl is in the package xen-utils (Debian) or xen-tools, XTHROTTLE_XL names it elsewhere'
      : 'run as root in dom0; XTHROTTLE_XL must name an executable',
    cause: failure.cause,
  });
}
