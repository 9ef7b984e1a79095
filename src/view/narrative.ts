import { capToXen } from '../core/cap.ts';
import type { Story, StoryDecision } from '../trace/story.ts';
import {
  plural,
  showBytes,
  showBytesRate,
  showCount,
  showMs,
  showPageRate,
  showPagesBytes,
  showRange,
  showSeconds,
  showXenCap,
} from './human.ts';
import { safeText } from './text.ts';
import { SOURCE_WORDS, showTarget } from './words.ts';

/** What happened, as a few paragraphs of plain sentences. All text is safe for a terminal; HTML still has to escape it. */
export function narrate(story: Story): readonly string[] {
  return [who(story), firstRound(story), steering(story), switchOver(story), cost(story)].filter((text) => text !== '');
}

function who(story: Story): string {
  const { start, goal } = story;
  const { domain } = goal;
  const memory = showPagesBytes(domain.populatedPages);
  const to = start.destination === undefined || start.host === 'simulated' ? '' : ` to ${safeText(start.destination)}`;
  const simulated =
    start.host === 'simulated'
      ? ` on the simulated host${start.scenario === undefined ? '' : ` (scenario ${safeText(start.scenario)}, seed ${start.seed ?? 'unknown'})`}`
      : '';
  const watched = start.observe
    ? 'was only watched: decisions were taken, none was carried out'
    : `was controlled by ${safeText(start.controller)}`;
  const target =
    goal.maxDirtyPages === undefined
      ? `a target downtime of ${showMs(goal.targetDowntimeMs)}`
      : `a target of at most ${plural(goal.maxDirtyPages, 'dirty page')}`;
  return (
    `${safeText(domain.name)}, a guest with ${memory} of memory and ${plural(domain.vcpus, 'vCPU')}, was live-migrated${to}${simulated}. ` +
    `The migration ${watched}, with ${target}, stalls of at most ${showMs(goal.maxStallMs)} ` +
    `(so no cap below ${goal.capFloorPercent} %) and --on-miss ${goal.onMiss}.`
  );
}

function firstRound(story: Story): string {
  const [first] = story.rounds;
  if (first === undefined) return 'No round was seen.';
  if (first.endMs === undefined) return `The first round, of ${plural(first.pagesToSend, 'page')}, did not end.`;
  const took = showMs(first.endMs - first.startMs);
  const rate = first.transferRate === undefined ? '' : ` at ${showBytesRate(first.transferRate)}`;
  if (first.pagesDirtied === undefined) return `Round 0 sent all memory in ${took}${rate}.`;
  const dirtied =
    `Meanwhile the guest dirtied ${plural(first.pagesDirtied, 'page')} (${showPagesBytes(first.pagesDirtied)}), ` +
    `${showPageRate(first.dirtyRate)} or ${showBytesRate((first.dirtyRate ?? 0) * 4096)}.`;
  const [fit] = story.fits;
  const fits = fit === undefined ? '' : ` For the target at most ${plural(Math.floor(fit.value), 'page')} may be left at the end.`;
  return `Round 0 sent all memory in ${took}${rate}. ${dirtied}${fits}`;
}

function steering(story: Story): string {
  const changes = story.decisions.filter(({ decision }) => decision.action === 'set-cap');
  const [first] = changes;
  const rounds = story.rounds.length;
  const span = shrinking(story);
  if (first === undefined) return `There were ${plural(rounds, 'round')}, and the cap was never changed.${span}`;
  const would = story.start.observe ? 'would have been ' : 'was ';
  const lowest = Math.min(...changes.map(capAsked));
  const stall = Math.max(...story.caps.map(({ value }) => value.stallMs));
  const stalls = stall > 0 ? ` A cap that low can make the guest stand still for up to ${showMs(stall)} at a time.` : '';
  return (
    `There were ${plural(rounds, 'round')}. The cap ${would}first lowered ${showMs(first.atMs)} after the start` +
    `${first.round === undefined ? '' : `, in round ${first.round}`}, to ${showXenCap(capAsked(first))}: ${safeText(first.decision.reason.text)}. ` +
    `It ${would}set ${plural(changes.length, 'time')}, and ${showXenCap(lowest)} was the lowest.${stalls}${span}`
  );
}

const capAsked = ({ decision }: StoryDecision): number => (decision.action === 'set-cap' ? capToXen(decision.cap) : 0);

function shrinking(story: Story): string {
  const counted = story.rounds.flatMap(({ pagesDirtied }) => (pagesDirtied === undefined ? [] : [pagesDirtied]));
  const [first] = counted;
  const last = counted.at(-1);
  if (first === undefined || last === undefined || counted.length < 2) return '';
  const verb = last < 0.9 * first ? 'shrank' : last > 1.1 * first ? 'grew' : 'stayed about the same';
  return verb === 'stayed about the same'
    ? ` The dirty set stayed about the same: ${showCount(first)} pages in the first round, ${showCount(last)} in the last.`
    : ` The dirty set ${verb} from ${showCount(first)} pages in the first round to ${showCount(last)} in the last.`;
}

function switchOver(story: Story): string {
  const { summary } = story;
  const verdict = story.decisions.findLast(({ decision }) => ['grant', 'deny', 'abort'].includes(decision.action));
  const predicted = summary?.predictedDowntimeRangeMs ?? verdict?.decision.forecast?.downtimeMs;
  const why = verdict === undefined ? '' : safeText(verdict.decision.reason.text);
  const told = predicted === undefined || predicted === null || why.includes('predicted downtime');
  const said = told ? '' : ` The predicted downtime was ${showRange(predicted)}.`;
  if (summary === undefined) return `The end was not recorded.${said}`;
  const ended = { met: 'granted', missed: 'granted', aborted: 'ended', failed: 'failed', released: 'released' }[summary.outcome];
  if (ended === 'released')
    return `xthrottle let go of it ${showMs(story.durationMs)} after its start, with its cap put back, and it went on as on stock Xen; how it ended was not seen.`;
  if (ended === 'failed') return `The migration failed: ${safeText(summary.reason)}.${said} The guest runs where xl left it.`;
  if (ended === 'ended') {
    return `The migration was aborted ${showMs(story.durationMs)} after its start: ${safeText(summary.reason)}.${said} The guest was not suspended and runs on where it was.`;
  }
  const asked = story.suspendRequestedMs === undefined ? '' : ` ${showMs(story.suspendRequestedMs)} after the start`;
  const reason = why.startsWith('granted') ? why.slice('granted'.length) : why === '' ? '' : `: ${why}`;
  const verb = story.start.observe
    ? `happened as on stock Xen; the controller's answer would have been${why === '' ? ' none' : `: ${why}`}`
    : `was granted${reason}`;
  return `The suspend was asked for${asked} and ${verb}.${said} ${observedDowntime(story)}`;
}

function observedDowntime({ summary }: Story): string {
  if (summary === undefined) return '';
  const { observedDowntimeMs: observed, predictedDowntimeMs: predicted, observedDowntimeSource: source } = summary;
  if (observed === null) return 'The downtime was not observed.';
  const from = source === null ? '' : ` (${SOURCE_WORDS[source]})`;
  const met = summary.outcome === 'met' ? 'within' : 'over';
  const off = predicted === null || predicted <= 0 ? '' : `, ${offBy(observed, predicted)} the prediction`;
  const left = summary.lastDirtyPages === null ? '' : ` with ${plural(summary.lastDirtyPages, 'page')} to send`;
  const gap =
    summary.guestGapBoundMs === null || summary.guestGapBoundMs <= observed
      ? ''
      : ` Together with the last stall before it the guest may have felt a gap of up to ${showMs(summary.guestGapBoundMs)}.`;
  return `The guest stood still for ${showMs(observed)}${left}${from}: ${met} the target of ${showTarget(summary)}${off}.${gap}`;
}

function offBy(observed: number, predicted: number): string {
  const percent = Math.round((observed / predicted - 1) * 100);
  if (percent === 0) return 'exactly';
  return `${Math.abs(percent)} % ${percent > 0 ? 'above' : 'below'}`;
}

function cost(story: Story): string {
  const { summary } = story;
  if (summary === undefined) return '';
  const sent = `${showBytes(summary.bytesSent)} went over the link in ${showSeconds(summary.totalSeconds)}`;
  const throttled =
    summary.capPercentMin === null
      ? 'the guest was never throttled'
      : `the guest was throttled for ${showSeconds(summary.throttledSeconds)} of them and lost about ${showSeconds(summary.lostWorkSeconds)} of CPU time`;
  const cap = summary.capRestored
    ? summary.capPercentMin === null
      ? `Its own cap (${showXenCap(summary.capBefore)}) was left alone.`
      : `The cap it had before (${showXenCap(summary.capBefore)}) is back.`
    : `ITS CAP WAS NOT RESTORED: it was ${showXenCap(summary.capBefore)} before.`;
  return `${sent}; ${throttled}. ${cap}`;
}
