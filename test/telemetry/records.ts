import { capped, UNCAPPED } from '../../src/core/cap.ts';
import { because } from '../../src/core/decision.ts';
import { between } from '../../src/core/estimate.ts';
import type { Capabilities, DomainFacts, Goal } from '../../src/core/goal.ts';
import { goalFor } from '../../src/core/options.ts';
import type { MigrationRecord, Outcome, StartRecord, SummaryRecord } from '../../src/core/record.ts';
import { bytes, ms, pages, WIRE_BYTES_PER_PAGE } from '../../src/core/units.ts';

const capabilities: Capabilities = {
  peek: true,
  policy: false,
  roundsMax: 5,
  actuator: true,
  actuatorLatencyMs: ms(20),
  liftLatencyMs: ms(1),
  scheduler: 'credit',
  tsliceMs: ms(30),
  runFirstMs: ms(15),
};

const domainFacts = (name: string): DomainFacts => ({
  name,
  domid: 7,
  uuid: '00000000-0000-4000-8000-000000000007',
  vcpus: 2,
  activeVcpus: 2,
  populatedPages: pages(32768),
  capOriginal: UNCAPPED,
});

const goal = (name: string, targetMs = 500): Goal => goalFor({ targetDowntimeMs: ms(targetMs) }, domainFacts(name), capabilities);

export const start = (id: string, domain = id): StartRecord => ({
  type: 'start',
  v: 1,
  id,
  host: 'simulated',
  controller: 'proportional',
  observe: false,
  goal: goal(domain),
});

export const summary = (id: string, domain = id, change: Partial<SummaryRecord> = {}): SummaryRecord => ({
  type: 'summary',
  id,
  domain,
  outcome: 'met' as Outcome,
  reason: 'downtime 300 ms against a target of 500 ms',
  controller: 'proportional',
  targetDowntimeMs: 500,
  predictedDowntimeMs: 330,
  predictedDowntimeRangeMs: between(250, 330, 400),
  observedDowntimeMs: 300,
  observedDowntimeSource: 'simulated',
  guestGapBoundMs: 420,
  stallMaxMs: 120,
  rounds: 2,
  bytesSent: 32768 * WIRE_BYTES_PER_PAGE + 8000 * WIRE_BYTES_PER_PAGE,
  lastDirtyPages: 2000,
  totalSeconds: 6,
  capPercentMin: 50,
  throttledSeconds: 2,
  lostWorkSeconds: 1.5,
  capBefore: 0,
  capAfter: 0,
  capRestored: true,
  ...change,
});

/** A migration of two rounds: half a GiB at full speed, then 8000 pages under a cap of 50 %, granted, met. */
export function* migration(id: string, domain = id): Generator<MigrationRecord> {
  const sent = (count: number) => bytes(count * WIRE_BYTES_PER_PAGE);
  const forecast = { downtimeMs: between(ms(250), ms(330), ms(400)), etaMs: between(ms(1500), ms(2000), ms(2500)), feasible: true };
  const hold = { action: 'hold', reason: because('start', 'nothing yet') } as const;
  const seen = (observation: Extract<MigrationRecord, { type: 'observation' }>['observation']): MigrationRecord => ({
    type: 'observation',
    id,
    observation,
  });
  const decided = (atMs: number, decision: Extract<MigrationRecord, { type: 'decision' }>['decision']): MigrationRecord => ({
    type: 'decision',
    id,
    atMs: ms(atMs),
    decision,
  });
  yield start(id, domain);
  yield seen({ type: 'round-start', atMs: ms(1000), round: 0, pagesToSend: pages(1_044_480), bytesSent: bytes(0) });
  yield decided(1000, hold);
  yield seen({ type: 'sample', atMs: ms(2000), round: 0, dirtyPages: pages(4000), cpuTimeMs: ms(10_000), bytesSent: sent(8192) });
  yield decided(2000, hold);
  yield seen({ type: 'sample', atMs: ms(3000), round: 0, dirtyPages: pages(6000), cpuTimeMs: ms(11_600), bytesSent: sent(16_384) });
  yield decided(3000, hold);
  yield seen({ type: 'progress', atMs: ms(5000), round: 0, pagesSent: pages(32_768), pagesToSend: pages(32_768), bytesSent: sent(32_768) });
  yield decided(5000, { action: 'set-cap', cap: capped(50), forecast, reason: because('fits', 'lower') });
  yield { type: 'effect', id, atMs: ms(5020), action: 'set-cap', result: 'applied', cap: capped(50), latencyMs: ms(20) };
  yield seen({ type: 'round-start', atMs: ms(5020), round: 1, pagesToSend: pages(8000), bytesSent: sent(32_768) });
  yield decided(5020, hold);
  yield seen({ type: 'cap-changed', atMs: ms(5021), cap: capped(50), by: 'us' });
  yield decided(5021, hold);
  yield seen({ type: 'sample', atMs: ms(6021), round: 1, dirtyPages: pages(1000), cpuTimeMs: ms(16_000), bytesSent: sent(36_768) });
  yield decided(6021, { action: 'hold', forecast, reason: because('fits', 'goes well') });
  yield seen({ type: 'sample', atMs: ms(6521), round: 1, dirtyPages: pages(1500), cpuTimeMs: ms(16_250), bytesSent: sent(38_768) });
  yield decided(6521, hold);
  yield seen({
    type: 'suspend-request',
    atMs: ms(7021),
    round: 2,
    dirtyPages: pages(2000),
    cpuTimeMs: ms(16_500),
    bytesSent: sent(40_768),
  });
  yield decided(7021, { action: 'grant', forecast, reason: because('fits', 'predicted downtime fits') });
  yield { type: 'effect', id, atMs: ms(7022), action: 'grant', result: 'applied', latencyMs: ms(1) };
  yield seen({ type: 'cap-changed', atMs: ms(7022), cap: UNCAPPED, by: 'us' });
  yield decided(7022, hold);
  yield seen({ type: 'suspended', atMs: ms(7040), bytesSent: sent(40_768) });
  yield decided(7040, hold);
  yield seen({ type: 'complete', atMs: ms(7322), bytesSent: sent(42_768) });
  yield decided(7322, hold);
  yield { type: 'effect', id, atMs: ms(7330), action: 'restore', result: 'applied' };
  yield summary(id, domain, { bytesSent: sent(42_768) });
}
