import { type Cap, capFromXen, capToXen, isLower } from '../../src/core/cap.ts';
import { ms, pages } from '../../src/core/units.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import type { Program, ProgramEnd, StartProgram } from '../../src/xen/xl.ts';
import { answer } from '../xen/fixtures/xl-model.mjs';
import type { StandInDomain, StandInState } from '../xen/stand-in.ts';
import type { SimGuest } from './guest.ts';
import { SimProcess } from './process.ts';
import type { Rng } from './rng.ts';
import type { VirtualTime } from './time.ts';

/** What is wrong with xl, libxenctrl's peek, and the log-dirty count, while it is. */
export interface XenTrouble {
  xl: 'fails' | 'rubbish' | 'hangs' | 'stuck' | 'cannot-start' | undefined;
  /** Only calls that set something. */
  setsOnly: boolean;
  slowMs: number;
  peek: 'fails' | 'lies' | undefined;
}

export interface CapChangeSeen {
  readonly atMs: number;
  /** undefined: an admin. */
  readonly by: SimProcess | undefined;
  readonly domid: number;
  readonly uuid: string;
  readonly to: number;
}

/** A call that sets says nothing when it has done so: nothing at all is no rubbish there. */
const RUBBISH: readonly string[] = ['\u0000\u001b[2J{{{', '[{"domid": 1, "config', 'Name ID\n vm1 x 3 0\n', '[]\n', 'null'];
const EMFILE: ProgramEnd = { stdout: '', stderr: '', code: 'EMFILE' };
/** How long an xl that no signal reaches stays in the hypervisor. */
const STUCK_MS = 25_000;

/** The hypervisor, its domains, and xl as a program on this host. */
export class SimXen {
  readonly state: StandInState;
  readonly trouble: XenTrouble = { xl: undefined, setsOnly: false, slowMs: 0, peek: undefined };
  /** `xl`: libxenctrl refuses to lower a cap (it never refuses a lift), so that it goes through xl with all its troubles. */
  lowersBy: 'library' | 'xl' = 'library';
  readonly capChanges: CapChangeSeen[] = [];
  /** How often a call met the trouble. */
  troubled = 0;
  onCapChange: (change: CapChangeSeen) => void = () => undefined;
  onStarted: (process: SimProcess) => void = () => undefined;
  readonly guests = new Map<string, SimGuest>();
  readonly #hanging: (() => void)[] = [];
  /** Calls that set a cap (by domid) or a timeslice (by cpupool). */
  readonly #setting = new Map<SimProcess, number | string>();
  readonly #time: VirtualTime;
  readonly #rng: Rng;

  constructor(time: VirtualTime, rng: Rng, scheduler: 'credit' | 'credit2', domains: StandInDomain[]) {
    this.#time = time;
    this.#rng = rng;
    this.state = { scheduler, tslice: 30, domains };
  }

  domain(domid: number): StandInDomain | undefined {
    return this.state.domains.find((d) => d.domid === domid);
  }

  byUuid(uuid: string): StandInDomain | undefined {
    return this.state.domains.find((d) => d.uuid === uuid);
  }

  /** Changes what `work` changes, and notes whose doing each new cap was. */
  #watched<T>(by: SimProcess | undefined, work: () => T): T {
    const before = this.state.domains.map((d) => [d, d.cap] as const);
    for (const guest of this.guests.values()) guest.advance(this.#time.nowMs);
    const result = work();
    for (const [domain, cap] of before) {
      if (domain.cap === cap) continue;
      const change = { atMs: this.#time.nowMs, by, domid: domain.domid, uuid: domain.uuid, to: domain.cap };
      this.capChanges.push(change);
      this.onCapChange(change);
    }
    return result;
  }

  /** Suspended; where it has been started at the destination the domain here stays so until xl destroys it. */
  #stands({ uuid }: StandInDomain): boolean {
    const guest = this.guests.get(uuid);
    return guest !== undefined && (guest.suspended || guest.place === 'there');
  }

  adminSetsCap(domid: number, cap: number): void {
    this.#watched(undefined, () => {
      const domain = this.domain(domid);
      if (domain !== undefined) domain.cap = cap;
    });
  }

  /** What hung goes on. */
  recover(): void {
    Object.assign(this.trouble, { xl: undefined, slowMs: 0, peek: undefined });
    for (const end of this.#hanging.splice(0)) end();
  }

  /** As /proc shows them. */
  callsUnderWay(wanted: number | string): readonly number[] {
    return [...this.#setting].filter(([who, of]) => who.alive && of === wanted).map(([who]) => who.pid);
  }

  /** xl as `by` starts it. */
  program(by: SimProcess): StartProgram {
    return (_binary, args) => this.#start(by, args);
  }

  #start(by: SimProcess, args: readonly string[]): Program {
    const { trouble } = this;
    const isSet = args.includes('-t') || (args.includes('-c') && args[0] !== 'list');
    const now = trouble.setsOnly && !isSet ? undefined : trouble.xl;
    const slowMs = trouble.setsOnly && !isSet ? 0 : trouble.slowMs;
    if (now !== undefined || slowMs > 0) this.troubled++;
    const dies = by.mark();
    if (dies === 'before') by.end();
    let gone: () => void = () => undefined;
    let settle: (end: ProgramEnd) => void = () => undefined;
    const ended = new Promise<ProgramEnd>((resolve) => {
      settle = (end) => {
        gone();
        this.#time.after(0, by, () => resolve(end));
      };
    });
    let over = dies === 'before';
    const effect = (): ProgramEnd => {
      over = true;
      if (now === 'fails')
        return { exitCode: 1, stdout: '', stderr: 'libxl: error: libxl_xshelp.c:201: xenstore: No space left on device\n' };
      if (now === 'rubbish')
        return {
          exitCode: 0,
          stdout: this.#rng.pick(isSet ? RUBBISH : [...RUBBISH, '']),
          stderr: '',
        };
      for (const domain of this.state.domains) domain.state = this.#stands(domain) ? '---ss-' : 'r-----';
      const { code, stdout, stderr } = this.#watched(by, () => answer(args, this.state));
      return { exitCode: code, stdout, stderr };
    };
    const tookMs = this.#rng.between(8, 25) + slowMs * this.#rng.between(0.5, 1.5);
    if (now === 'hangs')
      this.#hanging.push(() => {
        if (!over) settle(effect());
      });
    if (now === 'cannot-start') settle(EMFILE);
    else if (now === 'stuck')
      this.#time.after(STUCK_MS * this.#rng.between(0.7, 1.6), undefined, () => {
        if (!over) settle(effect());
        gone();
      });
    else if (now !== 'hangs')
      this.#time.after(tookMs * this.#rng.between(0.2, 0.9), undefined, () => {
        if (over) return;
        const end = effect();
        this.#time.after(tookMs * 0.1, undefined, () => settle(end));
      });
    if (dies === 'after') by.end();
    const who = new SimProcess('xl', this.#time);
    this.onStarted(who);
    // Never started: by.end() came before, or it could not be.
    if (dies === 'before' || now === 'cannot-start') who.end();
    else if (isSet)
      this.#setting.set(who, args.includes('-d') ? Number(args[args.indexOf('-d') + 1]) : (args[args.indexOf('-p') + 1] ?? ''));
    gone = () => who.end();
    return {
      ended,
      who: () => (who.alive ? who.owner : undefined),
      kill: () => {
        if (over || now === 'stuck') return;
        // Killed on its way out of the hypervisor as well as on its way in.
        if (this.#rng.chance(0.5)) effect();
        over = true;
        settle({ signal: 'SIGKILL', stdout: '', stderr: '' });
      },
      leave: () => undefined,
    };
  }

  /** libxenctrl as a process has it. */
  xenctrl(by: SimProcess): Xenctrl {
    const running = (domid: number): SimGuest | undefined => this.guests.get(this.domain(domid)?.uuid ?? '');
    return {
      library: 'libxenctrl.so.simulated',
      dirtyPages: (domid) => {
        if (this.trouble.peek !== undefined) this.troubled++;
        if (this.trouble.peek === 'lies') return pages(this.#rng.whole(0, 2 ** 32 - 1));
        const guest = running(domid);
        return guest === undefined || this.trouble.peek === 'fails' ? undefined : pages(guest.dirty(this.#time.nowMs));
      },
      cpu: (domid) => {
        const guest = running(domid);
        if (guest === undefined || this.trouble.peek === 'fails') return undefined;
        const cpuTimeMs = this.trouble.peek === 'lies' ? this.#rng.between(0, 1e9) : guest.cpuMs(this.#time.nowMs);
        const { vcpus } = guest.kind;
        const reading = { cpuTimeMs: cpuTimeMs / vcpus, running: false, blocked: false };
        return { cpuTimeMs: ms(cpuTimeMs), onlineVcpus: vcpus, vcpus: Array.from({ length: vcpus }, () => reading) };
      },
      getCap: (domid, scheduler): Cap | undefined => {
        const domain = this.domain(domid);
        const answers = this.trouble.peek !== 'fails' && scheduler === this.state.scheduler;
        return domain === undefined || !answers ? undefined : capFromXen(domain.cap);
      },
      setCap: (domid, scheduler, cap) => {
        const domain = this.domain(domid);
        if (domain === undefined || this.trouble.peek === 'fails' || scheduler !== this.state.scheduler) return false;
        if (this.lowersBy === 'xl' && isLower(cap, capFromXen(domain.cap))) return false;
        const dies = by.mark();
        if (dies === 'before') by.end();
        else
          this.#watched(by, () => {
            domain.cap = capToXen(cap);
          });
        if (dies === 'after') by.end();
        return true;
      },
      resume: (domid) => {
        const domain = this.domain(domid);
        const guest = running(domid);
        if (this.trouble.peek !== undefined) this.troubled++;
        if (domain === undefined || guest === undefined || !this.#stands(domain) || this.trouble.peek === 'fails')
          return { reason: 'Xen refused (errno 22)' };
        guest.advance(this.#time.nowMs);
        if (guest.place === 'there') guest.runsTwice = true;
        guest.suspended = false;
        return 'resumed';
      },
      close: () => undefined,
    };
  }
}
