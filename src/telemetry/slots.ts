import type { SummaryRecord } from '../core/record.ts';
import type { LiveMigration } from './live.ts';

/** All that is exported under one domain's name: its running or latest migration, how the last one ended, whether its cap is back. */
export interface Slot {
  readonly domain: string;
  current: LiveMigration | undefined;
  last: { readonly summary: SummaryRecord; readonly endedAtMs: number } | undefined;
  capRestored: boolean | undefined;
  touchedAtMs: number;
}

export interface Slots {
  /** The domain's slot; undefined when there are too many and none may go. */
  take(domain: string): Slot | undefined;
  peek(domain: string): Slot | undefined;
  all(): Iterable<Slot>;
  /** Forgets domains whose migration ended `keepMs` ago. A domain whose cap is not back stays until it is. */
  sweep(): void;
}

export interface SlotsOptions {
  readonly keepMs: number;
  readonly domainsMax: number;
  readonly now: () => number;
}

const idle = (slot: Slot): boolean => slot.current === undefined || slot.current.summary !== undefined;

export function createSlots({ keepMs, domainsMax, now }: SlotsOptions): Slots {
  const slots = new Map<string, Slot>();
  const evictOldest = (): boolean => {
    let oldest: Slot | undefined;
    for (const slot of slots.values()) {
      if (!idle(slot) || slot.capRestored === false) continue;
      if (oldest === undefined || slot.touchedAtMs < oldest.touchedAtMs) oldest = slot;
    }
    return oldest !== undefined && slots.delete(oldest.domain);
  };
  return {
    take(domain) {
      const known = slots.get(domain);
      if (known !== undefined) {
        known.touchedAtMs = now();
        return known;
      }
      if (slots.size >= domainsMax && !evictOldest()) return undefined;
      const slot: Slot = { domain, current: undefined, last: undefined, capRestored: undefined, touchedAtMs: now() };
      slots.set(domain, slot);
      return slot;
    },
    peek: (domain) => slots.get(domain),
    all: () => slots.values(),
    sweep() {
      const oldest = now() - keepMs;
      for (const slot of slots.values()) {
        if (idle(slot) && slot.capRestored !== false && slot.touchedAtMs <= oldest) slots.delete(slot.domain);
      }
    },
  };
}
