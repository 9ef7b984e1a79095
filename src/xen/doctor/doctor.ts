import { assetPath, frontPath } from '../../assets.ts';
import { messageOf } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import { isSuspendedRow, listRows } from '../domain.ts';
import { stateDirectory } from '../journal.ts';
import { openXenctrl } from '../libxenctrl.ts';
import { parseInfo, parsePools, parseTslices } from '../parse.ts';
import { type DomainConfig, parseDomains } from '../parse-domains.ts';
import { findPolicy } from '../relay/policy-channel.ts';
import { type SaveProcess, saveProcesses } from '../save-processes.ts';
import type { RunXl } from '../xl-errors.ts';
import { askLogDirty } from './debug-keys.ts';
import { gatherDestination } from './gather-destination.ts';
import {
  gatherClock,
  gatherXen,
  gatherXenctrl,
  gatherXl,
  grownSince,
  helperPaths,
  isExecutable,
  markClock,
  PEEKS_APART_MS,
  peekAll,
  xlText,
} from './gather-host.ts';
import { gatherDirectory, gatherJournals, gatherSidecar, gatherVariables } from './gather-state.ts';
import { judgeDestination } from './judge-destination.ts';
import { judgeClock, judgeHalves, judgeLogDirty, judgePv, type LogDirtyFacts } from './judge-domains.ts';
import { judgeHelper, judgePolicy, judgePools, judgeXen, judgeXenctrl, judgeXl, note, warning } from './judge-host.ts';
import { judgeDirectory, judgeJournals, judgeSidecar, judgeVariable } from './judge-state.ts';

export interface DoctorOptions {
  readonly xl: RunXl;
  readonly socketPath: string;
  /** Directory of the control socket. */
  readonly socketDirectory: string;
  /** A destination to look at too. */
  readonly host?: string;
  /** The transport to it, as `xl migrate -s` takes it. */
  readonly ssh?: string;
  /** Also what writes to Xen's console. */
  readonly deep?: boolean;
}

/** Looks at everything that can go wrong beforehand. Changes nothing, and never throws for what it finds. */
export async function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  const mark = markClock();
  const xen = gatherXen();
  const uid = xen.uid;
  const directory = stateDirectory();
  const state: Finding[] = [
    judgeDirectory(gatherDirectory(directory, 'journals and traces'), uid),
    judgeDirectory(gatherDirectory(options.socketDirectory, 'the control socket'), uid),
    judgeSidecar(await gatherSidecar(options.socketPath)),
    ...gatherVariables(frontPath()).map(judgeVariable),
  ];
  const { entries, unreadable } = gatherJournals(directory);
  const journals = judgeJournals(entries, unreadable, directory);
  // Without Xen there is nothing more to ask, and each further complaint would be the same one.
  const onXen = xen.version !== undefined || process.env['XTHROTTLE_XL'] !== undefined;
  const host = onXen ? await examineXen(options, xen.version) : [];
  return [...judgeXen(xen), ...host, ...state, ...journals, judgeClock(await gatherClock(mark))];
}

async function examineXen(options: DoctorOptions, version: string | undefined): Promise<readonly Finding[]> {
  const { xl } = options;
  const { facts, list } = await gatherXl(xl);
  const paths = helperPaths(version);
  const policy = findPolicy(version, assetPath('src/xen/relay/policy.so'));
  const programs: Finding[] = [
    judgeXl(facts),
    judgeHelper(paths.find(isExecutable), paths),
    judgePolicy('missing' in policy ? policy : { path: policy.preload.path }),
  ];
  const opened = await openXenctrl();
  if (list === undefined) return [...programs, judgeXenctrl(gatherXenctrl(opened, []), version)];
  const domains = domainsIn(list);
  const guests = domains.filter(({ domid, name }) => domid !== 0 && !/--(incoming|migratedaway)$/.test(name));
  const before = 'xc' in opened ? peekAll(opened.xc, guests) : new Map<number, number>();
  const peekedAt = performance.now();
  const running = saveProcesses();
  const pools = parsePools((await xlText(xl, ['cpupool-list'])) ?? '');
  const findings = [
    ...programs,
    judgeXenctrl(gatherXenctrl(opened, guests), version),
    ...judgePools(pools, parseTslices((await xlText(xl, ['sched-credit', '-s'])) ?? '')),
    ...judgeHalves(domains, running, await suspendedDomains(xl)),
    ...judgePv(domains, parseInfo((await xlText(xl, ['info'])) ?? '').virtCaps),
  ];
  const destination =
    options.host === undefined
      ? []
      : judgeDestination(await gatherDestination(options.host, options.ssh), {
          version,
          schedulers: [...new Set(pools.map(({ scheduler }) => scheduler))],
          guests,
        });
  if ('xc' in opened) await new Promise((resolve) => setTimeout(resolve, Math.max(0, PEEKS_APART_MS - (performance.now() - peekedAt))));
  const grown = 'xc' in opened ? grownSince(before, peekAll(opened.xc, guests), guests) : undefined;
  if ('xc' in opened) opened.xc.close();
  return [...findings, ...(await logDirty(grown, guests, running, options)), ...destination];
}

const suspendedDomains = async (xl: RunXl): Promise<ReadonlySet<number>> =>
  new Set((await listRows(xl).catch(() => [])).filter(isSuspendedRow).map(({ domid }) => domid));

async function logDirty(
  grown: readonly LogDirtyFacts[] | undefined,
  guests: readonly DomainConfig[],
  running: readonly SaveProcess[],
  { xl, deep }: DoctorOptions,
): Promise<readonly Finding[]> {
  if (deep !== true) return judgeLogDirty(grown ?? [], running, grown === undefined ? 'not-at-all' : 'peeks');
  try {
    const said = await askLogDirty(xl);
    const facts = guests.map(({ domid, name, uuid }): LogDirtyFacts => {
      const on = said.get(domid);
      return { domid, name, uuid, state: on === undefined ? 'unknown' : on ? 'on' : 'off' };
    });
    const missing = facts.filter(({ state }) => state === 'unknown').length;
    const cut =
      missing === 0
        ? []
        : [note('log-dirty', `Xen's console ring was too short for ${missing} of the domains`, 'boot Xen with a larger conring_size')];
    return [...judgeLogDirty(facts, running, 'dump'), ...cut];
  } catch (error) {
    return [warning('log-dirty', `--deep did not work: ${messageOf(error)}`, 'xl debug-keys q; xl dmesg')];
  }
}

function domainsIn(list: string): readonly DomainConfig[] {
  try {
    return parseDomains(list);
  } catch {
    return [];
  }
}
