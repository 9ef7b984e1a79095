import type { RestoreResult } from '../host.ts';
import { listRows } from './domain.ts';
import type { CapEntry } from './journal-entry.ts';
import { restoreCapEntry } from './restore.ts';
import type { RunXl } from './xl-errors.ts';

const POLL_MS = 500;
const POLLS = 10;

/**
 * A rebooted domain carries the cap that it had when it went. undefined when none of that UUID comes. Throws XthrottleError while xl does
 * not tell.
 */
export async function reborn(xl: RunXl, entry: CapEntry): Promise<RestoreResult | undefined> {
  for (let poll = 1; ; poll++) {
    const domains = await listRows(xl).catch((error: unknown) => {
      if (poll >= POLLS) throw error;
    });
    if (domains?.some((domain) => domain.uuid === entry.uuid)) {
      // Our own entry, not the file's: that may be spoilt by now.
      const outcome = await restoreCapEntry(entry, xl);
      if (outcome.verdict !== 'failed' && outcome.verdict !== 'gone') return { restored: true, capAfter: outcome.after };
      // It is being built: xl cannot tell its configuration yet.
      if (outcome.verdict === 'failed' || poll >= POLLS)
        return { restored: false, capAfter: null, hint: `${outcome.text}; ${outcome.hint ?? 'xthrottle restore'}` };
    }
    if (poll >= POLLS) return undefined;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
