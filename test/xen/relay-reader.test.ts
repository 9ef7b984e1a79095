import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytes, type Ms, ms, type Pages, pages } from '../../src/core/units.ts';
import type { RelayMessage } from '../../src/xen/relay/protocol.ts';
import { relayReader } from '../../src/xen/relay-reader.ts';
import { facts } from './stand-in.ts';

const at = (atMs: number) => ({ atMs: ms(atMs), bytesSent: bytes(atMs * 100) });
const start = (round: number, pagesToSend: number, atMs = round * 1000): RelayMessage => ({
  type: 'round-start',
  round,
  pagesToSend: pages(pagesToSend),
  ...at(atMs),
});
const request: RelayMessage = { type: 'suspend-request', id: 1, awaited: true, round: 4, ...at(9000) };
const nothing = () => ({});
const dirty = (count: number) => ({ dirtyPages: pages(count) });

describe('observations from a relay', () => {
  it('leave round 0 the size of the p2m, and clamp later rounds to the pages of the domain', () => {
    const reader = relayReader(facts(), undefined);
    expect(reader.read(start(0, 1_044_480), nothing)).toMatchObject({ type: 'round-start', round: 0, pagesToSend: 1_044_480 });
    expect(reader.read(start(1, 49_936), nothing)).toMatchObject({ pagesToSend: 32_784 });
  });
  it('subtract what an aborted migration left in the count, from round 0 looks and from round 1', () => {
    const reader = relayReader(facts(), pages(41_613));
    reader.read(start(0, 1_044_480), nothing);
    expect(reader.sample(ms(500), dirty(45_000))).toMatchObject({ dirtyPages: 45_000 - 41_613 });
    expect(reader.read(start(1, 49_936), nothing)).toMatchObject({ pagesToSend: 8323 });
    const last = { type: 'progress', round: 1, pagesSent: pages(49_936), pagesToSend: pages(49_936), ...at(1400) } as const;
    expect(reader.read(last, nothing)).toMatchObject({ pagesSent: 8323, pagesToSend: 8323 });
    expect(reader.sample(ms(1500), dirty(1000))).toMatchObject({ dirtyPages: 1000, round: 1 });
    expect(reader.read(start(2, 2000), nothing)).toMatchObject({ pagesToSend: 2000 });
  });
  it('forget a baseline that the hypervisor has reset', () => {
    const reader = relayReader(facts(), pages(41_613));
    reader.read(start(0, 1_044_480), nothing);
    expect(reader.sample(ms(500), dirty(10))).toMatchObject({ dirtyPages: 10 });
    expect(reader.read(start(1, 5000), nothing)).toMatchObject({ pagesToSend: 5000 });
  });
  it('do not mistake the next round, cleared but not announced yet, for a guest that stopped dirtying', () => {
    const reader = relayReader(facts(), undefined);
    reader.read(start(1, 5000), nothing);
    reader.sample(ms(1100), dirty(4000));
    expect(reader.sample(ms(1200), dirty(3))).toBeUndefined();
  });
  it('carry a look with the suspend request, and none after it', () => {
    const reader = relayReader(facts(), undefined);
    reader.read(start(4, 400), nothing);
    expect(reader.read(request, () => ({ ...dirty(321), cpu: { cpuTimeMs: ms(77), onlineVcpus: 1, vcpus: [] } }))).toMatchObject({
      type: 'suspend-request',
      dirtyPages: 321,
      cpuTimeMs: 77,
    });
    expect(reader.phase).toBe('asked');
    expect(reader.sample(ms(9100), dirty(400))).toBeUndefined();
  });
  it('know when leave was passed on, and that a denied save never suspends', () => {
    const reader = relayReader(facts(), undefined);
    reader.read(request, nothing);
    reader.read({ type: 'suspend-settled', id: 1, result: 'denied', by: 'server', ...at(9050) }, nothing);
    expect(reader.passedOnAtMs).toBeUndefined();
    reader.read({ type: 'suspend-settled', id: 1, result: 'passed-on', by: 'server', ...at(9100) }, nothing);
    expect(reader.passedOnAtMs).toBe(9100);
  });
  it('call a failed save complete never', () => {
    const reader = relayReader(facts(), undefined);
    expect(reader.read({ type: 'complete', result: -1, errno: 9, ...at(1) }, nothing)).toBeUndefined();
    expect(reader.phase).toBe('over');
  });
  it('look where the policy asks after a round, and only there', () => {
    const reader = relayReader(facts(), undefined);
    let looks = 0;
    const look = () => {
      looks++;
      return dirty(123);
    };
    const query = { type: 'policy-query', id: 1, awaited: true, round: 1, totalWritten: pages(9), ...at(5) } as const;
    expect(reader.read({ ...query, when: 'before', dirtyPages: pages(50) }, look)).toMatchObject({ when: 'before', dirtyPages: 50 });
    expect(looks).toBe(0);
    expect(reader.read({ ...query, when: 'after' }, look)).toMatchObject({ when: 'after', dirtyPages: 123 });
    expect(looks).toBe(1);
  });
  it('never show more dirty pages than the domain has, fewer than none, or time running back', () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.array(fc.tuple(fc.boolean(), fc.nat(2 ** 22))), (baseline, events) => {
        const reader = relayReader(facts(), pages(baseline));
        let round = 0;
        reader.read(start(0, 1_044_480), nothing);
        for (const [isRound, count] of events) {
          const seen = isRound ? reader.read(start(++round, count), nothing) : reader.sample(ms(1) as Ms, dirty(count));
          const shown: Pages | undefined =
            seen?.type === 'round-start' ? seen.pagesToSend : seen?.type === 'sample' ? seen.dirtyPages : undefined;
          if (shown === undefined) continue;
          expect(shown).toBeGreaterThanOrEqual(0);
          expect(shown).toBeLessThanOrEqual(32_784);
        }
      }),
    );
  });
});

describe('a real dirty count, peeked at beside a migration', () => {
  // captures/07-peek-null.peek.txt.gz: "... dirty=N ... domid=D cpu_ns=..." at about 20 Hz.
  const text = gunzipSync(readFileSync(fileURLToPath(new URL('captures/07-peek-null.peek.txt.gz', import.meta.url)))).toString();
  const counts = [...text.matchAll(/ dirty=(\d+) /g)].map(([, n]) => Number(n));
  it('rises within a round and is accepted until it is cleared', () => {
    expect(counts.length).toBeGreaterThan(50);
    const reader = relayReader(facts({ populatedPages: pages(32_784) }), undefined);
    reader.read(start(1, 0), nothing);
    const accepted = counts.flatMap((count, i) => {
      const seen = reader.sample(ms(i * 50), dirty(count));
      return seen?.type === 'sample' && seen.dirtyPages !== undefined ? [seen.dirtyPages] : [];
    });
    expect(accepted).toEqual([...accepted].sort((a, b) => a - b));
  });
});
