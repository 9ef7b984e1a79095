import type { Observable } from 'rxjs';
import type { Decision } from './core/decision.ts';
import type { Capabilities, DomainFacts, OnMiss } from './core/goal.ts';
import type { Observation } from './core/observation.ts';
import type { EffectRecord } from './core/record.ts';
import type { Ms } from './core/units.ts';

/** How a migration ended, as its host saw it. */
export interface Ending {
  /** It stayed because we ended it, not xl or the link. */
  readonly abortedByUs?: true;
  readonly result: 'migrated' | 'stayed' | 'unknown';
  /** The guest was suspended before an answer of ours had reached the relay: nothing was guaranteed. */
  readonly failOpen?: true;
  /** In words, for the summary: xl's own last error, or why we aborted. */
  readonly reason?: string;
  /** Suspend request → running at the destination. */
  readonly downtimeMs?: Ms;
  readonly downtimeSource?: 'handover' | 'relay' | 'simulated';
}

export interface RestoreResult {
  readonly restored: boolean;
  /** Xen's number read back; null where the domain is gone (migrated away) or cannot be read. */
  readonly capAfter: number | null;
  /** When not restored: what the person has to do. */
  readonly hint?: string;
}

/**
 * One migration on some host, real or simulated. The loop subscribes to `observations$` once and calls `apply` exactly once for each
 * observation, in order; a simulated host's time stands still until the promise settles.
 */
export interface Migration {
  readonly id: string;
  readonly host: 'xen' | 'simulated';
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  readonly destination?: string;
  /** Why nothing is changed for this domain, where that is so: then every decision is only thought of. */
  readonly observeOnly?: string;
  /** In order, ends when the migration is over; never errors: a lost relay is an ending of `unknown`. */
  readonly observations$: Observable<Observation>;
  /** Settles after `observations$` completed. */
  readonly ended: Promise<Ending>;
  now(): Ms;
  /**
   * Carries a decision out. Expected failures are values (`result: 'failed'`). `superseded`: a newer cap is already decided, do not call out.
   * `onMiss` abort: a grant holds only with the domain's own cap in force; where that cannot be had it becomes a denial, and has failed.
   */
  apply(decision: Decision, observation: Observation, superseded: boolean, onMiss?: OnMiss): Promise<Effect>;
  /** Ends the migration with the guest left here, if it can still be: what an abort decision and a signal do. */
  abort(reason: string): Promise<void>;
  /** Puts the domain's own cap back and verifies it; idempotent. Called on every path. */
  restoreCap(): Promise<RestoreResult>;
}

export type Effect = Omit<EffectRecord, 'type' | 'id' | 'atMs' | 'action'>;

/** A source of migrations: the sidecar's socket, one wrapped job, or the simulated host. */
export interface Host {
  readonly migrations$: Observable<Migration>;
  close(): Promise<void>;
}
