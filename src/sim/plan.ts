import { nextLook } from '../core/looks.ts';
import { WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import type { Scenario } from './scenario.ts';

/** A link as time goes by: what has fitted through it, and when more will have. */
export interface LinkTime {
  sentAt(fromMs: number, bytes: number): number;
  bytesUntil(atMs: number): number;
}

/** Something to report inside a round. All of it is known when the round starts: only link and size decide when. */
export interface Planned {
  readonly kind: 'progress' | 'sample' | 'tick';
  readonly atMs: number;
  readonly frames: number;
  readonly pages: number;
}

/** The save helper says something every so many frames. */
const FRAMES_PER_PROGRESS = 1024;
const PROGRESS_MAX = 48;
const LOOKS_MAX = 48;
const TICK_MS = 1000;
const TICKS_MAX = 20;

/** Reports of a round that starts at `fromMs` and has `pages` to send among `frames` to walk (round 0: absent ones come last). */
export function planRound(scenario: Scenario, link: LinkTime, fromMs: number, frames: number, pages: number): readonly Planned[] {
  const absentMs = ((frames - pages) * 1000) / scenario.link.absentFramesPerSecond;
  const sentAt = (count: number): number => link.sentAt(fromMs, count * WIRE_BYTES_PER_PAGE);
  const copiedMs = sentAt(pages);
  const endMs = copiedMs + Math.max(0, absentMs);
  const walkedAt = (done: number): number =>
    done <= pages ? sentAt(done) : copiedMs + ((done - pages) * 1000) / scenario.link.absentFramesPerSecond;
  const sentPages = (atMs: number): number =>
    Math.min(pages, Math.floor((link.bytesUntil(atMs) - link.bytesUntil(fromMs)) / WIRE_BYTES_PER_PAGE + 1e-6));
  const step = FRAMES_PER_PROGRESS * Math.max(1, Math.ceil(frames / PROGRESS_MAX / FRAMES_PER_PROGRESS));
  const planned: Planned[] = [];
  for (let done = step; done < frames; done += step) {
    planned.push({ kind: 'progress', atMs: walkedAt(done), frames: done, pages: Math.min(done, pages) });
  }
  const report = (kind: 'sample' | 'tick', afterMs: number): void => {
    planned.push({ kind, atMs: fromMs + afterMs, frames: 0, pages: sentPages(fromMs + afterMs) });
  };
  const spanMs = endMs - fromMs;
  if (scenario.host.peek) for (const afterMs of looksInto(spanMs, nominalMs(scenario, pages))) report('sample', afterMs);
  const tickMs = Math.max(TICK_MS, spanMs / TICKS_MAX);
  for (let n = 1; n <= TICKS_MAX && n * tickMs < spanMs; n++) report('tick', n * tickMs);
  planned.push({ kind: 'progress', atMs: endMs, frames, pages });
  return planned.sort((a, b) => a.atMs - b.atMs || a.frames - b.frames);
}

const nominalMs = (scenario: Scenario, pages: number): number => (pages * WIRE_BYTES_PER_PAGE * 1000) / scenario.link.bytesPerSecond;

/** When a round of `spanMs` is looked into, ms after its start; in a very long one less often than on a real host, to keep a simulation short. */
function looksInto(spanMs: number, expectedMs: number): readonly number[] {
  const looks: number[] = [];
  const sparse = spanMs / LOOKS_MAX;
  for (let at = nextLook(0, expectedMs) as number; at < spanMs; ) {
    looks.push(at);
    at += Math.max(nextLook(at, expectedMs), Math.min(sparse, at));
  }
  return looks;
}
