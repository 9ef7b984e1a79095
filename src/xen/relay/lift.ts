import { spawn } from 'node:child_process';
import type { Welcome } from './protocol.ts';

/** One `xl` call, bounded; it ends or is killed. */
const LIFT_WAIT_MS = 3000;

/**
 * Puts the domain's own cap back with xl, without the server; true when xl said so. In a process group of its own, so that a signal
 * to ours (Ctrl-C) leaves it alone. Never rejects.
 */
export function liftCap(welcome: Welcome): Promise<boolean> {
  if (welcome.scheduler === 'other') return Promise.resolve(false);
  const command = welcome.scheduler === 'credit' ? 'sched-credit' : 'sched-credit2';
  const args = [command, '-d', String(welcome.domid), '-c', String(welcome.capOriginal)];
  return new Promise((resolve) => {
    const child = spawn(process.env['XTHROTTLE_XL'] || 'xl', args, { stdio: 'ignore', detached: true });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      resolve(false);
    }, LIFT_WAIT_MS);
    const settle = (lifted: boolean) => {
      clearTimeout(timer);
      resolve(lifted);
    };
    child.once('error', () => settle(false));
    child.once('exit', (code) => settle(code === 0));
  });
}

/** Knows whether a cap of ours is in force, and puts the domain's own back when the server can't. */
export class CapKeeper {
  welcome: Welcome | undefined;
  /** As the server said last. */
  set = false;
  readonly #liftCap: (welcome: Welcome) => Promise<boolean>;
  #lifting: Promise<boolean> | undefined;

  constructor(lift: (welcome: Welcome) => Promise<boolean> = liftCap) {
    this.#liftCap = lift;
  }

  /** undefined when there is nothing to lift; calls while one runs join it. */
  async lift(): Promise<boolean | undefined> {
    if (!this.set || this.welcome === undefined) return undefined;
    this.#lifting ??= this.#liftCap(this.welcome);
    const lifted = await this.#lifting;
    this.#lifting = undefined;
    if (lifted) this.set = false;
    return lifted;
  }
}
