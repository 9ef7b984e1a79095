/** Judges of the host itself: root, Xen, xl, schedulers, helper, policy object, libxenctrl. Pure: facts in, findings out. */
import type { Finding } from '../../core/finding.ts';
import { floorFor } from '../../core/stall.ts';
import { ms } from '../../core/units.ts';
import { isCapping } from '../cap-calls.ts';
import { XENCTRL_VERSIONS } from '../libxenctrl.ts';
import type { PoolRow } from '../parse.ts';
import { printable } from '../xl-errors.ts';

export const ok = (check: string, found: string): Finding => ({ check, level: 'ok', found });
export const note = (check: string, found: string, todo?: string): Finding => ({
  check,
  level: 'note',
  found,
  ...(todo === undefined ? {} : { todo }),
});
export const warning = (check: string, found: string, todo: string): Finding => ({ check, level: 'warning', found, todo });
export const problem = (check: string, found: string, todo: string, exit?: Finding['exit']): Finding => ({
  check,
  level: 'problem',
  found,
  todo,
  ...(exit === undefined ? {} : { exit }),
});

export interface XenFacts {
  readonly uid: number;
  /** Of the running hypervisor, `4.17`; undefined when this is not Xen. */
  readonly version: string | undefined;
  /** /proc/xen/capabilities: dom0 has `control_d`; undefined when it cannot be read. */
  readonly capabilities: string | undefined;
}

export function judgeXen({ uid, version, capabilities }: XenFacts): readonly Finding[] {
  const root =
    uid === 0
      ? ok('root', 'running as root')
      : problem('root', `running as user ${uid}: xl and libxenctrl need root`, 'sudo xthrottle doctor', 'noXl');
  if (version === undefined) {
    return [
      root,
      problem(
        'Xen',
        'this is not a Xen host: there is no /sys/hypervisor/version',
        'run it in dom0 of a host that booted Xen; to try xthrottle without: xthrottle simulate --scenario busy-database',
        'noXl',
      ),
    ];
  }
  if (capabilities !== undefined && !capabilities.includes('control_d'))
    return [root, problem('Xen', `Xen ${version}, but this is a guest and not dom0`, 'run it in dom0 of this host', 'noXl')];
  return [root, ok('Xen', `Xen ${version}, dom0`)];
}

/** What a first call of xl said; `ms`: how long it took. */
export type XlFacts =
  | { readonly works: true; readonly callMs: number }
  | { readonly works: false; readonly text: string; readonly hint?: string };

/** On hardware a call takes 10–20 ms; each cap change and its reading back are calls where libxenctrl is missing. */
const XL_SLOW_MS = 100;

export function judgeXl(xl: XlFacts): Finding {
  if (!xl.works) return problem('xl', xl.text, xl.hint ?? 'xl list must answer, as root in dom0', 'noXl');
  const took = `xl answers in ${Math.round(xl.callMs)} ms`;
  return xl.callMs <= XL_SLOW_MS
    ? ok('xl', took)
    : note('xl', `${took}, which is slow (10–20 ms are usual): the prediction reckons with it`, 'top; is dom0 short of CPU?');
}

const DEFAULT_TARGET_MS = ms(200);

/** Schedulers by cpupool. `tslices`: of credit1 pools, ms. */
export function judgePools(pools: readonly PoolRow[], tslices: ReadonlyMap<string, number>): readonly Finding[] {
  if (pools.length === 0) return [warning('scheduler', 'xl cpupool-list shows no cpupool', 'xl cpupool-list')];
  const none = !pools.some((pool) => isCapping(pool.scheduler));
  return pools.map((pool) => {
    const name = printable(pool.name);
    if (!isCapping(pool.scheduler)) {
      const found = `${name} runs the scheduler ${printable(pool.scheduler)}, which has no caps: its domains are only observed`;
      const todo =
        'boot Xen with sched=credit, or make a pool that has it: xl cpupool-create name=\\"capped\\" sched=\\"credit\\" cpus=[…]';
      return none ? problem('scheduler', found, todo, 'noCap') : warning('scheduler', found, todo);
    }
    if (pool.scheduler === 'credit2') return ok('scheduler', `${name}: credit2, which has caps`);
    const tslice = tslices.get(pool.name);
    if (tslice === undefined) return note('scheduler', `${name}: credit; its timeslice cannot be read, 30 ms are assumed`);
    const floor = floorFor(DEFAULT_TARGET_MS, 1, 'credit', ms(tslice));
    return ok('scheduler', `${name}: credit, timeslice ${tslice} ms: caps down to ${floor} % a vCPU stall for at most 200 ms`);
  });
}

/** Where the save helper was looked for, as the front does. */
export function judgeHelper(found: string | undefined, tried: readonly string[]): Finding {
  if (found !== undefined) return ok('save helper', found);
  return problem(
    'save helper',
    `no libxl-save-helper in ${tried.join(', ')}`,
    'XTHROTTLE_REAL_HELPER=/path/to/libxl-save-helper (find / -name libxl-save-helper)',
    'noXl',
  );
}

export const judgePolicy = (policy: { readonly missing?: string; readonly path?: string }): Finding =>
  policy.missing === undefined
    ? ok('policy object', `${policy.path ?? 'there'}, built for this Xen`)
    : warning(
        'policy object',
        `stock Xen's five rounds are all there is: ${policy.missing}`,
        'apt install libxen-dev gcc && npm run build:policy (of the Debian package: /usr/lib/xthrottle/build-policy)',
      );

/** libxenctrl: whether it loads, and whether it answers for a guest (`guests` 0: nothing to ask it of). */
export type XenctrlFacts =
  | { readonly loaded: false; readonly reason: string }
  | { readonly loaded: true; readonly library: string; readonly guests: number; readonly peeks: number; readonly caps: number };

export function judgeXenctrl(facts: XenctrlFacts, version: string | undefined): Finding {
  if (!facts.loaded) {
    const install = `npm install koffi; apt install libxenmisc${version ?? ''}`;
    return warning('libxenctrl', `no looks inside rounds, and caps go through xl, which takes longer: ${facts.reason}`, install);
  }
  const { library, guests, peeks, caps } = facts;
  if (peeks < guests || caps < guests) {
    return warning(
      'libxenctrl',
      `${library} loads, but answers for ${Math.min(peeks, caps)} of ${guests} guests`,
      'is it the library of the running Xen? xl info | grep xen_version',
    );
  }
  const tried =
    guests === 0 ? 'loads; no guest is here to look at' : `dirty count and cap of ${guests} guest${guests === 1 ? '' : 's'} read`;
  if (version !== undefined && !(XENCTRL_VERSIONS.run as readonly string[]).includes(version))
    return note('libxenctrl', `${library}: ${tried}; declared as we call it, but this release was never tried`);
  return ok('libxenctrl', `${library}: ${tried}`);
}
