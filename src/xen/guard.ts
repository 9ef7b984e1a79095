import { type ChildProcess, spawn } from 'node:child_process';
import { assetPath } from '../assets.ts';
import { messageOf } from '../core/errors.ts';
import { stateDirectory } from './journal.ts';
import { thisProcess } from './owner.ts';

/** A running dead man's switch. One serves all the domains of this process. */
export interface Guard {
  readonly pid: number;
  /** False once it has died: the next `startGuard` makes another. */
  alive(): boolean;
  /** All is put back: it may go. */
  dismiss(): Promise<void>;
}

export interface GuardOptions {
  readonly directory?: string;
  /** The program; default: guard-main.js beside us. */
  readonly mainPath?: string;
  readonly startMs?: number;
}

/**
 * Node's own start takes 40 ms on hardware and several seconds in a busy emulator. A guard that is late is not waited for: the pipe is
 * there from the start, and its end is seen whenever the guard comes to read it.
 */
const START_MS = 2000;
const BYE_MS = 2000;

/** Starts it and waits a moment for its word. Answers with the reason when it cannot be: then only `xthrottle restore` covers a SIGKILL. */
export async function startGuard(options: GuardOptions = {}): Promise<Guard | { readonly reason: string }> {
  const program = options.mainPath ?? assetPath('src/xen/guard-main.js');
  const directory = options.directory ?? stateDirectory();
  let child: ChildProcess;
  try {
    // Node sets close-on-exec on the pipe: no other child of ours keeps it open after our death.
    child = spawn(process.execPath, [program, directory, JSON.stringify(thisProcess())], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
      cwd: '/',
    });
  } catch (error) {
    return { reason: messageOf(error) };
  }
  const failure = await ready(child, options.startMs ?? START_MS);
  if (failure !== undefined || child.pid === undefined) {
    child.kill('SIGKILL');
    return { reason: failure ?? 'it did not start' };
  }
  // It must not keep us alive, nor break us when it dies.
  child.stdin?.on('error', () => undefined);
  child.stdout?.destroy();
  child.unref();
  (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  return guardOf(child, child.pid);
}

function guardOf(child: ChildProcess, pid: number): Guard {
  let over = false;
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      over = true;
      resolve();
    });
  });
  return {
    pid,
    alive: () => !over,
    async dismiss() {
      if (over) return;
      child.ref();
      child.stdin?.end('bye\n');
      const timer = setTimeout(() => child.kill('SIGKILL'), BYE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Settles when it watches, when time is up, or with the reason why it ended. */
function ready(child: ChildProcess, withinMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), withinMs);
    const settle = (failure?: string) => {
      clearTimeout(timer);
      resolve(failure);
    };
    child.once('error', (error) => settle(error.message));
    child.once('exit', (code, signal) => settle(`it ended at once (${signal ?? `exit code ${code}`})`));
    child.stdout?.once('data', () => settle());
  });
}
