/**
 * Readers of xl's tables. A domain's name may hold anything, line ends and look-alikes of table rows included, so rows are read from the
 * right, and of several rows that claim a domid the last one counts: it ends in what xl itself printed.
 */

const rows = (text: string): readonly string[] => text.split('\n');

/** One row of `xl sched-credit -d` or `xl sched-credit2 -d`: Name ID Weight Cap. */
export interface SchedRow {
  readonly name: string;
  readonly domid: number;
  readonly weight: number;
  /** Xen's number: 0 is none. */
  readonly cap: number;
}

const SCHED_ROW = /^(.*?) +(\d{1,5}) +(\d{1,5}) +(\d{1,6})$/;

/** The row of `domid`; undefined when there is none. */
export function parseSched(text: string, domid: number): SchedRow | undefined {
  for (const row of [...rows(text)].reverse()) {
    const [, name, id, weight, cap] = SCHED_ROW.exec(row) ?? [];
    if (name !== undefined && Number(id) === domid) return { name, domid, weight: Number(weight), cap: Number(cap) };
  }
  return undefined;
}

/** Timeslice in milliseconds by cpupool, from `xl sched-credit`, with -s or without; pools whose parameters xl could not read are left out. */
export function parseTslices(text: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const row of rows(text)) {
    const [, pool, tslice] = /^Cpupool (.+): tslice=(\d{1,4})ms /.exec(row) ?? [];
    if (pool !== undefined) found.set(pool, Number(tslice));
  }
  return found;
}

/** Ratelimit in microseconds by cpupool, from the same. */
export function parseRatelimits(text: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const row of rows(text)) {
    const [, pool, ratelimit] = /^Cpupool (.+): tslice=\d{1,4}ms ratelimit=(\d{1,9})us/.exec(row) ?? [];
    if (pool !== undefined) found.set(pool, Number(ratelimit));
  }
  return found;
}

export interface PoolRow {
  readonly name: string;
  readonly cpus: number;
  readonly scheduler: string;
  readonly active: boolean;
  readonly domains: number;
}

/** `xl cpupool-list`: Name CPUs Sched Active Domain count. */
export function parsePools(text: string): readonly PoolRow[] {
  return rows(text).flatMap((row) => {
    const [, name, cpus, scheduler, active, domains] = /^(.*?) +(\d+) +(\S+) +([yn]) +(\d+)$/.exec(row) ?? [];
    if (name === undefined || scheduler === undefined) return [];
    return [{ name, cpus: Number(cpus), scheduler, active: active === 'y', domains: Number(domains) }];
  });
}

/** The cpupool of `domid`, from `xl list -c` (state and time come before it, and have a fixed form). */
export function parsePoolOf(text: string, domid: number): string | undefined {
  for (const row of [...rows(text)].reverse()) {
    const [, id, pool] = / (\d{1,5}) +\d+ +\d+ +[rbpscd-]{6} +\d+\.\d +(\S.*?) *$/.exec(row) ?? [];
    if (pool !== undefined && Number(id) === domid) return pool;
  }
  return undefined;
}

export interface DomainRow {
  readonly name: string;
  readonly domid: number;
  readonly memMib: number;
  readonly vcpus: number;
  readonly state: string;
  /** CPU time it has had. */
  readonly cpuSeconds: number;
  readonly uuid: string;
}

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const DOMAIN_ROW = new RegExp(`^(.*?) +(\\d{1,5}) +(\\d+) +(\\d+) +([rbpscd-]{6}) +(\\d+\\.\\d) +(${UUID}) `);

/** `xl list -v`. Decide nothing on names from here: `parseDomains` (JSON) has them quoted. */
export function parseDomainRows(text: string): readonly DomainRow[] {
  return rows(text).flatMap((row) => {
    const [, name, domid, mem, vcpus, state, seconds, uuid] = DOMAIN_ROW.exec(row) ?? [];
    if (name === undefined || state === undefined || uuid === undefined) return [];
    return [{ name, domid: Number(domid), memMib: Number(mem), vcpus: Number(vcpus), state, cpuSeconds: Number(seconds), uuid }];
  });
}

export interface VcpuRow {
  readonly vcpu: number;
  /** False for a vCPU that was unplugged (xl prints no CPU for it). */
  readonly online: boolean;
}

/** The vCPUs of `domid`, from `xl vcpu-list`: Name ID VCPU CPU State Time(s) Affinity. */
export function parseVcpus(text: string, domid: number): readonly VcpuRow[] {
  const found = new Map<number, VcpuRow>();
  for (const row of rows(text)) {
    const [, id, vcpu, cpu] = / (\d{1,5}) +(\d{1,4}) +(\d+|-) +([r-][b-][p-]) +\d+\.\d +\S/.exec(row) ?? [];
    if (vcpu !== undefined && Number(id) === domid) found.set(Number(vcpu), { vcpu: Number(vcpu), online: cpu !== '-' });
  }
  return [...found.values()];
}

export interface XenInfo {
  /** `4.17` */
  readonly version?: string;
  readonly scheduler?: string;
  readonly virtCaps: readonly string[];
}

/** `xl info`. */
export function parseInfo(text: string): XenInfo {
  const fields = new Map<string, string>();
  for (const row of rows(text)) {
    const [, key, value] = /^(\w+) *: ?(.*)$/.exec(row) ?? [];
    if (key !== undefined && value !== undefined && !fields.has(key)) fields.set(key, value.trim());
  }
  const [major, minor, scheduler] = [fields.get('xen_major'), fields.get('xen_minor'), fields.get('xen_scheduler')];
  return {
    ...(major === undefined || minor === undefined ? {} : { version: `${major}.${minor}` }),
    ...(scheduler === undefined ? {} : { scheduler }),
    virtCaps: (fields.get('virt_caps') ?? '').split(/\s+/).filter((word) => word !== ''),
  };
}
