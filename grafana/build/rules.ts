import { duration, THRESHOLDS } from './thresholds.ts';

export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: 'critical' | 'warning' };
  readonly annotations: { readonly summary: string; readonly description: string };
}

export interface RuleGroup {
  readonly name: string;
  readonly interval?: string;
  readonly rules: readonly (RecordingRule | AlertRule)[];
}

/** Rules as shipped (`divide` 1), or with every duration divided, for a test that has minutes where operation has hours. */
export function ruleGroups(divide = 1, interval?: string): readonly RuleGroup[] {
  const every = interval === undefined ? {} : { interval };
  const time = (seconds: number): string => duration(seconds / divide);
  return [
    { name: 'xthrottle-recording', ...every, rules: recordingRules(time) },
    { name: 'xthrottle-alerts', ...every, rules: [...migrationAlerts(time, divide), ...hostAlerts(time)] },
  ];
}

type Time = (seconds: number) => string;

const recordingRules = (time: Time): readonly RecordingRule[] => [
  {
    record: 'instance_domain:xthrottle_migration_throttled:bool',
    expr: '(xthrottle_migration_cap_pcpus < bool xthrottle_migration_cap_ceiling_pcpus) * xthrottle_migration_running',
  },
  {
    record: 'instance_domain:xthrottle_migration_at_floor:bool',
    expr: '(xthrottle_migration_cap_pcpus <= bool xthrottle_migration_cap_floor_pcpus) * instance_domain:xthrottle_migration_throttled:bool',
  },
  {
    record: 'instance_result:xthrottle_migrations:increase1d',
    expr: `sum by (instance, result) (increase(xthrottle_migrations_total[${time(THRESHOLDS.quantileWindowSeconds)}]))`,
  },
  {
    record: 'instance:xthrottle_downtime_seconds:p95_1d',
    expr: `histogram_quantile(0.95, sum by (instance, le) (rate(xthrottle_downtime_seconds_bucket[${time(THRESHOLDS.quantileWindowSeconds)}])))`,
  },
  {
    record: 'instance:xthrottle_relay_failures:increase10m',
    expr: `sum by (instance) (increase(xthrottle_relay_failures_total{kind!="refused"}[${time(THRESHOLDS.relayWindowSeconds)}]))`,
  },
];

function noProgress(window: string): string {
  const predicted = 'xthrottle_migration_predicted_downtime_seconds';
  const still = `avg_over_time(${predicted}[${window}]) > ${1 - THRESHOLDS.noProgressRatio} * avg_over_time(${predicted}[${window}] offset ${window})`;
  return `(instance_domain:xthrottle_migration_at_floor:bool == 1) and (${predicted} > xthrottle_migration_target_downtime_seconds) and (${still})`;
}

const migrationAlerts = (time: Time, divide: number): readonly AlertRule[] => [
  {
    alert: 'XthrottleCapNotRestored',
    expr: `last_over_time(xthrottle_cap_restored[${time(THRESHOLDS.capMemorySeconds)}]) == 0`,
    for: '0s',
    labels: { severity: 'critical' },
    annotations: {
      summary: 'The CPU cap of {{ $labels.domain }} was not put back',
      description:
        'The domain {{ $labels.domain }} on {{ $labels.instance }} still runs under the cap of a migration. Run "xthrottle restore" there, or "xl sched-credit -d {{ $labels.domain }} -c CAP" with its own cap (0 for none).',
    },
  },
  {
    alert: 'XthrottleGuestThrottledTooLong',
    expr: 'instance_domain:xthrottle_migration_throttled:bool == 1',
    for: time(THRESHOLDS.throttledForSeconds),
    labels: { severity: 'warning' },
    annotations: {
      summary: `{{ $labels.domain }} has been throttled for more than ${time(THRESHOLDS.throttledForSeconds)}`,
      description:
        'The migration of {{ $labels.domain }} from {{ $labels.instance }} has held its CPU back without a break. Look at the migration dashboard: if the dirty set no longer shrinks, abort it, give it a longer target, or a faster link.',
    },
  },
  {
    alert: 'XthrottleTargetMissed',
    expr: `(xthrottle_last_migration_result{result="missed"} == 1) and on (instance, domain) (time() - xthrottle_last_migration_end_timestamp_seconds < ${THRESHOLDS.missedWindowSeconds / divide})`,
    for: '0s',
    labels: { severity: 'warning' },
    annotations: {
      summary: 'The migration of {{ $labels.domain }} missed its target downtime',
      description:
        '{{ $labels.domain }} arrived, but stood still for longer than was asked for. "xthrottle explain" on its trace says why; "--on-miss abort" would have kept it where it was.',
    },
  },
  {
    alert: 'XthrottleSuspendedWithoutLeave',
    expr: `increase(xthrottle_suspends_fail_open_total[${time(THRESHOLDS.failOpenWindowSeconds)}]) > 0`,
    for: '0s',
    labels: { severity: 'warning' },
    annotations: {
      summary: 'A guest on {{ $labels.instance }} was suspended before xthrottle had answered',
      description:
        'No answer of xthrottle reached the relay in time, so the guest was suspended as stock Xen would, whatever the target. Is dom0 short of CPU time? "xthrottle explain" on the trace names the guest.',
    },
  },
  {
    alert: 'XthrottleNoProgressAtFloor',
    expr: noProgress(time(THRESHOLDS.noProgressWindowSeconds)),
    for: time(THRESHOLDS.noProgressForSeconds),
    labels: { severity: 'warning' },
    annotations: {
      summary: '{{ $labels.domain }} is at the lowest cap allowed and does not converge',
      description:
        'The predicted downtime of {{ $labels.domain }} on {{ $labels.instance }} stays above the target although its cap is at the floor. Allow a longer stall (--max-stall), a longer target, or abort.',
    },
  },
];

const hostAlerts = (time: Time): readonly AlertRule[] => [
  {
    alert: 'XthrottleRelayFailing',
    expr: 'instance:xthrottle_relay_failures:increase10m > 0',
    for: '0s',
    labels: { severity: 'warning' },
    annotations: {
      summary: 'Relays of save helpers fail on {{ $labels.instance }}',
      description:
        'A relay was lost, did not answer in time, or spoke another protocol. Its migration goes on as stock Xen would, uncontrolled.',
    },
  },
  {
    alert: 'XthrottleXlFailing',
    expr: `sum by (instance) (rate(xthrottle_xl_calls_total{result="failed"}[${time(THRESHOLDS.xlWindowSeconds)}])) > ${THRESHOLDS.xlFailedRatio} * sum by (instance) (rate(xthrottle_xl_calls_total[${time(THRESHOLDS.xlWindowSeconds)}]))`,
    for: '0s',
    labels: { severity: 'warning' },
    annotations: {
      summary: 'Calls of xl fail on {{ $labels.instance }}',
      description: 'More than one call of xl in ten failed: caps may not be set or put back.',
    },
  },
  {
    alert: 'XthrottleDown',
    expr: 'up{job="xthrottle"} == 0',
    for: time(THRESHOLDS.downForSeconds),
    labels: { severity: 'warning' },
    annotations: {
      summary: 'xthrottle does not answer on {{ $labels.instance }}',
      description: 'Migrations from this host go on as stock Xen would. If it died in a migration, its next start puts caps back.',
    },
  },
];
