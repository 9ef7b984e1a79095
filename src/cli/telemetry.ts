import { join } from 'node:path';
import { packageVersion } from '../assets.ts';
import { messageOf } from '../core/errors.ts';
import type { RecordSink } from '../core/record.ts';
import type { Migration } from '../host.ts';
import { parseListen } from '../telemetry/listen.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { MetricsServer } from '../telemetry/server.ts';
import { writeTextfile } from '../telemetry/textfile.ts';
import { recorder } from '../trace/recorder.ts';
import { stateDirectory } from '../xen/journal.ts';
import type { Xenctrl } from '../xen/libxenctrl.ts';
import type { RestoreOutcome } from '../xen/restore.ts';
import type { XlCall } from '../xen/xl.ts';
import type { Output } from './output.ts';
import type { TelemetryArguments } from './telemetry-options.ts';

export interface Telemetry {
  /** Consumers of records: metrics and flight recorder. */
  readonly sinks: readonly RecordSink[];
  onXlCall(call: XlCall): void;
  /** Health of the migration's relay. */
  onMigration(migration: Migration): void;
  /** The library with its looks timed; undefined goes through and is counted as not available. */
  timed(xenctrl: Xenctrl | undefined): Xenctrl | undefined;
  /** What an earlier run left and what became of it: said, counted, and corrected in the text files. Never throws. */
  onLeftovers(left: readonly RestoreOutcome[], output: Output): Promise<void>;
  /** Serves metrics if asked to. When the port can't be had: `refuse` throws, `warn` says so and goes on. */
  start(output: Output, whenTaken: 'refuse' | 'warn'): Promise<void>;
  /** After a migration: text file and push gateway, where asked for. Never throws. */
  leaveBehind(domain: string, output: Output): Promise<void>;
  close(): Promise<void>;
}

/** prom-client is loaded only where somebody asks for metrics: starting takes half as long without. */
async function metricsFor(): Promise<Metrics & { readonly timed: (xenctrl: Xenctrl) => Xenctrl }> {
  const [{ createMetrics }, { timedPeeks }] = await Promise.all([
    import('../telemetry/metrics.ts'),
    import('../telemetry/collect-host.ts'),
  ]);
  const metrics = createMetrics({ version: packageVersion() });
  return { ...metrics, timed: (xenctrl) => timedPeeks(xenctrl, metrics.onPeek) };
}

/** Checks the options before anything runs. Throws XthrottleError('usage'). */
export async function openTelemetry(argv: TelemetryArguments): Promise<Telemetry> {
  const listen = argv.metrics === undefined ? undefined : parseListen(argv.metrics);
  const pushUrl = argv.pushgateway === undefined ? undefined : (await import('../telemetry/pushgateway.ts')).parsePushUrl(argv.pushgateway);
  const metrics = listen === undefined && pushUrl === undefined && argv.textfile === undefined ? undefined : await metricsFor();
  let say: (text: string) => void = () => {};
  const sinks: RecordSink[] = metrics === undefined ? [] : [metrics.sink];
  if (argv.trace) sinks.push(recorder({ directory: join(stateDirectory(), 'traces'), warn: (text) => say(text) }));
  let server: MetricsServer | undefined;
  return {
    sinks,
    onXlCall: (call) => metrics?.onXlCall(call),
    onMigration: (migration) => metrics?.onMigration(migration),
    timed(xenctrl) {
      metrics?.onPeekAvailable(xenctrl !== undefined);
      return xenctrl === undefined || metrics === undefined ? xenctrl : metrics.timed(xenctrl);
    },
    async onLeftovers(left, output) {
      for (const { kind, what, text, verdict } of left) {
        output.say(`left by an earlier run: ${what}: ${text}`, 'warning');
        if (kind === 'cap') metrics?.onRestore({ domain: what, restored: verdict !== 'failed' });
      }
      const { textfile } = argv;
      if (textfile === undefined) return;
      const { settle } = await import('./settle.ts');
      await settle(textfile, left).catch((error: unknown) => output.say(messageOf(error), 'warning'));
    },
    async start(output, whenTaken) {
      say = (text) => output.say(text, 'warning');
      if (listen === undefined || metrics === undefined) return;
      const { startMetricsServer } = await import('../telemetry/server.ts');
      try {
        server = await startMetricsServer({ listen, text: () => metrics.text() });
        output.say(`metrics at ${new URL('/metrics', server.url).href}`);
      } catch (error) {
        if (whenTaken === 'refuse') throw error;
        output.say(`${messageOf(error)}; going on without`, 'warning');
      }
    },
    async leaveBehind(domain, output) {
      const attempt = async (work: () => Promise<unknown>): Promise<void> => {
        await work().catch((error: unknown) => output.say(messageOf(error), 'warning'));
      };
      const { textfile } = argv;
      if (metrics === undefined) return;
      if (textfile !== undefined) await attempt(async () => writeTextfile(textfile, domain, await metrics.finalText(domain)));
      if (pushUrl !== undefined)
        await attempt(async () =>
          (await import('../telemetry/pushgateway.ts')).pushMetrics(metrics.finalRegistry(domain), { url: pushUrl, domain }),
        );
    },
    async close() {
      await server?.close();
    },
  };
}
