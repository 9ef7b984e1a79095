import { messageOf, XthrottleError } from '../core/errors.ts';
import { pages } from '../core/units.ts';
import { type Balloon, openBalloon } from '../xen/balloon.ts';
import { type BalloonRequest, planBalloon } from '../xen/balloon-plan.ts';
import type { XenDomain } from '../xen/domain.ts';
import type { XenHost } from '../xen/xen-host.ts';
import { guestFreeKib } from '../xen/xenstore.ts';
import type { RunXl } from '../xen/xl-errors.ts';
import type { Output } from './output.ts';

export interface ShrinkOptions {
  readonly request: BalloonRequest;
  readonly domain: XenDomain;
  readonly host: XenHost;
  readonly xl: RunXl;
  readonly output: Output;
  /** The domain as it is now that it is smaller. */
  readonly onShrunk: (domain: XenDomain) => void;
}

/**
 * Makes ready to shrink a guest at the start of its migration. undefined where `auto` finds nothing to take, which is said. Throws
 * XthrottleError('usage') for a size that would not do.
 */
export async function prepareBalloon({ request, domain, host, xl, output, onShrunk }: ShrinkOptions): Promise<Balloon | undefined> {
  const freeKib = request.kind === 'auto' ? await guestFreeKib(domain.facts.domid) : undefined;
  const plan = planBalloon(request, { targetKib: domain.targetKib, freeKib });
  if ('refused' in plan) {
    if (request.kind === 'size') throw new XthrottleError('usage', `--balloon: ${plan.refused}`, { hint: plan.hint });
    output.say(`--balloon: not shrunk: ${plan.refused}; ${plan.hint}`, 'warning');
    return undefined;
  }
  try {
    return await openBalloon({
      xl,
      domain,
      targetKib: plan.targetKib,
      holdPath: `${host.socketPath}.hold`,
      guarded: host.guarded,
      note: (level, text) => output.say(`--balloon: ${text}`, level),
      onShrunk: (kib) => onShrunk(shrunkTo(domain, kib)),
    });
  } catch (error) {
    output.say(`--balloon: not shrunk: ${messageOf(error)}`, 'warning');
    return undefined;
  }
}

/** Fewer frames to send; what its target was, the restored domain has again. */
function shrunkTo(domain: XenDomain, kib: number): XenDomain {
  const gone = Math.max(0, domain.targetKib - kib) / 4;
  return { ...domain, facts: { ...domain.facts, populatedPages: pages(Math.max(1, Math.ceil(domain.facts.populatedPages - gone))) } };
}
