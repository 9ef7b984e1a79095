import { describe, expect, it } from 'vitest';
import { none } from '../../controllers/none.ts';
import { bide, NO_PATIENCE_USED } from '../../controllers/working-set/patience.ts';
import { workingSet } from '../../controllers/working-set.ts';
import {
  bytes,
  bytesPerSecond,
  type Decision,
  exactly,
  type GoalOptions,
  initialTrack,
  ms,
  type Observation,
  observe,
  pages,
} from '../../src/core/index.ts';
import { type SimResult, simulate, suggestedOptions } from '../../src/sim/run.ts';
import type { ScenarioInput } from '../../src/sim/scenario.ts';
import { loadScenario, type NamedScenario, scenarioOf } from '../../src/sim/scenario-files.ts';

/** A busy guest on a 10 Gb/s link: it dirties nearly three times what the link sends. */
const busy = (patch: Partial<ScenarioInput> = {}): NamedScenario =>
  scenarioOf({
    description: 'a busy guest',
    domain: { memoryMib: 4096, vcpus: 4, cpuDemandPercent: 360 },
    classes: [{ name: 'heap', pages: 700_000, writesPerSecond: 700_000 }],
    rateVariation: { sd: 0.03 },
    link: { bytesPerSecond: 1.1e9, variation: { sd: 0.03 } },
    ...patch,
  });

interface Run extends SimResult {
  readonly steps: readonly { readonly observation: Observation; readonly decision: Decision }[];
}

function run(scenario: NamedScenario, options: Partial<GoalOptions> = {}, seed = 1): Run {
  const result = simulate({
    scenario,
    seed,
    controller: workingSet,
    options: { targetDowntimeMs: ms(300), profile: 'steep', ...options },
    records: true,
  });
  const steps: { observation: Observation; decision: Decision }[] = [];
  let observation: Observation | undefined;
  for (const record of result.records) {
    if (record.type === 'observation') observation = record.observation;
    if (record.type === 'decision' && observation !== undefined) steps.push({ observation, decision: record.decision });
  }
  return { ...result, steps };
}

const capsOf = (of: Run): number[] =>
  of.steps.flatMap(({ decision }) => (decision.action === 'set-cap' && decision.cap.kind === 'capped' ? [decision.cap.percent] : []));

describe('working-set', () => {
  it('says of a guest that still runs free when it will be slowed down, and then does it', () => {
    const { steps } = run(busy(), { profile: 'progressive' });
    const begun = steps.findIndex(({ decision }) => decision.action === 'set-cap');
    const said = steps.slice(0, begun).flatMap(({ decision }) => (decision.reason.code === 'free' ? [decision.reason.text] : []));
    expect(begun).toBeGreaterThan(0);
    for (const text of said) expect(text).toMatch(/^the guest runs free(;| and is slowed down (later in|after) this round)/);
    expect(said.at(-1)).toMatch(/slowed down (later in|after) this round;/);
  });

  it.each([1, 2, 3, 4])('brings a busy guest over within the target (seed %i)', (seed) => {
    const { summary, truth } = run(busy(), {}, seed);
    expect(summary.outcome).toBe('met');
    expect(truth.downtimeMs).toBeLessThanOrEqual(300);
  });

  it.each([1, 2, 3, 4, 5, 6])('keeps its upper bound for a guest that its owner capped (seed %i)', (seed) => {
    const { summary, truth } = run(loadScenario('already-capped'), { targetDowntimeMs: ms(250) }, seed);
    if (truth.downtimeMs !== null) expect(truth.downtimeMs).toBeLessThanOrEqual(summary.predictedDowntimeRangeMs?.high as number);
  });

  it('does not call a phase of the first two rounds impossible where rounds can be added', () => {
    for (const seed of [1, 2, 3]) expect(run(loadScenario('calms-down'), { targetDowntimeMs: ms(200) }, seed).summary.outcome).toBe('met');
  });

  it('leaves a guest alone that converges by itself', () => {
    const { truth, summary } = run(loadScenario('idle'), { targetDowntimeMs: ms(200) });
    expect(summary.outcome).toBe('met');
    expect(truth.lostGuestSeconds).toBe(0);
    expect(truth.throttledSeconds).toBe(0);
  });

  it.each([1, 2, 3, 4])('leaves a guest alone whose whole working set fits, however fast it is dirtied again (seed %i)', (seed) => {
    const saturated = busy({
      domain: { memoryMib: 6000, vcpus: 2, cpuDemandPercent: 60 },
      classes: [{ name: 'ring', pages: 510_000, writesPerSecond: 10_000_000, pattern: 'sweep' }],
      rateVariation: { sd: 0.07 },
      link: { bytesPerSecond: 6.9e9, variation: { sd: 0.1 } },
      host: { roundLimit: 5 },
    });
    const { truth, summary } = run(saturated, { targetDowntimeMs: ms(592), profile: 'progressive' }, seed);
    expect(summary.outcome).toBe('met');
    expect(truth.lostGuestSeconds).toBe(0);
  });

  it('says early that a hopeless target cannot be met, with what would help, and costs the guest nothing', () => {
    const { steps, truth } = run(loadScenario('hopeless'), { targetDowntimeMs: ms(200) });
    const verdict = steps.at(-1);
    expect(verdict?.decision).toMatchObject({ action: 'abort', reason: { code: 'infeasible' }, forecast: { feasible: false } });
    expect(verdict?.decision.forecast?.bestDowntimeMs).toBeGreaterThan(200);
    expect(Math.max(...steps.map(({ observation }) => ('round' in observation ? observation.round : 0)))).toBeLessThanOrEqual(1);
    expect(truth.lostGuestSeconds).toBe(0);
  });

  it.each([
    [{ profile: 'gradual' }, '--profile steep', 'gradual'],
    [{ profile: 'progressive', prefer: 'safety' }, '--prefer downtime', "--prefer safety's floor"],
  ] as const)('names what the user chose where that is in the way: %o', (choice, remedy, blamed) => {
    const { steps } = run(loadScenario('busy-database'), { targetDowntimeMs: ms(200), ...choice });
    const verdict = steps.find(({ decision }) => decision.action === 'abort')?.decision.reason.text;
    expect(verdict).toContain(remedy);
    expect(verdict).toContain(blamed);
    if ('prefer' in choice) expect(verdict).not.toContain('timeslice');
  });

  it('names the bandwidth that would be enough', () => {
    const { steps } = run(busy({ link: { bytesPerSecond: 1.5e8 }, host: { roundLimit: 5 } }), { targetDowntimeMs: ms(150) });
    const reason = steps.at(-1)?.decision.reason;
    expect(reason?.code).toBe('infeasible');
    expect(reason?.numbers['needBytesPerSecond']).toBeGreaterThan(1.5e8);
    expect(reason?.text).toMatch(/Mbit\/s of bandwidth/);
  });

  it('lets a hopeless migration go on as stock when told to, without throttling it in vain', () => {
    const { summary, truth } = run(loadScenario('memory-hog-1g'), { targetDowntimeMs: ms(200), onMiss: 'proceed' });
    expect(summary.outcome).toBe('missed');
    expect(truth.result).toBe('migrated');
    expect(truth.lostGuestSeconds).toBe(0);
  });

  it('never goes below the floor', () => {
    const of = run(busy());
    const caps = capsOf(of);
    expect(caps.length).toBeGreaterThan(0);
    for (const cap of caps) expect(cap).toBeGreaterThanOrEqual(of.goal.capFloorPercent);
    expect(of.truth.longestStallMs).toBeLessThanOrEqual(of.goal.maxStallMs);
  });

  it('progressive comes down by at most half of the mean of the round before', () => {
    const of = run(busy(), { profile: 'progressive' });
    const demand = 360;
    const caps = new Map<number, number>();
    let round = 0;
    let cap = demand;
    let [since, sum, from] = [0, 0, 0];
    let before = demand;
    const close = (atMs: number): void => {
      sum += Math.min(demand, cap) * (atMs - since);
      since = atMs;
    };
    for (const { observation } of of.steps) {
      if (observation.type === 'round-start' && observation.round > 0) {
        close(observation.atMs);
        before = sum / (observation.atMs - from);
        [sum, from, round] = [0, observation.atMs, observation.round];
        caps.set(round, before);
      }
      if (observation.type === 'cap-changed') {
        close(observation.atMs);
        cap = observation.cap.kind === 'capped' ? observation.cap.percent : demand;
        if (observation.cap.kind === 'capped') expect(cap).toBeGreaterThanOrEqual(0.45 * before);
      }
    }
    expect(caps.size).toBeGreaterThan(1);
  });

  it('each profile costs at least what the steeper one costs', () => {
    const lost = (profile: 'steep' | 'progressive' | 'gradual'): number => run(busy(), { profile, maxRounds: 12 }).truth.lostGuestSeconds;
    const [steep, progressive, gradual] = [lost('steep'), lost('progressive'), lost('gradual')];
    expect(steep).toBeLessThanOrEqual(1.05 * progressive);
    expect(progressive).toBeLessThanOrEqual(1.05 * gradual);
  });

  it('counts on devices that no cap slows, and does not give up because of them', () => {
    const { summary } = run(
      busy({
        classes: [
          { name: 'heap', pages: 600_000, writesPerSecond: 500_000 },
          { name: 'disk', pages: 100_000, writesPerSecond: 30_000, pattern: 'sweep', ignoresCpu: true },
        ],
      }),
    );
    expect(summary.outcome).toBe('met');
  });

  it('works without looks into the rounds, and then keeps its word or denies', () => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const { truth, summary } = run(busy({ host: { peek: false } }), {}, seed);
      if (truth.result === 'migrated') expect(truth.downtimeMs).toBeLessThanOrEqual(300);
      expect(['met', 'aborted']).toContain(summary.outcome);
    }
  });

  it('is not fooled by counts that an aborted migration left over', () => {
    const clean = run(busy());
    const stale = run(busy({ dirtyCount: { excessPages: 400_000 } }));
    expect(stale.summary.outcome).toBe('met');
    expect(stale.truth.lostGuestSeconds).toBeLessThan(1.5 * clean.truth.lostGuestSeconds + 0.2);
  });

  it('where the rounds are ours, stops as soon as the dirty set fits', () => {
    const calm = busy({ classes: [{ name: 'heap', pages: 60_000, writesPerSecond: 3000 }] });
    expect(run(calm).truth.rounds).toBeLessThanOrEqual(2);
  });

  it('meets a target of pages instead of time', () => {
    const { summary, truth } = run(busy(), { maxDirtyPages: pages(20_000) });
    expect(summary.outcome).toBe('met');
    expect(truth.pagesAfterSuspend).toBeLessThanOrEqual(20_000);
  });

  it.each([5000, 7000, 10_000])('keeps a promise in pages: what is sent after a granted suspend is at most %i', (most) => {
    for (const seed of [1, 2]) {
      const { summary, truth } = run(loadScenario('busy-database'), { targetDowntimeMs: ms(200), maxDirtyPages: pages(most) }, seed);
      expect(['met', 'aborted']).toContain(summary.outcome);
      if (summary.outcome === 'met') expect(truth.pagesAfterSuspend).toBeLessThanOrEqual(most);
    }
  });

  it('a target of pages out of reach is called so in pages, with one that is reached', () => {
    const by = (most: number, onMiss: 'abort' | 'proceed' = 'abort') =>
      run(loadScenario('busy-database'), { targetDowntimeMs: ms(200), maxDirtyPages: pages(most), onMiss });
    const { reason } = by(50).summary;
    expect(reason).toMatch(/the best is \d+ pages sent after the suspend, the target 50 pages; enough would be .*--max-dirty-pages \d+/);
    expect(by(Number(/--max-dirty-pages (\d+)/.exec(reason)?.[1])).summary.outcome).toBe('met');
    expect(by(50, 'proceed').summary.lastDirtyPages).toBeLessThan(20_000);
  });

  it('safety stays above half of what the guest may use', () => {
    const caps = capsOf(run(busy(), { prefer: 'safety' }));
    for (const cap of caps) expect(cap).toBeGreaterThanOrEqual(200);
  });

  it('an evacuation goes at its deadline, others stay', () => {
    const hog = loadScenario('stress');
    const deadlineMs = ms(12_000);
    expect(run(hog, { prefer: 'speed', deadlineMs, targetDowntimeMs: ms(200) }).truth.result).toBe('migrated');
    const stays = run(hog, { deadlineMs, targetDowntimeMs: ms(200) });
    expect(stays.truth.result).toBe('stayed');
    expect(stays.truth.totalSeconds).toBeLessThan(14);
  });

  it.each(['slow-actuator', 'stale-counts', 'wide-area', 'video-encoder'])(
    'sends no more than any other preference for --prefer network (%s)',
    (name) => {
      const scenario = loadScenario(name);
      const bytesOf = (prefer: 'downtime' | 'network' | 'speed') =>
        run(scenario, { ...suggestedOptions(scenario), profile: 'progressive', prefer }).truth.bytesSent;
      expect(bytesOf('network')).toBeLessThanOrEqual(Math.min(bytesOf('downtime'), bytesOf('speed')));
    },
  );

  it('prefers fewer bytes when asked to', () => {
    const slow = busy({ classes: [{ name: 'heap', pages: 700_000, writesPerSecond: 400_000 }] });
    const bytes = (prefer: 'downtime' | 'network'): number =>
      [1, 2, 3].reduce((sum, seed) => sum + run(slow, { prefer }, seed).truth.bytesSent, 0);
    expect(bytes('network')).toBeLessThanOrEqual(bytes('downtime'));
  });

  it('decides the same from a state that went through JSON, which stays small', () => {
    const of = run(busy({ host: { roundLimit: 5 } }));
    let state = workingSet.initial(of.goal);
    for (const { observation } of of.steps) {
      const [plain, a] = workingSet.decide(state, observation, of.goal);
      const [stored, b] = workingSet.decide(JSON.parse(JSON.stringify(state)), observation, of.goal);
      expect(b).toEqual(a);
      expect(JSON.stringify(stored)).toBe(JSON.stringify(plain));
      state = plain;
    }
    expect(JSON.stringify(state).length).toBeLessThan(30_000);
  });

  it('gives ranges in order and an ETA at every decision it makes on a plan', () => {
    const planned = run(busy()).steps.filter(({ decision }) => decision.forecast?.etaMs !== undefined);
    expect(planned.length).toBeGreaterThan(20);
    for (const { decision } of planned) {
      for (const range of [decision.forecast?.downtimeMs, decision.forecast?.etaMs]) {
        expect(range?.low).toBeLessThanOrEqual(range?.value as number);
        expect(range?.value).toBeLessThanOrEqual(range?.high as number);
      }
    }
  });

  it('uses a bounded vocabulary of reasons, each with a sentence', () => {
    const known = new Set([
      ...[
        'learning',
        'free',
        'throttle',
        'lowest',
        'waiting',
        'no-way-yet',
        'round-ends',
        'between-plans',
        'switching-over',
        'go-on',
        'fits',
      ],
      ...[
        'will-fit',
        'fits-after-slice',
        'likely-fits',
        'misses-abort',
        'misses-proceed',
        'infeasible',
        'no-progress',
        'too-many-bytes',
        'deadline',
        'deadline-first',
      ],
    ]);
    for (const name of ['busy-database', 'bursts', 'hopeless', 'dma-heavy', 'hot-cold']) {
      for (const { decision } of run(loadScenario(name), { targetDowntimeMs: ms(200) }).steps) {
        expect(known).toContain(decision.reason.code);
        expect(decision.reason.text).not.toBe('');
      }
    }
  });

  it('does not put off the fall for ever on a plateau', () => {
    for (const seed of [5, 6, 7]) expect(run(busy(), {}, seed).truth.rounds).toBeLessThanOrEqual(9);
  });
});

describe('a guest that even the floor brings only nearly within the target', () => {
  /** On the 32 Mbit/s link of the lab, whose fixed costs alone may take more than half of the target. */
  const nearly = scenarioOf({
    description: 'a writer in the lab',
    domain: { memoryMib: 128, cpuDemandPercent: 100 },
    classes: [{ name: 'seq', pages: 6144, writesPerSecond: 2500, pattern: 'sweep' }],
    rateVariation: { sd: 0.05 },
    link: { bytesPerSecond: 4_000_000, variation: { sd: 0.1 } },
    suspend: { timeMs: 120 },
    resume: { timeMs: 700 },
  });
  const pair = {
    overheadMs: { value: ms(761), low: ms(300), high: ms(1223) },
    suspendLatencyMs: { value: ms(120), low: ms(85), high: ms(180) },
  };
  const decided = (options: Partial<GoalOptions>): readonly Decision[] =>
    [1, 2, 3, 4, 5, 6].flatMap((seed) =>
      simulate({
        scenario: nearly,
        seed,
        controller: workingSet,
        options: { targetDowntimeMs: ms(2000), maxStallMs: ms(250), ...options },
        pair,
        records: true,
      }).records.flatMap((record) =>
        record.type === 'decision' && record.decision.reason.code === 'likely-fits' ? [record.decision] : [],
      ),
    );
  it('goes over under proceed once it likely fits and throttled rounds hardly shrink', () => {
    const likely = decided({ onMiss: 'proceed' });
    expect(likely.length).toBeGreaterThan(0);
    for (const { action, reason } of likely) {
      expect(action).toBe('stop-and-copy');
      expect(reason.numbers['predictedMs']).toBeLessThanOrEqual(2000);
      expect(reason.numbers['upperMs']).toBeGreaterThan(2000);
    }
  });
  it('does not under abort, where a denial would follow, nor for a target of pages', () => {
    expect(decided({ onMiss: 'abort' })).toEqual([]);
    expect(decided({ onMiss: 'proceed', maxDirtyPages: pages(20) })).toEqual([]);
  });
});

describe('what is remembered of the link', () => {
  it('is no faster than it was on average, whatever a buffer took in a burst', () => {
    const goal = run(loadScenario('idle')).goal;
    let track = initialTrack(goal);
    let patience = NO_PATIENCE_USED;
    track = observe(track, { type: 'round-start', atMs: ms(1), round: 0, pagesToSend: pages(1e6), bytesSent: bytes(0) }, goal);
    // 8 MB/s on average: every fifth second takes three times as much as the others.
    for (let second = 0, sent = 0; second < 60; second++) {
      sent += second % 5 === 4 ? 24e6 : 4e6;
      const before = track;
      const pagesSent = pages(Math.floor(sent / 4104));
      track = observe(
        track,
        { type: 'progress', atMs: ms(1001 + second * 1000), round: 0, pagesSent, pagesToSend: pages(1e6), bytesSent: bytes(sent) },
        goal,
      );
      const burst = exactly(bytesPerSecond(second % 5 === 4 ? 24e6 : 4e6));
      patience = bide(patience, { ...track, transferRate: burst }, track.atMs - before.atMs, false);
    }
    expect(patience.rateBest).toBeGreaterThan(8e6);
    expect(patience.rateBest).toBeLessThan(1.4 * 8e6);
  });
});

describe('a pair of hosts whose switching over may take nearly the whole target', () => {
  /** As in the emulator: most take 0.7 s, one took 1.8. */
  const pair = {
    overheadMs: { value: ms(910), low: ms(295), high: ms(1817) },
    suspendLatencyMs: { value: ms(144), low: ms(78), high: ms(189) },
  };
  const lab = scenarioOf({
    description: 'a writer in the lab',
    domain: { memoryMib: 128, cpuDemandPercent: 100 },
    classes: [{ name: 'seq', pages: 6144, writesPerSecond: 2500, pattern: 'sweep' }],
    rateVariation: { sd: 0.05 },
    link: { bytesPerSecond: 8_000_000, variation: { sd: 0.05 } },
    suspend: { timeMs: 120 },
    resume: { timeMs: 700 },
    host: { actuatorLatencyMs: 300 },
  });
  const over = (onMiss: 'abort' | 'proceed', seed: number) =>
    simulate({ scenario: lab, seed, controller: workingSet, options: { targetDowntimeMs: ms(2000), maxStallMs: ms(250), onMiss }, pair });

  it.each([1, 2, 3])('is told at once, before the guest is throttled for a suspension that would be denied (seed %i)', (seed) => {
    const { summary, truth } = over('abort', seed);
    expect(summary.outcome).toBe('aborted');
    expect(truth).toMatchObject({ rounds: 0, lostGuestSeconds: 0 });
    expect(summary.reason).toMatch(
      /the best downtime is 1\d{3} ms \(but up to 2\d{3} ms\), the target 2000 ms; enough would be .*a target of 2\d{3} ms/,
    );
  });
  it.each([1, 2, 3])('goes over with the best there is, and not round after round for nothing (seed %i)', (seed) => {
    const { summary, truth } = over('proceed', seed);
    const stock = simulate({
      scenario: lab,
      seed,
      controller: none,
      options: { targetDowntimeMs: ms(2000), onMiss: 'proceed', maxRounds: 5 },
    });
    expect(summary.outcome).toBe('met');
    expect(truth.rounds).toBeLessThanOrEqual(10);
    expect(truth.downtimeMs).toBeLessThan((stock.truth.downtimeMs as number) / 2);
  });
});

describe('the guest that stock Xen stops for ten seconds on a 16 Mbit/s link', () => {
  /** Sweeps 16 MiB at three times the rate of the link; a target that only the floor reaches, with little to spare. */
  const slow = scenarioOf({
    description: 'a writer on a slow link',
    domain: { memoryMib: 96, cpuDemandPercent: 100 },
    classes: [{ name: 'writer', pages: 4096, writesPerSecond: 1500, pattern: 'sweep' }],
    rateVariation: { sd: 0.05 },
    link: { bytesPerSecond: 2_000_000, variation: { sd: 0.05 } },
    suspend: { timeMs: 120 },
    resume: { timeMs: 800 },
    host: { actuatorLatencyMs: 300 },
  });

  const options = { maxStallMs: ms(250), profile: 'progressive', onMiss: 'proceed' } as const;

  it.each([
    [2500, 1],
    [2500, 2],
    [3000, 1],
    [3000, 3],
  ])('goes over within %i ms (seed %i): a fall that has begun is not given up', { timeout: 120_000 }, (targetMs, seed) => {
    const { summary } = run(slow, { ...options, targetDowntimeMs: ms(targetMs) }, seed);
    expect(summary).toMatchObject({ outcome: 'met' });
  });

  it.each([
    [200, undefined],
    [1500, undefined],
    [200, 5],
    [2000, 5],
  ])(
    'is stopped for less than half as long as under stock where %i ms are out of reach (rounds: %s)',
    { timeout: 120_000 },
    (targetMs, roundLimit) => {
      const scenario = { ...slow, host: { ...slow.host, ...(roundLimit === undefined ? {} : { roundLimit }) } };
      const stock = simulate({ scenario, seed: 3, controller: none, options: { ...options, targetDowntimeMs: ms(targetMs) } });
      const { summary, truth, steps } = run(scenario, { ...options, targetDowntimeMs: ms(targetMs) }, 3);
      expect(summary.outcome).toBe('missed');
      expect(truth.downtimeMs).toBeLessThan((stock.truth.downtimeMs as number) / 2);
      const relaxed = steps.find(({ decision }) => decision.reason.code === 'relaxed');
      expect(relaxed?.decision.forecast).toMatchObject({ feasible: false });
      expect(steps.at(-2)?.decision.forecast?.feasible).not.toBe(true);
    },
  );

  it('tries a target that is nearly within reach instead of waiting for a calm that does not come', { timeout: 120_000 }, () => {
    const { truth } = run(slow, { ...options, targetDowntimeMs: ms(2000) }, 1);
    expect(truth.downtimeMs).toBeLessThan(3000);
  });
});

describe('under proceed, a pair of hosts whose fixed costs alone are above the target', () => {
  const fixedMs = 3500;
  const sweep = scenarioOf({
    description: 'a sweep in the lab on a slow night',
    domain: { memoryMib: 128, cpuDemandPercent: 100 },
    classes: [{ name: 'writer', pages: 6144, writesPerSecond: 2500, pattern: 'sweep' }],
    rateVariation: { sd: 0.05 },
    link: { bytesPerSecond: 8_000_000, variation: { sd: 0.05 } },
    suspend: { timeMs: 120 },
    resume: { timeMs: fixedMs },
  });
  const options = { targetDowntimeMs: ms(2500), maxStallMs: ms(250), profile: 'progressive', onMiss: 'proceed' } as const;

  it.each([1, 2, 3])('most of what throttling can save is saved, though it is less than half of the downtime (seed %i)', (seed) => {
    const stock = simulate({ scenario: sweep, seed, controller: none, options }).truth.downtimeMs as number;
    const { truth, steps } = run(sweep, options, seed);
    expect(steps.some(({ decision }) => decision.reason.code === 'relaxed')).toBe(true);
    expect((truth.downtimeMs as number) - fixedMs).toBeLessThan((stock - fixedMs) / 2);
  });
});

describe('under proceed, a target that is likely within reach but not surely', () => {
  /** What one slow migration taught of the pair: its next ones may take nearly the whole target. */
  const pair = {
    overheadMs: { value: ms(1300), low: ms(337), high: ms(2263) },
    suspendLatencyMs: { value: ms(140), low: ms(90), high: ms(190) },
  };
  const hot = scenarioOf({
    description: 'a hot and cold writer in the lab',
    domain: { memoryMib: 128, cpuDemandPercent: 100 },
    classes: [{ name: 'hot', pages: 6144, writesPerSecond: 2500, pattern: 'hot-cold', hotPagesShare: 0.1, hotWritesShare: 0.9 }],
    rateVariation: { sd: 0.05 },
    link: { bytesPerSecond: 4_000_000, variation: { sd: 0.05 } },
    suspend: { timeMs: 120 },
    resume: { timeMs: 1000 },
  });
  it.each([
    [2500, 1],
    [2500, 2],
    [1500, 1],
    [1500, 2],
  ])('the guest stands no longer than under stock Xen (target %i ms, seed %i)', (targetMs, seed) => {
    const options = { targetDowntimeMs: ms(targetMs), maxStallMs: ms(250), onMiss: 'proceed' } as const;
    const ours = simulate({ scenario: hot, seed, controller: workingSet, options, pair });
    const stock = simulate({ scenario: hot, seed, controller: none, options: { ...options, maxRounds: 5 }, pair });
    expect(ours.truth.downtimeMs).toBeLessThanOrEqual(1.1 * (stock.truth.downtimeMs as number));
  });
});
