import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { curveThrough } from '../../src/core/dirty-curve.ts';
import { bytesPerSecond, ms, pages } from '../../src/core/units.ts';
import type { Candidate, DirtyKnown } from '../../src/evacuate/candidate.ts';
import {
  type Attempt,
  type Evacuation,
  type EvacuationOptions,
  ended,
  inOrder,
  isOver,
  lanesOf,
  leftAll,
  newEvacuation,
  nextStarts,
  resumed,
  started,
  withoutDoomed,
} from '../../src/evacuate/plan.ts';
import { finishTimes, leastDowntime, predict } from '../../src/evacuate/predict.ts';
import { planLines, resultLines } from '../../src/evacuate/table.ts';

const GIB = 262_144;
const LINK = bytesPerSecond(1e9);
const guest = (name: string, gib: number, change: Partial<Candidate> = {}): Candidate => ({
  uuid: `uuid-${name}`,
  name,
  domid: 1,
  memoryPages: pages(Math.round(gib * GIB)),
  ...change,
});
/** Uniform writes over a working set, as a look of two seconds sees them. */
const writes = (pagesPerSecond: number, workingSetPages: number): DirtyKnown => {
  const at = (workMs: number) => workingSetPages * -Math.expm1((-pagesPerSecond * workMs) / 1000 / workingSetPages);
  const curve = curveThrough(Array.from({ length: 40 }, (_, i) => 50 * (i + 1)).map((workMs) => ({ workMs, pages: at(workMs) })));
  return { pagesPerSecond: Math.round(at(1000)), curve };
};
const OPTIONS: EvacuationOptions = { order: 'auto', tries: 2, targetDowntimeMs: ms(300), floorSpeed: 0.11 };
const OUTLINE = { fixedMs: ms(70), aroundMs: ms(1000), roundsMax: 12 };
const plan = (guests: readonly Candidate[], change: Partial<EvacuationOptions> = {}): Evacuation =>
  newEvacuation('host2', guests, { ...OPTIONS, ...change });
const names = (starts: readonly { readonly uuid: string }[]) => starts.map(({ uuid }) => uuid.replace('uuid-', ''));
const attempt = (change: Partial<Attempt> = {}): Attempt => ({
  result: 'moved',
  metTarget: true,
  reason: 'moved',
  seconds: 10,
  bytesSent: 1e9,
  shared: false,
  ...change,
});
const missed = (change: Partial<Attempt> = {}) => attempt({ result: 'stayed', reason: 'the target cannot be met', ...change });
const three = [guest('big', 8), guest('small', 1), guest('middle', 4)];

describe('who leaves, and when', () => {
  it.each([
    ['auto', ['small', 'middle', 'big']],
    ['smallest', ['small', 'middle', 'big']],
    ['largest', ['big', 'middle', 'small']],
    ['listed', ['big', 'small', 'middle']],
  ] as const)('%s', (order, expected) => {
    expect(inOrder(plan(three, { order })).map(({ candidate }) => candidate.name)).toEqual(expected);
  });
  it('auto, several at a time: the one that takes longest first', () => {
    expect(names(nextStarts(plan(three, { parallel: 2 })))).toEqual(['big', 'middle']);
  });
  it('quietest: what is known to write less first, what is not known last', () => {
    const dirty = (pagesPerSecond: number) => ({ dirty: writes(pagesPerSecond, 100_000) });
    const guests = [guest('unknown', 1), guest('busy', 1, dirty(9000)), guest('calm', 1, dirty(10))];
    expect(inOrder(plan(guests, { order: 'quietest' })).map(({ candidate }) => candidate.name)).toEqual(['calm', 'busy', 'unknown']);
  });
  it('one at a time, until it is known that one stream does not fill the link', () => {
    const one = plan(three, { link: LINK });
    expect(lanesOf(one)).toBe(1);
    const half = ended(started(one, 'uuid-small'), 'uuid-small', attempt({ bytesSent: 5e9 }));
    expect(lanesOf(half)).toBe(2);
    expect(names(nextStarts(half))).toEqual(['big', 'middle']);
    const full = ended(started(one, 'uuid-small'), 'uuid-small', attempt({ bytesSent: 9e9 }));
    expect(lanesOf(full)).toBe(1);
  });
  it('nothing is learned of a stream that others shared', () => {
    expect(ended(started(plan(three), 'uuid-big'), 'uuid-big', attempt({ shared: true })).streamRate).toBeUndefined();
  });
  it('what cannot leave is listed, with the reason, and never started', () => {
    const evacuation = plan([guest('driver', 1, { stays: 'a driver domain' })]);
    expect(isOver(evacuation)).toBe(true);
    expect(nextStarts(evacuation)).toEqual([]);
    expect(resultLines(evacuation).join('\n')).toMatch(/driver +LEFT HERE.*a driver domain/);
  });
});

describe('a guest that will need more rounds than a first try has', () => {
  // Falls by little from round to round at its floor.
  const slow = guest('slow', 4, { dirty: writes(900_000, 700_000), floorSpeed: 0.2 });
  const calm = guest('calm', 1, { dirty: writes(100, 100_000) });
  const first = (change: Partial<EvacuationOptions>) =>
    Object.fromEntries(nextStarts(plan([slow, calm], { parallel: 2, link: LINK, ...change })).map(({ uuid, hard }) => [uuid, hard]));
  it('has them at once: a try for nothing takes longer', () => {
    const { rounds } = predict(slow, { ...OUTLINE, rate: LINK, targetDowntimeMs: ms(300), floorSpeed: 0.2 });
    expect(rounds).toBeGreaterThan(3);
    expect(first({ firstRounds: rounds - 1 })).toEqual({ 'uuid-slow': true, 'uuid-calm': false });
    expect(first({ firstRounds: rounds })).toEqual({ 'uuid-slow': false, 'uuid-calm': false });
  });
  it('has not, where a person has said how many, or no rate is known', () => {
    expect(first({})).toEqual({ 'uuid-slow': false, 'uuid-calm': false });
    const unknown = nextStarts(newEvacuation('host2', [slow], { ...OPTIONS, firstRounds: 1 }));
    expect(unknown).toMatchObject([{ hard: false }]);
  });
});

describe('a guest that missed', () => {
  it('is tried again after all others, alone where they had slowed it, with more rounds, and left after its last try', () => {
    let evacuation = ended(started(plan(three, { parallel: 2 }), 'uuid-big'), 'uuid-big', missed({ shared: true, bytesSent: 0.5e9 }));
    expect(nextStarts(evacuation).map(({ hard }) => hard)).toEqual([false, false]);
    for (const uuid of ['uuid-small', 'uuid-middle']) evacuation = started(evacuation, uuid);
    evacuation = ended(evacuation, 'uuid-small', attempt());
    expect(nextStarts(evacuation)).toEqual([]);
    evacuation = ended(evacuation, 'uuid-middle', attempt());
    expect(nextStarts(evacuation)).toEqual([{ uuid: 'uuid-big', hard: true, alone: true }]);
    evacuation = ended(started(evacuation, 'uuid-big'), 'uuid-big', missed());
    expect(isOver(evacuation)).toBe(true);
    expect(evacuation.entries[0]).toMatchObject({ status: 'left', why: 'the target cannot be met' });
  });
  it('while nobody slowed it is tried again beside the others', () => {
    const rate = { seconds: 10, bytesSent: 4e9 };
    let evacuation = ended(started(plan(three, { parallel: 2 }), 'uuid-small'), 'uuid-small', attempt(rate));
    evacuation = ended(started(evacuation, 'uuid-big'), 'uuid-big', missed({ ...rate, shared: true }));
    expect(nextStarts(evacuation).map(({ hard, alone }) => [hard, alone])).toEqual([
      [true, false],
      [false, false],
    ]);
  });
  it('is not tried again when it was proven with the link for itself that no cap does', () => {
    const evacuation = ended(started(plan(three), 'uuid-big'), 'uuid-big', missed({ bestDowntimeMs: 900 }));
    expect(evacuation.entries[0]?.status).toBe('left');
  });
  it('is, when it was proven on a shared link and the whole one may do', () => {
    const shared = { shared: true, seconds: 10, bytesSent: 2e9 };
    const status = (bestDowntimeMs: number) =>
      ended(started(plan(three, { link: LINK }), 'uuid-big'), 'uuid-big', missed({ ...shared, bestDowntimeMs })).entries[0]?.status;
    expect(status(900)).toBe('waiting');
    expect(status(9000)).toBe('left');
  });
  it('because we were told to stop keeps its tries', () => {
    const evacuation = ended(started(plan(three, { tries: 1 }), 'uuid-big'), 'uuid-big', attempt({ result: 'interrupted' }));
    expect(evacuation.entries[0]?.status).toBe('waiting');
  });
  it('by far, as a look at it says, is not even tried, where the rate is known', () => {
    const hopeless = guest('hopeless', 8, { dirty: writes(1.5e6, 1.6e6) });
    expect(withoutDoomed(plan([hopeless])).entries[0]?.status).toBe('waiting');
    expect(withoutDoomed(plan([hopeless], { link: bytesPerSecond(1e8) })).entries[0]).toMatchObject({
      status: 'left',
      why: expect.stringContaining('not tried'),
    });
    expect(withoutDoomed(plan([guest('calm', 8, { dirty: writes(100, 1000) })], { link: LINK })).entries[0]?.status).toBe('waiting');
  });
});

describe('an evacuation that was interrupted', () => {
  it('goes on with what is still here, and knows what it has learned', () => {
    const dirty = writes(10, 100);
    const first = plan([guest('a', 1, { dirty }), guest('b', 1, { dirty }), guest('c', 1)]);
    const stopped = ended(started(first, 'uuid-a'), 'uuid-a', attempt());
    const again = resumed(stopped, [guest('b', 1), guest('new', 1)], OPTIONS);
    expect(again.entries.map(({ candidate, status }) => [candidate.name, status])).toEqual([
      ['a', 'moved'],
      ['b', 'waiting'],
      ['new', 'waiting'],
    ]);
    expect(again.entries[1]?.candidate.dirty).toEqual(dirty);
    expect(again.streamRate).toBe(stopped.streamRate);
  });
});

describe('whatever happens to the migrations', () => {
  it('every guest ends moved or left, no more run than allowed, none is tried too often, and the plan survives JSON', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 12 }),
        fc.record({ parallel: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }), tries: fc.integer({ min: 1, max: 4 }) }),
        fc.array(fc.constantFrom<Attempt['result']>('moved', 'stayed', 'failed', 'interrupted'), { minLength: 1, maxLength: 40 }),
        fc.infiniteStream(fc.nat(100)),
        (sizes, { parallel, tries }, results, choice) => {
          const guests = sizes.map((size, i) => guest(`vm${i}`, size));
          let evacuation = plan(guests, { tries, ...(parallel === undefined ? {} : { parallel }) });
          const running: string[] = [];
          let turn = 0;
          for (let step = 0; step < 500 && !isOver(evacuation); step++) {
            for (const { uuid } of nextStarts(evacuation)) {
              evacuation = started(evacuation, uuid);
              running.push(uuid);
            }
            expect(running.length).toBeGreaterThan(0);
            expect(running.length).toBeLessThanOrEqual(parallel ?? 1);
            const [uuid = ''] = running.splice((choice.next().value ?? 0) % running.length, 1);
            // An interruption is not for ever.
            const result = turn < 100 ? (results[turn++ % results.length] as Attempt['result']) : 'moved';
            evacuation = ended(evacuation, uuid, attempt({ result, shared: running.length > 0 }));
            expect(JSON.parse(JSON.stringify(evacuation))).toEqual(evacuation);
          }
          expect(isOver(evacuation)).toBe(true);
          for (const { attempts } of evacuation.entries)
            expect(attempts.filter(({ result }) => result !== 'interrupted').length).toBeLessThanOrEqual(tries);
        },
      ),
    );
  });
  it('the deadline leaves what waits, and nothing that runs', () => {
    const evacuation = leftAll(started(plan(three), 'uuid-small'), 'the deadline came first');
    expect(evacuation.entries.map(({ status }) => status)).toEqual(['left', 'running', 'left']);
  });
});

describe('what is predicted', () => {
  const options = { ...OUTLINE, rate: LINK, targetDowntimeMs: ms(300), floorSpeed: 0.11 };
  const dirtyGuest = fc.record({
    memoryPages: fc.integer({ min: GIB, max: 64 * GIB }).map(pages),
    rate: fc.integer({ min: 1, max: 2e6 }),
    workingSet: fc.integer({ min: 1000, max: 8 * GIB }),
  });
  it('is at least what the memory takes, ends, and grows with the rate of writing', () => {
    fc.assert(
      fc.property(dirtyGuest, ({ memoryPages, rate, workingSet }) => {
        const candidate = { memoryPages, dirty: writes(rate, workingSet) };
        const { timeMs, downtimeMs, pages: sent } = predict(candidate, options);
        expect(timeMs).toBeGreaterThanOrEqual((memoryPages * 4104) / 1e6);
        expect(downtimeMs).toBeGreaterThanOrEqual(70);
        expect(sent).toBeGreaterThanOrEqual(memoryPages);
        const calmer = { memoryPages, dirty: writes(rate / 2, workingSet) };
        expect(leastDowntime(calmer, options)).toBeLessThanOrEqual((leastDowntime(candidate, options) ?? 0) * 1.001);
        expect(leastDowntime({ ...candidate, floorSpeed: 0.05 }, options)).toBeLessThanOrEqual(
          (leastDowntime(candidate, options) ?? 0) * 1.001,
        );
      }),
    );
  });
  it('lanes take what comes as they become free', () => {
    expect(finishTimes([4, 2, 3, 1], 2)).toEqual([4, 2, 5, 5]);
    expect(finishTimes([4, 2], 1)).toEqual([4, 6]);
  });
  it('is printed with what stays here', () => {
    const lines = planLines(
      plan([guest('db1', 4, { dirty: writes(256, 100_000) }), guest('x\u001b[2J', 1, { stays: 'why\nnot' })], {
        link: LINK,
      }),
    );
    expect(lines.join('\n')).toMatch(/db1 +4.00 GiB +1.00 MiB\/s/);
    expect(lines.join('\n')).toMatch(/stays here:\n.*why not/);
    expect(lines.join('\n')).not.toContain('\u001b');
  });
});
