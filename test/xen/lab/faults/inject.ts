import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SummaryRecord } from '../../../../src/core/record.ts';
import { type Lab, localLink } from '../lab.ts';
import type { Cell } from './cells.ts';

/** Of the guest in every cell: small, so that a migration takes some twenty seconds in the emulator, and busy enough to be throttled. */
export const GUEST = { memMib: 96, workingSetMib: 16, rate: 3000, checkSeconds: 1 } as const;
const LINK_BYTES_PER_SECOND = 9_000_000;
/** Nothing depends on which controller throttles: this one does so early, and costs little. */
const OPTIONS = '--controller step-down --target-downtime 2s --max-stall 250ms --on-miss proceed';
const STOP_MS = 4000;
const MIGRATION_MS_MAX = 180_000;
/** Stock Xen needs some twenty seconds to notice a receiver that is gone. */
const SETTLE_MS = 60_000;
const PROGRAM = '/root/injector.mjs';

/** What injector.mjs prints. */
export interface Injected {
  /** The moment came, and these processes were struck then; none: nobody was there any more. */
  readonly moment: boolean;
  readonly hit: readonly number[];
  /** xthrottle had granted the suspension when it was struck. */
  readonly granted: boolean;
  readonly code: number | null;
  readonly signal: string | null;
  readonly timedOut?: true;
  /** What still ran long after the end. */
  readonly hanging: readonly string[];
  readonly summary?: SummaryRecord;
  readonly notes: readonly string[];
  readonly stderr: string;
}

export async function installInjector(lab: Lab): Promise<void> {
  const sent = await lab.sh(`cat > ${PROGRAM}`, 30_000, readFileSync(join(process.cwd(), 'test/xen/lab/faults/injector.mjs')));
  if (sent.code !== 0) throw new Error(`the injector cannot be installed: ${sent.stderr}`);
}

/** Migrates the guest, as stock or under xthrottle, with the cell's fault in it. Throws when the injector itself fails. */
export async function inject(lab: Lab, name: string, { deed, victim, moment, stock }: Cell): Promise<Injected> {
  const link = localLink(LINK_BYTES_PER_SECOND);
  const plan = {
    command: stock ? `xl -vvv migrate -s '' ${name} '${link}'` : `xthrottle migrate ${name} '${link}' --json --verbose ${OPTIONS} -- -s ''`,
    deed,
    victim,
    moment: deed === 'leftover' ? undefined : moment,
    stock,
    memMib: GUEST.memMib,
    stopMs: STOP_MS,
    limitMs: MIGRATION_MS_MAX,
    settleMs: SETTLE_MS,
    // So that the guest still stands when it is struck.
    holdLink: moment === 'suspended' && victim !== 'transport',
  };
  const ran = await lab.sh(`node ${PROGRAM} ${quoted(JSON.stringify(plan))}`, MIGRATION_MS_MAX + 2 * SETTLE_MS);
  const line = ran.stdout.trim().split('\n').at(-1) ?? '';
  if (ran.code !== 0 || !line.startsWith('{')) throw new Error(`the injector failed (exit ${ran.code}): ${ran.stdout}${ran.stderr}`);
  return JSON.parse(line) as Injected;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
