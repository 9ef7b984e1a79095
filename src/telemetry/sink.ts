import type { EffectRecord, MigrationRecord, RecordSink, StartRecord, SummaryRecord } from '../core/record.ts';
import type { Fleet } from './collect-fleet.ts';
import { domainLabel } from './labels.ts';
import { foldDecision, foldObservation, foldSummary, type LiveMigration, liveMigration } from './live.ts';
import type { Slot, Slots } from './slots.ts';

export interface Ledger {
  /** By id; one that has ended is no longer in it. */
  readonly running: Map<string, LiveMigration>;
  readonly runningMax: number;
  readonly slots: Slots;
  readonly fleet: Fleet;
  readonly now: () => number;
}

/** Feeds the ledger from records. A record that can't be read (a user's controller may decide without a reason) is counted, not thrown. */
export function recordSink(ledger: Ledger): RecordSink {
  return {
    write(record) {
      try {
        take(ledger, record);
      } catch {
        ledger.fleet.unreadable();
      }
    },
    close: async () => {},
  };
}

function take(ledger: Ledger, record: MigrationRecord): void {
  const { fleet, running } = ledger;
  const migration = running.get(record.id);
  switch (record.type) {
    case 'start':
      start(ledger, record);
      break;
    case 'observation':
      if (migration !== undefined) fleet.grew(foldObservation(migration, record.observation));
      break;
    case 'decision':
      fleet.decided(record.decision);
      if (migration !== undefined) fleet.grew(foldDecision(migration, record.decision));
      break;
    case 'effect':
      fleet.effected(record);
      if (record.action === 'restore') restored(ledger, record, migration);
      break;
    case 'summary':
      end(ledger, record, migration);
      break;
    case 'note':
      break;
  }
}

function start({ running, runningMax, slots, fleet }: Ledger, record: StartRecord): void {
  slots.sweep();
  fleet.started();
  const slot = running.size < runningMax ? slots.take(domainLabel(record.goal.domain.name)) : undefined;
  if (slot === undefined) {
    fleet.dropped();
    return;
  }
  const migration = liveMigration(record);
  running.set(record.id, migration);
  slot.current = migration;
}

function restored({ slots, fleet }: Ledger, record: EffectRecord, migration: LiveMigration | undefined): void {
  const ok = record.result !== 'failed';
  fleet.restored(ok);
  if (migration === undefined) return;
  migration.restoreCounted = true;
  if (ok) migration.track = { ...migration.track, cap: migration.start.goal.domain.capOriginal };
  const slot = slotOf(slots, migration);
  if (slot !== undefined) slot.capRestored = ok;
}

function end({ running, slots, fleet, now }: Ledger, record: SummaryRecord, migration: LiveMigration | undefined): void {
  running.delete(record.id);
  if (migration !== undefined) fleet.grew(foldSummary(migration, record));
  fleet.ended(record, migration?.tally.abortDecision ?? migration?.tally.verdict);
  if (migration === undefined) return;
  if (!migration.restoreCounted) fleet.restored(record.capRestored);
  const slot = slotOf(slots, migration);
  if (slot === undefined) return;
  slot.capRestored = record.capRestored;
  slot.last = { summary: record, endedAtMs: now() };
  slot.touchedAtMs = now();
}

/** The domain's slot, unless a newer migration of the same name has taken it over. */
function slotOf(slots: Slots, migration: LiveMigration): Slot | undefined {
  const slot = slots.peek(domainLabel(migration.start.goal.domain.name));
  return slot?.current === migration ? slot : undefined;
}
