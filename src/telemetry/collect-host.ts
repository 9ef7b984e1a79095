import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { vocabulary, XL_COMMANDS } from './labels.ts';

/** `lost`: ended without saying so; `bad-message`: not our protocol; `timeout`: no answer in time; `refused`: by allow, deny or version. */
type RelayEvent = 'connected' | 'disconnected' | 'lost' | 'bad-message' | 'timeout' | 'refused';

interface XlCall {
  /** xl's subcommand, `sched-credit` and the like. */
  readonly command: string;
  readonly ms: number;
  readonly ok: boolean;
}

export interface HostHealth {
  onXlCall(call: XlCall): void;
  onRelay(event: RelayEvent): void;
  /** The relay of a migration: connected until it ends, lost if its end is unknown. */
  onMigration(migration: { readonly ended: Promise<{ readonly result: string }> }): void;
  onPeek(peek: { readonly ms: number; readonly ok: boolean }): void;
  /** Whether the hypervisor's dirty count can be read at all (libxenctrl found and willing). */
  onPeekAvailable(available: boolean): void;
}

const RELAY_FAILURES: readonly RelayEvent[] = ['lost', 'bad-message', 'timeout', 'refused'];

const XL_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const PEEK_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1];

/** How the host behaves under us: calls of xl, relays, peeks. Told by those who make the calls; a scrape makes none. */
export function collectHost(registry: Registry): HostHealth {
  const registers = [registry];
  const commands = vocabulary(XL_COMMANDS);
  const counter = <T extends string = never>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Counter({ name: `xthrottle_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) => new Gauge({ name: `xthrottle_${name}`, help, registers });

  const calls = counter('xl_calls_total', 'Calls of xl by subcommand and result.', ['command', 'result']);
  const callTime = new Histogram({
    name: 'xthrottle_xl_call_duration_seconds',
    help: 'How long calls of xl took, except xl migrate itself.',
    labelNames: ['command'],
    buckets: XL_BUCKETS,
    registers,
  });
  const connected = gauge('relays_connected', 'Relays of save helpers connected now.');
  const connections = counter('relay_connections_total', 'Relays that connected.');
  const failures = counter('relay_failures_total', 'Relays that failed: lost, bad-message, timeout, refused.', ['kind']);
  const peeks = counter('peeks_total', "Looks at the hypervisor's dirty count, by result.", ['result']);
  const peekTime = new Histogram({
    name: 'xthrottle_peek_duration_seconds',
    help: "How long looks at the hypervisor's dirty count took; the guest is paused for most of it.",
    buckets: PEEK_BUCKETS,
    registers,
  });
  const available = gauge(
    'peek_available',
    "1 when the hypervisor's dirty count can be read, 0 when predictions rest on the rounds alone.",
  );
  for (const kind of RELAY_FAILURES) failures.inc({ kind }, 0);
  for (const result of ['ok', 'failed']) {
    peeks.inc({ result }, 0);
    for (const command of ['sched-credit', 'list']) calls.inc({ command, result }, 0);
  }
  const onRelay = (event: RelayEvent): void => {
    if (event === 'connected') {
      connections.inc();
      connected.inc();
    } else if (event === 'disconnected') connected.dec();
    else failures.inc({ kind: event });
  };
  return {
    onRelay,
    onMigration({ ended }) {
      onRelay('connected');
      const over = (lost: boolean): void => {
        onRelay('disconnected');
        if (lost) onRelay('lost');
      };
      ended.then(
        ({ result }) => over(result === 'unknown'),
        () => over(true),
      );
    },
    onXlCall({ command, ms, ok }) {
      const name = commands.of(command);
      calls.inc({ command: name, result: ok ? 'ok' : 'failed' });
      if (name !== 'migrate') callTime.observe({ command: name }, ms / 1000);
    },
    onPeek({ ms, ok }) {
      peeks.inc({ result: ok ? 'ok' : 'failed' });
      peekTime.observe(ms / 1000);
    },
    onPeekAvailable: (is) => available.set(Number(is)),
  };
}

/** The library with its looks at the dirty count timed. */
export function timedPeeks<T extends { dirtyPages(domid: number): number | undefined }>(library: T, onPeek: HostHealth['onPeek']): T {
  return {
    ...library,
    dirtyPages(domid: number) {
      const at = performance.now();
      const pages = library.dirtyPages(domid);
      onPeek({ ms: performance.now() - at, ok: pages !== undefined });
      return pages;
    },
  };
}
