import { execa } from 'execa';

/** What systemd is told. Nothing here throws, rejects or waits: a service manager that does not listen must not touch a migration. */
export interface Notifier {
  /** Started up: units ordered after ours may start. Begins the watchdog's pings. */
  ready(): void;
  /** One line for `systemctl status`; of several in quick succession the newest is sent. */
  status(text: string): void;
  stopping(): void;
  /** Ends the pings; settles when the last message is sent or given up. */
  close(): Promise<void>;
}

export interface NotifyOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Hands `assignments` (`READY=1`) to the service manager; default: systemd-notify. */
  readonly send?: (assignments: readonly string[]) => Promise<void>;
}

const SEND_MS = 5000;
/** Pings in the time after which systemd would end us: one that comes late, or is lost, does no harm. */
const PINGS_PER_PERIOD = 4;

const SILENT: Notifier = { ready() {}, status() {}, stopping() {}, close: async () => {} };

/**
 * Speaks to systemd where it asked for it: NOTIFY_SOCKET is set for `Type=notify` services, WATCHDOG_USEC and WATCHDOG_PID with
 * `WatchdogSec=`. The pings come from the event loop that steers migrations: they end when it hangs, and systemd then ends us, upon which
 * the guard puts the caps back. The unit needs `NotifyAccess=all`, since systemd-notify is a process of its own.
 */
export function openNotifier({ env = process.env, send = systemdNotify }: NotifyOptions = {}): Notifier {
  if ((env['NOTIFY_SOCKET'] ?? '') === '') return SILENT;
  const pending = new Map<string, string>();
  let sending: Promise<void> | undefined;
  let pings: NodeJS.Timeout | undefined;
  let isClosed = false;
  const drain = async (): Promise<void> => {
    while (pending.size > 0) {
      const assignments = [...pending].map(([name, value]) => `${name}=${value}`);
      pending.clear();
      await send(assignments).catch(() => undefined);
    }
    sending = undefined;
  };
  const tell = (name: string, value: string): void => {
    if (isClosed) return;
    pending.set(name, value);
    sending ??= drain();
  };
  const everyMs = pingEveryMs(env);
  return {
    ready() {
      tell('READY', '1');
      if (everyMs !== undefined) pings ??= setInterval(() => tell('WATCHDOG', '1'), everyMs).unref();
    },
    status: (text) => tell('STATUS', text.replaceAll(/[\r\n]+/g, ' ')),
    stopping: () => tell('STOPPING', '1'),
    async close() {
      isClosed = true;
      clearInterval(pings);
      await sending;
    },
  };
}

/** undefined when there is no watchdog, or it is another process's. */
function pingEveryMs(env: NodeJS.ProcessEnv): number | undefined {
  const periodMs = Number(env['WATCHDOG_USEC']) / 1000;
  const pid = env['WATCHDOG_PID'];
  const isOurs = pid === undefined || pid === '' || Number(pid) === process.pid;
  return isOurs && periodMs > 0 ? Math.max(1, periodMs / PINGS_PER_PERIOD) : undefined;
}

async function systemdNotify(assignments: readonly string[]): Promise<void> {
  await execa('systemd-notify', [...assignments], { reject: false, stdio: 'ignore', timeout: SEND_MS, forceKillAfterDelay: 500 });
}
