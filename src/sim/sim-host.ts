import { from, type Observable } from 'rxjs';
import type { Host } from '../host.ts';
import type { NamedScenario } from './scenario-files.ts';
import { SimMigration } from './sim-migration.ts';
import { World, type WorldOptions } from './world.ts';

interface SimRun {
  readonly scenario: NamedScenario;
  readonly seed: number;
  readonly options?: WorldOptions;
}

export interface SimHostOptions {
  /** Migrations that start at the same time; each has a link of its own. */
  readonly runs: readonly SimRun[];
  /** Virtual seconds per real second; undefined: as fast as possible. */
  readonly pace?: number;
}

/** The simulated host: real controllers and the real loop, in virtual time. */
export class SimHost implements Host {
  readonly migrations: readonly SimMigration[];
  readonly migrations$: Observable<SimMigration>;

  constructor({ runs, pace }: SimHostOptions) {
    this.migrations = runs.map(
      ({ scenario, seed, options }, index) => new SimMigration(new World(scenario, seed, { index, ...options }), pace),
    );
    this.migrations$ = from(this.migrations);
  }

  async close(): Promise<void> {
    await Promise.all(this.migrations.map((migration) => migration.abort('the simulated host was closed')));
  }
}
