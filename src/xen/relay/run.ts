import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { awaitsReply, cutFrames, decodeFrame, encodeFrame, encodeReply, LOG_ERROR, LOG_WARNING } from './frames.ts';
import { type Deferred, decideSuspend, deferred, type Leave, type Stop } from './gate.ts';
import { type Exit, FORWARDED, type Helper, type Job } from './helper.ts';
import { CapKeeper, type RunBounded } from './lift.ts';
import { type Link, linkOver } from './link.ts';
import { pauseFor } from './pace.ts';
import { type PolicyQuestion, servePolicy } from './policy-channel.ts';
import { PolicyDesk } from './policy-desk.ts';
import { refusalText } from './policy-wire.ts';
import {
  POLICY_WAIT_MS,
  POLICY_WAIT_MS_MAX,
  type PolicyAnswer,
  type ServerMessage,
  SUSPEND_WAIT_MS,
  SUSPEND_WAIT_MS_MAX,
} from './protocol.ts';
import { Reporter } from './reporter.ts';
import { type Event, eventOf, PHASE_INITIAL } from './rounds.ts';
import { Signaller } from './signaller.ts';

export interface RelayInputs {
  readonly job: Job;
  readonly helper: Helper;
  readonly socket: Socket;
  readonly xen: string | undefined;
  readonly policyMissing: string | undefined;
  /** This process itself; the fault tests run the relay in theirs. */
  readonly self?: RelayProcess;
}

/** What the relay uses of its process: libxl's control pipes are its stdin and stdout. */
export interface RelayProcess {
  readonly pid: number;
  readonly ppid?: number;
  readonly stdin: Readable;
  readonly stdout: Writable;
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  /** Default: this host's. */
  readonly xl?: RunBounded;
  /** Default: as /proc says. */
  readonly bytesWritten?: (pid: number) => number | undefined;
}

/** The policy object greets as soon as the save begins; without its word for so long it counts as missing. */
const GREETING_WAIT_MS = 2000;
const GOODBYE_WAIT_MS = 500;
/** The helper reports every 1024 frames: hundreds of times a second on a fast link, and as fast as it can over absent ones. */
const PROGRESS_MS = 100;

const clamp = (value: number | undefined, fallback: number, max: number): number => Math.min(max, Math.max(0, value ?? fallback));

/** One migration: helper on one side, libxl (our stdin and stdout) on the other, the server beside. */
export class Relay {
  readonly #job: Job;
  readonly #helper: Helper;
  readonly #link: Link;
  readonly #reporter: Reporter;
  readonly #self: RelayProcess;
  readonly #cap: CapKeeper;
  readonly #desk: PolicyDesk;
  readonly #signaller: Signaller;
  #phase = PHASE_INITIAL;
  #stage: 'live' | 'asking' | 'suspending' | 'suspended' | 'over' = 'live';
  #gate: { readonly id: number; readonly leave: Deferred<Leave | 'lost'>; readonly stop: Deferred<Stop> } | undefined;
  #abortWhenSuspended = false;
  #isAborting = false;
  #rest: Buffer = Buffer.alloc(0);
  readonly #outgoing: Buffer[] = [];
  #progress: (Event & { readonly type: 'progress' | 'stop-and-copy' }) | undefined;
  #progressAtMs = Number.NEGATIVE_INFINITY;
  #roundAtMs = 0;
  #lifted: Promise<unknown> = Promise.resolve();

  constructor({ job, helper, socket, xen, policyMissing, self = process }: RelayInputs) {
    this.#job = job;
    this.#helper = helper;
    this.#self = self;
    this.#cap = new CapKeeper(self.xl);
    this.#link = linkOver(socket, { onMessage: (message) => this.#onMessage(message), onLost: () => this.#onLost() });
    this.#reporter = new Reporter(this.#link, helper, job, xen, self);
    this.#desk = new PolicyDesk((event) => this.#reporter.tell(event));
    this.#signaller = new Signaller((signal) => helper.process.kill(signal), helper.says);
    for (const signal of FORWARDED) self.on(signal, () => this.#onSignal(signal));
    this.#connectPipes();
    if (helper.policy === undefined) this.#reporter.greet(policyMissing);
    else this.#connectPolicy();
  }

  /** Passes on the helper's last words, tells the server how it ended, and settles once that is sent. */
  async end(exit: Exit): Promise<void> {
    this.#signaller.close();
    this.#outgoing.push(this.#rest);
    this.#forward();
    this.#stage = 'over';
    this.#gate?.stop.settle({ reason: 'the save helper ended', by: 'signal' });
    this.#reporter.tell({
      type: 'end',
      ...(exit.code === null ? {} : { exitCode: exit.code }),
      ...(exit.signal === null ? {} : { signal: exit.signal }),
    });
    await this.#link.finish(GOODBYE_WAIT_MS);
    await this.#lifted;
  }

  #connectPipes(): void {
    const { says, hears } = this.#helper;
    says.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    // Each end that closes closes the other, as if libxl and the helper held the same pipe.
    const { stdin, stdout } = this.#self;
    stdout.on('error', () => says.destroy());
    stdin.on('error', () => hears.end());
    hears.on('error', () => undefined);
    stdin.pipe(hears);
    stdin.on('data', (chunk: Buffer) => this.#signaller.answered(chunk.length));
  }

  #connectPolicy(): void {
    const { policy } = this.#helper;
    if (policy === undefined) return;
    setTimeout(() => this.#reporter.greet('the policy object did not answer in time'), GREETING_WAIT_MS).unref();
    servePolicy(policy, {
      hello: (refusal) => this.#reporter.greet(refusal === 0 ? undefined : refusalText(refusal)),
      query: (question, reply) => this.#afterControl(() => this.#onQuestion(question, reply)),
    });
  }

  #onQuestion(question: PolicyQuestion, reply: (answer: PolicyAnswer) => void): void {
    const { welcome } = this.#cap;
    const asked = this.#link.open && welcome !== undefined && welcome.observe !== true;
    this.#desk.ask(question, asked ? clamp(welcome.policyWaitMs, POLICY_WAIT_MS, POLICY_WAIT_MS_MAX) : undefined, reply);
  }

  /** Once what the helper had already put into its control pipe is read: two turns of the event loop, of which the second polls it. */
  #afterControl(then: () => void): void {
    this.#helper.says.resume();
    setImmediate(() => setImmediate(then));
  }

  #onChunk(chunk: Buffer): void {
    this.#reporter.controlBytes += chunk.length;
    const cut = cutFrames(this.#rest, chunk);
    this.#rest = cut.rest;
    for (const bytes of cut.frames) this.#onFrame(bytes);
    this.#forward();
    this.#signaller.read(chunk.length);
    this.#pause();
    this.#tellProgress();
  }

  #pause(): void {
    const event = this.#progress;
    // Node hands over one chunk at a time: with more of them waiting, what was just read is no news.
    if (event?.type !== 'progress' || this.#helper.says.readableLength > 0 || this.#signaller.waiting) return;
    const pauseMs = pauseFor(event.pagesSent, event.pagesToSend, performance.now() - this.#roundAtMs);
    if (pauseMs === 0) return;
    this.#helper.says.pause();
    setTimeout(() => this.#helper.says.resume(), pauseMs);
  }

  /** To libxl, in one write for all that came together: the helper shares dom0's CPUs with us. */
  #forward(): void {
    if (this.#outgoing.length > 0) this.#self.stdout.write(Buffer.concat(this.#outgoing.splice(0)));
  }

  /** The newest count, at most every PROGRESS_MS; a round's last one at once. */
  #tellProgress(): void {
    const event = this.#progress;
    if (event === undefined) return;
    const atMs = performance.now();
    if (event.pagesSent < event.pagesToSend && atMs < this.#progressAtMs + PROGRESS_MS) return;
    this.#progressAtMs = atMs;
    this.#progress = undefined;
    this.#reporter.tell(event);
  }

  /** What comes next ends the round: its last count goes first, an unfinished one is out of date. */
  #closeRound(): void {
    const event = this.#progress;
    this.#progress = undefined;
    if (event !== undefined && event.pagesSent === event.pagesToSend) this.#reporter.tell(event);
  }

  #onFrame(bytes: Buffer): void {
    const frame = decodeFrame(bytes);
    if (awaitsReply(bytes)) this.#signaller.asked();
    if (frame.type === 'suspend' && this.#stage === 'live') {
      this.#closeRound();
      void this.#onSuspend(bytes);
      return;
    }
    this.#outgoing.push(bytes);
    const [phase, event] = eventOf(this.#phase, frame);
    this.#phase = phase;
    if (event === undefined) return;
    if (event.type === 'progress' || event.type === 'stop-and-copy') {
      this.#progress = event;
      return;
    }
    this.#closeRound();
    if (event.type === 'round-start') this.#roundAtMs = performance.now();
    if (event.type === 'complete') this.#stage = 'over';
    if (event.type === 'suspended') this.#onSuspended();
    this.#reporter.tell(event);
  }

  async #onSuspend(bytes: Buffer): Promise<void> {
    this.#stage = 'asking';
    const asked = this.#link.open && this.#cap.welcome?.observe !== true;
    const gate = { id: 1, leave: deferred<Leave | 'lost'>(), stop: deferred<Stop>() };
    this.#gate = gate;
    this.#reporter.tell({ type: 'suspend-request', id: gate.id, awaited: asked, round: Math.max(0, this.#phase.round) });
    const outcome = await decideSuspend({
      waitMs: asked ? clamp(this.#cap.welcome?.suspendWaitMs, SUSPEND_WAIT_MS, SUSPEND_WAIT_MS_MAX) : undefined,
      answer: gate.leave.promise,
      stopped: gate.stop.promise,
      lift: () => this.#cap.lift(),
    });
    if (outcome.result === 'denied') {
      const { exitCode, signalCode } = this.#helper.process;
      if (exitCode === null && signalCode === null) this.#say(LOG_ERROR, outcome.reason);
      // What follows is the helper's own clean-up.
      this.#stage = 'over';
      this.#helper.hears.write(encodeReply(0));
      this.#signaller.answered(4);
    } else {
      this.#stage = 'suspending';
      this.#outgoing.push(bytes);
      this.#forward();
    }
    const { result, by } = outcome;
    const lifted = 'lifted' in outcome && outcome.lifted !== undefined ? { lifted: outcome.lifted } : {};
    this.#reporter.tell({ type: 'suspend-settled', id: gate.id, result, by, ...lifted });
  }

  #onSuspended(): void {
    if (this.#stage === 'suspending') this.#stage = 'suspended';
    if (this.#abortWhenSuspended) this.#signaller.send('SIGTERM');
  }

  #onMessage(message: ServerMessage): void {
    this.#desk.heard();
    switch (message.type) {
      case 'welcome':
        if (message.domid === this.#job.domid) this.#cap.welcome = message;
        else this.#link.drop();
        return;
      case 'cap-set':
        this.#cap.told(message.set, message.cap);
        return;
      case 'suspend-answer':
        if (message.id === this.#gate?.id) this.#gate.leave.settle(message);
        return;
      case 'policy-answer':
        if (message.answer === 'abort' && this.#desk.awaits(message.id)) this.#abortByPolicy(message.reason);
        this.#desk.answer(message.id, message.answer);
        return;
      case 'abort':
        this.#abort(message.reason);
        return;
    }
  }

  /** SIGTERM makes the helper clean up, except while it waits for the answer to its suspend request: there it would just end. */
  #abort(reason: string): void {
    // Asked for again with every decision: one signal is what the helper cleans up after.
    if (this.#isAborting) return;
    this.#isAborting = true;
    if (this.#stage === 'asking') this.#gate?.stop.settle({ reason, by: 'server' });
    else if (this.#stage === 'suspending') this.#abortWhenSuspended = true;
    else if (this.#stage !== 'over') {
      this.#say(LOG_ERROR, reason);
      this.#signaller.send('SIGTERM');
    }
  }

  /** As with the suspend: xl's own output says why before it says that it failed. */
  #abortByPolicy(reason: string | undefined): void {
    if (!this.#isAborting && reason !== undefined) this.#say(LOG_ERROR, reason);
    this.#isAborting = true;
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (this.#stage === 'asking') this.#gate?.stop.settle({ reason: `the migration was told to end (${signal})`, by: 'signal' });
    else this.#signaller.send(signal);
  }

  #onLost(): void {
    this.#gate?.leave.settle('lost');
    this.#desk.close();
    this.#lifted = this.#cap.lift().then((lifted) => {
      if (lifted === false) this.#say(LOG_WARNING, "lost xthrottle and could not put the domain's cap back: run xthrottle restore");
      if (lifted === true) this.#say(LOG_WARNING, "lost xthrottle: the domain's cap is back, the migration goes on as stock");
      if (this.#cap.theirs)
        this.#say(LOG_WARNING, "lost xthrottle: somebody else has set the domain's cap: it stays, the migration goes on as stock");
    });
  }

  /** A line in libxl's own log, between two frames of the helper's. */
  #say(level: number, text: string): void {
    this.#outgoing.push(encodeFrame({ type: 'log', level, errno: -1, context: 'xthrottle', text }));
    this.#forward();
  }
}
