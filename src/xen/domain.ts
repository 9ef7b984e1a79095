import { type Cap, capFromXen, UNCAPPED } from '../core/cap.ts';
import { XthrottleError } from '../core/errors.ts';
import type { DomainFacts, SchedulerName } from '../core/goal.ts';
import { type Ms, ms, pages } from '../core/units.ts';
import { isCapping, readTslice } from './cap-calls.ts';
import { type DomainRow, parseDomainRows, parseInfo, parsePoolOf, parseTslices, parseVcpus } from './parse.ts';
import { type DomainConfig, parseDomains } from './parse-domains.ts';
import { printable, quoted, type RunXl, xlOutput } from './xl-errors.ts';

/** A domain as it stands before its migration, and what its scheduler lets us do. */
export interface XenDomain {
  readonly facts: DomainFacts;
  readonly type: DomainConfig['type'];
  readonly scheduler: SchedulerName;
  /** Xen's own word for it. */
  readonly schedulerText: string;
  /** Of credit1, whose timeslice is the pool's. */
  readonly pool?: string;
  readonly tsliceMs: Ms;
  /** Memory it is to have, as `xl list -l` says it. */
  readonly targetKib: number;
  /** What a call of xl costs on this host when nothing is in its way: the quickest of those made here. */
  readonly xlCallMs: Ms;
  /** Why no cap can be set: then this migration can only be observed. */
  readonly observeOnly?: string;
}

/** Frames of a PVH domain beside its memory (xenstore, console, ioreq rings): 32784 exist for 128 MiB. */
const SPECIAL_PAGES = 16;
/** Xen's default (CSCHED_DEFAULT_TSLICE_MS). */
export const TSLICE_DEFAULT_MS = ms(30);

/** xl with a memory of its quickest call. */
export interface TimedXl {
  readonly xl: RunXl;
  quickestMs(): Ms;
}

/** A call of xl on hardware, until one was made. */
const XL_CALL_MS = 20;

export function timedXl(run: RunXl): TimedXl {
  let quickest: number | undefined;
  return {
    xl: async (args) => {
      const result = await run(args);
      quickest = Math.min(quickest ?? result.tookMs, result.tookMs);
      return result;
    },
    quickestMs: () => ms(quickest ?? XL_CALL_MS),
  };
}

/** All domains of this host that xl can list. Throws XthrottleError('noXl') without xl, root or Xen. */
export const listDomains = async (xl: RunXl): Promise<readonly DomainConfig[]> => parseDomains(await xlOutput(xl, ['list', '-l']));

/**
 * All domains of this host, as a table. Throws XthrottleError as xl does, and 'unexpected' where the table is none: domain 0 is always in
 * it, and a domain that is missing from rubbish has not gone.
 */
export async function listRows(xl: RunXl): Promise<readonly DomainRow[]> {
  const rows = parseDomainRows(await xlOutput(xl, ['list', '-v']));
  if (rows.some(({ domid }) => domid === 0)) return rows;
  throw new XthrottleError('unexpected', 'xl list -v does not list domain 0', { hint: 'XTHROTTLE_XL must name the xl of the running Xen' });
}

/**
 * Whether a domain is still here, by domid and UUID; one whose configuration xl cannot list (it is being destroyed) by its table row.
 * Throws XthrottleError when xl does not answer.
 */
export async function isHere(xl: RunXl, domid: number, uuid: string): Promise<boolean> {
  const isIt = (d: { readonly domid: number; readonly uuid: string }): boolean => d.domid === domid && d.uuid === uuid;
  return (await listDomains(xl)).some(isIt) || (await listRows(xl)).some(isIt);
}

/** Whether the domain is here and suspended ("shut down", as xl list has it). Throws XthrottleError when xl does not answer. */
export async function isSuspended(xl: RunXl, domid: number, uuid: string): Promise<boolean> {
  const row = (await listRows(xl)).findLast((r) => r.domid === domid && r.uuid === uuid);
  return row?.state.includes('s') === true;
}

/** Whether a row says that the domain was suspended, by a migration or a save: shut down for that reason and no other (`---ss-`). */
export const isSuspendedRow = ({ state }: Pick<DomainRow, 'state'>): boolean => state[4] === 's';

/**
 * The domain that `wanted` means: a domid, a name or a UUID. The name is compared here and never given to xl, so it may hold anything.
 * Throws XthrottleError('noDomain').
 */
export function findDomain(domains: readonly DomainConfig[], wanted: string): DomainConfig {
  const byId = /^\d+$/.test(wanted) ? domains.find((d) => d.domid === Number(wanted)) : undefined;
  const found = byId ?? domains.find((d) => d.name === wanted) ?? domains.find((d) => d.uuid === wanted.toLowerCase());
  if (found !== undefined) return found;
  const others = domains.filter((d) => d.domid !== 0).map((d) => printable(d.name));
  throw new XthrottleError('noDomain', `there is no domain ${printable(wanted)} on this host`, {
    hint: others.length === 0 ? 'no guest runs here: is this the source host?' : `guests here: ${others.slice(0, 10).join(', ')}`,
  });
}

/** Suffixes that xl gives the two halves of a migration. */
export const INCOMING = '--incoming';
export const AWAY = '--migratedaway';

/** Refuses what cannot be migrated now. Throws XthrottleError('noDomain') with what to do; nothing was changed. */
export function assertMigratable(domain: DomainConfig, domains: readonly DomainConfig[]): void {
  const name = printable(domain.name);
  const refuse = (message: string, hint: string): never => {
    throw new XthrottleError('noDomain', message, { hint });
  };
  if (domain.domid === 0) refuse('Domain-0 is the host itself and cannot be migrated', 'name a guest: xl list');
  if (domain.name.endsWith(INCOMING))
    refuse(`${name} is the receiving half of a migration`, `wait for it to end, or, if none runs: xl destroy ${domain.domid}`);
  if (domain.name.endsWith(AWAY)) refuse(`${name} has just been migrated away`, 'xl list on the destination shows it');
  const leftover = domains.find((d) => d.name === `${domain.name}${INCOMING}`);
  if (leftover !== undefined) {
    refuse(
      `a domain ${printable(leftover.name)} is there: ${name} is being migrated already, or a migration was lost`,
      `if no migration of it runs: xthrottle restore ${quoted(domain.name)} --half`,
    );
  }
}

/** A PV guest needs shadow paging to log dirty pages. Throws XthrottleError('noDomain') where this Xen has none. */
export async function assertLoggable(domain: DomainConfig, xl: RunXl): Promise<void> {
  if (domain.type !== 'pv') return;
  if (parseInfo(await xlOutput(xl, ['info'])).virtCaps.includes('shadow')) return;
  throw new XthrottleError('noDomain', `${printable(domain.name)} is a PV guest, and this Xen is built without shadow paging`, {
    hint: 'such a guest cannot be migrated live here at all: PVH and HVM guests can (type="pvh" in its configuration)',
  });
}

/**
 * The facts that a controller needs of a domain, with as few calls of xl as they need: a migration has begun already when a relay asks.
 * `onlineVcpus` saves one where it is known. Throws XthrottleError as xl's answers say.
 */
export async function describeDomain(domain: DomainConfig, timed: TimedXl, onlineVcpus?: number): Promise<XenDomain> {
  const { xl } = timed;
  const scheduler: SchedulerName = isCapping(domain.scheduler) ? domain.scheduler : 'other';
  const capOriginal: Cap = domain.cap === undefined ? UNCAPPED : capFromXen(domain.cap);
  const online = onlineVcpus ?? (await countOnline(domain, xl));
  return {
    facts: {
      name: domain.name,
      domid: domain.domid,
      uuid: domain.uuid,
      vcpus: domain.vcpusMax,
      activeVcpus: Math.min(domain.vcpusMax, Math.max(1, online)),
      populatedPages: pages(Math.ceil((domain.targetKib + domain.videoKib) / 4) + SPECIAL_PAGES),
      capOriginal,
    },
    type: domain.type,
    targetKib: domain.targetKib,
    scheduler,
    schedulerText: domain.scheduler,
    ...(scheduler === 'credit' ? await poolOf(domain, xl) : { tsliceMs: TSLICE_DEFAULT_MS }),
    xlCallMs: timed.quickestMs(),
    ...(scheduler === 'other' ? { observeOnly: noCaps(domain) } : {}),
  };
}

async function countOnline(domain: DomainConfig, xl: RunXl): Promise<number> {
  const table = await xlOutput(xl, ['vcpu-list', String(domain.domid)]);
  return parseVcpus(table, domain.domid).filter((v) => v.online).length;
}

/**
 * The cpupool and its timeslice. `xl sched-credit -s` alone speaks of the first pool only; without an option every pool of this scheduler is
 * listed, and where that is one, it is the domain's.
 */
async function poolOf(domain: DomainConfig, xl: RunXl): Promise<Pick<XenDomain, 'pool' | 'tsliceMs'>> {
  const tslices = parseTslices(await xlOutput(xl, ['sched-credit']));
  const [only] = tslices.size === 1 ? tslices.keys() : [];
  const pool = only ?? parsePoolOf(await xlOutput(xl, ['list', '-c', String(domain.domid)]), domain.domid);
  const tslice = pool === undefined ? undefined : (tslices.get(pool) ?? (await readTslice(xl, pool)));
  return { ...(pool === undefined ? {} : { pool }), tsliceMs: tslice === undefined ? TSLICE_DEFAULT_MS : ms(tslice) };
}

const noCaps = (domain: DomainConfig): string =>
  `it runs under the scheduler ${printable(domain.scheduler)}, which has no caps: only observing (credit and credit2 have them)`;

/** All the checks before a wrapped migration, and the facts. Throws XthrottleError with a hint; nothing was changed. */
export async function preflight(wanted: string, run: RunXl): Promise<XenDomain> {
  const timed = timedXl(run);
  const { xl } = timed;
  const domains = await listDomains(xl);
  const domain = findDomain(domains, wanted);
  assertMigratable(domain, domains);
  await assertLoggable(domain, xl);
  return describeDomain(domain, timed);
}
