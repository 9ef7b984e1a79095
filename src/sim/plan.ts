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
const SAMPLE_MS = 100;
const SAMPLES_MAX = 48;
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
  const looks = (kind: 'sample' | 'tick', everyMs: number, most: number): void => {
    const period = Math.max(everyMs, (endMs - fromMs) / most);
    for (let n = 1; n <= most && fromMs + n * period < endMs; n++) {
      planned.push({ kind, atMs: fromMs + n * period, frames: 0, pages: sentPages(fromMs + n * period) });
    }
  };
  if (scenario.host.peek) looks('sample', SAMPLE_MS, SAMPLES_MAX);
  looks('tick', TICK_MS, TICKS_MAX);
  planned.push({ kind: 'progress', atMs: endMs, frames, pages });
  return planned.sort((a, b) => a.atMs - b.atMs || a.frames - b.frames);
}
