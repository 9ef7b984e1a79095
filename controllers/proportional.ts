import { because, bytesPerSecond, type ControllerOption, currentRound, pageRate, pagesThatFit } from '../src/core/index.ts';
import { baseline, option, roundsLeft, streamRate, switchOver, wait } from './baseline.ts';
import { lastFinished } from './dirty-rate.ts';

/*
 * proportional: the plainest controller that knows the target.
 *
 * A round that sends P pages at B pages/s lasts P/B and, at speed u, leaves u·r·P/B dirty (r: dirty rate at full speed). To bring P down to
 * the F pages that fit the target within k rounds, each must leave at most the share ρ of the one before:
 *
 *   ρ = min(shrink, (F/P)^(1/k))        u = clamp(ρ·B/r, floor, 1)
 *
 * At each round's start. r is the last round's dirty rate over the speed it was dirtied at, so the cap goes back up by itself when the
 * guest calms down. The dirty curve is taken for a straight line, which overstates short rounds' shrinking and understates long ones'.
 */

/** Half: then all rounds together are twice the first. */
const SHRINK: ControllerOption = {
  name: 'shrink',
  summary: 'percent of a round that the next may be at most',
  byDefault: 50,
  min: 1,
  max: 100,
  whole: false,
};

export const proportional = baseline<null>({
  name: 'proportional',
  summary: 'speed from dirty rate against transfer rate, so that the dirty set reaches the target in the rounds left',
  options: [SHRINK],
  initial: () => null,
  want(own, view) {
    const fits = switchOver(view);
    if (fits !== undefined) return { own, reason: fits, end: 'stop-and-copy' };
    const { track, goal, observation } = view;
    const last = lastFinished(track);
    const rate = streamRate(track);
    const now = currentRound(track);
    if (observation.type !== 'round-start' || last === undefined || rate === undefined || now === undefined) return wait(own);
    const fullRate = last.dirtyRate / Math.max(view.speed, 0.01);
    const sendable = pageRate(bytesPerSecond(rate));
    const fit = pagesThatFit(goal.targetDowntimeMs, fullRate, bytesPerSecond(rate), goal);
    const shrink = option(goal, SHRINK) / 100;
    const left = roundsLeft(view);
    const needed = left === undefined ? shrink : (Math.max(1, fit) / Math.max(1, now.pagesToSend)) ** (1 / (left + 1));
    const ratio = Math.min(shrink, needed);
    const speed = fullRate > 0 ? Math.min(1, (ratio * sendable) / fullRate) : 1;
    const numbers = {
      dirtyRate: Math.round(fullRate),
      sendRate: Math.round(sendable),
      fitPages: Math.round(fit),
      speedPercent: Math.round(100 * speed),
    };
    const text = `dirties ${numbers.dirtyRate} pages/s at full speed, ${numbers.sendRate} are sent: ${numbers.speedPercent} % leaves ${Math.round(100 * ratio)} % after this round`;
    return { own, speed, reason: because('proportional', text, numbers) };
  },
});
