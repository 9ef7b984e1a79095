import type { SummaryRecord } from '../../src/core/record.ts';
import { AWAY } from '../../src/xen/domain.ts';
import { isLeft } from '../../src/xen/restore.ts';
import { UUID } from '../xen/stand-in.ts';
import { OTHER_CAP, OTHER_UUID, type World } from './world.ts';
import type { SimXthrottle } from './xthrottle.ts';

/** An admin's change that lands while a call of ours is on its way may be overwritten: so long a call may be on its way. */
const RACE_MS = 100;
const RACE_TROUBLED_MS = 45_000;

const raceMs = (world: World): number => (world.xen.troubled > 0 || world.slowed ? RACE_TROUBLED_MS : RACE_MS);

/** The caps that may be in force once all is over: the domain's own, or what somebody else set since. */
export function isOwnCap(world: World, cap: number): boolean {
  return cap === world.setting.capOriginal || world.admin.some((change) => change.cap === cap);
}

/** Of the cpupool, before us. */
const TSLICE_MS = 30;

/** Everything of ours that is still in force: in words, for a violation. */
export function inForce(world: World): string | undefined {
  const other = world.xen.byUuid(OTHER_UUID);
  if (other !== undefined && other.cap !== OTHER_CAP) return `the cap of the other domain is ${other.cap}`;
  const domain = world.xen.byUuid(UUID);
  if (domain !== undefined && !isOwnCap(world, domain.cap)) return `the cap is ${domain.cap}`;
  return world.xen.state.tslice === TSLICE_MS ? undefined : `the timeslice is ${world.xen.state.tslice} ms`;
}

/** What must hold of every cap that one of ours ever set. */
export function capsWithinBounds(world: World, xthrottles: readonly SimXthrottle[]): string[] {
  const admins = new Set(world.admin.map(({ cap }) => cap));
  // What an admin had set before a start is the original of that one.
  admins.add(world.setting.capOriginal);
  const original = admins.has(0) ? 0 : Math.max(...admins);
  const starts = xthrottles.flatMap((x) =>
    x.records.flatMap(({ record }) => (record.type === 'start' ? [record.goal.capFloorPercent] : [])),
  );
  const floor = Math.min(...starts, 44);
  return world.xen.capChanges.flatMap(({ by, uuid, to, atMs }) => {
    if (by === undefined) return [];
    const at = `${(atMs / 1000).toFixed(3)} s`;
    if (uuid !== UUID) return [`${by.name} changed the cap of another domain to ${to} at ${at}`];
    // What an admin set before our start is the original of a later migration.
    if (admins.has(to)) return [];
    if (to === 0) return [`${by.name} set the cap to none at ${at}, it was ${original}`];
    if (to < floor) return [`${by.name} set the cap to ${to} at ${at}, below the floor ${floor}`];
    if (original !== 0 && to > original) return [`${by.name} set the cap to ${to} at ${at}, above the original ${original}`];
    return [];
  });
}

/**
 * An admin's cap stays: nothing of ours is set once we could have seen it. xl has no compare and swap: a call of ours that is on its way
 * overwrites it, and then nobody can know.
 */
export function handsOff(world: World, xthrottle: SimXthrottle): string[] {
  const begunAtMs = xthrottle.records.find(({ record }) => record.type === 'start')?.atMs;
  const last = world.admin.at(-1);
  // What was set before we came is the original.
  if (last === undefined || begunAtMs === undefined || last.atMs < begunAtMs || last.cap === world.setting.capOriginal) return [];
  // Of this xthrottle and its relay alone: one that comes later takes the admin's cap for the original.
  const after = world.xen.capChanges.find(
    ({ by, uuid, atMs, to }) =>
      by !== undefined && [xthrottle.process, world.migration?.relay].includes(by) && uuid === UUID && atMs > last.atMs && to !== last.cap,
  );
  if (after === undefined || after.atMs <= last.atMs + raceMs(world)) return [];
  return [`${after.by?.name} set the cap to ${after.to} at ${(after.atMs / 1000).toFixed(3)} s, after an admin had set ${last.cap}`];
}

/** The suspension of the migration that just ended: whose it was, and whether it may have been. */
export function suspensionOf(world: World, xthrottle: SimXthrottle): { readonly failOpen: boolean; readonly violations: string[] } {
  const heard = world.migration?.suspendHeard;
  if (heard === undefined || world.migration?.relay === undefined) return { failOpen: false, violations: [] };
  const answer = world.answers.find(({ atMs }) => atMs <= heard.atMs);
  const verdict = xthrottle.records.findLast(
    ({ record }) => record.type === 'decision' && (record.decision.action === 'grant' || record.decision.action === 'deny'),
  )?.record;
  const decision = verdict?.type === 'decision' ? verdict.decision : undefined;
  // It only watched.
  if (world.settled?.by === 'observe') return { failOpen: false, violations: [] };
  if (answer === undefined || world.settled?.by === 'timeout') {
    const summary = xthrottle.records.findLast(({ record }) => record.type === 'summary');
    const told = world.settledAtMs !== undefined && summary !== undefined && summary.atMs > world.settledAtMs && !xthrottle.signalled;
    const migrated = summary?.record.type === 'summary' && (summary.record.outcome === 'met' || summary.record.outcome === 'missed');
    const silent = told && migrated && summary.record.failOpen !== true;
    return { failOpen: true, violations: silent ? ['suspended without leave, and the summary does not say so'] : [] };
  }
  if (!answer.grant) return { failOpen: false, violations: ['the suspension was denied, and passed on all the same'] };
  const violations: string[] = [];
  if (decision?.action === 'deny') violations.push('the controller denied the suspension, and it was granted');
  const steered = world.xen.capChanges.some(({ by, to }) => by === xthrottle.process && to === heard.cap);
  if (
    world.setting.onMiss === 'abort' &&
    heard.cap !== world.setting.capOriginal &&
    steered &&
    !world.admin.some(({ cap }) => cap === heard.cap)
  )
    violations.push(`the suspension was granted under our cap of ${heard.cap}, --on-miss abort`);
  const open = decision?.action === 'grant' && decision.reason.code === 'no-prediction';
  if (
    world.setting.onMiss === 'abort' &&
    !open &&
    decision?.action === 'grant' &&
    (decision.forecast?.downtimeMs.high ?? 0) > world.setting.targetMs
  )
    violations.push('the suspension was granted although the forecast was above the target');
  return { failOpen: open, violations };
}

/** What a summary says, held against the world at that moment. */
export function summaryIsTrue(world: World, summary: SummaryRecord, xthrottle: SimXthrottle): string[] {
  const said = `the summary says ${summary.outcome}, cap restored ${summary.capRestored}`;
  const violations: string[] = [];
  const { place } = world.guest;
  // All that a sidecar sees of a hand-over is that a domain which was all sent has gone: as when somebody destroys it.
  const cannotTell = world.setting.mode === 'watch' && world.migration?.saved === true && world.disturbed === 'destroyed';
  if ((summary.outcome === 'met' || summary.outcome === 'missed') && place !== 'there' && !cannotTell)
    violations.push(`${said}: the guest is ${place}`);
  if (summary.outcome === 'aborted' && place === 'there') violations.push(`${said}: the guest has migrated`);
  const domain = world.xen.byUuid(UUID);
  // The other xthrottle's cap is no business of this one.
  const ours = world.xen.capChanges.findLast(({ uuid }) => uuid === UUID)?.by === xthrottle.process;
  if (summary.capRestored && ours && domain !== undefined && !isOwnCap(world, domain.cap))
    violations.push(`${said}: the cap is ${domain.cap}`);
  return violations;
}

/** A cap of ours that is still in force when all is quiet must have been reported. */
export function capIsBackOrReported(
  world: World,
  xthrottles: readonly SimXthrottle[],
): { readonly lost: boolean; readonly violations: string[] } {
  const left = inForce(world);
  if (left === undefined) return { lost: false, violations: [] };
  const reported = xthrottles.some(
    (x) =>
      x.summaries.some((s) => !s.capRestored) ||
      x.outcomes.some(isLeft) ||
      x.notes.some((text) => text.includes('NOT RESTORED')) ||
      // Killed, and nobody there to put it back: the next start does.
      (!x.closed && (x.guard === undefined || x.guardFell || x.withoutGuard)),
  );
  return reported ? { lost: true, violations: [] } : { lost: true, violations: [`${left}, and nothing said so`] };
}

/** The guest runs exactly once, unless somebody else took it away. `lost`: it stands, and nobody was left who could resume it. */
export function guestRuns(world: World, xthrottle: SimXthrottle): { readonly lost: boolean; readonly violations: string[] } {
  const { migration, guest } = world;
  const violated = (text: string) => ({ lost: guest.suspended, violations: [text] });
  if (guest.runsTwice) return violated('the guest was resumed here, and runs there');
  if (migration?.endedStanding === true) return violated('xl was ended by us while the guest stood');
  const leftHere = guest.place === 'there' && world.xen.byUuid(UUID) !== undefined;
  if (!guest.suspended && !leftHere) return { lost: false, violations: [] };
  const permitted = migration?.mayRunThere === true;
  // xl that fails by itself resumes it, until it has let it start there.
  if (migration?.result !== 'killed' && !permitted) return violated('the guest was left suspended');
  const isOurs = world.setting.mode === 'migrate';
  // A sidecar that was told to end has let go of it.
  const saw = xthrottle.closed && xthrottle.failure === undefined && (isOurs || xthrottle.summaries.some((s) => s.outcome !== 'released'));
  if (!saw) return { lost: guest.suspended, violations: [] };
  const told = leftHere ? 'xl destroy' : '--resume';
  if (!xthrottle.notes.some((text) => text.includes(told))) return violated('the guest was left suspended, and nothing said so');
  const hindered = world.xen.troubled > 0 || world.slowed;
  // A name that xl gives it just before its permission to start.
  const mayRunThere = permitted || world.xen.byUuid(UUID)?.name.endsWith(AWAY) === true;
  if (isOurs && !mayRunThere && !hindered) return violated('the guest was left suspended, and could have been resumed');
  return { lost: guest.suspended, violations: [] };
}
