import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MetricObject, Registry } from 'prom-client';
import type { RecordSink } from '../core/record.ts';
import { collectFleet } from './collect-fleet.ts';
import { collectHost, type HostHealth } from './collect-host.ts';
import { collectLast } from './collect-last.ts';
import { collectMigrations } from './collect-migration.ts';
import { collectProcess } from './collect-process.ts';
import { domainLabel, vocabulary } from './labels.ts';
import { LEARNED_REASONS, REASONS } from './reasons.ts';
import { recordSink } from './sink.ts';
import { createSlots } from './slots.ts';

export interface MetricsOptions {
  readonly version: string;
  /** Unix time in milliseconds. Default: Date.now. */
  readonly now?: () => number;
  /** Series of an ended migration are kept so long. Default: 10 minutes. */
  readonly keepEndedMs?: number;
  /** Domains with series of their own at the same time; further migrations count in the fleet's counters only. Default: 1000. */
  readonly domainsMax?: number;
}

interface MetricDefinition {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labels: readonly string[];
}

export interface Metrics extends HostHealth {
  /** Takes the records of all migrations, several at the same time, told apart by `id`. */
  readonly sink: RecordSink;
  readonly registry: Registry;
  /** How the domain's last migration ended and whether its cap is back: what a job leaves behind (push gateway, text file). */
  finalRegistry(domain: string): Registry;
  /** A cap was put back, or could not be, outside any migration: `xthrottle restore` and the journal of a dead process. */
  onRestore(result: { readonly domain: string; readonly restored: boolean }): void;
  /** The exposition text, metric by metric with a turn of the event loop in between: control never waits for a whole scrape. */
  text(): Promise<string>;
  finalText(domain: string): Promise<string>;
  /** Every metric that exists. */
  definitions(): readonly MetricDefinition[];
}

/** Metrics fed by the record stream. `write` is cheap and never throws; gauges are computed when scraped, from what records said. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { version, now = Date.now, keepEndedMs = 600_000, domainsMax = 1000 } = options;
  const registry = new Registry();
  const slots = createSlots({ keepMs: keepEndedMs, domainsMax, now });
  const fleet = collectFleet(registry, slots, vocabulary(REASONS, LEARNED_REASONS));
  const host = collectHost(registry);
  collectMigrations(registry, slots);
  collectLast(registry, slots);
  collectProcess(registry, version);
  const finalRegistry = (domain: string): Registry => {
    const slot = slots.peek(domainLabel(domain));
    const own = new Registry();
    collectLast(own, { all: () => (slot === undefined ? [] : [slot]) });
    return own;
  };
  return {
    ...host,
    sink: recordSink({ running: new Map(), runningMax: domainsMax, slots, fleet, now }),
    registry,
    finalRegistry,
    onRestore({ domain, restored }) {
      fleet.restored(restored);
      const slot = slots.take(domainLabel(domain));
      if (slot !== undefined) slot.capRestored = restored;
    },
    async text() {
      slots.sweep();
      return render(registry);
    },
    finalText: (domain) => render(finalRegistry(domain)),
    definitions: () => registry.getMetricsAsArray().map(definition),
  };
}

/** prom-client's types leave out the label names, and call the type a number. */
function definition(metric: MetricObject): MetricDefinition {
  const { name, help, type } = metric;
  const { labelNames = [] } = metric as MetricObject & { readonly labelNames?: readonly string[] };
  return { name, help, type: String(type), labels: labelNames };
}

async function render(registry: Registry): Promise<string> {
  const parts: string[] = [];
  for (const { name } of registry.getMetricsAsArray()) {
    parts.push(await registry.getSingleMetricAsString(name));
    await nextTurn();
  }
  return `${parts.join('\n')}\n`;
}
