import type { Cap } from './cap.ts';
import type { Estimate } from './estimate.ts';
import type { Ms, Pages } from './units.ts';

/** Why a decision was taken: a code from a bounded vocabulary (it becomes a metric label), a sentence, and the numbers in it. */
export interface Reason {
  readonly code: string;
  readonly text: string;
  readonly numbers: Readonly<Record<string, number>>;
}

/** What a controller expects at the moment of a decision. */
export interface Forecast {
  /** Suspend request → running at the destination, if the guest were suspended as soon as the controller plans to. */
  readonly downtimeMs: Estimate<Ms>;
  /** Time from now until the guest runs at the destination. */
  readonly etaMs?: Estimate<Ms>;
  /** Pages to send after the suspension, were it granted now. */
  readonly lastPages?: Estimate<Pages>;
  /** The longest time the guest may stand still around the switch-over: last stall and downtime together. */
  readonly guestGapMs?: Ms;
  /** False once even the floor is proven not to meet the target; `bestDowntimeMs` is then the best reachable. */
  readonly feasible?: boolean;
  readonly bestDowntimeMs?: Ms;
}

/**
 * A controller's answer to one observation.
 * - `set-cap`, `uncap` (back to the domain's own cap), `hold`: any time.
 * - `stop-and-copy`, `abort`: `stop-and-copy` only answers a policy query; `abort` any time before the suspension, the guest stays where it is.
 * - `grant`, `deny`: the answer to a suspend request. `runFirstMs`: let the guest run uncapped before the suspend is passed on, so that its
 *   last stall and the downtime do not join into one gap: so long, or as soon as it was seen to run where a host sees that.
 */
export type Decision = { readonly reason: Reason; readonly forecast?: Forecast } & (
  | { readonly action: 'set-cap'; readonly cap: Cap }
  | { readonly action: 'uncap' }
  | { readonly action: 'hold' }
  | { readonly action: 'stop-and-copy' }
  | { readonly action: 'abort' }
  | { readonly action: 'grant'; readonly runFirstMs?: Ms }
  | { readonly action: 'deny' }
);

export type Action = Decision['action'];

export const because = (code: string, text: string, numbers: Readonly<Record<string, number>> = {}): Reason => ({ code, text, numbers });
