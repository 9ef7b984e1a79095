import type { Socket } from 'node:net';
import { Duplex, Readable, Writable } from 'node:stream';
import { Observable, Subject } from 'rxjs';
import { monotonicMs } from '../../src/xen/clock.ts';
import { type HandOverStep, handOver } from '../../src/xen/hand-over.ts';
import type { MigrateJob, MigrateResult } from '../../src/xen/migrate-job.ts';
import { cutFrames, decodeFrame } from '../../src/xen/relay/frames.ts';
import type { Helper } from '../../src/xen/relay/helper.ts';
import { Relay } from '../../src/xen/relay/run.ts';
import { createXl } from '../../src/xen/xl.ts';
import type { SimGuest, SimLink } from './guest.ts';
import { type HelperEnd, SimHelper } from './helper.ts';
import { SimProcess } from './process.ts';
import type { Rng } from './rng.ts';
import type { VirtualTime } from './time.ts';
import type { SimXen } from './xen.ts';

export interface MigrationInputs {
  readonly time: VirtualTime;
  readonly rng: Rng;
  readonly xen: SimXen;
  readonly guest: SimGuest;
  readonly link: SimLink;
  readonly domid: number;
  readonly uuid: string;
  /** A connection to the xthrottle that listens, for a relay; undefined when none does: then the real helper runs alone. */
  readonly dial: (relay: SimProcess) => Socket | undefined;
  readonly reached: (moment: 'round-1' | 'suspend-asked' | 'suspend-heard' | 'suspended') => void;
  /** The pre-copy policy object is loaded. */
  readonly policy: boolean;
  /** How the pipes between helper, relay and libxl behave. */
  readonly pipe: { latencyMs: number; cut: (bytes: Buffer) => readonly Buffer[] };
}

/** Time from libxl's hearing of a suspend request until the guest stands, uncapped, and what a cap adds. */
const SUSPEND_MS = 12;
const SPAWN_MS = 40;
const HAND_OVER_MS = 30;
const RECEIVER_NOTICED_MS = 1000;

/** One `xl migrate`: libxl, its save helper behind the relay (the real one) or alone, the hand-over, and what its failures leave. */
export class SimMigration {
  readonly xl: SimProcess;
  relay: SimProcess | undefined;
  /** xl at the other end. */
  readonly receiver: SimProcess;
  helperProcess: SimProcess | undefined;
  helper: SimHelper | undefined;
  result: 'migrated' | 'failed' | 'killed' | undefined;
  /** When libxl was asked to suspend the guest, and the cap then. */
  suspendHeard: { readonly atMs: number; readonly cap: number } | undefined;
  suspendedAtMs: number | undefined;
  resumedAtMs: number | undefined;
  /** Our own `terminate` was called with the guest standing. */
  endedStanding = false;
  readonly #in: MigrationInputs;
  readonly #steps: { readonly step: HandOverStep; readonly atMs: ReturnType<typeof monotonicMs> }[] = [];
  readonly #steps$ = new Subject<{ readonly step: HandOverStep; readonly atMs: ReturnType<typeof monotonicMs> }>();
  readonly #reader = handOver();
  #rest: Buffer = Buffer.alloc(0);
  #answer: (value: number | undefined) => void = () => undefined;
  #saved: number | undefined;
  #ended: (result: MigrateResult) => void = () => undefined;
  readonly done: Promise<MigrateResult>;
  onSuspendHeard: () => void = () => undefined;

  constructor(inputs: MigrationInputs) {
    this.#in = inputs;
    this.xl = new SimProcess('xl migrate', inputs.time);
    this.receiver = new SimProcess('receiver', inputs.time);
    this.done = new Promise((resolve) => {
      this.#ended = resolve;
    });
    this.xl.onEnd(() => this.#killed());
    this.xl.start(() => this.#begin(), SPAWN_MS);
  }

  /** xl had given its permission to start. */
  get mayRunThere(): boolean {
    return this.#reader.mayRunThere();
  }

  /** The save helper has sent all of the guest. */
  get saved(): boolean {
    return this.#saved === 0;
  }

  get over(): boolean {
    return this.result !== undefined;
  }

  #begin(): void {
    if (!this.#isThere()) this.#finish('failed', 'Domain is not there');
    else {
      const { time } = this.#in;
      const helperProcess = new SimProcess('helper', time);
      const relay = new SimProcess('relay', time);
      const socket = this.#in.dial(relay);
      helperProcess.onEnd(() => this.#gone(helperProcess));
      relay.onEnd(() => this.#gone(relay));
      this.helperProcess = helperProcess;
      if (socket === undefined) this.#runAlone(helperProcess);
      else {
        this.relay = relay;
        relay.start(() => this.#runRelay(relay, helperProcess, socket), SPAWN_MS);
      }
    }
  }

  /** One of them died before it was at work. */
  #gone(process: SimProcess): void {
    if (this.helper === undefined) this.#in.time.after(1, this.xl, () => this.#helperGone({ code: null, signal: 'SIGKILL' }));
    if (process === this.helperProcess && this.relay !== undefined && this.helper === undefined) this.relay.end();
  }

  #isThere(): boolean {
    return this.#in.xen.domain(this.#in.domid)?.uuid === this.#in.uuid;
  }

  #newHelper(
    process: SimProcess,
    say: (bytes: Buffer) => void,
    onEnd: (end: HelperEnd) => void,
    askPolicy?: (bytes: Buffer) => void,
  ): SimHelper {
    const { time, guest, link, reached } = this.#in;
    const helper = new SimHelper({ time, process, guest, link, reached, isThere: () => this.#isThere(), say, onEnd, askPolicy });
    this.helper = helper;
    process.start(() => helper.start(), SPAWN_MS);
    return helper;
  }

  /** Pieces of a pipe, in order, to whoever reads it. */
  #send(to: SimProcess, bytes: Buffer, take: (piece: Buffer) => void): void {
    for (const piece of this.#in.pipe.cut(bytes)) this.#in.time.after(this.#in.pipe.latencyMs, to, () => take(piece));
  }

  #runAlone(process: SimProcess): void {
    const { time, pipe } = this.#in;
    const helper = this.#newHelper(
      process,
      (bytes) => (this.xl.alive ? this.#send(this.xl, bytes, (piece) => this.#hear(piece)) : process.end()),
      (end) => time.after(pipe.latencyMs, this.xl, () => this.#helperGone(end)),
    );
    this.#answer = (value) => time.after(pipe.latencyMs, process, () => helper.hear(value));
  }

  #runRelay(relay: SimProcess, helperProcess: SimProcess, socket: Socket): void {
    const { time, pipe, xen } = this.#in;
    const says = new Readable({ read: () => undefined });
    const policy = new Duplex({
      read: () => undefined,
      write: (bytes: Buffer, _encoding, written) => {
        time.after(pipe.latencyMs, helperProcess, () => helper.hearPolicy(bytes));
        written();
      },
      destroy: (_error, destroyed) => {
        time.after(pipe.latencyMs, helperProcess, () => helper.hearPolicy(undefined));
        destroyed(null);
      },
    });
    const stdin = new Readable({ read: () => undefined });
    let exited: (end: HelperEnd) => void = () => undefined;
    const child = {
      exitCode: null as number | null,
      signalCode: null as NodeJS.Signals | null,
      kill: (signal: NodeJS.Signals) => {
        time.after(0.1, helperProcess, () => (signal === 'SIGKILL' ? helperProcess.end() : helper.terminate()));
        return true;
      },
    };
    const helper = this.#newHelper(
      helperProcess,
      // Nobody reads: SIGPIPE.
      (bytes) => (relay.alive && !says.destroyed ? this.#send(relay, bytes, (piece) => says.push(piece)) : helperProcess.end()),
      (end) =>
        time.after(pipe.latencyMs, relay, () => {
          [child.exitCode, child.signalCode] = [end.code, end.signal];
          says.push(null);
          exited(end);
        }),
      this.#in.policy ? (bytes) => relay.alive && this.#send(relay, bytes, (piece) => policy.push(piece)) : undefined,
    );
    const hears = new Writable({
      write: (bytes: Buffer, _encoding, written) => {
        time.after(pipe.latencyMs, helperProcess, () => helper.hear(bytes.readInt32LE(0)));
        written();
      },
      final: (finished) => {
        time.after(pipe.latencyMs, helperProcess, () => helper.hear(undefined));
        finished();
      },
    });
    const stdout = new Writable({
      write: (bytes: Buffer, _encoding, written) => {
        if (!this.xl.alive) written(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
        else {
          this.#send(this.xl, bytes, (piece) => this.#hear(piece));
          written();
        }
      },
    });
    this.#answer = (value) => {
      const reply = Buffer.alloc(4);
      reply.writeInt32LE(value ?? 0);
      time.after(pipe.latencyMs, relay, () => stdin.push(value === undefined ? null : reply));
    };
    const xl = createXl({ start: xen.program(relay) });
    const running = new Relay({
      job: { args: [], fds: [], domid: this.#in.domid, flags: 1 },
      helper: { process: child, pid: helperProcess.pid, says, hears, ...(this.#in.policy ? { policy } : {}) } as unknown as Helper,
      socket,
      xen: '4.17',
      policyMissing: 'simulated without',
      self: {
        pid: relay.pid,
        stdin,
        stdout,
        on: () => undefined,
        xl: (args, withinMs) =>
          Promise.race([
            xl(args).then(
              (result) => (result.ok ? result.stdout : undefined),
              () => undefined,
            ),
            new Promise<undefined>((resolve) => time.after(withinMs, relay, () => resolve(undefined))),
          ]),
        bytesWritten: () => helper.bytesSent,
      },
    });
    // As relay.ts: its end is the helper's.
    let ending: HelperEnd | undefined;
    exited = (end) => {
      ending = end;
      void running.end(end).then(() => relay.end());
    };
    relay.onEnd(() => {
      // The helper sees it at its next word, or at once where it waits.
      time.after(pipe.latencyMs, helperProcess, () => {
        helper.hearPolicy(undefined);
        helper.hear(undefined);
      });
      time.after(2 * pipe.latencyMs, this.xl, () => this.#helperGone(ending ?? { code: null, signal: 'SIGKILL' }));
    });
  }

  /** libxl reads the control pipe. */
  #hear(piece: Buffer): void {
    const cut = cutFrames(this.#rest, piece);
    this.#rest = cut.rest;
    for (const bytes of cut.frames) {
      const frame = decodeFrame(bytes);
      if (frame.type === 'suspend') this.#suspend();
      if (frame.type === 'complete') {
        this.#saved = frame.result;
        this.#answer(0);
      }
    }
  }

  #suspend(): void {
    const { time, xen, guest, domid } = this.#in;
    const cap = xen.domain(domid)?.cap ?? 0;
    this.suspendHeard = { atMs: time.nowMs, cap };
    this.onSuspendHeard();
    this.#in.reached('suspend-heard');
    const speed = guest.speed;
    // The guest suspends itself, whatever becomes of the xl that asked for it; one that fails takes its request back.
    time.after(SUSPEND_MS / Math.max(0.01, speed), undefined, () => {
      if (this.result === 'failed') return;
      if (!this.#isThere()) {
        this.#answer(0);
        return;
      }
      guest.advance(time.nowMs);
      guest.suspended = true;
      this.suspendedAtMs = time.nowMs;
      this.#in.reached('suspended');
      if (this.xl.alive) this.#answer(1);
    });
  }

  #helperGone(end: HelperEnd): void {
    if (this.over) return;
    const { time, guest } = this.#in;
    if (this.#saved === 0 && end.code === 0 && this.receiver.alive) {
      this.#handOver();
      return;
    }
    // Its own clean-up takes a moment, and nobody at the other end is noticed late; a guest that stands goes on.
    time.after(this.receiver.alive ? HAND_OVER_MS : RECEIVER_NOTICED_MS, this.xl, () => {
      this.#resume();
      this.#finish('failed', guest.place === 'here' ? 'Migration failed, resuming at sender.' : 'Migration failed, the domain is gone');
    });
  }

  #resume(): void {
    const { time, guest } = this.#in;
    if (!guest.suspended) return;
    guest.advance(time.nowMs);
    guest.suspended = false;
    this.resumedAtMs = time.nowMs;
  }

  #handOver(): void {
    const { time, guest, xen, domid, uuid } = this.#in;
    this.#line('migration target: Transfer complete, requesting permission to start domain.\n');
    this.#line('migration sender: Target has acknowledged transfer.\nmigration sender: Giving target permission to start.\n');
    // From here on it starts there, should xl be killed or not.
    let started = false;
    time.after(HAND_OVER_MS + RECEIVER_NOTICED_MS, this.xl, () => {
      if (!started) this.#finish('failed', 'Migration failed during final handshake');
    });
    time.after(HAND_OVER_MS, this.receiver, () => {
      started = true;
      // Whatever became of it here: it was all sent.
      if (this.#isThere() && !guest.suspended) guest.runsTwice = true;
      guest.advance(time.nowMs);
      guest.place = 'there';
      guest.suspended = false;
      this.resumedAtMs = time.nowMs;
      this.#line('migration target: Got permission, starting domain.\nmigration target: Domain started successsfully.\n');
      time.after(HAND_OVER_MS, this.xl, () => {
        const at = xen.state.domains.findIndex((d) => d.domid === domid && d.uuid === uuid);
        if (at >= 0) xen.state.domains.splice(at, 1);
        this.#line('migration sender: Target reports successful startup.\nMigration successful.\n');
        this.#finish('migrated');
      });
    });
  }

  #line(text: string): void {
    for (const step of this.#reader.push(text)) {
      const seen = { step, atMs: monotonicMs() };
      this.#steps.push(seen);
      this.#steps$.next(seen);
    }
  }

  #finish(result: 'migrated' | 'failed', text?: string): void {
    if (this.over) return;
    if (text !== undefined) this.#line(`${text}\n`);
    this.result = result;
    this.#settle({ exitCode: result === 'migrated' ? 0 : 1, migrated: result === 'migrated' });
    this.xl.end();
  }

  #killed(): void {
    if (this.over) return;
    this.result = 'killed';
    this.#answer(undefined);
    this.#settle({ signal: 'SIGKILL', migrated: false });
  }

  #settle(result: MigrateResult): void {
    const started = this.#steps.find(({ step }) => step === 'domain-started');
    const reason = this.#reader.reason();
    this.#ended({
      ...result,
      ...(started === undefined ? {} : { startedAtMs: started.atMs }),
      ...(result.exitCode === 0 || reason === undefined ? {} : { reason }),
    });
  }

  /** As the wrapped job sees it; `owner` is the xthrottle that started it. */
  job(owner: SimProcess): MigrateJob {
    const { time, guest } = this.#in;
    const done = new Promise<MigrateResult>((resolve) => {
      void this.done.then((result) => time.after(1, owner, () => resolve(result)));
    });
    return {
      pid: this.xl.pid,
      done,
      handsOver: () => this.#reader.seen.has('transfer-complete'),
      mayRunThere: () => this.mayRunThere,
      steps$: new Observable((subscriber) => {
        for (const step of this.#steps) subscriber.next(step);
        const later = this.#steps$.subscribe(subscriber);
        void done.then(() => subscriber.complete());
        return () => later.unsubscribe();
      }),
      terminate: async () => {
        if (guest.suspended) this.endedStanding = true;
        this.xl.end();
        await done;
      },
      endRest: (pid) => {
        const rest = [this.relay, this.helperProcess].filter((each) => each?.alive === true);
        if (!rest.some((each) => each?.pid === pid)) return false;
        for (const each of rest) each?.end();
        return true;
      },
    };
  }
}
