import { bytesPerSecond, type Forecast, type Goal, type Observation, pageRate, type Track } from '../../src/core/index.ts';
import { demandOf, type GuestView } from './guest.ts';
import type { Outlook } from './outlook.ts';
import type { Patience } from './patience.ts';
import { floorPercent } from './preferences.ts';

/** All that working-set remembers. Readonly, JSON-serialisable, bounded. */
export interface WorkingSetState {
  readonly track: Track;
  readonly guest: GuestView;
  /** A speed below full was chosen and not taken back. */
  readonly falling: boolean;
  /** Outlooks in a row that said that the target can't be met. */
  readonly hopelessCount: number;
  /** The target that stands in for one out of reach, in its unit, where the migration is to proceed. */
  readonly relaxed?: number;
  /** When the last plan was made, and what it promised. */
  readonly plannedAtMs: number;
  readonly forecast?: Forecast;
  /** Free rounds in a row that were hardly smaller than the one before: waiting longer is not going to help. */
  readonly plateau: number;
  readonly patience: Patience;
  /** The last cap that was decided on (Xen's number; 0: the domain's own), and when. */
  readonly change?: { readonly capPercent: number; readonly atMs: number };
  /** Rounds at the floor without progress, and the round (pages) that progress is measured from. */
  readonly stuck: { readonly rounds: number; readonly best: number };
}

/** Looks (or, without a peek, rounds) that have to be seen before anything is called impossible. */
const LOOKS_MIN = 10;
const ROUNDS_SEEN_MIN = 2;
/** A floor round that leaves more than this share of that one made no progress, nor one that saves less than this share of a target in time. */
const PROGRESS = 0.96;
const PROGRESS_OF_TARGET = 0.01;
/** After a busy phase rounds shrink again from above the best one: a round of less than this share of the one before is no standstill. */
const CONVERGES = 0.75;
/** A round counts as one at the floor up to this factor of the floor's speed. */
const AT_FLOOR = 1.1;

/** Counts outlooks in a row that see no way; one bad reading is no proof. */
export function hopeless(before: WorkingSetState, view: Outlook | undefined, guest: GuestView, goal: Goal): number {
  if (view === undefined || view.feasible) return 0;
  const enough = goal.capabilities.peek ? guest.looks >= LOOKS_MIN : guest.round >= ROUNDS_SEEN_MIN;
  return enough ? before.hopelessCount + 1 : before.hopelessCount;
}

/** Counts rounds that ran at the floor and left hardly less to send than the best of them, nor much less than the one before. */
export function progress(before: WorkingSetState, observation: Observation, guest: GuestView, goal: Goal): WorkingSetState['stuck'] {
  if (observation.type !== 'round-start' || observation.round < 2) return before.stuck;
  if (guest.speedBefore > AT_FLOOR * Math.min(1, floorPercent(goal) / demandOf(guest, goal)) || !before.falling)
    return { rounds: 0, best: 0 };
  const { rounds, best } = before.stuck;
  if (rounds === 0) return { rounds: 1, best: guest.pagesToSend };
  const converges = guest.pagesToSend < CONVERGES * before.guest.pagesToSend;
  if (converges && guest.pagesToSend >= PROGRESS * best) return before.stuck;
  const rate = goal.maxDirtyPages === undefined ? (before.track.transferRate?.value ?? 0) : 0;
  const worth = (PROGRESS_OF_TARGET * goal.targetDowntimeMs * pageRate(bytesPerSecond(rate))) / 1000;
  return guest.pagesToSend < Math.min(PROGRESS * best, best - worth)
    ? { rounds: 1, best: guest.pagesToSend }
    : { rounds: rounds + 1, best };
}

/** A free round is hardly smaller above this share of the one before. */
const PLATEAU = 0.9;

export function plateauOf(before: WorkingSetState, observation: Observation, guest: GuestView): number {
  if (observation.type !== 'round-start' || observation.round < 2) return before.plateau;
  return guest.pagesToSend > PLATEAU * before.guest.pagesToSend && !before.falling ? before.plateau + 1 : 0;
}

/** A plan costs more than everything else together; between two looks what the helper reports says little, … */
const PLAN_MS_MIN = 250;
/** … except while the guest is throttled, when the right moment to let it go counts. */
const PLAN_MS_MIN_FALLING = 20;

/** Whether an observation is worth a new plan. */
export function isTimeToPlan(before: WorkingSetState, observation: Observation, guest: GuestView): boolean {
  const sinceMs = observation.atMs - before.plannedAtMs;
  switch (observation.type) {
    case 'round-start':
    case 'policy-query':
    case 'suspend-request':
    case 'sample':
    case 'tick':
      return true;
    case 'progress':
      return before.falling ? sinceMs >= PLAN_MS_MIN_FALLING : guest.looks === 0 && sinceMs >= PLAN_MS_MIN;
    default:
      return false;
  }
}
