import fc from 'fast-check';
import type { Decision, Estimate, Goal, MigrationRecord, Observation } from '../../src/core/index.ts';
import { bytes, capped, cpuPercent, ms, pages, UNCAPPED } from '../../src/core/index.ts';
import { goal as someGoal } from '../core/fixtures.ts';

/** Names as a hostile guest's owner might choose them. */
export const hostileName: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom(
    '\u001b]0;owned\u0007',
    '\u001b[2J\u001b[31mroot#',
    'a\nb\rc',
    '</script><script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    '\u202egnp.exe',
    '../../../etc/passwd',
    '古い仮想マシン',
    '',
  ),
);

const count = fc.nat({ max: 2 ** 31 });
const time = fc.double({ min: 0, max: 1e9, noNaN: true });
const at = { atMs: time.map(ms) };
const estimate: fc.Arbitrary<Estimate<never>> = fc
  .tuple(time, time, fc.oneof(time, fc.constant(Number.POSITIVE_INFINITY)))
  .map((list) => list.sort((a, b) => a - b))
  .map(([low, value, high]) => ({ low, value, high }) as Estimate<never>);
const cap = fc.oneof(
  fc.constant(UNCAPPED),
  fc.integer({ min: 1, max: 800 }).map((percent) => capped(percent)),
);
const optional = <T extends object>(model: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> =>
  fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;

const reason = fc.record({
  code: fc.stringMatching(/^[a-z-]{1,12}$/),
  text: hostileName,
  numbers: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), time),
});
const forecast = fc.record({ downtimeMs: estimate }).chain((base) =>
  optional({ etaMs: estimate, guestGapMs: time.map(ms), feasible: fc.boolean(), bestDowntimeMs: time.map(ms) }).map((more) => ({
    ...base,
    ...more,
  })),
);

export const decision: fc.Arbitrary<Decision> = fc
  .tuple(
    reason,
    fc.option(forecast, { nil: undefined }),
    fc.oneof(
      fc.record({ action: fc.constant('set-cap' as const), cap }),
      fc.record({
        action: fc.constantFrom('uncap' as const, 'hold' as const, 'stop-and-copy' as const, 'abort' as const, 'deny' as const),
      }),
      fc.record({ action: fc.constant('grant' as const), runFirstMs: time.map(ms) }),
      fc.record({ action: fc.constant('grant' as const) }),
    ),
  )
  .map(([why, what, act]) => ({ ...act, reason: why, ...(what === undefined ? {} : { forecast: what }) }) as Decision);

const sent = { bytesSent: count.map(bytes) };
const round = fc.nat({ max: 5000 });
export const observation: fc.Arbitrary<Observation> = fc.oneof(
  fc.record({ type: fc.constant('round-start' as const), ...at, round, pagesToSend: count.map(pages), ...sent }),
  fc.record({ type: fc.constant('progress' as const), ...at, round, pagesSent: count.map(pages), pagesToSend: count.map(pages), ...sent }),
  fc.record({ type: fc.constant('sample' as const), ...at, round, dirtyPages: count.map(pages), cpuTimeMs: time.map(ms), ...sent }),
  fc.record({ type: fc.constant('sample' as const), ...at, round }),
  fc.record({
    type: fc.constant('policy-query' as const),
    ...at,
    when: fc.constantFrom('before' as const, 'after' as const),
    round,
    totalWritten: count.map(pages),
    ...sent,
  }),
  fc.record({ type: fc.constant('suspend-request' as const), ...at, round, dirtyPages: count.map(pages), ...sent }),
  fc.record({
    type: fc.constant('cap-changed' as const),
    ...at,
    cap,
    by: fc.constantFrom('us' as const, 'other' as const),
    latencyMs: time.map(ms),
  }),
  fc.record({ type: fc.constantFrom('suspended' as const, 'complete' as const), ...at, ...sent }),
  fc.record({ type: fc.constant('stop-and-copy' as const), ...at, pagesToSend: count.map(pages), ...sent }),
  fc.record({ type: fc.constant('tick' as const), ...at }),
);

const goal: fc.Arbitrary<Goal> = fc
  .tuple(
    hostileName,
    fc.integer({ min: 1, max: 64 }),
    fc.integer({ min: 1, max: 60_000 }),
    fc.option(fc.integer({ min: 1, max: 10_000 }), { nil: undefined }),
  )
  .map(([name, vcpus, target, most]) => ({
    ...someGoal(
      { targetDowntimeMs: ms(target), ...(most === undefined ? {} : { maxDirtyPages: pages(most) }) },
      { name, vcpus, activeVcpus: vcpus },
    ),
    capFloorPercent: cpuPercent(1),
  }));

const perhaps = fc.option(time, { nil: null });

/** A migration's records, in an order that no host would produce. */
export const migration: fc.Arbitrary<readonly MigrationRecord[]> = fc
  .tuple(hostileName, goal, hostileName, fc.boolean())
  .chain(([id, theGoal, controller, observe]) => {
    const start = fc
      .record({ seed: fc.nat(), destination: hostileName, scenario: hostileName, time: hostileName }, { requiredKeys: [] })
      .map((more): MigrationRecord => ({ type: 'start', v: 1, id, host: 'xen', controller, observe, goal: theGoal, ...more }));
    const middle: fc.Arbitrary<MigrationRecord> = fc.oneof(
      { weight: 4, arbitrary: observation.map((o): MigrationRecord => ({ type: 'observation', id, observation: o })) },
      {
        weight: 3,
        arbitrary: fc.tuple(time, decision).map(([t, d]): MigrationRecord => ({ type: 'decision', id, atMs: ms(t), decision: d })),
      },
      fc
        .tuple(
          time,
          fc.constantFrom('set-cap' as const, 'restore' as const),
          fc.constantFrom('applied' as const, 'failed' as const),
          hostileName,
        )
        .map(([t, action, result, error]): MigrationRecord => ({ type: 'effect', id, atMs: ms(t), action, result, error })),
      fc
        .tuple(fc.constantFrom('info' as const, 'warning' as const, 'error' as const), hostileName)
        .map(([level, text]): MigrationRecord => ({ type: 'note', id, level, text })),
    );
    const summary = fc
      .record({
        outcome: fc.constantFrom('met' as const, 'missed' as const, 'aborted' as const, 'failed' as const),
        reason: hostileName,
        predictedDowntimeMs: perhaps,
        predictedDowntimeRangeMs: fc.option(estimate, { nil: null }),
        observedDowntimeMs: perhaps,
        guestGapBoundMs: perhaps,
        lastDirtyPages: perhaps,
        capPercentMin: perhaps,
        capAfter: perhaps,
        capRestored: fc.boolean(),
      })
      .map(
        (some): MigrationRecord => ({
          type: 'summary',
          id,
          domain: theGoal.domain.name,
          controller,
          targetDowntimeMs: theGoal.targetDowntimeMs,
          observedDowntimeSource: some.observedDowntimeMs === null ? null : 'relay',
          stallMaxMs: 1,
          rounds: 3,
          bytesSent: 4096,
          totalSeconds: 2,
          throttledSeconds: 1,
          lostWorkSeconds: 0.5,
          capBefore: 0,
          ...some,
        }),
      );
    return fc
      .tuple(start, fc.array(middle, { maxLength: 25 }), fc.option(summary, { nil: undefined }))
      .map(([first, records, last]) => [first, ...records, ...(last === undefined ? [] : [last])]);
  });
