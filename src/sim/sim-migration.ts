import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Observable } from 'rxjs';
import { capToXen } from '../core/cap.ts';
import type { Decision } from '../core/decision.ts';
import type { Capabilities, DomainFacts } from '../core/goal.ts';
import type { Observation } from '../core/observation.ts';
import type { Ms } from '../core/units.ts';
import type { Effect, Ending, Migration, RestoreResult } from '../host.ts';
import type { World } from './world.ts';

export const migrationId = (world: World): string => `${world.scenario.name}-${world.seed}-${world.domain.domid}`;

/** Puts the cap back in a world and reads it there. */
export function restoreIn(world: World): RestoreResult {
  world.restoreCap();
  return { restored: true, capAfter: capToXen(world.cap) };
}

/** A world as the loop sees it: one observation, wait for its answer, then time goes on. */
export class SimMigration implements Migration {
  readonly id: string;
  readonly host = 'simulated' as const;
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  readonly destination = 'simulated';
  readonly observations$: Observable<Observation>;
  readonly ended: Promise<Ending>;
  readonly world: World;
  readonly #paceSecondsPerSecond: number | undefined;
  #settle: (ending: Ending) => void = () => undefined;
  #answered: () => void = () => undefined;
  #stopWaiting = new AbortController();

  /** `pace`: virtual seconds per real second; undefined runs as fast as it can. */
  constructor(world: World, pace?: number) {
    this.world = world;
    this.#paceSecondsPerSecond = pace;
    this.id = migrationId(world);
    this.domain = world.domain;
    this.capabilities = world.capabilities;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.observations$ = new Observable((subscriber) => {
      this.#pump(
        (observation) => subscriber.next(observation),
        () => subscriber.closed,
      )
        .then(() => subscriber.complete())
        .catch((error: unknown) => subscriber.error(error));
      return () => {
        this.#stopWaiting.abort();
        this.#answered();
      };
    });
  }

  now(): Ms {
    return this.world.atMs;
  }

  async apply(decision: Decision, _observation: Observation, superseded: boolean): Promise<Effect> {
    // A newer cap is already decided: no call for this one.
    const effect: Effect = superseded ? { result: 'superseded' } : this.world.apply(decision);
    this.#answered();
    return effect;
  }

  async abort(reason: string): Promise<void> {
    this.world.abort(reason);
    this.#stopWaiting.abort();
    this.#answered();
  }

  async restoreCap(): Promise<RestoreResult> {
    return restoreIn(this.world);
  }

  async #pump(emit: (observation: Observation) => void, closed: () => boolean): Promise<void> {
    const startedAtMs = performance.now();
    while (!closed()) {
      const observation = this.world.next();
      if (observation === undefined) break;
      await this.#wait(startedAtMs, observation.atMs);
      if (closed()) break;
      // An abort during the wait ended the migration before this could be seen.
      if (this.world.ending?.result === 'stayed') break;
      const answer = new Promise<void>((resolve) => {
        this.#answered = resolve;
      });
      emit(observation);
      await answer;
      // The loop first finishes with this answer (its record says the time of it), and signals get their turn.
      await nextTurn();
    }
    this.#settle(this.world.ending ?? { result: 'unknown', reason: 'nobody watches the simulated migration any more' });
  }

  async #wait(startedAtMs: number, atMs: Ms): Promise<void> {
    const pace = this.#paceSecondsPerSecond;
    if (pace === undefined) return;
    const leftMs = startedAtMs + atMs / pace - performance.now();
    if (leftMs > 1) await sleep(leftMs, undefined, { signal: this.#stopWaiting.signal }).catch(() => undefined);
  }
}
