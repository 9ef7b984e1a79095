import type { Socket } from 'node:net';
import { capFromXen, UNCAPPED } from '../../src/core/cap.ts';
import { handoff } from '../../src/xen/relay/handoff.ts';
import type { RelayMessage, ServerMessage } from '../../src/xen/relay/protocol.ts';
import { cutLines } from '../../src/xen/relay/protocol.ts';
import type { RelayServer } from '../../src/xen/relay/server.ts';
import { attend, type RelaySession } from '../../src/xen/relay/session.ts';
import type { SaveProcess } from '../../src/xen/save-processes.ts';
import { UUID } from '../xen/stand-in.ts';
import { SimDisk } from './disk.ts';
import { type GuestKind, SimGuest, SimLink } from './guest.ts';
import type { SimProcess } from './process.ts';
import { Rng } from './rng.ts';
import { VirtualTime } from './time.ts';
import { SimMigration } from './toolstack.ts';
import { connection, type WireState } from './wire.ts';
import { SimXen } from './xen.ts';

export const STATE = '/state';
const DOMID = 24;
export const OTHER_CAP = 90;
export const OTHER_UUID = '11111111-2222-4333-8444-555555555555';

/** The host, its guest and its link, before anything goes wrong. */
export interface Setting {
  readonly guest: GuestKind;
  readonly linkPagesPerSecond: number;
  /** Xen's number. */
  readonly capOriginal: number;
  readonly mode: 'watch' | 'migrate';
  readonly onMiss: 'abort' | 'proceed';
  readonly targetMs: number;
  readonly peek: boolean;
  readonly controller: string;
  /** The pre-copy policy is ours: rounds go on past five. */
  readonly policy?: boolean;
  /** Default: credit. */
  readonly scheduler?: 'credit2';
  /** A shorter timeslice is asked for; the pool's own is 30 ms. */
  readonly tsliceMs?: number;
}

interface Listener {
  readonly process: SimProcess;
  accept(socket: Socket): void;
}

/** What happened at moments that faults may wait for. */
export type Moment = 'lowered' | 'round-1' | 'suspend-asked' | 'suspend-heard' | 'suspended';

/** One simulated dom0 with all that lives there. */
export class World {
  readonly setting: Setting;
  readonly time = new VirtualTime();
  readonly rng: Rng;
  readonly disk: SimDisk;
  readonly xen: SimXen;
  readonly guest: SimGuest;
  readonly link: SimLink;
  readonly wire: WireState;
  readonly pipe: { latencyMs: number; cut: (bytes: Buffer) => readonly Buffer[] };
  readonly story: string[] = [];
  readonly admin: { readonly atMs: number; readonly cap: number }[] = [];
  /** Something made calls, files or processes slow: an admin's change may then cross one of ours. */
  slowed = false;
  migration: SimMigration | undefined;
  /** Where a front finds an xthrottle. */
  listener: Listener | undefined;
  /** Rebooted, destroyed, or its domid given to another: it is not the one of the beginning. */
  disturbed: 'rebooted' | 'destroyed' | undefined;
  /** What relay and server said to each other in the present migration. */
  answers: { readonly atMs: number; readonly grant: boolean }[] = [];
  settled: Extract<RelayMessage, { type: 'suspend-settled' }> | undefined;
  settledAtMs: number | undefined;
  readonly #living = new Map<number, SimProcess>();
  readonly #waiting = new Map<Moment, (() => void)[]>();

  /** `lowersBy`: by what way caps are lowered; default: by either, as the seed is even or odd. */
  constructor(setting: Setting, seed: number, lowersBy: SimXen['lowersBy'] = seed % 2 === 0 ? 'library' : 'xl') {
    this.setting = setting;
    this.rng = new Rng(seed);
    const cutter = this.rng.fork(1);
    const cut = (bytes: Buffer): readonly Buffer[] => {
      if (bytes.length < 2 || !cutter.chance(0.1)) return [bytes];
      const at = cutter.whole(1, bytes.length - 1);
      return [bytes.subarray(0, at), bytes.subarray(at)];
    };
    this.disk = new SimDisk(this.rng.fork(2));
    this.xen = new SimXen(this.time, this.rng.fork(3), setting.scheduler ?? 'credit', [
      { domid: 0, name: 'Domain-0', uuid: '00000000-0000-0000-0000-000000000000', vcpus: 2, cap: 0, type: 'pv' },
      { domid: DOMID, name: 'vm1', uuid: UUID, vcpus: setting.guest.vcpus, cap: setting.capOriginal },
    ]);
    this.guest = new SimGuest(setting.guest, () => this.xen.byUuid(UUID)?.cap ?? 0);
    this.xen.guests.set(UUID, this.guest);
    this.xen.lowersBy = lowersBy;
    this.link = new SimLink(setting.linkPagesPerSecond);
    this.xen.onCapChange = ({ by, to, domid }) => this.note(`${by?.name ?? 'an admin'} sets the cap of domain ${domid} to ${to}`);
    this.xen.onStarted = (process) => this.live(process);
    this.wire = { latencyMs: 0.2, stuckUntilMs: 0, cut };
    this.pipe = { latencyMs: 0.1, cut };
  }

  /** The server is told of a suspend request. */
  onAsked: () => void = () => undefined;

  live(process: SimProcess): void {
    this.#living.set(process.pid, process);
  }

  lives(pid: number): boolean {
    return this.#living.get(pid)?.alive === true;
  }

  /** As /proc shows them: what may have the guest. */
  saveProcesses(): readonly SaveProcess[] {
    const { xl, relay, helperProcess } = this.migration ?? {};
    const domid = this.xen.byUuid(UUID)?.domid ?? DOMID;
    return [
      ...(xl?.alive === true ? [{ pid: xl.pid, kind: 'toolstack' as const, args: ['xl', 'migrate', String(domid), 'there'] }] : []),
      ...[relay, helperProcess].flatMap((each) =>
        each?.alive === true ? [{ pid: each.pid, kind: 'save' as const, domid, args: [] }] : [],
      ),
    ];
  }

  note(text: string): void {
    this.story.push(`${(this.time.nowMs / 1000).toFixed(3)} s: ${text}`);
  }

  when(moment: Moment, then: () => void): void {
    this.#waiting.set(moment, [...(this.#waiting.get(moment) ?? []), then]);
  }

  /** What waits for a moment waits no more. */
  calm(): void {
    this.#waiting.clear();
  }

  reached(moment: Moment): void {
    const waiting = this.#waiting.get(moment) ?? [];
    this.#waiting.delete(moment);
    for (const then of waiting) this.time.after(0, undefined, then);
  }

  /** xl migrate, of the domain as it is now. */
  migrate(): SimMigration {
    this.answers = [];
    this.settled = undefined;
    this.settledAtMs = undefined;
    const { time, xen, guest, link, pipe } = this;
    const domid = xen.byUuid(UUID)?.domid ?? DOMID;
    const migration = new SimMigration({
      time,
      rng: this.rng.fork(4),
      xen,
      guest,
      link,
      pipe,
      domid,
      uuid: UUID,
      policy: this.setting.policy === true,
      dial: (relay) => this.#dial(relay),
      reached: (moment) => this.reached(moment),
    });
    migration.onSuspendHeard = () => {
      this.note(`libxl is asked to suspend the guest, cap ${migration.suspendHeard?.cap}`);
    };
    this.migration = migration;
    return migration;
  }

  #dial(relay: SimProcess): Socket | undefined {
    const { listener } = this;
    if (listener?.process.alive !== true) return undefined;
    const read = { client: reader(), server: reader() };
    const ends = connection(this.time, this.wire, relay, listener.process, (from, bytes) => {
      for (const message of read[from](bytes)) this.#overheard(message);
    });
    this.time.after(0.2, listener.process, () => listener.accept(ends.server));
    return ends.client;
  }

  #overheard(message: RelayMessage | ServerMessage): void {
    if (message.type === 'suspend-answer') this.answers.push({ atMs: this.time.nowMs, grant: message.grant });
    else if (message.type === 'suspend-settled') {
      this.settled = message;
      this.settledAtMs = this.time.nowMs;
      this.note(`suspend request: ${message.result} by ${message.by}`);
    } else if (message.type === 'suspend-request') this.onAsked();
    else if (message.type === 'cap-set' && message.set) this.reached('lowered');
  }

  /** `listen` of a process: its relays come through `dial`. */
  listen(process: SimProcess, socketPath: string): RelayServer {
    const sessions = handoff<RelaySession>(256);
    const sockets = new Set<Socket>();
    let open = true;
    this.listener = {
      process,
      accept: (socket) => {
        if (!open) {
          socket.destroy();
          return;
        }
        sockets.add(socket);
        attend(socket, (session) => sessions.next(session));
      },
    };
    return {
      socketPath,
      sessions$: sessions.stream$,
      close: () => {
        if (this.listener?.process === process) this.listener = undefined;
        if (open) for (const socket of sockets) socket.destroySoon();
        open = false;
        sessions.complete();
        return Promise.resolve();
      },
    };
  }

  /** An admin sets another cap. */
  adminSets(cap: number): void {
    const domain = this.xen.byUuid(UUID);
    if (domain === undefined) return;
    this.admin.push({ atMs: this.time.nowMs, cap });
    this.xen.adminSetsCap(domain.domid, cap);
  }

  #depart(): void {
    this.guest.advance(this.time.nowMs);
    const at = this.xen.state.domains.findIndex((d) => d.uuid === UUID);
    if (at >= 0) this.xen.state.domains.splice(at, 1);
  }

  /** Under a new domid, with the cap that it had. */
  reboot(): void {
    const domain = this.xen.byUuid(UUID);
    if (domain === undefined || this.guest.place !== 'here') return;
    this.disturbed = 'rebooted';
    this.#depart();
    this.guest.suspended = false;
    this.time.after(this.rng.between(10, 1500), undefined, () => {
      this.note('the domain is back under another domid');
      this.xen.state.domains.push({ ...domain, domid: domain.domid + 7 });
    });
  }

  destroy(): void {
    if (this.guest.place !== 'here') return;
    this.disturbed = 'destroyed';
    this.#depart();
    this.guest.place = 'nowhere';
    this.guest.suspended = false;
  }

  /** Another domain takes the domid. */
  reuse(): void {
    const domid = this.xen.byUuid(UUID)?.domid;
    if (domid === undefined || this.guest.place !== 'here') return;
    this.destroy();
    // libxl gives a domid to nobody else for a minute.
    this.time.after(this.rng.between(60_000, 90_000), undefined, () => {
      this.note('the domid is another domain');
      this.xen.state.domains.push({ domid, name: 'vm1', uuid: OTHER_UUID, vcpus: 1, cap: OTHER_CAP });
    });
  }

  rename(name: string): void {
    const domain = this.xen.byUuid(UUID);
    if (domain !== undefined) domain.name = name;
  }

  get original() {
    return this.setting.capOriginal === 0 ? UNCAPPED : capFromXen(this.setting.capOriginal);
  }
}

function reader(): (bytes: Buffer) => readonly (RelayMessage | ServerMessage)[] {
  let rest: Buffer = Buffer.alloc(0);
  return (bytes) => {
    const cut = cutLines(rest, bytes);
    rest = cut.rest;
    return cut.lines.map((line) => JSON.parse(line) as RelayMessage | ServerMessage);
  };
}
