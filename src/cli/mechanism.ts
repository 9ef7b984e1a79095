import { XthrottleError } from '../core/errors.ts';
import type { Mechanism } from '../sim/mechanism.ts';
import type { Truth } from '../sim/truth.ts';
import { showMs, showSeconds } from '../view/human.ts';

export const MECHANISMS = ['pre-copy', 'post-copy', 'hybrid'] as const satisfies readonly Mechanism[];

/** Of a guest that is not throttled, whatever the default is. */
const UNTHROTTLED = 'none';

/** Only pre-copy is controlled. Throws XthrottleError('usage') when a controller is asked for with another mechanism. */
export function controllerFor(mechanism: Mechanism, asked: string, byDefault: string): string {
  if (mechanism === 'pre-copy') return asked;
  if (asked === byDefault || asked === UNTHROTTLED) return UNTHROTTLED;
  throw new XthrottleError('usage', `--mechanism ${mechanism} cannot be throttled: expected no --controller, got ${asked}`, {
    hint: `leave --controller out; --compare ${asked} puts it beside`,
  });
}

/** What a summary of a model does not say: what the guest pays after it was resumed. */
export function afterResume(mechanism: Mechanism, domain: string, { degradedSeconds, downtimeMs }: Truth): string {
  const stood = downtimeMs === null ? 'never suspended' : `suspended for ${showMs(downtimeMs)}`;
  const waited = `${showSeconds(degradedSeconds)} in all waiting for pages, and nothing could have aborted it then`;
  return `${domain}: ${mechanism}, a model of what Xen does not have: ${stood}, then ${waited}`;
}

/** The same as a row of a comparison. */
export function modelFacts(mechanism: Mechanism, [truth]: readonly Truth[]): Readonly<Record<string, string>> {
  return mechanism === 'pre-copy' ? {} : { 'waiting for pages': showSeconds(truth?.degradedSeconds) };
}
