import { FAULTS, type FaultKind, onStock, schedule } from './faults.ts';
import { heal, MIGRATION_AT_MS, MIGRATION_MS_MAX, planned } from './run.ts';
import { World } from './world.ts';
import { SimXthrottle } from './xthrottle.ts';

/** How the same migration goes on Xen as it is, under the same faults. */
export type StockOutcome = 'met' | 'missed' | 'failed' | 'left standing';

/** The run of this seed without xthrottle: what strikes xthrottle alone strikes nothing. */
export async function simulateStock(seed: number, kinds?: readonly FaultKind[]): Promise<StockOutcome> {
  const { rng, setting, faults } = planned(seed, kinds);
  const world = new World(setting, seed);
  const nobody = new SimXthrottle(world, 'nobody');
  nobody.process.end();
  const scene = { world, xthrottle: nobody, rng: rng.fork(9), rival: undefined, fired: () => undefined };
  for (const fault of faults) if (fault.kind !== 'two xthrottles') schedule(onStock(fault), () => FAULTS[fault.kind](scene), world);
  world.time.after(MIGRATION_AT_MS, undefined, () => world.migrate());
  await world.time.run(MIGRATION_MS_MAX, () => world.migration?.over === true);
  await world.time.run(world.time.nowMs + 1000, () => false);
  heal(world);
  const { migration, guest } = world;
  if (guest.suspended) return 'left standing';
  if (guest.place !== 'there' || migration?.resumedAtMs === undefined || migration.suspendHeard === undefined) return 'failed';
  return migration.resumedAtMs - migration.suspendHeard.atMs <= setting.targetMs ? 'met' : 'missed';
}
