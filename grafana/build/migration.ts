import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { dashboard, type Row, series, stat, table } from './panels.ts';
import { THRESHOLDS } from './thresholds.ts';

const of = (name: string): string => `xthrottle_migration_${name}{instance=~"$instance",domain=~"$domain"}`;
const last = (name: string): string => `xthrottle_last_migration_${name}{instance=~"$instance",domain=~"$domain"}`;

const now: Row = {
  title: 'Now',
  panels: [
    stat({
      title: 'Round',
      description: 'The pre-copy round, from 0. Stock Xen suspends the guest after five.',
      unit: 'none',
      decimals: 0,
      width: 3,
      targets: [[of('round'), 'round']],
    }),
    stat({
      title: 'Left to send',
      description: 'What the round has still to send.',
      unit: 'bytes',
      width: 4,
      targets: [[of('remaining_bytes'), 'left']],
    }),
    stat({
      title: 'Predicted downtime / target',
      description: 'Upper end of the predicted downtime over the target. At 100 % and below the suspension is granted.',
      unit: 'percentunit',
      decimals: 0,
      width: 5,
      targets: [[`${of('predicted_downtime_high_seconds')} / ${of('target_downtime_seconds')}`, 'of target']],
      thresholds: [
        ['green', null],
        ['yellow', THRESHOLDS.nearTargetRatio],
        ['red', 1],
      ],
    }),
    stat({
      title: 'ETA',
      description: 'Expected time until the guest runs at the destination.',
      unit: 's',
      width: 4,
      targets: [[of('eta_seconds'), 'ETA']],
    }),
    stat({
      title: 'Speed of the guest',
      description: 'CPU the guest gets over CPU it wants; 0 while it is suspended.',
      unit: 'percentunit',
      decimals: 0,
      width: 4,
      targets: [[of('speed_ratio'), 'speed']],
      thresholds: [
        ['red', null],
        ['yellow', THRESHOLDS.speedVeryLowRatio],
        ['green', THRESHOLDS.speedLowRatio],
      ],
    }),
    stat({
      title: 'Own cap back',
      description: "1 when the domain's own cap is back after its last migration. 0 needs a person: run `xthrottle restore` on the host.",
      unit: 'none',
      decimals: 0,
      width: 4,
      targets: [['xthrottle_cap_restored{instance=~"$instance",domain=~"$domain"}', 'restored']],
      thresholds: [
        ['red', null],
        ['green', 1],
      ],
    }),
  ],
};

const convergence: Row = {
  title: 'Does it converge?',
  panels: [
    series({
      title: 'Round by round',
      description:
        'Memory each round has to send, what is left of it, and what the guest dirties meanwhile: that is what the next round has to send.',
      unit: 'bytes',
      width: 12,
      targets: [
        [of('round_bytes'), 'to send at the start of the round'],
        [of('remaining_bytes'), 'left to send'],
        [of('dirty_bytes'), 'dirtied in this round'],
      ],
      bounds: ['to send at the start of the round'],
    }),
    series({
      title: 'Downtime: predicted against target',
      description:
        'Suspend request to running at the destination, if the guest were suspended now; about nine times in ten it lies between low and high.',
      unit: 's',
      width: 12,
      targets: [
        [of('predicted_downtime_high_seconds'), 'predicted, high'],
        [of('predicted_downtime_seconds'), 'predicted'],
        [of('predicted_downtime_low_seconds'), 'predicted, low'],
        [of('target_downtime_seconds'), 'target'],
      ],
      bounds: ['target'],
    }),
    series({
      title: 'Dirty rate against transfer rate',
      description: 'Pre-copy converges while the guest dirties less than the link carries.',
      unit: 'Bps',
      width: 12,
      targets: [
        [of('dirty_rate_bytes_per_second'), 'dirty rate'],
        [of('transfer_rate_bytes_per_second'), 'transfer rate'],
      ],
    }),
    series({
      title: 'Time until it is over',
      description: 'Expected time until the guest runs at the destination, with its range.',
      unit: 's',
      width: 12,
      targets: [
        [of('eta_high_seconds'), 'high'],
        [of('eta_seconds'), 'expected'],
        [of('eta_low_seconds'), 'low'],
      ],
    }),
  ],
};

const throttle: Row = {
  title: 'What does it cost the guest?',
  panels: [
    series({
      title: 'Cap',
      description: 'The cap in force between its floor, which follows from the longest stall allowed, and what the domain had before.',
      unit: 'none',
      width: 8,
      steps: true,
      targets: [
        [of('cap_pcpus'), 'cap (pCPUs)'],
        [of('cap_floor_pcpus'), 'floor'],
        [of('cap_ceiling_pcpus'), 'own cap, or all vCPUs'],
      ],
      bounds: ['floor', 'own cap, or all vCPUs'],
    }),
    series({
      title: 'Stall',
      description:
        'Longest time that the guest stands still at a stretch because of its cap, by the law of its scheduler, and the longest allowed.',
      unit: 's',
      width: 8,
      steps: true,
      targets: [
        [of('stall_seconds'), 'stall'],
        [of('stall_limit_seconds'), 'longest allowed'],
      ],
      bounds: ['longest allowed'],
    }),
    series({
      title: 'CPU withheld',
      description: 'CPU time the guest wanted and did not get, and for how long it has been held back, since the migration began.',
      unit: 's',
      width: 8,
      targets: [
        [of('withheld_cpu_seconds'), 'CPU time withheld'],
        [of('throttled_seconds'), 'time under a lowered cap'],
      ],
    }),
  ],
};

const ending: Row = {
  title: 'How did it end?',
  panels: [
    table({
      title: 'Last migration',
      description: "The last migration's result; downtime as observed and as predicted at the suspend request; what it took.",
      width: 24,
      height: 6,
      labels: { domain: 'Domain', instance: 'Host', result: 'Result' },
      columns: [
        { expr: `${last('result')} == 1`, name: 'result', by: ['domain', 'instance', 'result'], hidden: true },
        { expr: `${last('end_timestamp_seconds')} * 1000`, name: 'Ended', unit: 'dateTimeFromNow' },
        { expr: last('downtime_seconds'), name: 'Downtime', unit: 's' },
        { expr: last('predicted_downtime_seconds'), name: 'Predicted', unit: 's' },
        { expr: last('target_downtime_seconds'), name: 'Target', unit: 's' },
        { expr: last('guest_gap_bound_seconds'), name: 'Longest gap (bound)', unit: 's' },
        { expr: last('duration_seconds'), name: 'Took', unit: 's' },
        { expr: last('rounds'), name: 'Rounds' },
        { expr: last('sent_bytes'), name: 'Sent', unit: 'bytes' },
        { expr: last('cap_min_pcpus'), name: 'Lowest cap (pCPUs)' },
        { expr: last('stall_max_seconds'), name: 'Longest stall', unit: 's' },
        { expr: last('throttled_seconds'), name: 'Throttled', unit: 's' },
        { expr: last('withheld_cpu_seconds'), name: 'CPU withheld', unit: 's' },
      ],
    }),
    table({
      title: 'Controller',
      description: 'Who decides, whether it steers or only observes, and what happens when the target would be missed.',
      width: 24,
      height: 4,
      labels: { domain: 'Domain', instance: 'Host', controller: 'Controller', mode: 'Mode', host: 'Kind', on_miss: 'On a miss' },
      columns: [{ expr: of('info'), name: 'seen', hidden: true }],
    }),
  ],
};

/** One migration, round by round. */
export const migrationDashboard = (): Dashboard =>
  dashboard({
    uid: 'xthrottle-migration',
    title: 'xthrottle: one migration',
    description: 'A live migration round by round: whether it converges, when it will be over, what it costs the guest.',
    from: 'now-15m',
    refresh: '5s',
    domains: true,
    link: { title: 'All migrations', uid: 'xthrottle-fleet' },
    rows: [now, convergence, throttle, ending],
  });
