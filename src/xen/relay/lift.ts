import { spawn } from 'node:child_process';
import { parseSched } from '../parse.ts';
import type { Welcome } from './protocol.ts';

/** Runs xl; what it printed when it ended well within `withinMs`, else undefined. Never rejects. */
export type RunBounded = (args: readonly string[], withinMs: number) => Promise<string | undefined>;

/** One `xl` call that sets, bounded; it ends or is killed. */
const LIFT_WAIT_MS = 3000;
/**
 * And one that looks. The guest may be waiting to be suspended, parked under a cap of ours: a look that takes longer is given up and the cap
 * is lifted without, since one of ours is far likelier than another that came within the two seconds that xthrottle looked last.
 */
const LOOK_WAIT_MS = 1500;
const OUTPUT_CHARS_MAX = 65_536;

/** In a process group of its own, so that a signal to ours (Ctrl-C) leaves it alone. */
const runXl: RunBounded = (args, withinMs) =>
  new Promise((resolve) => {
    const child = spawn(process.env['XTHROTTLE_XL'] || 'xl', args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    let output = '';
    const settle = (text: string | undefined) => {
      clearTimeout(timer);
      child.stdout.destroy();
      resolve(text);
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      settle(undefined);
    }, withinMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARS_MAX);
    });
    child.stdout.on('error', () => undefined);
    child.once('error', () => settle(undefined));
    child.once('close', (code) => settle(code === 0 ? output : undefined));
  });

/**
 * Puts the domain's own cap back with xl, without the server: true when xl said so, false when it did not. A cap that is none of `ours`
 * (Xen's numbers) is somebody else's and stays. `ours` unknown: nobody looks.
 */
export async function liftCap(
  { scheduler, domid, capOriginal }: Welcome,
  ours: ReadonlySet<number> | undefined,
  xl: RunBounded = runXl,
): Promise<boolean | 'theirs'> {
  if (scheduler === 'other') return false;
  const of = [scheduler === 'credit' ? 'sched-credit' : 'sched-credit2', '-d', String(domid)];
  if (ours !== undefined) {
    const now = parseSched((await xl(of, LOOK_WAIT_MS)) ?? '', domid)?.cap;
    if (now !== undefined && now !== capOriginal && !ours.has(now)) return 'theirs';
  }
  // Also where the cap reads as the original: a call of the server's may be on its way.
  return (await xl([...of, '-c', String(capOriginal)], LIFT_WAIT_MS)) !== undefined;
}

/** Knows which caps of ours may be in force, and puts the domain's own back when the server can't. */
export class CapKeeper {
  welcome: Welcome | undefined;
  /** Somebody else's cap was found in its place, and left. */
  theirs = false;
  #set = false;
  /** All that were announced; undefined once one was announced without its number. */
  #ours: Set<number> | undefined = new Set();
  readonly #xl: RunBounded | undefined;
  #lifting: Promise<boolean | 'theirs'> | undefined;

  constructor(xl?: RunBounded) {
    this.#xl = xl;
  }

  /** As the server said last. */
  told(set: boolean, cap: number | undefined): void {
    this.#set = set;
    if (!set) return;
    this.theirs = false;
    if (cap === undefined) this.#ours = undefined;
    else this.#ours?.add(cap);
  }

  /** undefined when there is nothing of ours to lift; calls while one runs join it. */
  async lift(): Promise<boolean | undefined> {
    if (!this.#set || this.welcome === undefined) return undefined;
    this.#lifting ??= liftCap(this.welcome, this.#ours, this.#xl);
    const lifted = await this.#lifting;
    this.#lifting = undefined;
    if (lifted === false) return false;
    this.#set = false;
    this.theirs = lifted === 'theirs';
    return this.theirs ? undefined : true;
  }
}
