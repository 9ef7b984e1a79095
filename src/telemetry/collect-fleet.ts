import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Decision } from '../core/decision.ts';
import type { EffectRecord, Outcome, SummaryRecord } from '../core/record.ts';
import { RESULTS, type Vocabulary } from './labels.ts';
import type { Growth } from './live.ts';
import type { Slots } from './slots.ts';

/** Counters and histograms over all migrations since the start. None bears a domain, so none ever goes down. */
export interface Fleet {
  started(): void;
  grew(growth: Growth): void;
  decided(decision: Decision): void;
  effected(effect: EffectRecord): void;
  ended(summary: SummaryRecord, verdict: Decision | undefined): void;
  restored(ok: boolean): void;
  dropped(): void;
  unreadable(): void;
}

const DOWNTIME_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30];
const ERROR_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5];
const TARGET_BUCKETS = [0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 5, 10];
const DURATION_BUCKETS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
const CAP_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** Ends that are to be expected. They count from 0, as an increase over time does not see the first value of a series. */
const END_REASONS: Readonly<Record<Outcome, readonly string[]>> = {
  met: ['fits', 'fits-after-slice', 'misses-proceed', 'no-prediction', 'stock', 'controller-failed', 'none'],
  missed: ['fits', 'fits-after-slice', 'misses-proceed', 'no-prediction', 'stock', 'controller-failed', 'none'],
  aborted: ['misses-abort', 'infeasible', 'deadline', 'abort-requested', 'none'],
  failed: ['fits', 'none'],
  released: ['none'],
};

export function collectFleet(registry: Registry, slots: Slots, reasons: Vocabulary): Fleet {
  const registers = [registry];
  const counter = <T extends string = never>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Counter({ name: `xthrottle_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name: `xthrottle_${name}`, help, buckets, registers });

  const started = counter('migrations_started_total', 'Migrations that were taken under control or observed.');
  const ended = counter('migrations_total', 'Migrations that ended, by result.', ['result']);
  const why = counter('migration_ends_total', 'Migrations that ended, by result and the reason code of the decision behind it.', [
    'result',
    'reason',
  ]);
  const rounds = counter('rounds_total', 'Pre-copy rounds that began.');
  const sent = counter('sent_bytes_total', 'Bytes that save helpers have written.');
  const throttled = counter('throttled_seconds_total', 'Time that guests have run under a lowered cap.');
  const withheld = counter('withheld_cpu_seconds_total', 'CPU time withheld from guests: estimated demand less what they got.');
  const decisions = counter('decisions_total', 'Decisions by action and reason code.', ['action', 'reason']);
  const effects = counter('effects_total', 'Decisions carried out, by action and what became of them.', ['action', 'result']);
  const restores = counter('cap_restores_total', "Attempts to put a domain's own cap back, by result.", ['result']);
  const dropped = counter('domains_dropped_total', 'Migrations without series of their own because there were too many domains.');
  const unreadable = counter(
    'records_unreadable_total',
    "Records that could not be counted, such as a user's controller's decision without a reason.",
  );
  const failOpen = counter(
    'suspends_fail_open_total',
    'Guests that were suspended before an answer had reached the relay: as stock Xen would, with no guarantee.',
  );
  const ranges = counter('downtime_predictions_total', 'Observed downtimes below, within and above the predicted range.', ['result']);
  for (const result of RESULTS) ended.inc({ result }, 0);
  for (const [result, codes] of Object.entries(END_REASONS)) for (const reason of codes) why.inc({ result, reason }, 0);
  for (const result of ['restored', 'failed']) restores.inc({ result }, 0);
  for (const result of ['below', 'within', 'above']) ranges.inc({ result }, 0);

  const capLatency = histogram('cap_change_duration_seconds', 'From deciding on a cap until it is in force.', CAP_BUCKETS);
  const downtime = histogram('downtime_seconds', 'Observed downtime: suspend request to running at the destination.', DOWNTIME_BUCKETS);
  const error = histogram(
    'downtime_prediction_error_ratio',
    'Difference of predicted and observed downtime, whatever its sign, over the observed one.',
    ERROR_BUCKETS,
  );
  const toTarget = histogram('downtime_target_ratio', 'Observed downtime over target: 1 and below met it.', TARGET_BUCKETS);
  const duration = histogram('migration_duration_seconds', 'How long migrations took.', DURATION_BUCKETS);
  new Gauge({
    name: 'xthrottle_migrations_running',
    help: 'Migrations under way.',
    registers,
    collect() {
      let count = 0;
      for (const { current } of slots.all()) if (current !== undefined && current.summary === undefined) count++;
      this.set(count);
    },
  });

  return {
    started: () => started.inc(),
    grew(growth) {
      if (growth.rounds > 0) rounds.inc(growth.rounds);
      if (growth.bytes > 0) sent.inc(growth.bytes);
      if (growth.throttledSeconds > 0) throttled.inc(growth.throttledSeconds);
      if (growth.withheldSeconds > 0) withheld.inc(growth.withheldSeconds);
    },
    decided: (decision) => decisions.inc({ action: decision.action, reason: reasons.of(decision.reason.code) }),
    effected(effect) {
      effects.inc({ action: effect.action, result: effect.result });
      const capChange = effect.action === 'set-cap' || effect.action === 'uncap';
      if (capChange && effect.result === 'applied' && effect.latencyMs !== undefined) capLatency.observe(effect.latencyMs / 1000);
    },
    ended(summary, verdict) {
      ended.inc({ result: summary.outcome });
      if (summary.failOpen === true) failOpen.inc();
      why.inc({ result: summary.outcome, reason: verdict === undefined ? 'none' : reasons.of(verdict.reason.code) });
      duration.observe(summary.totalSeconds);
      const observed = summary.observedDowntimeMs;
      if (observed === null) return;
      downtime.observe(observed / 1000);
      toTarget.observe(observed / summary.targetDowntimeMs);
      if (summary.predictedDowntimeMs !== null && observed > 0) error.observe(Math.abs(summary.predictedDowntimeMs - observed) / observed);
      const range = summary.predictedDowntimeRangeMs;
      if (range !== null) ranges.inc({ result: observed < range.low ? 'below' : observed > range.high ? 'above' : 'within' });
    },
    restored: (ok) => restores.inc({ result: ok ? 'restored' : 'failed' }),
    dropped: () => dropped.inc(),
    unreadable: () => unreadable.inc(),
  };
}
