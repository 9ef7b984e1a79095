import { Gauge, type Registry } from 'prom-client';
import { capPercent, isLower } from '../core/cap.ts';
import { longestStall } from '../core/gate.ts';
import type { Goal } from '../core/goal.ts';
import { currentRound } from '../core/track.ts';
import { PAGE_BYTES, WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import type { LiveMigration } from './live.ts';
import type { Slots } from './slots.ts';

interface Reading {
  readonly name: string;
  readonly help: string;
  /** undefined: not known (yet), no series. */
  readonly read: (m: LiveMigration) => number | undefined;
}

const seconds = (value: number | undefined): number | undefined => (value === undefined ? undefined : value / 1000);
const bool = (value: boolean | undefined): number | undefined => (value === undefined ? undefined : Number(value));
const times = (value: number | undefined, factor: number): number | undefined => (value === undefined ? undefined : value * factor);
const running = (m: LiveMigration): boolean => m.summary === undefined;

/** Pages of the round still to send, from the bytes that were written: round 0 walks frames that do not exist. */
function remainingPages(m: LiveMigration): number | undefined {
  const round = currentRound(m.track);
  if (round === undefined) return undefined;
  if (m.tally.completedAtMs !== undefined) return 0;
  return Math.max(0, round.pagesToSend - (m.track.bytesSent - round.bytesAtStart) / WIRE_BYTES_PER_PAGE);
}

/** Too short a look says nothing about a rate. */
const RATE_SPAN_MS = 50;

/** Unique pages dirtied per second: in the running round once it is long enough, else in the latest that was. */
function dirtyRate(m: LiveMigration): number | undefined {
  for (const round of m.track.rounds.toReversed()) {
    const span = (round.endedAtMs ?? m.track.atMs) - round.startedAtMs;
    if (round.pagesDirtied !== undefined && span >= RATE_SPAN_MS) return (round.pagesDirtied / span) * 1000;
  }
  return undefined;
}

/** In pCPUs; without a cap all that the domain's vCPUs may use. */
const capNow = (m: LiveMigration): number => capPercent(m.track.cap, m.start.goal.domain.vcpus) / 100;
const ceiling = (goal: Goal): number => capPercent(goal.domain.capOriginal, goal.domain.vcpus) / 100;

/** CPU got over CPU wanted; without the guest's CPU time the share of its ceiling that the cap leaves. */
function speed(m: LiveMigration): number {
  if (running(m) && m.tally.suspendedAtMs !== undefined && m.tally.completedAtMs === undefined) return 0;
  if (!running(m) || !isLower(m.track.cap, m.start.goal.domain.capOriginal)) return 1;
  const wanted = m.tally.demandPercent;
  if (m.cpuUsed === undefined || wanted === undefined || wanted <= 0) return Math.min(1, capNow(m) / ceiling(m.start.goal));
  return Math.min(1, (100 * m.cpuUsed) / wanted);
}

const READINGS: readonly Reading[] = [
  { name: 'running', help: '1 while the migration runs, 0 once it has ended.', read: (m) => bool(running(m)) },
  { name: 'round', help: 'Pre-copy round, from 0.', read: (m) => currentRound(m.track)?.round },
  {
    name: 'round_pages',
    help: 'Pages to send at the start of the round: what was dirtied during the round before.',
    read: (m) => currentRound(m.track)?.pagesToSend,
  },
  {
    name: 'round_bytes',
    help: 'Guest memory to send at the start of the round.',
    read: (m) => times(currentRound(m.track)?.pagesToSend, PAGE_BYTES),
  },
  { name: 'remaining_pages', help: 'Pages of the round still to send.', read: remainingPages },
  { name: 'remaining_bytes', help: 'Guest memory of the round still to send.', read: (m) => times(remainingPages(m), PAGE_BYTES) },
  {
    name: 'dirty_bytes',
    help: 'Guest memory dirtied since the round began, as last looked at.',
    read: (m) => times(currentRound(m.track)?.pagesDirtied, PAGE_BYTES),
  },
  {
    name: 'dirty_rate_bytes_per_second',
    help: 'Rate at which the guest dirties memory, unique pages per round.',
    read: (m) => times(dirtyRate(m), PAGE_BYTES),
  },
  {
    name: 'transfer_rate_bytes_per_second',
    help: 'Rate at which the save helper writes the stream, moving average.',
    read: (m) => m.track.transferRate?.value,
  },
  {
    name: 'sent_bytes',
    help: 'Bytes that the save helper has written for this migration.',
    read: (m) => m.summary?.bytesSent ?? m.track.bytesSent,
  },
  { name: 'cap_pcpus', help: 'CPU cap in force, in pCPUs; all vCPUs of the domain when it has none.', read: capNow },
  { name: 'cap_floor_pcpus', help: 'Lowest cap that may be set, in pCPUs.', read: (m) => m.start.goal.capFloorPercent / 100 },
  {
    name: 'cap_ceiling_pcpus',
    help: "The domain's own cap, in pCPUs; all its vCPUs when it has none.",
    read: (m) => ceiling(m.start.goal),
  },
  { name: 'speed_ratio', help: 'CPU the guest gets over CPU it wants: 1 is full speed, 0 suspended.', read: speed },
  {
    name: 'stall_seconds',
    help: 'Longest time that the guest stands still because of the cap in force, by the law of its scheduler.',
    read: (m) => (running(m) ? seconds(longestStall(m.track, m.start.goal)) : 0),
  },
  { name: 'stall_limit_seconds', help: 'Longest stall that throttling may cause.', read: (m) => seconds(m.start.goal.maxStallMs) },
  { name: 'target_downtime_seconds', help: 'Downtime that was asked for.', read: (m) => seconds(m.start.goal.targetDowntimeMs) },
  {
    name: 'predicted_downtime_seconds',
    help: 'Expected downtime, suspend request to running at the destination.',
    read: (m) => seconds(m.forecast?.downtimeMs.value),
  },
  {
    name: 'predicted_downtime_low_seconds',
    help: 'Lower end of the expected downtime, about the 5th percentile.',
    read: (m) => seconds(m.forecast?.downtimeMs.low),
  },
  {
    name: 'predicted_downtime_high_seconds',
    help: 'Upper end of the expected downtime, about the 95th percentile.',
    read: (m) => seconds(m.forecast?.downtimeMs.high),
  },
  { name: 'eta_seconds', help: 'Expected time until the guest runs at the destination.', read: (m) => eta(m, 'value') },
  { name: 'eta_low_seconds', help: 'Lower end of the expected time until the guest runs at the destination.', read: (m) => eta(m, 'low') },
  {
    name: 'eta_high_seconds',
    help: 'Upper end of the expected time until the guest runs at the destination.',
    read: (m) => eta(m, 'high'),
  },
  {
    name: 'target_feasible',
    help: '0 once even the floor of the cap is expected to miss the target, else 1.',
    read: (m) => bool(m.forecast?.feasible),
  },
  {
    name: 'throttled_seconds',
    help: 'Time that the guest has run under a lowered cap in this migration.',
    read: (m) => m.summary?.throttledSeconds ?? m.tally.throttledMs / 1000,
  },
  {
    name: 'withheld_cpu_seconds',
    help: 'CPU time withheld from the guest in this migration: its estimated demand less what it got.',
    read: (m) => m.summary?.lostWorkSeconds ?? m.tally.lostCpuMs / 1000,
  },
];

const eta = (m: LiveMigration, of: 'value' | 'low' | 'high'): number | undefined =>
  running(m) ? seconds(m.forecast?.etaMs?.[of]) : undefined;

/** Gauges of one migration each, the running or the latest of its domain; read from what records said when scraped. */
export function collectMigrations(registry: Registry, slots: Slots): void {
  for (const { name, help, read } of READINGS) {
    new Gauge({
      name: `xthrottle_migration_${name}`,
      help,
      labelNames: ['domain'],
      registers: [registry],
      collect() {
        this.reset();
        for (const { domain, current } of slots.all()) {
          const value = current === undefined ? undefined : read(current);
          if (value !== undefined && Number.isFinite(value)) this.set({ domain }, value);
        }
      },
    });
  }
  new Gauge({
    name: 'xthrottle_migration_info',
    help: 'Always 1: the controller of the migration, whether it steers or only observes, the kind of host, and what happens on a miss.',
    labelNames: ['domain', 'controller', 'mode', 'host', 'on_miss'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { domain, current } of slots.all()) {
        if (current === undefined) continue;
        const { controller, observe, host, goal } = current.start;
        this.set({ domain, controller, mode: observe ? 'observe' : 'control', host, on_miss: goal.onMiss }, 1);
      }
    },
  });
}
