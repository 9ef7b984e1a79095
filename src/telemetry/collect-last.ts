import { Gauge, type Registry } from 'prom-client';
import type { SummaryRecord } from '../core/record.ts';
import { RESULTS } from './labels.ts';
import type { Slots } from './slots.ts';

interface Reading {
  readonly name: string;
  readonly help: string;
  readonly read: (summary: SummaryRecord, endedAtMs: number) => number | null;
}

const seconds = (value: number | null): number | null => (value === null ? null : value / 1000);

const READINGS: readonly Reading[] = [
  { name: 'end_timestamp_seconds', help: 'When it ended, Unix time.', read: (_, endedAtMs) => endedAtMs / 1000 },
  { name: 'duration_seconds', help: 'How long it took.', read: (s) => s.totalSeconds },
  { name: 'target_downtime_seconds', help: 'Downtime that was asked for.', read: (s) => seconds(s.targetDowntimeMs) },
  { name: 'predicted_downtime_seconds', help: 'Downtime expected at the suspend request.', read: (s) => seconds(s.predictedDowntimeMs) },
  { name: 'downtime_seconds', help: 'Downtime observed.', read: (s) => seconds(s.observedDowntimeMs) },
  {
    name: 'guest_gap_bound_seconds',
    help: 'Longest gap that the guest may have felt: last stall and downtime together.',
    read: (s) => seconds(s.guestGapBoundMs),
  },
  { name: 'stall_max_seconds', help: 'Longest stall of the caps that were in force, by law.', read: (s) => seconds(s.stallMaxMs) },
  { name: 'rounds', help: 'Pre-copy rounds.', read: (s) => s.rounds },
  { name: 'sent_bytes', help: 'Bytes written by the save helper.', read: (s) => s.bytesSent },
  {
    name: 'cap_min_pcpus',
    help: 'Lowest cap that was in force, in pCPUs; absent when it was never changed.',
    read: (s) => (s.capPercentMin === null ? null : s.capPercentMin / 100),
  },
  { name: 'throttled_seconds', help: 'Time that the guest ran under a lowered cap.', read: (s) => s.throttledSeconds },
  { name: 'withheld_cpu_seconds', help: 'CPU time withheld from the guest.', read: (s) => s.lostWorkSeconds },
];

/**
 * How each domain's last migration ended. Every series bears the domain, so that the text files of several jobs on one host never
 * hold the same series twice, which node_exporter would refuse.
 */
export function collectLast(registry: Registry, slots: Pick<Slots, 'all'>): void {
  const registers = [registry];
  for (const { name, help, read } of READINGS) {
    new Gauge({
      name: `xthrottle_last_migration_${name}`,
      help: `Of the domain's last migration: ${help}`,
      labelNames: ['domain'],
      registers,
      collect() {
        this.reset();
        for (const { domain, last } of slots.all()) {
          const value = last === undefined ? null : read(last.summary, last.endedAtMs);
          if (value !== null && Number.isFinite(value)) this.set({ domain }, value);
        }
      },
    });
  }
  new Gauge({
    name: 'xthrottle_last_migration_result',
    help: "Of the domain's last migration: 1 for the result it had, 0 for the others.",
    labelNames: ['domain', 'result'],
    registers,
    collect() {
      this.reset();
      for (const { domain, last } of slots.all()) {
        if (last === undefined) continue;
        for (const result of RESULTS) this.set({ domain, result }, Number(last.summary.outcome === result));
      }
    },
  });
  new Gauge({
    name: 'xthrottle_cap_restored',
    help: "1 when the domain's own cap is back after its last migration, 0 when it could not be put back.",
    labelNames: ['domain'],
    registers,
    collect() {
      this.reset();
      for (const { domain, capRestored } of slots.all()) {
        if (capRestored !== undefined) this.set({ domain }, Number(capRestored));
      }
    },
  });
}
