import type { ChildProcess } from 'node:child_process';
import { execa } from 'execa';
import { Observable } from 'rxjs';
import { XthrottleError } from '../core/errors.ts';
import type { Ms } from '../core/units.ts';
import { monotonicMs } from './clock.ts';
import { capAtDestination } from './destination-cap.ts';
import { type HandOverStep, handOver } from './hand-over.ts';
import { processSeen } from './owner.ts';
import { cannotStart, killGroup } from './xl.ts';
import { printableLines, xlBinary } from './xl-errors.ts';

export interface MigrateJobOptions {
  /** xl takes digits for a domid, never for a name. */
  readonly domid: number;
  /** As xl takes it: a host for ssh, or with `-s ''` a command. */
  readonly destination: string;
  /** Options for xl migrate, given through as they are. */
  readonly xlOptions?: readonly string[];
  /** What LIBXL_SAVE_HELPER names. */
  readonly front: string;
  readonly socketPath: string;
  /** Where the relay asks whether the save helper may start. */
  readonly holdPath?: string | undefined;
  readonly binary?: string;
  /** xl's own output as it comes, made printable. */
  readonly onOutput?: (text: string) => void;
}

export interface MigrateResult {
  readonly exitCode?: number;
  readonly signal?: string;
  /** xl said that the migration was successful. */
  readonly migrated: boolean;
  /** When the guest ran at the destination. */
  readonly startedAtMs?: Ms;
  /** xl's own words when it failed. */
  readonly reason?: string;
  /** The receiving half at the destination, when it failed: left by an earlier migration, or perhaps by this one. */
  readonly half?: 'there' | 'maybe';
}

export interface MigrateJob {
  readonly pid: number;
  /** Hand-over steps as they come, for one or more subscribers; completes when xl has ended. */
  readonly steps$: Observable<{ readonly step: HandOverStep; readonly atMs: Ms }>;
  /** The guest is all sent: from here on only xl can start it there, or resume it here. */
  handsOver(): boolean;
  /** xl has let the receiver start the guest, or is about to: once it has ended, all that it said is known here. */
  mayRunThere(): boolean;
  /** The cap that the domain has at the destination, in Xen's number; undefined when that cannot be asked. Once it has migrated. */
  capThere?(uuid: string): Promise<number | undefined>;
  /** Settles when xl has ended; rejects only when it could not be started. */
  readonly done: Promise<MigrateResult>;
  /**
   * The last resort, when aborting through the relay did not end it: SIGTERM to xl's group, then SIGKILL. It leaves log-dirty on at the
   * source; the guest runs on.
   */
  terminate(graceMs?: number): Promise<void>;
  /**
   * Once xl has ended and had not let the receiver start the guest: ends what it left at work, which can come to nothing (a save helper that
   * waits for a dead link for minutes, the guest suspended). False, and nothing is done, when `pid` is not of xl's process group.
   */
  endRest(pid: number): boolean;
}

const TERM_GRACE_MS = 5000;
/** How long xl's output may stay open after its end: a shared ssh connection (ControlPersist) holds it for as long as it likes. */
const DRAIN_MS = 1000;

interface Exit {
  readonly exitCode?: number;
  readonly signal?: string;
  readonly code?: string;
  readonly cause?: unknown;
}

/** How a child ended whose output somebody else still holds. */
const lingered = (child: Pick<ChildProcess, 'once' | 'stdout' | 'stderr'>): Promise<Exit> =>
  new Promise((resolve) => {
    child.once('exit', (exitCode, signal) => {
      setTimeout(() => {
        resolve({ ...(exitCode === null ? {} : { exitCode }), ...(signal === null ? {} : { signal }) });
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, DRAIN_MS).unref();
    });
  });

/**
 * Starts `xl migrate` in a session of its own (Ctrl-C at the terminal is ours to handle; ssh can't ask for a password there). Should we
 * die, it goes on as stock: its relay puts the cap back. Throws XthrottleError('usage') for a destination that xl would read as an option.
 */
export function startMigrateJob(options: MigrateJobOptions): MigrateJob {
  const { destination, domid, front, socketPath } = options;
  if (destination.startsWith('-') || destination === '') {
    throw new XthrottleError('usage', `the destination is a host, got "${destination}"`, { hint: 'options for xl migrate go behind --' });
  }
  const binary = options.binary ?? xlBinary();
  const child = execa(binary, ['migrate', ...(options.xlOptions ?? []), String(domid), destination], {
    reject: false,
    detached: true,
    cleanup: false,
    buffer: false,
    stdin: 'ignore',
    env: {
      LC_ALL: 'C',
      LIBXL_SAVE_HELPER: front,
      XTHROTTLE_SOCKET: socketPath,
      ...(options.holdPath === undefined ? {} : { XTHROTTLE_HOLD: options.holdPath }),
    },
  });
  const reader = handOver();
  const steps: { readonly step: HandOverStep; readonly atMs: Ms }[] = [];
  const listeners = new Set<(step: { readonly step: HandOverStep; readonly atMs: Ms }) => void>();
  const show = (text: string): void => options.onOutput?.(printableLines(text));
  const read = (text: string): void => {
    const atMs = monotonicMs();
    show(text);
    for (const step of reader.push(text)) {
      steps.push({ step, atMs });
      for (const listener of listeners) listener({ step, atMs });
    }
  };
  child.stderr.setEncoding('utf8').on('data', read);
  child.stdout.setEncoding('utf8').on('data', show);
  const done = Promise.race([child, lingered(child)]).then((result): MigrateResult => {
    if (result.exitCode === undefined && result.signal === undefined) throw cannotStart(binary, result);
    const reason = reader.reason();
    // Killed, it had no time to say what became of a receiver that was at work; one that may have started the guest is another matter.
    const unsaid = result.signal !== undefined && reader.seen.has('ready') && !reader.mayRunThere();
    const half = reader.half() ?? (unsaid ? 'maybe' : undefined);
    const started = steps.find(({ step }) => step === 'domain-started');
    return {
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
      ...(result.signal === undefined ? {} : { signal: result.signal }),
      migrated: result.exitCode === 0,
      ...(started === undefined ? {} : { startedAtMs: started.atMs }),
      ...(result.exitCode === 0 || reason === undefined ? {} : { reason }),
      ...(result.exitCode === 0 || half === undefined ? {} : { half }),
    };
  });
  done.catch(() => undefined);
  return {
    pid: child.pid ?? -1,
    steps$: new Observable((subscriber) => {
      for (const step of steps) subscriber.next(step);
      const listener = subscriber.next.bind(subscriber);
      listeners.add(listener);
      done.then(
        () => subscriber.complete(),
        () => subscriber.complete(),
      );
      return () => listeners.delete(listener);
    }),
    done,
    capThere: (uuid) => capAtDestination(destination, options.xlOptions ?? [], uuid),
    handsOver: () => reader.seen.has('transfer-complete'),
    mayRunThere: () => reader.mayRunThere(),
    async terminate(graceMs = TERM_GRACE_MS) {
      killGroup(child.pid, 'SIGTERM');
      const timer = setTimeout(() => killGroup(child.pid), graceMs);
      await done.catch(() => undefined);
      clearTimeout(timer);
    },
    endRest(pid) {
      // A group that has a member left has its number to itself.
      if (child.pid === undefined || processSeen(pid)?.group !== child.pid) return false;
      killGroup(child.pid);
      return true;
    },
  };
}
