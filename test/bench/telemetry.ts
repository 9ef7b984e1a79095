import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { controllerByName, controllerNames, DEFAULT_CONTROLLER } from '../../controllers/registry.ts';
import type { MigrationRecord, RecordSink } from '../../src/core/record.ts';
import { simulate } from '../../src/sim/run.ts';
import { loadScenario } from '../../src/sim/scenario-files.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { recorder } from '../../src/trace/recorder.ts';
import { median } from './statistics.ts';

/** What it costs to be watched, for so many migrations at the same time. Times on the machine that ran the benchmark. */
export interface TelemetryRow {
  readonly migrations: number;
  readonly records: number;
  /** CPU time for all records of one migration, from start to summary. */
  readonly metricsCpuMillisPerMigration: number;
  readonly recorderCpuMillisPerMigration: number;
  /** CPU time over the (virtual) length of the migration: 1 would keep one CPU busy for each. */
  readonly cpuRatioPerMigration: number;
  /** Heap of metrics alone while all run, what they need without any migration included. */
  readonly heapKibibytesPerMigration: number;
  readonly scrapeMillis: number;
  readonly scrapeKibibytes: number;
  /** Longest time that a scrape keeps the event loop, and so control, waiting. */
  readonly scrapeLongestTurnMillis: number;
}

const SCENARIO = 'busy-database';
const COUNTS = [1, 100, 1000];
/** Few migrations are fed several times over, or the clock shows nothing. */
const REPEATS = (count: number): number => Math.max(1, Math.round(200 / count));

export async function benchTelemetry(counts: readonly number[] = COUNTS): Promise<readonly TelemetryRow[]> {
  const controller = controllerByName(controllerNames.includes(DEFAULT_CONTROLLER) ? DEFAULT_CONTROLLER : 'proportional');
  const { records, summary } = simulate({ scenario: loadScenario(SCENARIO), seed: 1, controller, records: true });
  // Warms up the compiler.
  for (let i = 0; i < 30; i++) feed(createMetrics({ version: '0' }).sink, records, 1);
  const rows: TelemetryRow[] = [];
  for (const count of counts) rows.push(await row(records, count, summary.totalSeconds));
  return rows;
}

async function row(records: readonly MigrationRecord[], count: number, lengthSeconds: number): Promise<TelemetryRow> {
  const repeats = REPEATS(count);
  const idle = cpuMillis(() => repeat(repeats, () => feed(NOWHERE, records, count)));
  const counted = cpuMillis(() => repeat(repeats, () => feed(createMetrics({ version: '0' }).sink, records, count)));
  const taped = await recorded(records, count);
  const each = (millis: number, times: number): number => Math.max(0, millis) / (count * times);
  const metricsCpu = each(counted - idle, repeats);
  const recorderCpu = each(taped - idle / repeats, 1);
  return {
    migrations: count,
    records: records.length * count,
    metricsCpuMillisPerMigration: metricsCpu,
    recorderCpuMillisPerMigration: recorderCpu,
    cpuRatioPerMigration: (metricsCpu + recorderCpu) / 1000 / lengthSeconds,
    ...(await scraped(records, count)),
  };
}

const NOWHERE: RecordSink = { write: () => {}, close: async () => {} };

const repeat = (times: number, work: () => void): void => {
  for (let i = 0; i < times; i++) work();
};

function cpuMillis(work: () => void): number {
  const before = process.cpuUsage();
  work();
  return sinceMillis(before);
}

const sinceMillis = (before: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

/** The records of so many migrations side by side, one record of each in turn. */
function feed(sink: RecordSink, records: readonly MigrationRecord[], count: number): void {
  for (const record of records) for (let i = 0; i < count; i++) sink.write(renamed(record, i));
}

function renamed(record: MigrationRecord, index: number): MigrationRecord {
  const id = `migration-${index}`;
  const domain = `guest-${index}`;
  if (record.type === 'start') return { ...record, id, goal: { ...record.goal, domain: { ...record.goal.domain, name: domain } } };
  return record.type === 'summary' ? { ...record, id, domain } : { ...record, id };
}

/** A flight recorder beside it; it writes between turns, so they are left to it now and then. */
async function recorded(records: readonly MigrationRecord[], count: number): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'xthrottle-bench-'));
  try {
    const sink = recorder({ directory, filesMax: count + 1, warn: () => {} });
    const before = process.cpuUsage();
    for (const record of records) {
      for (let i = 0; i < count; i++) sink.write(renamed(record, i));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await sink.close();
    return sinceMillis(before);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const SCRAPES = 9;

async function scraped(records: readonly MigrationRecord[], count: number) {
  const collectGarbage = garbageCollector();
  const copies = REPEATS(count);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  // What metrics need without any migration is part of it: with one migration that is nearly all.
  const all = Array.from({ length: copies }, () => createMetrics({ version: '0' }));
  for (const { sink } of all) feed(sink, records.slice(0, -1), count);
  collectGarbage();
  const heap = process.memoryUsage().heapUsed - before;
  const [metrics] = all as [Metrics];
  let size = 0;
  const scrapes: { readonly millis: number; readonly longest: number }[] = [];
  for (let i = 0; i < SCRAPES; i++) {
    const turns = watchTurns();
    const at = performance.now();
    size = (await metrics.text()).length;
    scrapes.push({ millis: performance.now() - at, longest: turns() });
  }
  return {
    heapKibibytesPerMigration: heap / 1024 / (copies * count),
    scrapeMillis: median(scrapes.map(({ millis }) => millis)) ?? 0,
    scrapeKibibytes: size / 1024,
    scrapeLongestTurnMillis: median(scrapes.map(({ longest }) => longest)) ?? 0,
  };
}

/** Longest time between two turns of the event loop until the returned function is called. */
function watchTurns(): () => number {
  let longest = 0;
  let last = performance.now();
  let handle: NodeJS.Immediate;
  const turn = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    handle = setImmediate(turn);
  };
  handle = setImmediate(turn);
  return () => {
    clearImmediate(handle);
    return Math.max(longest, performance.now() - last);
  };
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose_gc');
  return runInNewContext('gc') as () => void;
}
