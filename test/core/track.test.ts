import { describe, expect, it } from 'vitest';
import {
  bytes,
  initialTrack,
  ms,
  type Observation,
  observe,
  pages,
  rateAhead,
  type Track,
  WIRE_BYTES_PER_PAGE,
} from '../../src/core/index.ts';
import { goal } from './fixtures.ts';

const g = goal({}, { populatedPages: pages(4_000_000) });
const fold = (observations: readonly Observation[]): Track => observations.reduce((track, o) => observe(track, o, g), initialTrack(g));

/** Rounds of `count` pages each, sent at `pagesPerMs(n)` during the n-th report, with a pause between rounds. */
function rounds(lengths: readonly number[], pagesPerMs: (n: number) => number, reports = 10): Observation[] {
  const out: Observation[] = [];
  let atMs = 1000;
  let sent = 0;
  let n = 0;
  for (const [round, count] of lengths.entries()) {
    out.push({ type: 'round-start', atMs: ms(atMs), round, pagesToSend: pages(count), bytesSent: bytes(sent) });
    for (let k = 1; k <= reports; k++) {
      atMs += count / reports / pagesPerMs(n++);
      sent += (count / reports) * WIRE_BYTES_PER_PAGE;
      out.push({
        type: 'progress',
        atMs: ms(atMs),
        round,
        pagesSent: pages((count * k) / reports),
        pagesToSend: pages(count),
        bytesSent: bytes(sent),
      });
    }
    atMs += 40;
  }
  return out;
}

describe('transfer rate', () => {
  it('one burst that a buffer took widens the range a little, a link that goes on to change does', () => {
    const width = (t: Track): number => ((t.transferRate?.high ?? 0) - (t.transferRate?.low ?? 0)) / (t.transferRate?.value ?? 1);
    const lengths = Array.from({ length: 20 }, () => 25_000);
    const steady = fold(rounds(lengths, () => 100));
    const burst = fold(rounds(lengths, (n) => (n >= 190 && n < 196 ? 400 : n === 196 ? 10 : 100)));
    const changing = fold(rounds(lengths, (n) => (n < 140 ? 100 : n % 20 < 10 ? 30 : 170)));
    expect(width(steady)).toBeLessThan(0.05);
    expect(width(burst)).toBeLessThan(0.15);
    expect(width(changing)).toBeGreaterThan(0.45);
  });
  it('is what was sent over the time it took, pauses between rounds left out', () => {
    const track = fold(rounds([1_000_000, 20_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000], () => 250));
    expect((track.transferRate?.value as number) / WIRE_BYTES_PER_PAGE / 1000).toBeCloseTo(250, 0);
    expect(track.transferRate?.high).toBeLessThan((track.transferRate?.value as number) * 1.1);
  });

  it('follows a link that slows down, and its range says that it moved', () => {
    const steady = fold(rounds([1_000_000], () => 250, 40));
    const sagging = fold(rounds([1_000_000], (n) => (n < 25 ? 250 : 100), 40));
    expect(sagging.transferRate?.value).toBeLessThan(0.5 * (steady.transferRate?.value as number));
    const width = (t: Track): number => ((t.transferRate?.high ?? 0) - (t.transferRate?.low ?? 0)) / (t.transferRate?.value ?? 1);
    expect(width(sagging)).toBeGreaterThan(2 * width(steady));
  });

  it('of a link with buffers, which stalls and then catches up, is what it is on average, and more surely so for a longer stop-and-copy', () => {
    const perMs = (n: number): number => (n % 20 === 0 ? 100 / 450 : n % 20 <= 10 ? 10 : 2);
    const watched = rounds([100_000], perMs, 1000);
    const over = (targetMs: number): { worst: number; width: number } => {
      const by = { ...g, targetDowntimeMs: ms(targetMs) };
      let track = initialTrack(by);
      let [worst, width, n] = [0, 0, 0];
      for (const o of watched) {
        track = observe(track, o, by);
        const { transferRate: rate } = track;
        if (rate === undefined || o.atMs < 20_000) continue;
        worst = Math.max(worst, Math.abs(Math.log(rate.value / WIRE_BYTES_PER_PAGE / 2000)));
        width += (rate.high - rate.low) / rate.value;
        n++;
      }
      return { worst, width: width / n };
    };
    expect(over(2000).worst).toBeLessThan(0.25);
    expect(over(2000).width).toBeLessThan(0.7 * over(300).width);
  });

  it.each([300, 2000])(
    'of a link that drops to a third has its rate within the range again in a second and a half (target %i ms)',
    (targetMs) => {
      const by = { ...g, targetDowntimeMs: ms(targetMs) };
      let track = initialTrack(by);
      const droppedAtMs = 1000 + 200 * 50;
      let seen = 0;
      for (const o of rounds([2_000_000], (n) => (n < 200 ? 100 : 33), 400)) {
        track = observe(track, o, by);
        const { transferRate: rate } = track;
        if (rate === undefined || o.atMs < droppedAtMs + 1500 || o.atMs > droppedAtMs + 8000) continue;
        seen++;
        // The average of the last moments lags by so much.
        expect(rate.low / WIRE_BYTES_PER_PAGE / 1000).toBeLessThanOrEqual(1.15 * 33);
      }
      expect(seen).toBeGreaterThan(20);
    },
  );

  it('holds the next reading in its range nine times in ten on a noisy link', () => {
    let inside = 0;
    let all = 0;
    let track = initialTrack(g);
    const noisy = rounds(Array(60).fill(400_000), (n) => 250 * (1 + 0.08 * Math.sin(n * 78.233) * Math.cos(n * 12.9)), 4);
    let before: { atMs: number; bytesSent: number } | undefined;
    for (const o of noisy) {
      if (o.type === 'progress' && before !== undefined && track.transferRate !== undefined) {
        const seen = ((o.bytesSent - before.bytesSent) / (o.atMs - before.atMs)) * 1000;
        all++;
        if (seen >= track.transferRate.low && seen <= track.transferRate.high) inside++;
      }
      track = observe(track, o, g);
      before = o.type === 'progress' || o.type === 'round-start' ? o : before;
    }
    expect(all).toBeGreaterThan(100);
    expect(inside / all).toBeGreaterThan(0.9);
  });

  it('expects a sag to be over after a while, with the range of the long run', () => {
    const track = fold(rounds([2_000_000], (n) => (n < 70 ? 250 : 100), 80));
    const now = track.transferRate?.value as number;
    expect(rateAhead(track, 0)?.value).toBeCloseTo(now, 3);
    const ahead = [1000, 4000, 60_000].map((aheadMs) => rateAhead(track, aheadMs)?.value as number);
    expect([now, ...ahead]).toEqual([now, ...ahead].sort((a, b) => a - b));
    expect((ahead[2] as number) / now).toBeGreaterThan(1.5);
    expect(ahead[2]).toBeLessThan(250 * 1000 * WIRE_BYTES_PER_PAGE);
  });

  it('does not read a rate out of absent frames', () => {
    const track = fold([
      { type: 'round-start', atMs: ms(0), round: 0, pagesToSend: pages(1_000_000), bytesSent: bytes(0) },
      { type: 'progress', atMs: ms(300), round: 0, pagesSent: pages(900_000), pagesToSend: pages(1_000_000), bytesSent: bytes(4104) },
    ]);
    expect(track.transferRate).toBeUndefined();
  });
});
