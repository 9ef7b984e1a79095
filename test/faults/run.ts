import { isLeft, restoreLeftovers } from '../../src/xen/restore.ts';
import { createXl } from '../../src/xen/xl.ts';
import { UUID } from '../xen/stand-in.ts';
import { drawFaults, FAULT_KINDS, FAULTS, type Fault, type FaultKind, schedule } from './faults.ts';
import { capIsBackOrReported, capsWithinBounds, guestRuns, handsOff, inForce, summaryIsTrue, suspensionOf } from './oracle.ts';
import { SimProcess } from './process.ts';
import { Rng } from './rng.ts';
import { SETTINGS } from './settings.ts';
import { wild } from './wild.ts';
import { type Setting, STATE, World } from './world.ts';
import { SimXthrottle } from './xthrottle.ts';

export type Outcome = 'met' | 'missed' | 'aborted' | 'failed' | 'released' | 'no verdict';

export interface RunReport {
  readonly seed: number;
  readonly setting: Setting;
  readonly faults: readonly { readonly kind: FaultKind; readonly fired: number }[];
  readonly outcome: Outcome;
  /** Suspended because nobody answered in time, or nothing could be predicted. */
  readonly failOpen: boolean;
  /** The cap was lost for a while, and that was said. */
  readonly capLost: boolean;
  /** The guest was left standing, as stock Xen leaves it. */
  readonly guestLost: boolean;
  /** What the next migration without faults ended as. */
  readonly next: Outcome | undefined;
  readonly violations: readonly string[];
  readonly story: readonly string[];
  readonly virtualMs: number;
}

export interface RunOptions {
  readonly kinds?: readonly FaultKind[];
  /** Migrates once more when the faults have stopped. */
  readonly liveness?: boolean;
  /** By what way caps are lowered; default: by either, as the seed is even or odd. */
  readonly lowersBy?: 'library' | 'xl';
  /** Breaks the program on purpose: shows that the oracle sees it. */
  readonly sabotage?: (world: World, xthrottle: SimXthrottle) => void;
}

const FAULTS_WITHIN_MS = 5000;
export const MIGRATION_AT_MS = 400;
/** The longest that a migration may take: the longest stall of the link, and the rest. */
export const MIGRATION_MS_MAX = 400_000;
/** From the end of the migration until control has ended, with xl timing out at every turn. */
const SETTLE_MS_MAX = 200_000;
const GUARD_MS_MAX = 400_000;
/** An xl that no signal reaches may still land. */
const QUIET_MS = 40_000;

/** What a seed means: the setting, and its faults. */
export function planned(seed: number, kinds: readonly FaultKind[] = FAULT_KINDS) {
  const rng = new Rng(seed);
  const setting = rng.pick(SETTINGS);
  return { rng, setting, faults: drawFaults(rng, kinds, FAULTS_WITHIN_MS) };
}

/** One seeded run: a migration under faults, the next start of xthrottle, and the next migration without any. */
export async function simulate(seed: number, options: RunOptions = {}): Promise<RunReport> {
  const { rng, setting, faults } = planned(seed, options.kinds);
  const world = new World(setting, seed, options.lowersBy);
  const violations: string[] = [];
  const xthrottle = new SimXthrottle(world);
  xthrottle.withoutGuard = rng.chance(0.03);
  xthrottle.onSummary = (summary) => violations.push(...summaryIsTrue(world, summary, xthrottle));
  options.sabotage?.(world, xthrottle);
  const scene = { world, xthrottle, rng: rng.fork(9), rival: undefined as SimXthrottle | undefined };
  const fired = arm(faults, scene);
  violations.push(...(await migrateOnce(world, xthrottle)));
  // Asked for anew: the other one may come when the migration is over.
  const everyone = () => [xthrottle, ...(scene.rival === undefined ? [] : [scene.rival])];
  const guards = () => everyone().every((x) => x.guard?.alive !== true && (x.closed || !x.process.alive));
  await world.time.run(world.time.nowMs + GUARD_MS_MAX, guards);
  if (!guards()) violations.push('a guard or an xthrottle never ended');
  await world.time.run(world.time.nowMs + QUIET_MS, () => false);
  const all = everyone();
  const suspension = suspensionOf(world, xthrottle);
  const cap = capIsBackOrReported(world, all);
  const guest = guestRuns(world, xthrottle);
  violations.push(...suspension.violations, ...cap.violations, ...guest.violations);
  heal(world);
  violations.push(...(await nextStart(world)), ...capsWithinBounds(world, all), ...handsOff(world, xthrottle));
  const next = options.liveness === true ? await nextMigrations(world, violations) : undefined;
  return {
    seed,
    setting,
    faults: faults.map(({ kind }, i) => ({ kind, fired: fired[i] ?? 0 })),
    outcome: xthrottle.summaries[0]?.outcome ?? 'no verdict',
    failOpen: suspension.failOpen,
    capLost: cap.lost,
    guestLost: guest.lost,
    next,
    violations,
    story: world.story,
    virtualMs: world.time.nowMs,
  };
}

function arm(faults: readonly Fault[], scene: Omit<Parameters<(typeof FAULTS)[FaultKind]>[0], 'fired'>): number[] {
  const fired = faults.map(() => 0);
  faults.forEach((fault, i) => {
    const whole = Object.assign(scene, {
      fired: (text: string) => {
        fired[i] = (fired[i] ?? 0) + 1;
        scene.world.note(`FAULT ${text}`);
      },
    });
    const { fired: mine } = whole;
    schedule(
      fault,
      () => {
        whole.fired = mine;
        FAULTS[fault.kind](whole);
      },
      scene.world,
    );
  });
  return fired;
}

/** From the start of xthrottle until the migration is over and its control has ended. */
async function migrateOnce(world: World, xthrottle: SimXthrottle): Promise<string[]> {
  const { time, setting } = world;
  xthrottle.start();
  const begun = time.nowMs;
  if (setting.mode === 'watch') time.after(MIGRATION_AT_MS, undefined, () => world.migrate());
  const gone = () => xthrottle.closed || !xthrottle.process.alive;
  // xl goes on without us, and what becomes of the guest shows at its end.
  const over = () => world.migration?.over ?? (setting.mode === 'migrate' && gone());
  await time.run(begun + MIGRATION_MS_MAX, over);
  if (!over()) return ['the migration never ended'];
  const settled = () =>
    gone() || (setting.mode === 'watch' && xthrottle.controlled !== 'running' && !(xthrottle.controlled === 'not yet' && opening()));
  const openUntil = time.nowMs + 60_000;
  // A sidecar may be on its way to take the migration up, or never hear of it.
  const opening = () => time.nowMs < openUntil;
  await time.run(time.nowMs + SETTLE_MS_MAX, settled);
  const violations = settled() ? [] : ['control never ended'];
  if (!gone()) xthrottle.signal('SIGTERM');
  await time.run(time.nowMs + SETTLE_MS_MAX, gone);
  return gone() ? violations : [...violations, 'xthrottle did not end after SIGTERM'];
}

export function heal(world: World): void {
  world.calm();
  world.link.dropped = false;
  world.link.stalledUntilMs = 0;
  world.link.pagesPerSecond = world.setting.linkPagesPerSecond;
  world.wire.stuckUntilMs = 0;
  world.xen.recover();
  world.disk.full = false;
  world.disk.broken = undefined;
}

/** What every start does: what is left is put back, or said. */
async function nextStart(world: World): Promise<string[]> {
  const process = new SimProcess('next start', world.time);
  world.live(process);
  let outcomes: Awaited<ReturnType<typeof restoreLeftovers>> | undefined;
  process.start(() => {
    void restoreLeftovers({
      xl: createXl({ start: world.xen.program(process) }),
      directory: STATE,
      fs: world.disk.for(process),
      lives: (owner) => world.lives(owner.pid),
      callsUnderWay: (domid) => world.xen.callsUnderWay(domid),
    }).then((found) => {
      outcomes = found;
    });
  });
  await world.time.run(world.time.nowMs + 60_000, () => outcomes !== undefined);
  process.end();
  for (const o of outcomes ?? []) world.note(`next start: ${o.verdict}: ${o.text}`);
  if (outcomes === undefined) return ['the next start never ended'];
  const left = inForce(world);
  if (left === undefined) return [];
  return outcomes.some(isLeft) || world.disk.names(STATE).some((name) => name.endsWith('.corrupt'))
    ? []
    : [`${left} even after the next start, and nothing says so`];
}

/** Faults have stopped: it converges as it would have. Chance may deny one that eight others saw granted, hardly two. */
async function nextMigrations(world: World, violations: string[]): Promise<Outcome | undefined> {
  const first: string[] = [];
  const outcome = await nextMigration(world, first);
  const byChance = outcome === 'aborted' && first.length === 1 && world.guest.place === 'here';
  if (!byChance) violations.push(...first);
  return byChance ? await nextMigration(world, violations) : outcome;
}

async function nextMigration(world: World, violations: string[]): Promise<Outcome | undefined> {
  const { setting, guest } = world;
  const domain = world.xen.byUuid(UUID);
  const ours = domain?.cap === setting.capOriginal;
  if (domain === undefined || guest.place !== 'here' || guest.suspended) return undefined;
  if (domain.name !== 'vm1') domain.name = 'vm1';
  // A cap that was lost, and said to be (its journal was spoilt), is this migration's original, as an admin's would be.
  if (!ours) world.admin.push({ atMs: world.time.nowMs, cap: domain.cap });
  world.note('NEXT MIGRATION, without faults');
  const xthrottle = new SimXthrottle(world, 'the next xthrottle');
  xthrottle.onSummary = (summary) => violations.push(...summaryIsTrue(world, summary, xthrottle));
  world.migration = undefined;
  violations.push(...(await migrateOnce(world, xthrottle)).map((text) => `next migration: ${text}`));
  const outcome = xthrottle.summaries[0]?.outcome ?? 'no verdict';
  const expected = await expectedOf(setting);
  if (ours && !expected.has(outcome)) violations.push(`next migration: ${outcome}, it would have been ${[...expected].join(' or ')}`);
  violations.push(...capIsBackOrReported(world, [xthrottle]).violations);
  // A cap that was lost, and reported, is this migration's original.
  if (ours) violations.push(...suspensionOf(world, xthrottle).violations);
  return outcome;
}

const expectations = new Map<Setting, Promise<ReadonlySet<Outcome>>>();
const CALM_RUNS = 8;

/** What a setting ends as without any fault, over some seeds. */
export async function expectedOf(setting: Setting): Promise<ReadonlySet<Outcome>> {
  const known = expectations.get(setting);
  if (known !== undefined) return known;
  const found = (async () => {
    // It denies as it likes.
    const outcomes = new Set<Outcome>(setting.controller === wild.name ? ['met', 'missed', 'aborted'] : []);
    for (let seed = 1; seed <= CALM_RUNS; seed++) {
      const world = new World(setting, seed);
      const xthrottle = new SimXthrottle(world);
      const wrong = await migrateOnce(world, xthrottle);
      if (wrong.length > 0) throw new Error(`without faults: ${wrong.join(', ')}`);
      outcomes.add(xthrottle.summaries[0]?.outcome ?? 'no verdict');
    }
    return outcomes;
  })();
  expectations.set(setting, found);
  return found;
}
