import { readFileSync } from 'node:fs';
import { type Cap, capFromXen, capToXen } from '../core/cap.ts';
import { messageOf } from '../core/errors.ts';
import type { SchedulerName } from '../core/goal.ts';
import type { VcpuReading } from '../core/standing.ts';
import { type Ms, ms, type Pages, pages } from '../core/units.ts';
import { type ResumeCall, resumeCall } from './resume-call.ts';

export interface CpuReading {
  /** CPU time used since the domain's start, over its online vCPUs. */
  readonly cpuTimeMs: Ms;
  readonly onlineVcpus: number;
  /** Each vCPU, undefined where it is offline. */
  readonly vcpus: readonly (VcpuReading | undefined)[];
}

/** Log-dirty mode: whether Xen notes which pages a domain writes. A migration turns it on at its start and off at its end. */
export interface LogDirty {
  /**
   * Turns it on, from an empty log; Xen tests and sets in one call. `refused` (EINVAL): it is on already, or this domain cannot be logged
   * (a device is passed through, or Xen has no shadow paging for this PV guest).
   */
  enable(domid: number): 'enabled' | 'refused' | { readonly errno: number };
  /** Turns it off, whoever turned it on: under a running migration that would corrupt the copy. True when it is off now. */
  disable(domid: number): boolean;
}

/** libxenctrl without a compiler. Every call takes well below a millisecond once warm, and answers undefined (or false) instead of throwing. */
export interface Xenctrl {
  /** `libxenctrl.so.4.17` */
  readonly library: string;
  /**
   * Pages in the domain's log-dirty count, not cleared by looking. It pauses the domain for the length of the call: at most some ten a
   * second. It answers a stale number when nothing is being logged.
   */
  dirtyPages(domid: number): Pages | undefined;
  cpu(domid: number, vcpusMax: number): CpuReading | undefined;
  getCap(domid: number, scheduler: SchedulerName): Cap | undefined;
  /** The hypervisor does not check a credit1 cap's range: callers do. The weight is left as it is. */
  setCap(domid: number, scheduler: SchedulerName, cap: Cap): boolean;
  readonly logDirty?: LogDirty;
  /** Lets a suspended domain without a device model go on, as xl does; the caller has made sure that it runs nowhere else. */
  resume?(domid: number): ResumeCall;
  close(): void;
}

/**
 * Releases whose libxenctrl is declared as we call it (xenctrl.h and public/domctl.h of the stable branches, which are equal here from
 * 4.16 on; before that the peek was xc_shadow_control with other arguments). Only 4.17 was run.
 */
export const XENCTRL_VERSIONS = { run: ['4.17'], declaredTheSame: ['4.16', '4.18', '4.19', '4.20', '4.21'] } as const;

/** XEN_DOMCTL_SHADOW_OP_* of public/domctl.h. */
const SHADOW_OP_OFF = 0;
const SHADOW_OP_ENABLE_LOGDIRTY = 2;
const SHADOW_OP_PEEK = 12;
const EINVAL = 22;

/** The running hypervisor, `4.17`; undefined when this is not Xen. */
export function runningXenVersion(folder = '/sys/hypervisor'): string | undefined {
  try {
    const read = (name: string): string => readFileSync(`${folder}/version/${name}`, 'utf8').trim();
    const version = `${read('major')}.${read('minor')}`;
    return /^\d+\.\d+$/.test(version) ? version : undefined;
  } catch {
    return undefined;
  }
}

/** The library, or why there is none: one sentence for the person. */
export async function openXenctrl(
  version: string | undefined = runningXenVersion(),
): Promise<{ readonly xc: Xenctrl } | { readonly reason: string }> {
  if (version === undefined) return { reason: 'this is not a Xen host (no /sys/hypervisor/version)' };
  const known: readonly string[] = [...XENCTRL_VERSIONS.run, ...XENCTRL_VERSIONS.declaredTheSame];
  if (!known.includes(version)) return { reason: `libxenctrl of Xen ${version} is not one we know how to call` };
  try {
    // Optional: without it the prediction uses the rounds alone, and the cap goes through xl.
    const koffi = (await import('koffi')).default;
    return { xc: bind(koffi, `libxenctrl.so.${version}`) };
  } catch (error) {
    return { reason: messageOf(error).split('\n')[0] ?? 'koffi is not installed' };
  }
}

type Koffi = typeof import('koffi').default;

function bind(koffi: Koffi, library: string): Xenctrl {
  const lib = koffi.load(library);
  const open = lib.func('void *xc_interface_open(void *logger, void *dombuild_logger, unsigned int flags)');
  const close = lib.func('int xc_interface_close(void *xch)');
  const logdirty = lib.func(
    'long long xc_logdirty_control(void *xch, uint32_t domid, unsigned int sop, void *bitmap, unsigned long pages, unsigned int mode, uint8_t *stats)',
  );
  const vcpuInfo = lib.func('int xc_vcpu_getinfo(void *xch, uint32_t domid, uint32_t vcpu, uint8_t *info)');
  const sched = {
    credit: {
      get: lib.func('int xc_sched_credit_domain_get(void *xch, uint32_t domid, uint8_t *sdom)'),
      set: lib.func('int xc_sched_credit_domain_set(void *xch, uint32_t domid, uint8_t *sdom)'),
    },
    credit2: {
      get: lib.func('int xc_sched_credit2_domain_get(void *xch, uint32_t domid, uint8_t *sdom)'),
      set: lib.func('int xc_sched_credit2_domain_set(void *xch, uint32_t domid, uint8_t *sdom)'),
    },
  };
  const xch: unknown = open(null, null, 0);
  if (xch === null) throw new Error(`${library}: xc_interface_open failed: root in dom0 is needed`);
  let closed = false;
  return {
    library,
    dirtyPages(domid) {
      // xc_shadow_op_stats_t: uint32 fault_count, uint32 dirty_count. No bitmap: a peek with one can make xl's own clean fail with EBUSY.
      const stats = Buffer.alloc(8);
      if (closed || Number(logdirty(xch, domid, SHADOW_OP_PEEK, null, 0, 0, stats)) < 0) return undefined;
      return pages(stats.readUInt32LE(4));
    },
    cpu: (domid, vcpusMax) => (closed ? undefined : readCpu((vcpu, info) => vcpuInfo(xch, domid, vcpu, info) === 0, vcpusMax)),
    getCap(domid, scheduler) {
      // struct xen_domctl_sched_credit, and credit2's: uint16 weight, uint16 cap.
      const sdom = Buffer.alloc(8);
      if (closed || scheduler === 'other' || sched[scheduler].get(xch, domid, sdom) !== 0) return undefined;
      return capFromXen(sdom.readUInt16LE(2));
    },
    setCap(domid, scheduler, cap) {
      const sdom = Buffer.alloc(8);
      sdom.writeUInt16LE(0, 0); // weight 0: unchanged, in both schedulers
      sdom.writeUInt16LE(capToXen(cap), 2);
      return !closed && scheduler !== 'other' && sched[scheduler].set(xch, domid, sdom) === 0;
    },
    logDirty: {
      enable(domid) {
        if (closed) return { errno: 0 };
        if (Number(logdirty(xch, domid, SHADOW_OP_ENABLE_LOGDIRTY, null, 0, 0, null)) >= 0) return 'enabled';
        const errno = koffi.errno();
        return errno === EINVAL ? 'refused' : { errno };
      },
      disable: (domid) => !closed && Number(logdirty(xch, domid, SHADOW_OP_OFF, null, 0, 0, null)) >= 0,
    },
    resume(domid) {
      if (closed) return { reason: `${library} is closed` };
      try {
        return resumeCall(koffi, library.replace('xenctrl', 'xenguest'), xch, domid);
      } catch (error) {
        return { reason: messageOf(error).split('\n')[0] ?? 'a library is missing' };
      }
    },
    close() {
      if (!closed) close(xch);
      closed = true;
    },
  };
}

/** Reads xc_vcpuinfo_t (uint32 vcpu; uint8 online, blocked, running; uint64 cpu_time in ns at 8; uint32 cpu at 16) of the vCPUs. */
function readCpu(read: (vcpu: number, info: Buffer) => boolean, vcpusMax: number): CpuReading | undefined {
  let nanoseconds = 0n;
  const vcpus: (VcpuReading | undefined)[] = [];
  for (let vcpu = 0; vcpu < vcpusMax; vcpu++) {
    const info = Buffer.alloc(24);
    if (!read(vcpu, info)) return undefined;
    const used = info.readBigUInt64LE(8);
    nanoseconds += used;
    const online = info.readUInt8(4) !== 0;
    const reading = { cpuTimeMs: Number(used) / 1e6, blocked: info.readUInt8(5) !== 0, running: info.readUInt8(6) !== 0 };
    vcpus.push(online ? reading : undefined);
  }
  return { cpuTimeMs: ms(Number(nanoseconds) / 1e6), onlineVcpus: Math.max(1, vcpus.filter((vcpu) => vcpu !== undefined).length), vcpus };
}
