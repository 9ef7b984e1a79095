import { join } from 'node:path';
import type { Argv, Options } from 'yargs';
import { packageVersion } from '../assets.ts';
import { messageOf } from '../core/errors.ts';
import type { RecordSink } from '../core/record.ts';
import type { Migration } from '../host.ts';
import { timedPeeks } from '../telemetry/collect-host.ts';
import { parseListen } from '../telemetry/listen.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { parsePushUrl, pushMetrics } from '../telemetry/pushgateway.ts';
import { type MetricsServer, startMetricsServer } from '../telemetry/server.ts';
import { writeTextfile } from '../telemetry/textfile.ts';
import { recorder } from '../trace/recorder.ts';
import { stateDirectory } from '../xen/journal.ts';
import type { Xenctrl } from '../xen/libxenctrl.ts';
import type { XlCall } from '../xen/xl.ts';
import type { Output } from './output.ts';

const GROUP = 'Telemetry:';

const telemetryOptionSpecs = {
  metrics: { type: 'string', requiresArg: true, group: GROUP, describe: 'serve Prometheus metrics on ADDR:PORT, e.g. 127.0.0.1:9464' },
  textfile: {
    type: 'string',
    requiresArg: true,
    group: GROUP,
    describe: "leave the result in this directory of node_exporter's textfile collector",
  },
  pushgateway: { type: 'string', requiresArg: true, group: GROUP, describe: 'push the result to this Pushgateway URL' },
  trace: { type: 'boolean', default: true, group: GROUP, describe: 'record every migration in the state directory; --no-trace does not' },
} as const satisfies Readonly<Record<string, Options>>;

export const withTelemetryOptions = <T>(args: Argv<T>) => args.options(telemetryOptionSpecs);

export interface TelemetryArguments {
  readonly metrics?: string | undefined;
  readonly textfile?: string | undefined;
  readonly pushgateway?: string | undefined;
  readonly trace: boolean;
}

export interface Telemetry {
  /** Consumers of records: metrics and flight recorder. */
  readonly sinks: readonly RecordSink[];
  onXlCall(call: XlCall): void;
  /** Health of the migration's relay. */
  onMigration(migration: Migration): void;
  /** The library with its looks timed; undefined goes through and is counted as not available. */
  timed(xenctrl: Xenctrl | undefined): Xenctrl | undefined;
  onRestore(domain: string, restored: boolean): void;
  /** Serves metrics if asked to. When the port can't be had: `refuse` throws, `warn` says so and goes on. */
  start(output: Output, whenTaken: 'refuse' | 'warn'): Promise<void>;
  /** After a migration: text file and push gateway, where asked for. Never throws. */
  leaveBehind(domain: string, output: Output): Promise<void>;
  close(): Promise<void>;
}

/** Checks the options before anything runs. Throws XthrottleError('usage'). */
export async function openTelemetry(argv: TelemetryArguments): Promise<Telemetry> {
  const listen = argv.metrics === undefined ? undefined : parseListen(argv.metrics);
  const pushUrl = argv.pushgateway === undefined ? undefined : parsePushUrl(argv.pushgateway);
  const metrics = createMetrics({ version: packageVersion() });
  let say: (text: string) => void = () => {};
  const sinks: RecordSink[] = [metrics.sink];
  if (argv.trace) sinks.push(recorder({ directory: join(stateDirectory(), 'traces'), warn: (text) => say(text) }));
  let server: MetricsServer | undefined;
  return {
    sinks,
    onXlCall: (call) => metrics.onXlCall(call),
    onMigration: (migration) => metrics.onMigration(migration),
    timed(xenctrl) {
      metrics.onPeekAvailable(xenctrl !== undefined);
      return xenctrl === undefined ? undefined : timedPeeks(xenctrl, metrics.onPeek);
    },
    onRestore: (domain, restored) => metrics.onRestore({ domain, restored }),
    async start(output, whenTaken) {
      say = (text) => output.say(text, 'warning');
      if (listen === undefined) return;
      try {
        server = await startMetricsServer({ listen, text: () => metrics.text() });
        output.say(`metrics at ${server.url}`);
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
      if (textfile !== undefined) await attempt(async () => writeTextfile(textfile, domain, await metrics.finalText(domain)));
      if (pushUrl !== undefined) await attempt(() => pushMetrics(metrics.finalRegistry(domain), { url: pushUrl, domain }));
    },
    async close() {
      await server?.close();
    },
  };
}
