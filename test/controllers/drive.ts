import { bytes, type Controller, type Decision, type Goal, ms, type Observation, pages } from '../../src/core/index.ts';

/** A round as the script of a test has it. */
export interface ScriptedRound {
  readonly pagesToSend: number;
  /** Page data sent per second; the round lasts accordingly. */
  readonly pagesPerSecond: number;
  /** Looks inside the round: share of the round, pages dirtied since it began, CPU time since the guest's start. */
  readonly looks?: readonly { readonly at: number; readonly dirtyPages?: number; readonly cpuTimeMs?: number }[];
}

export interface Driver {
  decide(observation: Observation): Decision;
}

export function driver(controller: Controller, goal: Goal): Driver {
  let state = controller.initial(goal);
  return {
    decide(observation) {
      const [next, decision] = controller.decide(state, observation, goal);
      state = next;
      return decision;
    },
  };
}

const WIRE = 4104;

/** The observations of so many rounds, one after the other; policy queries where `policy`. */
export function* observationsOf(rounds: readonly ScriptedRound[], policy = false): Generator<Observation> {
  let at = 0;
  let sent = 0;
  for (const [round, r] of rounds.entries()) {
    const dirtyPages = pages(r.pagesToSend);
    if (policy)
      yield {
        type: 'policy-query',
        atMs: ms(at),
        when: 'before',
        round,
        dirtyPages,
        totalWritten: pages(sent),
        bytesSent: bytes(sent * WIRE),
      };
    yield { type: 'round-start', atMs: ms(at), round, pagesToSend: dirtyPages, bytesSent: bytes(sent * WIRE) };
    const spanMs = (r.pagesToSend / r.pagesPerSecond) * 1000;
    for (const look of r.looks ?? []) {
      yield {
        type: 'sample',
        atMs: ms(at + look.at * spanMs),
        round,
        bytesSent: bytes((sent + look.at * r.pagesToSend) * WIRE),
        ...(look.dirtyPages === undefined ? {} : { dirtyPages: pages(look.dirtyPages) }),
        ...(look.cpuTimeMs === undefined ? {} : { cpuTimeMs: ms(look.cpuTimeMs) }),
      };
    }
    for (const part of [0.5, 1]) {
      const done = pages(part * r.pagesToSend);
      yield {
        type: 'progress',
        atMs: ms(at + part * spanMs),
        round,
        pagesSent: done,
        pagesToSend: dirtyPages,
        bytesSent: bytes((sent + done) * WIRE),
      };
    }
    at += spanMs;
    sent += r.pagesToSend;
    const next = rounds[round + 1];
    const left = next === undefined ? {} : { dirtyPages: pages(next.pagesToSend) };
    if (policy)
      yield { type: 'policy-query', atMs: ms(at), when: 'after', round, ...left, totalWritten: pages(sent), bytesSent: bytes(sent * WIRE) };
  }
}

/** What a controller decided at the start of each round. */
export function atRoundStarts(controller: Controller, goal: Goal, rounds: readonly ScriptedRound[]): readonly Decision[] {
  const run = driver(controller, goal);
  const decisions: Decision[] = [];
  for (const observation of observationsOf(rounds)) {
    const decision = run.decide(observation);
    if (observation.type === 'round-start') decisions.push(decision);
  }
  return decisions;
}

/** Every answer to a policy query, with the round it was given in. */
export function atPolicyQueries(
  controller: Controller,
  goal: Goal,
  rounds: readonly ScriptedRound[],
): readonly (readonly [number, string, Decision])[] {
  const run = driver(controller, goal);
  const answers: (readonly [number, string, Decision])[] = [];
  for (const observation of observationsOf(rounds, true)) {
    const decision = run.decide(observation);
    if (observation.type === 'policy-query') answers.push([observation.round, observation.when, decision]);
    if (decision.action === 'stop-and-copy' || decision.action === 'abort') break;
  }
  return answers;
}

/** The cap asked for, in percent; undefined when none was. */
export const capOf = (decision: Decision | undefined): number | undefined =>
  decision?.action === 'set-cap' && decision.cap.kind === 'capped' ? decision.cap.percent : undefined;

/** `count` rounds of the same size and rate. */
export const sameRounds = (count: number, pagesToSend: number, pagesPerSecond: number): readonly ScriptedRound[] =>
  Array.from({ length: count }, () => ({ pagesToSend, pagesPerSecond }));
