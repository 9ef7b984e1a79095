import { type Observable, ReplaySubject } from 'rxjs';
import type { ExitName } from '../core/errors.ts';

export interface Signals {
  /** The first SIGINT, SIGTERM or SIGHUP, by name. */
  readonly first$: Observable<string>;
  /** Which of the exit codes a run ended by a signal has; undefined when none came. */
  exitName(): ExitName | undefined;
  dispose(): void;
}

/**
 * Turns signals into a stream. Only the first one steers; further ones are told to wait, since putting the cap back is under way and a
 * process that dies in the middle would leave it to the dead man's switch.
 */
export function listenForSignals(say: (text: string) => void): Signals {
  const first$ = new ReplaySubject<string>(1);
  let got: NodeJS.Signals | undefined;
  const on = (signal: NodeJS.Signals): void => {
    if (got !== undefined) {
      say(`${signal}: already ending after ${got}; the cap is being put back`);
      return;
    }
    got = signal;
    first$.next(signal);
    first$.complete();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, on);
  return {
    first$,
    exitName: () => (got === undefined ? undefined : got === 'SIGINT' ? 'interrupted' : 'terminated'),
    dispose: () => {
      for (const name of names) process.off(name, on);
    },
  };
}
