import { type Notifier, openNotifier } from '../xen/notify.ts';

/** The sidecar as systemd sees it: started, how many migrations it has, stopping. */
export interface Service {
  listening(observe: boolean): void;
  /** One migration, from its first round to its end. */
  counted<T>(migration: Promise<T>): Promise<T>;
  stopping(): void;
  close(): Promise<void>;
}

export function openService(notifier: Notifier = openNotifier()): Service {
  let word = 'controlled';
  let running = 0;
  let ended = 0;
  const show = (): void => notifier.status(`${running} migrations ${word} now, ${ended} before`);
  return {
    listening(observe) {
      if (observe) word = 'observed';
      show();
      notifier.ready();
    },
    async counted(migration) {
      running++;
      show();
      try {
        return await migration;
      } finally {
        running--;
        ended++;
        show();
      }
    },
    stopping() {
      notifier.status(`letting ${running} migrations go; caps are put back`);
      notifier.stopping();
    },
    close: () => notifier.close(),
  };
}
