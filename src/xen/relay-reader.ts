import type { DomainFacts } from '../core/goal.ts';
import type { Observation } from '../core/observation.ts';
import { longestStanding, type Standing, standingAfter } from '../core/standing.ts';
import { type Bytes, bytes, type Ms, type Pages, pages } from '../core/units.ts';
import type { CpuReading } from './libxenctrl.ts';
import type { RelayMessage } from './relay/protocol.ts';

/** What a look at the domain showed, as libxenctrl tells it. */
export interface Look {
  /** When it was taken: the message that asked for it may have waited. */
  readonly takenAtMs?: Ms;
  /** Too late for what belongs to the message's moment: dirty count and CPU time. */
  readonly late?: true;
  readonly dirtyPages?: Pages | undefined;
  readonly cpu?: CpuReading | undefined;
}

/** Where the save stands. `asked`: a suspend request is being decided; from `leaving` on no cap matters any more. */
export type Phase = 'starting' | 'rounds' | 'asked' | 'leaving' | 'over';

/** Turns what the relay reports, and looks from outside, into observations. */
export interface RelayReader {
  readonly phase: Phase;
  readonly bytesSent: Bytes;
  /** When leave to suspend was passed on to the guest. */
  readonly passedOnAtMs: Ms | undefined;
  /** `look` is called only where a message needs one. */
  read(message: RelayMessage, look: () => Look): Observation | undefined;
  /** A look inside a round; undefined when it says nothing. */
  sample(atMs: Ms, look: Look): Observation | undefined;
}

/**
 * The hypervisor's dirty count is not reset when log-dirty goes on: until the first round's count was read and cleared, what a migration
 * before left in it (`baseline`, read at the start) is subtracted, from round 1's number too. Counts are clamped to the domain's pages.
 */
export function relayReader(domain: DomainFacts, baseline: Pages | undefined): RelayReader {
  let stale: number = baseline ?? 0;
  let phase: Phase = 'starting';
  let round = 0;
  let highest = 0;
  let toSend = pages(0);
  let bytesSent = bytes(0);
  let passedOnAtMs: Ms | undefined;
  let standing: Standing | undefined;

  const clamped = (count: number): Pages => pages(Math.min(domain.populatedPages, Math.max(0, count)));

  /** Unique pages dirtied in this round; undefined when the count was cleared for the next round, which we were not told of yet. */
  const dirtied = (count: Pages | undefined): Pages | undefined => {
    if (count === undefined) return undefined;
    // A count below the baseline: this Xen did reset it.
    if (round === 0 && count < stale) stale = 0;
    const net = clamped(count - (round === 0 ? stale : 0));
    if (net < highest) return undefined;
    highest = net;
    return net;
  };

  const standingIn = ({ cpu, takenAtMs }: Look): { readonly standingMs?: Ms } => {
    if (cpu === undefined || takenAtMs === undefined) return {};
    standing = standingAfter(standing, cpu.vcpus, takenAtMs);
    const standingMs = longestStanding(standing);
    return standingMs === undefined ? {} : { standingMs };
  };

  const looked = (look: Look) => {
    const dirtyPages = dirtied(look.dirtyPages);
    return {
      ...(dirtyPages === undefined ? {} : { dirtyPages }),
      ...(look.cpu === undefined || look.late === true ? {} : { cpuTimeMs: look.cpu.cpuTimeMs }),
      ...standingIn(look),
    };
  };

  /** What a round is about to send: round 0's number is the p2m's size and stays as it is. */
  const countOf = (of: number, count: Pages): Pages => (of === 0 ? count : clamped(of === 1 && count >= stale ? count - stale : count));

  const startRound = (next: number, count: Pages): Pages => {
    [phase, round, highest] = ['rounds', next, 0];
    toSend = countOf(next, count);
    return toSend;
  };

  const read = (message: RelayMessage, look: () => Look): Observation | undefined => {
    bytesSent = message.bytesSent;
    const { atMs } = message;
    switch (message.type) {
      case 'round-start':
        return { type: 'round-start', atMs, round: message.round, pagesToSend: startRound(message.round, message.pagesToSend), bytesSent };
      case 'progress':
        return { type: 'progress', atMs, round, pagesSent: pages(Math.min(toSend, message.pagesSent)), pagesToSend: toSend, bytesSent };
      case 'policy-query': {
        const { when, totalWritten } = message;
        const before = message.dirtyPages;
        const known = before === undefined ? undefined : countOf(message.round, before);
        const seen = known === undefined && when === 'after' ? look() : undefined;
        const dirtyPages = known ?? dirtied(seen?.dirtyPages);
        return {
          type: 'policy-query',
          atMs,
          when,
          round: message.round,
          totalWritten,
          bytesSent,
          ...(dirtyPages === undefined ? {} : { dirtyPages }),
          ...(seen === undefined ? {} : standingIn(seen)),
        };
      }
      case 'suspend-request':
        phase = 'asked';
        return { type: 'suspend-request', atMs, round: message.round, bytesSent, ...looked(look()) };
      case 'suspend-settled':
        phase = 'leaving';
        if (message.result === 'passed-on') passedOnAtMs = atMs;
        return undefined;
      case 'suspended':
        phase = 'leaving';
        return { type: 'suspended', atMs, bytesSent };
      case 'stop-and-copy':
        return message.pagesSent === 0
          ? { type: 'stop-and-copy', atMs, pagesToSend: message.pagesToSend, bytesSent }
          : { type: 'tick', atMs, bytesSent };
      case 'complete':
        phase = 'over';
        return message.result === 0 ? { type: 'complete', atMs, bytesSent } : undefined;
      case 'end':
        phase = 'over';
        return undefined;
      case 'log':
        return undefined;
    }
  };

  return {
    get phase() {
      return phase;
    },
    get bytesSent() {
      return bytesSent;
    },
    get passedOnAtMs() {
      return passedOnAtMs;
    },
    read,
    sample(atMs, look) {
      if (phase !== 'rounds') return undefined;
      const seen = looked(look);
      return Object.keys(seen).length === 0 ? undefined : { type: 'sample', atMs, round, bytesSent, ...seen };
    },
  };
}
