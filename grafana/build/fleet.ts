import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { dashboard, heatmap, type Row, series, stat, table } from './panels.ts';
import { THRESHOLDS } from './thresholds.ts';

const ON = 'instance=~"$instance"';
const grown = (name: string, by: string, window = '$__range', more = ''): string =>
  `sum by (${by}) (increase(xthrottle_${name}{${ON}${more}}[${window}]))`;
const rate = (name: string, by: string, more = ''): string => `sum by (${by}) (rate(xthrottle_${name}{${ON}${more}}[$__rate_interval]))`;
const quantile = (q: number, name: string, by = 'le', window = '$__range'): string =>
  `histogram_quantile(${q}, sum by (${by}) (rate(xthrottle_${name}_bucket{${ON}}[${window}])))`;
const migrating = (name: string): string => `xthrottle_migration_${name}{${ON}}`;
const whileRunning = (name: string): string => `${migrating(name)} and on (instance, domain) ${migrating('running')} == 1`;
const last = (name: string): string => `xthrottle_last_migration_${name}{${ON}}`;
const sum = (name: string): string => `sum(increase(xthrottle_${name}{${ON}}[$__range]))`;

const results: Row = {
  title: 'What converged, what did not',
  panels: [
    stat({
      title: 'Running',
      description: 'Migrations under way.',
      unit: 'none',
      decimals: 0,
      width: 4,
      targets: [[`sum(xthrottle_migrations_running{${ON}})`, 'running']],
    }),
    stat({
      title: 'Met their target',
      description: 'Of the migrations that ended in the time shown, the share that went over within their target downtime.',
      unit: 'percentunit',
      decimals: 0,
      width: 5,
      targets: [[`sum(increase(xthrottle_migrations_total{${ON},result="met"}[$__range])) / ${sum('migrations_total')}`, 'met']],
      thresholds: [
        ['red', null],
        ['yellow', THRESHOLDS.metVeryLowRatio],
        ['green', THRESHOLDS.metLowRatio],
      ],
    }),
    stat({
      title: 'Caps not back',
      description: 'Domains that still run under the cap of a migration. Each needs a person: run `xthrottle restore` on its host.',
      unit: 'none',
      decimals: 0,
      width: 5,
      targets: [[`count(xthrottle_cap_restored{${ON}} == 0) or vector(0)`, 'not back']],
      thresholds: [
        ['green', null],
        ['red', 1],
      ],
    }),
    stat({
      title: 'Downtime, 95th percentile',
      description: 'Of the migrations that ended in the time shown, as observed.',
      unit: 's',
      decimals: 2,
      width: 5,
      targets: [[quantile(0.95, 'downtime_seconds'), 'p95']],
    }),
    stat({
      title: 'Prediction error, median',
      description: 'Difference of predicted and observed downtime over the observed one.',
      unit: 'percentunit',
      decimals: 0,
      width: 5,
      targets: [[quantile(0.5, 'downtime_prediction_error_ratio'), 'median error']],
      thresholds: [
        ['green', null],
        ['yellow', THRESHOLDS.errorRatio],
        ['red', THRESHOLDS.errorBadRatio],
      ],
    }),
    series({
      title: 'Ended, by result',
      description:
        'met and missed went over; aborted ones were kept where they were, by us; failed ones by xl, the link or the destination.',
      unit: 'none',
      width: 12,
      bars: true,
      targets: [[grown('migrations_total', 'result', '$__rate_interval'), '{{result}}']],
    }),
    table({
      title: 'Why they ended as they did',
      description: 'Reason code of the decision behind each result in the time shown; none where no decision of ours stood behind it.',
      width: 12,
      labels: { result: 'Result', reason: 'Reason' },
      columns: [{ expr: `${grown('migration_ends_total', 'result, reason')} > 0`, name: 'Migrations', unit: 'none', by: null }],
    }),
  ],
};

const promise: Row = {
  title: 'Downtime against target',
  panels: [
    heatmap({
      title: 'Observed downtime',
      description: 'Suspend request to running at the destination.',
      unit: 's',
      width: 8,
      targets: [[grown('downtime_seconds_bucket', 'le', '$__rate_interval'), '{{le}}']],
    }),
    series({
      title: 'Observed downtime over target',
      description: 'At 100 % and below the target was met.',
      unit: 'percentunit',
      width: 8,
      targets: [
        [quantile(0.5, 'downtime_target_ratio'), 'median'],
        [quantile(0.95, 'downtime_target_ratio'), '95th percentile'],
      ],
      thresholds: [
        ['transparent', null],
        ['red', 1],
      ],
    }),
    series({
      title: 'Does the predicted range hold?',
      description: 'Observed downtimes within, above and below the predicted range. About nine in ten should be within.',
      unit: 'none',
      width: 8,
      bars: true,
      targets: [[grown('downtime_predictions_total', 'result', '$__rate_interval'), '{{result}}']],
    }),
  ],
};

const cost: Row = {
  title: 'What it cost',
  panels: [
    series({
      title: 'CPU withheld from guests',
      description: 'CPU time that guests wanted and did not get, per second: 1 is one pCPU.',
      unit: 'none',
      width: 8,
      targets: [[rate('withheld_cpu_seconds_total', 'instance'), '{{instance}}']],
    }),
    series({
      title: 'Guests under a lowered cap',
      description: 'How many guests at a time, on average.',
      unit: 'none',
      width: 8,
      targets: [[rate('throttled_seconds_total', 'instance'), '{{instance}}']],
    }),
    series({
      title: 'Sent',
      description: 'What save helpers wrote.',
      unit: 'Bps',
      width: 8,
      targets: [[rate('sent_bytes_total', 'instance'), '{{instance}}']],
    }),
    table({
      title: 'Running now',
      description:
        'Migrations under way and where they stand. Within reach is 0 once even the lowest cap allowed is expected to miss the target.',
      width: 24,
      height: 7,
      labels: { domain: 'Domain', instance: 'Host' },
      columns: [
        { expr: whileRunning('round'), name: 'Round' },
        { expr: whileRunning('remaining_bytes'), name: 'Left', unit: 'bytes' },
        {
          expr: `${migrating('predicted_downtime_seconds')} and on (instance, domain) ${migrating('running')} == 1`,
          name: 'Predicted',
          unit: 's',
        },
        {
          expr: `${migrating('target_downtime_seconds')} and on (instance, domain) ${migrating('running')} == 1`,
          name: 'Target',
          unit: 's',
        },
        { expr: whileRunning('cap_pcpus'), name: 'Cap (pCPUs)' },
        { expr: whileRunning('speed_ratio'), name: 'Speed', unit: 'percentunit' },
        { expr: migrating('eta_seconds'), name: 'ETA', unit: 's' },
        { expr: whileRunning('sent_bytes'), name: 'Sent', unit: 'bytes' },
        { expr: whileRunning('target_feasible'), name: 'Within reach' },
      ],
    }),
    table({
      title: 'Lately ended',
      description: 'The last migration of each domain, those of single jobs through the textfile collector included.',
      width: 24,
      height: 7,
      labels: { domain: 'Domain', instance: 'Host', result: 'Result' },
      columns: [
        { expr: `${last('result')} == 1`, name: 'result', by: ['domain', 'instance', 'result'], hidden: true },
        { expr: last('downtime_seconds'), name: 'Downtime', unit: 's' },
        { expr: last('target_downtime_seconds'), name: 'Target', unit: 's' },
        { expr: last('duration_seconds'), name: 'Took', unit: 's' },
        { expr: last('withheld_cpu_seconds'), name: 'CPU withheld', unit: 's' },
        { expr: last('sent_bytes'), name: 'Sent', unit: 'bytes' },
      ],
    }),
  ],
};

const health: Row = {
  title: 'Are we well?',
  panels: [
    series({
      title: 'Decisions',
      description: 'By action and reason code.',
      unit: 'ops',
      width: 8,
      targets: [[rate('decisions_total', 'action, reason', ',action!="hold"'), '{{action}}: {{reason}}']],
    }),
    series({
      title: 'Calls of xl',
      description: 'By subcommand and result.',
      unit: 'ops',
      width: 8,
      targets: [[rate('xl_calls_total', 'command, result'), '{{command}}: {{result}}']],
    }),
    series({
      title: 'Latency, 95th percentile',
      description: 'Calls of xl by subcommand, cap changes from decision to effect, and peeks at the dirty count, which pause the guest.',
      unit: 's',
      width: 8,
      targets: [
        [quantile(0.95, 'xl_call_duration_seconds', 'le, command', '$__rate_interval'), 'xl {{command}}'],
        [quantile(0.95, 'cap_change_duration_seconds', 'le', '$__rate_interval'), 'cap change'],
        [quantile(0.95, 'peek_duration_seconds', 'le', '$__rate_interval'), 'peek'],
      ],
    }),
    series({
      title: 'Relays and peeks',
      description: 'Relays connected now; failures of relays and of peeks. A migration whose relay fails goes on as stock Xen would.',
      unit: 'none',
      width: 8,
      targets: [
        [`sum by (instance) (xthrottle_relays_connected{${ON}})`, 'connected: {{instance}}'],
        [grown('relay_failures_total', 'kind', '$__rate_interval'), 'relay failed: {{kind}}'],
        [grown('peeks_total', 'result', '$__rate_interval', ',result="failed"'), 'peek {{result}}'],
      ],
    }),
    series({
      title: 'Caps put back',
      description: "Attempts to put a domain's own cap back. Every failure needs a person.",
      unit: 'none',
      width: 8,
      bars: true,
      targets: [[grown('cap_restores_total', 'result', '$__rate_interval'), '{{result}}']],
    }),
    series({
      title: 'What xthrottle itself needs',
      description: 'CPU time per second and resident memory of the process.',
      unit: 'percentunit',
      width: 8,
      targets: [[`sum by (instance) (rate(process_cpu_seconds_total{${ON},job="xthrottle"}[$__rate_interval]))`, 'CPU: {{instance}}']],
    }),
    series({
      title: 'Memory of xthrottle',
      description: 'Resident memory of the process.',
      unit: 'bytes',
      width: 12,
      targets: [[`sum by (instance) (process_resident_memory_bytes{${ON},job="xthrottle"})`, '{{instance}}']],
    }),
    table({
      title: 'Versions',
      description: 'xthrottle and Node on each host, and whether the dirty count can be peeked at there.',
      width: 12,
      labels: { instance: 'Host', version: 'xthrottle', node: 'Node' },
      columns: [
        { expr: `xthrottle_build_info{${ON}}`, name: 'up', hidden: true },
        { expr: `xthrottle_peek_available{${ON}}`, name: 'Peek', by: ['instance'] },
      ],
    }),
  ],
};

/** All migrations of all hosts. */
export const fleetDashboard = (): Dashboard =>
  dashboard({
    uid: 'xthrottle-fleet',
    title: 'xthrottle: the fleet',
    description: 'Live migrations of all hosts: what converged, what was aborted and why, downtime against target, what it cost.',
    from: 'now-24h',
    refresh: '30s',
    domains: false,
    link: { title: 'One migration', uid: 'xthrottle-migration' },
    rows: [results, promise, cost, health],
  });
