import { describe, expect, it } from 'vitest';
import { workingSet } from '../../controllers/working-set.ts';
import { simulate } from '../../src/sim/run.ts';
import { optionsOf, roundsOf, scenarioOfCase } from '../bench/case.ts';

const SEED = 20121121;
const ABORTS = ['infeasible', 'no-progress'];

/** What working-set gave up for in a drawn scenario with all the rounds of our own policy; undefined where it did not. */
function gaveUpFor(drawn: number): string | undefined {
  const scenario = scenarioOfCase({ set: 'heldOut', scenario: drawn, seed: SEED });
  expect(roundsOf(scenario)).toBe(30);
  let code: string | undefined;
  const decide: typeof workingSet.decide = (state, observation, goal) => {
    const answer = workingSet.decide(state, observation, goal);
    const { action, reason } = answer[1];
    if (action === 'abort' && ABORTS.includes(reason.code)) code = `${reason.code}: ${reason.text}`;
    return answer;
  };
  simulate({ scenario, seed: SEED, controller: { ...workingSet, decide }, options: optionsOf(scenario, 'progressive') });
  return code;
}

describe('the verdict while rounds can be added', () => {
  it('does not take a busy phase for devices once a calm one was seen, nor its end for a standstill', () => {
    expect(gaveUpFor(199)).toBeUndefined();
  });

  it('does not come of a guest that was let go for a calm that is only the rest of a round', () => {
    expect(gaveUpFor(224)).toBeUndefined();
  });

  it('is not one of a guest that likely fits already and waits for luck', () => {
    expect(gaveUpFor(249)).toBeUndefined();
  });
});
