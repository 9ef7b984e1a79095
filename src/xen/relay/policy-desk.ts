import type { Pages } from '../../core/units.ts';
import { type PolicyQuestion, stockAnswerTo } from './policy-channel.ts';
import type { PolicyAnswer } from './protocol.ts';
import type { Event } from './rounds.ts';

/** Passes the policy object's questions to the server; whoever does not answer in time gets stock's answer. */
export class PolicyDesk {
  readonly #tell: (event: Event) => void;
  readonly #open = new Map<number, (answer: PolicyAnswer | undefined) => void>();
  /** A server that let a question run out is not waited for again until it says something. */
  #silent = false;

  constructor(tell: (event: Event) => void) {
    this.#tell = tell;
  }

  /** `waitMs` undefined: nobody is to answer, the question is only reported. */
  ask(question: PolicyQuestion, waitMs: number | undefined, reply: (answer: PolicyAnswer) => void): void {
    const before = question.dirtyCount >= 0;
    // Before round 0 there is nothing to decide: the count is the p2m's size.
    const wait = (before && question.iteration === 0) || this.#silent ? undefined : waitMs;
    if (wait === undefined) reply(stockAnswerTo(question));
    else this.#await(question, wait, reply);
    this.#tell({
      type: 'policy-query',
      id: question.id,
      awaited: wait !== undefined,
      when: before ? 'before' : 'after',
      round: before ? question.iteration : Math.max(0, question.iteration - 1),
      ...(before ? { dirtyPages: question.dirtyCount as Pages } : {}),
      totalWritten: question.totalWritten as Pages,
    });
  }

  #await(question: PolicyQuestion, waitMs: number, reply: (answer: PolicyAnswer) => void): void {
    const timer = setTimeout(() => {
      this.#silent = true;
      this.answer(question.id, undefined);
    }, waitMs);
    this.#open.set(question.id, (answer) => {
      clearTimeout(timer);
      this.#open.delete(question.id);
      reply(answer ?? stockAnswerTo(question));
    });
  }

  awaits(id: number): boolean {
    return this.#open.has(id);
  }

  /** undefined: as stock. Answers to questions that nobody waits for any more are ignored. */
  answer(id: number, answer: PolicyAnswer | undefined): void {
    this.#open.get(id)?.(answer);
  }

  heard(): void {
    this.#silent = false;
  }

  /** The server is gone. */
  close(): void {
    for (const reply of [...this.#open.values()]) reply(undefined);
  }
}
