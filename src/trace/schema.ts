import { z } from 'zod';
import type { MigrationRecord } from '../core/record.ts';

/**
 * The record schema as read from files of other people and other versions: unknown fields are dropped, what we rely on is checked.
 * JSON has no infinity and writes null for it; where a number may be infinite null becomes that again.
 */
const number = z.number();
const count = z.number().min(0);
const endless = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.POSITIVE_INFINITY);
const text = z.string().max(64 * 1024);
const name = z.string().max(4096);

const estimate = z.object({ value: endless, low: endless, high: endless });
const cap = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('uncapped') }),
  z.object({ kind: z.literal('capped'), percent: z.number().int().min(1) }),
]);
const numbers = z.record(name, endless);
const reason = z.object({ code: name, text, numbers: numbers.default({}) });
const forecast = z.object({
  downtimeMs: estimate,
  etaMs: estimate.optional(),
  lastPages: estimate.optional(),
  guestGapMs: endless.optional(),
  feasible: z.boolean().optional(),
  bestDowntimeMs: endless.optional(),
});
const decided = { reason, forecast: forecast.optional() };
const decision = z.discriminatedUnion('action', [
  z.object({ action: z.literal('set-cap'), cap, ...decided }),
  z.object({ action: z.enum(['uncap', 'hold', 'stop-and-copy', 'abort', 'deny']), ...decided }),
  z.object({ action: z.literal('grant'), runFirstMs: number.optional(), ...decided }),
]);

const at = { atMs: number };
const observation = z.discriminatedUnion('type', [
  z.object({ type: z.literal('round-start'), ...at, round: count, pagesToSend: count, bytesSent: count }),
  z.object({ type: z.literal('progress'), ...at, round: count, pagesSent: count, pagesToSend: count, bytesSent: count }),
  z.object({
    type: z.literal('sample'),
    ...at,
    round: count,
    dirtyPages: count.optional(),
    cpuTimeMs: count.optional(),
    standingMs: count.optional(),
    bytesSent: count.optional(),
  }),
  z.object({
    type: z.literal('policy-query'),
    ...at,
    when: z.enum(['before', 'after']),
    round: count,
    dirtyPages: count.optional(),
    totalWritten: count,
    standingMs: count.optional(),
    bytesSent: count,
  }),
  z.object({
    type: z.literal('suspend-request'),
    ...at,
    round: count,
    dirtyPages: count.optional(),
    cpuTimeMs: count.optional(),
    standingMs: count.optional(),
    bytesSent: count,
  }),
  z.object({ type: z.literal('cap-changed'), ...at, cap, by: z.enum(['us', 'other']), latencyMs: number.optional() }),
  z.object({ type: z.literal('suspended'), ...at, bytesSent: count }),
  z.object({ type: z.literal('stop-and-copy'), ...at, pagesToSend: count, bytesSent: count }),
  z.object({ type: z.literal('complete'), ...at, bytesSent: count }),
  z.object({ type: z.literal('tick'), ...at, bytesSent: count.optional() }),
]);

const capabilities = z
  .object({
    peek: z.boolean(),
    policy: z.boolean(),
    roundsMax: number.optional(),
    actuator: z.boolean(),
    actuatorLatencyMs: number,
    liftLatencyMs: number,
    scheduler: z.enum(['credit', 'credit2', 'other']),
    tsliceMs: number,
    runFirstMs: number.optional(),
  })
  // Earlier records: it was a timeslice.
  .transform((c) => ({ ...c, runFirstMs: c.runFirstMs ?? c.tsliceMs }));
const domain = z.object({
  name,
  domid: number,
  uuid: name,
  vcpus: z.number().min(1),
  activeVcpus: number,
  populatedPages: count,
  capOriginal: cap,
});
const goal = z.object({
  targetDowntimeMs: number,
  maxStallMs: endless,
  capFloorPercent: number,
  capCeilingPercent: number,
  onMiss: z.enum(['abort', 'proceed']),
  profile: z.enum(['progressive', 'steep', 'gradual']),
  prefer: z.enum(['downtime', 'network', 'safety', 'speed']),
  deadlineMs: number.optional(),
  maxDirtyPages: number.optional(),
  overheadMs: estimate,
  suspendLatencyMs: estimate,
  domain,
  capabilities,
  options: z.record(name, number),
});

const id = z.object({ id: name }).shape;
const perhaps = number.nullable();
const record = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('start'),
    v: z.number().int().min(1),
    ...id,
    time: name.optional(),
    host: z.enum(['xen', 'simulated']),
    controller: name,
    observe: z.boolean(),
    goal,
    destination: name.optional(),
    scenario: name.optional(),
    seed: number.optional(),
  }),
  z.object({ type: z.literal('observation'), ...id, observation }),
  z.object({ type: z.literal('decision'), ...id, atMs: number, decision }),
  z.object({
    type: z.literal('effect'),
    ...id,
    atMs: number,
    action: z.enum(['set-cap', 'uncap', 'hold', 'stop-and-copy', 'abort', 'grant', 'deny', 'restore']),
    result: z.enum(['applied', 'superseded', 'skipped', 'failed']),
    cap: cap.optional(),
    latencyMs: number.optional(),
    error: text.optional(),
  }),
  z.object({ type: z.literal('note'), ...id, level: z.enum(['info', 'warning', 'error']), text, dropped: number.optional() }),
  z.object({
    type: z.literal('summary'),
    ...id,
    domain: name,
    outcome: z.enum(['met', 'missed', 'aborted', 'failed', 'released']),
    reason: text,
    controller: name,
    targetDowntimeMs: number,
    maxDirtyPages: number.optional(),
    predictedDowntimeMs: perhaps,
    predictedDowntimeRangeMs: estimate.nullable(),
    observedDowntimeMs: perhaps,
    observedDowntimeSource: z.enum(['handover', 'relay', 'simulated']).nullable(),
    guestGapBoundMs: perhaps,
    stallMaxMs: endless,
    rounds: number,
    bytesSent: number,
    predictedLastPages: number.optional(),
    lastDirtyPages: perhaps,
    totalSeconds: number,
    capPercentMin: perhaps,
    throttledSeconds: number,
    lostWorkSeconds: number,
    capBefore: number,
    capAfter: perhaps,
    capRestored: z.boolean(),
    failOpen: z.literal(true).optional(),
    seed: number.optional(),
  }),
]);

const KNOWN = new Set(['start', 'observation', 'decision', 'effect', 'note', 'summary']);

export type Parsed =
  | { readonly kind: 'record'; readonly record: MigrationRecord }
  /** A type that a later version of the same schema added. */
  | { readonly kind: 'unknown' }
  /** Not a record; `where` and `why` say what is wrong. */
  | { readonly kind: 'invalid'; readonly why: string };

/** Checks one parsed JSON value. The version is the caller's business: see `versionOf`. */
export function parseRecord(value: unknown): Parsed {
  const type = z.object({ type: z.string() }).safeParse(value);
  if (type.success && !KNOWN.has(type.data.type)) return { kind: 'unknown' };
  const result = record.safeParse(value);
  // The schema's numbers carry no brands and its optional fields may be undefined; a property test holds it to MigrationRecord.
  if (result.success) return { kind: 'record', record: result.data as unknown as MigrationRecord };
  const [issue] = result.error.issues;
  return { kind: 'invalid', why: issue === undefined ? 'not a record' : `${issue.path.join('.') || 'record'}: ${issue.message}` };
}

/** The `v` of a start record, before anything else of it is relied on; undefined for all other values. */
export function versionOf(value: unknown): number | undefined {
  const start = z.object({ type: z.literal('start'), v: z.number() }).safeParse(value);
  return start.success ? start.data.v : undefined;
}
