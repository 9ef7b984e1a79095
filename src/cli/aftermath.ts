import { messageOf, XthrottleError } from '../core/errors.ts';
import type { SummaryRecord } from '../core/record.ts';
import { INCOMING } from '../xen/domain.ts';
import type { MigrateResult } from '../xen/migrate-job.ts';
import type { RestoreOutcome } from '../xen/restore.ts';
import { printable, quoted } from '../xen/xl-errors.ts';
import type { Output } from './output.ts';

export interface Aftermath {
  readonly result: MigrateResult;
  readonly destination: string;
  /** The receiver was seen to end. */
  readonly receiverLost?: boolean;
  /** Whether a domain of this name is on this host. */
  readonly isHere?: (name: string) => Promise<boolean>;
  /** Absent when its save helper never reached us. */
  readonly domain?: { readonly name: string; readonly domid: number };
  /** Turns log-dirty off for this domid, where no migration has it. */
  readonly releaseLogDirty?: (domid: number) => Promise<RestoreOutcome>;
  readonly output: Output;
}

/** A save helper whose xl was killed ends by itself, soon. */
const IN_USE_TRIES = 10;
const IN_USE_WAIT_MS = 1000;

/**
 * What a migration that failed leaves on stock Xen is cleared, or said with what to do: log-dirty stays on when xl, its save helper or the
 * transport was killed, and the guest pays for it; the receiving half stays when the receiver was, and no further migration succeeds.
 */
export async function clearUp(aftermath: Aftermath): Promise<void> {
  const { result, domain, releaseLogDirty, output } = aftermath;
  if (result.migrated || result.startedAtMs !== undefined) return;
  await tellOfHalf(aftermath);
  if (domain === undefined || releaseLogDirty === undefined) return;
  const { domid } = domain;
  const todo = `xthrottle restore ${domid} --log-dirty; its next migration turns it off, too`;
  try {
    for (let tries = 1; ; tries++) {
      const { verdict, text } = await releaseLogDirty(domid);
      if (verdict === 'failed') output.say(`log-dirty may still be on, which slows the guest (${text}): ${todo}`, 'warning');
      if (verdict !== 'in-use' || tries === IN_USE_TRIES) return;
      await new Promise((resolve) => setTimeout(resolve, IN_USE_WAIT_MS));
    }
  } catch (error) {
    // It took its log-dirty mode along.
    if (error instanceof XthrottleError && error.exit === 'noDomain') return;
    output.say(`log-dirty may still be on, which slows the guest (${messageOf(error)}): ${todo}`, 'warning');
  }
}

/** libvirt's daemons: one for everything, or one for Xen. */
const LIBVIRT = /^(libvirtd|virtxend)$/;

/** xl gives the destination the cap that it finds at its start; libvirt gives it none. */
export function tellOfCap(
  summary: Pick<SummaryRecord, 'domain' | 'outcome' | 'capBefore'>,
  startedBy: string | undefined,
  output: Pick<Output, 'say'>,
): void {
  const { domain, outcome, capBefore } = summary;
  if (capBefore === 0 || startedBy === undefined || !LIBVIRT.test(startedBy) || (outcome !== 'met' && outcome !== 'missed')) return;
  const name = printable(domain);
  const set = `virsh -c xen:///system schedinfo ${quoted(domain)} --set cap=${capBefore}`;
  output.say(
    `${name} had a cap of ${capBefore} % here, which libvirt does not carry: at the destination it has none. There: ${set}`,
    'warning',
  );
}

async function tellOfHalf({ result, receiverLost, domain, destination, isHere, output }: Aftermath): Promise<void> {
  const half = result.half ?? (receiverLost === true ? 'maybe' : undefined);
  if (half === undefined) return;
  const name = domain === undefined ? 'NAME' : printable(domain.name);
  const incoming = `${name}${INCOMING}`;
  if (domain !== undefined && (await isHere?.(`${domain.name}${INCOMING}`).catch(() => false)) === true) {
    output.say(
      `${incoming} is left on this host: no migration of ${name} to it will succeed. xthrottle restore ${quoted(domain.name)} --half`,
      'error',
    );
    return;
  }
  // With -s '' the destination is a command.
  const where = /\s/.test(destination) ? 'there' : `ssh ${printable(destination)}`;
  const word = quoted(`${domain?.name ?? 'NAME'}${INCOMING}`);
  const destroy = `${where}${where === 'there' ? ':' : ''} xl destroy ${where === 'there' ? word : quoted(word)}`;
  if (half === 'there')
    output.say(`${incoming} is at the destination, left by a lost migration: none will succeed. If none runs, ${destroy}`, 'error');
  else
    output.say(
      `if ${incoming} is left at the destination (xl list there), every further migration fails. If none runs, ${destroy}`,
      'warning',
    );
}
