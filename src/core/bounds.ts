import { type Cap, capPercent, capped, capToXen, sameCap, showCap } from './cap.ts';
import { type Action, because, type Decision } from './decision.ts';
import type { Goal } from './goal.ts';
import type { Observation, PolicyQuery } from './observation.ts';
import { ms } from './units.ts';

/** The cap that may really be set: within floor and ceiling; at the ceiling it is the domain's own cap again. */
export function boundedCap(cap: Cap, goal: Goal): Cap {
  const own = goal.domain.capOriginal;
  const ceiling = capPercent(own, goal.domain.vcpus);
  const floor = Math.min(goal.capFloorPercent, ceiling);
  const percent = Math.max(floor, capPercent(cap, goal.domain.vcpus));
  return percent >= Math.min(ceiling, goal.capCeilingPercent) ? own : capped(percent);
}

/**
 * What a controller (a user's own included) decided, made safe: caps within bounds; answers only to what was asked. A suspend request
 * is answered by grant or deny, and an answer of any other kind is a grant, as stock Xen; `stop-and-copy` outside a policy query is a hold.
 */
export function boundedDecision(wanted: Decision, observation: Observation, goal: Goal): Decision {
  const decision = wellFormed(wanted);
  if (observation.type === 'suspend-request') {
    if (decision.action === 'grant' || decision.action === 'deny') return decision;
    if (decision.action === 'abort') return { ...decision, action: 'deny' };
    return {
      ...withoutCap(decision),
      action: 'grant',
      reason: because('no-answer', `the controller answered ${decision.action} to a suspend request: granted as stock`),
    };
  }
  if (decision.action === 'grant' || decision.action === 'deny') return { ...withoutCap(decision), action: 'hold' };
  if (
    observation.type === 'policy-query' &&
    roundsAreUsedUp(observation, goal) &&
    decision.action !== 'abort' &&
    decision.action !== 'stop-and-copy'
  ) {
    const rounds = goal.capabilities.roundsMax ?? 0;
    const reason = because('rounds-used-up', `${rounds} live rounds were sent, which is the limit: the suspend gate decides`, { rounds });
    return { ...withoutCap(decision), action: 'stop-and-copy', reason };
  }
  if (decision.action === 'stop-and-copy' && observation.type !== 'policy-query') return { ...decision, action: 'hold' };
  if (decision.action !== 'set-cap') return decision;
  const cap = boundedCap(decision.cap, goal);
  if (sameCap(cap, goal.domain.capOriginal)) return { ...withoutCap(decision), action: 'uncap' };
  if (sameCap(cap, decision.cap)) return decision;
  const reason = { ...decision.reason, text: `${decision.reason.text} (asked for ${showCap(decision.cap)}, bounded to ${showCap(cap)})` };
  return { ...decision, cap, reason: { ...reason, numbers: { ...reason.numbers, capPercent: capToXen(cap) } } };
}

const ACTIONS: ReadonlySet<string> = new Set<Action>(['set-cap', 'uncap', 'hold', 'stop-and-copy', 'abort', 'grant', 'deny']);
/** The relay waits no longer. */
const RUN_FIRST_MS_MAX = 5000;

/** A user's own controller may answer anything, and types do not hold it. Throws TypeError where that is no decision at all. */
function wellFormed(decision: Decision): Decision {
  if (!ACTIONS.has(decision.action)) throw new TypeError(`${String(decision.action)} is no action`);
  const { code, text, numbers } = (decision.reason ?? {}) as Partial<Decision['reason']>;
  const isReason = typeof code === 'string' && typeof text === 'string' && typeof numbers === 'object' && numbers !== null;
  const reason = isReason ? decision.reason : because('no-reason', 'the controller gave no reason');
  if (decision.action !== 'grant' || decision.runFirstMs === undefined) return isReason ? decision : { ...decision, reason };
  const { runFirstMs, ...grant } = decision;
  if (!(runFirstMs > 0)) return { ...grant, reason };
  return { ...grant, reason, runFirstMs: ms(Math.min(runFirstMs, RUN_FIRST_MS_MAX)) };
}

/** Rounds that are ours to add never go on for ever, whatever a controller wants. */
function roundsAreUsedUp(query: PolicyQuery, goal: Goal): boolean {
  const sent = query.when === 'after' ? query.round + 1 : query.round;
  return sent >= (goal.capabilities.roundsMax ?? Number.POSITIVE_INFINITY);
}

function withoutCap(decision: Decision): { readonly reason: Decision['reason']; readonly forecast?: NonNullable<Decision['forecast']> } {
  return { reason: decision.reason, ...(decision.forecast === undefined ? {} : { forecast: decision.forecast }) };
}
