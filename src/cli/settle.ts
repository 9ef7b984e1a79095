import { settleTextfiles } from '../telemetry/textfile.ts';
import { isLeft, type RestoreOutcome } from '../xen/restore.ts';

/**
 * Corrects text files that still say "not restored", after what dead processes left was put back, by us or by a guard, which knows no
 * files. `domain`: what `restore` was limited to. Returns the corrected files' names. Throws XthrottleError('unexpected').
 */
export async function settle(directory: string, outcomes: readonly RestoreOutcome[], domain?: string): Promise<readonly string[]> {
  const names = outcomes.filter(({ kind }) => kind === 'cap').map(({ what }) => what);
  // An unreadable journal may be any domain's: then only what was really looked at is corrected.
  const unsure = outcomes.some(({ verdict }) => verdict === 'corrupt');
  return await settleTextfiles(directory, {
    left: outcomes.filter((o) => o.kind === 'cap' && (isLeft(o) || o.verdict === 'owner-alive')).map(({ what }) => what),
    ...(domain === undefined && !unsure ? {} : { only: domain === undefined ? names : [...names, domain] }),
  });
}
