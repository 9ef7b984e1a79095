import type { Argv, Options } from 'yargs';

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

/** A simulated migration is recorded only when asked for: the same seed gives it again. */
export const withSimulatedTelemetryOptions = <T>(args: Argv<T>) =>
  args.options({
    ...telemetryOptionSpecs,
    trace: { type: 'boolean', default: false, group: GROUP, describe: 'record the migrations in the state directory' },
  });

export interface TelemetryArguments {
  readonly metrics?: string | undefined;
  readonly textfile?: string | undefined;
  readonly pushgateway?: string | undefined;
  readonly trace: boolean;
}
