/** What a guest is shrunk to, decided from what is known of its memory: no I/O. All in KiB, as xl counts. */

/** `auto`: by what the guest itself says is free. */
export type BalloonRequest = { readonly kind: 'auto' } | { readonly kind: 'size'; readonly kib: number };

export interface GuestMemory {
  /** `xl list -l`: target_memkb. */
  readonly targetKib: number;
  /** What the guest's agent publishes as free (xenstore data/meminfo_free); undefined where it does not. */
  readonly freeKib?: number | undefined;
}

export type BalloonPlan = { readonly targetKib: number } | { readonly refused: string; readonly hint: string };

/**
 * Nobody outside the guest knows how small it may become before it swaps or kills (xl's manual says so): never below this share of what it
 * has, whoever asks.
 */
const LEAST_SHARE = 1 / 4;
/** `auto` takes so much of what the guest says is free: part of that is page cache about to be used, and it may need more in a moment. */
const AUTO_SHARE = 1 / 2;
/** Less than this is not worth two calls and the guest's own work. */
const GAIN_SHARE_MIN = 0.05;

const mib = (kib: number): string => `${Math.round(kib / 1024)} MiB`;

/** The memory target for the time of the migration, or why there is none. */
export function planBalloon(request: BalloonRequest, memory: GuestMemory): BalloonPlan {
  const { targetKib, freeKib } = memory;
  const least = Math.ceil(targetKib * LEAST_SHARE);
  if (request.kind === 'auto' && freeKib === undefined) {
    return {
      refused: 'the guest does not say how much of its memory is free (no data/meminfo_free in xenstore)',
      hint: `look inside it and give a size: --balloon ${Math.ceil(targetKib / 2 / 1024)}m`,
    };
  }
  const asked = request.kind === 'size' ? request.kib : Math.max(least, targetKib - Math.floor((freeKib ?? 0) * AUTO_SHARE));
  if (asked < least) {
    return {
      refused: `${mib(asked)} is less than a quarter of the ${mib(targetKib)} it has: a guest that is shrunk too far swaps, or kills its own`,
      hint: `give at least ${mib(least)}`,
    };
  }
  if (asked > targetKib * (1 - GAIN_SHARE_MIN)) {
    return {
      refused:
        request.kind === 'auto'
          ? `it says that only ${mib(freeKib ?? 0)} are free`
          : `it has ${mib(targetKib)}, so that would save next to nothing`,
      hint: 'migrate it without --balloon',
    };
  }
  return { targetKib: asked };
}

/** How far a guest has come: its memory over time, newest last. */
export interface MemoryReading {
  readonly atMs: number;
  readonly kib: number;
}

export type Shrinking =
  | { readonly state: 'going' }
  | { readonly state: 'done' | 'stuck'; readonly kib: number }
  /** It has not moved at all: no balloon driver, or one that is switched off. */
  | { readonly state: 'no-driver' };

/** A guest whose memory has not moved for so long will not move any more. A balloon driver that has to wait tries again within 32 s at most, but first within 1 s. */
const STILL_MS = 4000;
/** One that has not begun within this long has no driver. */
const BEGIN_MS = 8000;
const GIVE_UP_MS = 60_000;
/** xl counts in MiB, and a few frames stay beside the target. */
const SLACK_KIB = 2048;

/** Whether to go on waiting, from the readings since the target was set. */
export function judgeShrinking(readings: readonly MemoryReading[], targetKib: number): Shrinking {
  const [first, last] = [readings[0], readings.at(-1)];
  if (first === undefined || last === undefined) return { state: 'going' };
  if (last.kib <= targetKib + SLACK_KIB) return { state: 'done', kib: last.kib };
  const elapsed = last.atMs - first.atMs;
  const moved = first.kib - last.kib > 0;
  if (!moved) return elapsed < BEGIN_MS ? { state: 'going' } : { state: 'no-driver' };
  const since = readings.find((reading) => reading.kib <= last.kib)?.atMs ?? last.atMs;
  return last.atMs - since >= STILL_MS || elapsed >= GIVE_UP_MS ? { state: 'stuck', kib: last.kib } : { state: 'going' };
}
