/**
 * A migration rehearsed: the very controller that would steer it decides on a guest that keeps to a known dirty curve and a link that
 * keeps to a known rate. No noise, no parking: what is to be expected, not a promise.
 */
import { type Cap, capPercent, sameCap } from './cap.ts';
import type { Controller } from './controller.ts';
import type { Decision } from './decision.ts';
import { type DirtyCurve, dirtiedAfter, shapeOf } from './dirty-curve.ts';
import { predictDowntime } from './downtime.ts';
import { between, type Estimate, exactly } from './estimate.ts';
import type { Goal } from './goal.ts';
import type { Observation } from './observation.ts';
import { stallOf } from './stall.ts';
import { type Step, stepper } from './step.ts';
import { stockDecision } from './stock.ts';
import { type Bytes, type BytesPerSecond, bytesPerSecond, type Ms, ms, type Pages, pageRate, pages, wireBytes } from './units.ts';

export interface Rehearsed {
  readonly curve: DirtyCurve;
  /** CPU the guest uses when nothing holds it back, percent of one pCPU. */
  readonly demandPercent: number;
  /** What the stream gets. */
  readonly rate: BytesPerSecond;
  readonly goal: Goal;
}

export interface RehearsedRound {
  readonly round: number;
  readonly pagesToSend: Pages;
  readonly timeMs: Ms;
  /** Lowest cap in it, Xen's number: 0 when it was the domain's own all along. */
  readonly capPercentMin: number;
}

export interface Rehearsal {
  readonly rounds: readonly RehearsedRound[];
  /** `stays`: denied or aborted, the guest is not migrated; `endless`: no end within the bounds of a rehearsal. */
  readonly outcome: 'migrates' | 'stays' | 'endless';
  /** The controller's reason for the last decision. */
  readonly reason: string;
  /** Pages to send after the suspension, and the downtime that follows; of one that stays: had it been suspended then. */
  readonly lastPages: Pages;
  readonly downtimeMs: Estimate<Ms>;
  /** Until the guest runs at the destination, or until it was clear that it stays. */
  readonly totalMs: Ms;
  readonly bytesSent: Bytes;
  /** Lowest cap of all; 0: never throttled. */
  readonly capPercentMin: number;
  /** Longest stall of its caps, by law. */
  readonly stallMaxMs: Ms;
  /** CPU time withheld. */
  readonly lostCpuMs: Ms;
  /** The target would be met. */
  readonly feasible: boolean;
}

/** The link is known as a number only: a rate asked for is thought to be kept to within this. */
const RATE_SPREAD = 0.03;
/** As on a real host: the helper reports every 1024 pages, a look comes every 100 ms; of a long round not all are rehearsed. */
const PROGRESS_PAGES = 1024;
const LOOK_MS = 100;
const STEPS_A_ROUND = 48;
const ROUND_MS_MIN = 1;
/** xg_sr_save.c: fewer dirty pages end stock's rounds. */
const STOCK_FEW = 50;
const ROUNDS_EVER = 100;

/** Rehearses one migration under `controller`. Pure and bounded. */
export function rehearse<State>(controller: Controller<State>, rehearsed: Rehearsed): Rehearsal {
  return new Stage(stepper(controller, rehearsed.goal), rehearsed).play();
}

/** Stock Xen: five rounds, no cap, always suspended. */
export function rehearseStock(rehearsed: Rehearsed): Rehearsal {
  const capabilities = { ...rehearsed.goal.capabilities, policy: false, roundsMax: 5, actuator: false };
  const stock: Controller<null> = {
    name: 'stock',
    summary: 'unmodified Xen',
    initial: () => null,
    decide: (_, o) => [null, stockDecision(o)],
  };
  return rehearse(stock, { ...rehearsed, goal: { ...rehearsed.goal, onMiss: 'proceed', capabilities } });
}

class Stage<State> {
  readonly #steps: ReturnType<typeof stepper<State>>;
  readonly #r: Rehearsed;
  readonly #shape: ReturnType<typeof shapeOf>;
  #step: Step<State>;
  #atMs = 0;
  #cap: Cap;
  #pending: { readonly cap: Cap; readonly atMs: number } | undefined;
  #sentPages = 0;
  #workMs = 0;
  #roundWorkMs = 0;
  #roundAtMs = 0;
  #rounds: RehearsedRound[] = [];
  #capMin = 0;
  #roundCapMin = 0;
  #over: 'stays' | undefined;

  constructor(steps: ReturnType<typeof stepper<State>>, rehearsed: Rehearsed) {
    this.#steps = steps;
    this.#step = steps.initial;
    this.#r = rehearsed;
    this.#shape = shapeOf(rehearsed.curve);
    this.#cap = rehearsed.goal.domain.capOriginal;
  }

  play(): Rehearsal {
    const { goal } = this.#r;
    const { policy, roundsMax } = goal.capabilities;
    const most = Math.min(ROUNDS_EVER, roundsMax ?? ROUNDS_EVER);
    let toSend: number = goal.domain.populatedPages;
    for (let round = 0; round < most; round++) {
      const last = policy ? this.#ask('before', round, toSend) === 'stop-and-copy' : round > 0 && toSend < STOCK_FEW;
      if (this.#over !== undefined) break;
      this.#send(round, toSend);
      if (this.#over !== undefined) break;
      const asked = policy && !last ? this.#ask('after', round, this.#dirty()) : undefined;
      if (this.#over !== undefined) break;
      if (last || asked === 'stop-and-copy' || round === most - 1) return this.#suspend(round);
      toSend = this.#dirty();
      this.#clear();
    }
    return this.#end(this.#over ?? 'endless');
  }

  #send(round: number, toSend: number): void {
    const spanMs = Math.max(ROUND_MS_MIN, (toSend / pageRate(this.#r.rate)) * 1000);
    const [startMs, startPages] = [this.#atMs, this.#sentPages];
    this.#roundCapMin = this.#throttled() ? this.#percent() : 0;
    this.#decide({ type: 'round-start', round, pagesToSend: pages(Math.round(toSend)), ...this.#now() });
    const stepMs = Math.max((PROGRESS_PAGES / pageRate(this.#r.rate)) * 1000, spanMs / STEPS_A_ROUND);
    let lookedMs = 0;
    for (let sinceMs = 0; sinceMs < spanMs && this.#over === undefined; ) {
      sinceMs = Math.min(spanMs, sinceMs + stepMs);
      this.#advance(startMs + sinceMs);
      this.#sentPages = startPages + (toSend * sinceMs) / spanMs;
      const sent = { pagesSent: pages(Math.round(this.#sentPages - startPages)), pagesToSend: pages(Math.round(toSend)) };
      this.#decide({ type: 'progress', round, ...sent, ...this.#now() });
      if (this.#over === undefined && sinceMs < spanMs && sinceMs - lookedMs >= LOOK_MS && this.#r.goal.capabilities.peek) {
        lookedMs = sinceMs;
        this.#decide({ type: 'sample', round, ...this.#look(), ...this.#now() });
      }
    }
    this.#rounds.push({
      round,
      pagesToSend: pages(Math.round(toSend)),
      timeMs: ms(this.#atMs - startMs),
      capPercentMin: this.#roundCapMin,
    });
  }

  #ask(when: 'before' | 'after', round: number, dirty: number): Decision['action'] {
    const known = when === 'before' || this.#r.goal.capabilities.peek ? { dirtyPages: pages(Math.round(dirty)) } : {};
    return this.#decide({ type: 'policy-query', when, round, ...known, totalWritten: pages(Math.round(this.#sentPages)), ...this.#now() });
  }

  #suspend(round: number): Rehearsal {
    const look = this.#r.goal.capabilities.peek ? this.#look() : {};
    const action = this.#decide({ type: 'suspend-request', round, ...look, ...this.#now() });
    if (action === 'deny' || this.#over !== undefined) return this.#end('stays');
    const runFirst = this.#step.decision.action === 'grant' ? (this.#step.decision.runFirstMs ?? 0) : 0;
    this.#cap = this.#r.goal.domain.capOriginal;
    this.#advance(this.#atMs + runFirst);
    return this.#end('migrates');
  }

  #end(outcome: Rehearsal['outcome']): Rehearsal {
    const { goal, rate } = this.#r;
    const rates = between(bytesPerSecond(rate * (1 - RATE_SPREAD)), rate, bytesPerSecond(rate * (1 + RATE_SPREAD)));
    const dirty = this.#dirty();
    const spanMs = Math.max(1, goal.suspendLatencyMs.value + goal.capabilities.liftLatencyMs);
    const fullRate = ((this.#shape.at(this.#inLog() + spanMs) - this.#shape.at(this.#inLog())) / spanMs) * 1000;
    const downtimeMs = predictDowntime(exactly(pages(dirty)), exactly(fullRate), rates, goal, this.#capMin > 0 ? undefined : ms(0));
    const target = goal.maxDirtyPages === undefined ? downtimeMs.value <= goal.targetDowntimeMs : dirty <= goal.maxDirtyPages;
    const { activeVcpus } = goal.domain;
    const { scheduler, tsliceMs } = goal.capabilities;
    return {
      rounds: this.#rounds,
      outcome,
      reason: this.#step.decision.reason.text,
      lastPages: pages(Math.round(dirty)),
      downtimeMs,
      totalMs: ms(this.#atMs + (outcome === 'migrates' ? downtimeMs.value : 0)),
      bytesSent: wireBytes(pages(this.#sentPages + (outcome === 'migrates' ? dirty : 0))),
      capPercentMin: this.#capMin,
      stallMaxMs: this.#capMin === 0 ? ms(0) : stallOf(this.#capMin, activeVcpus, scheduler, tsliceMs),
      lostCpuMs: ms(((this.#atMs - this.#workMs) * this.#r.demandPercent) / 100),
      feasible: outcome === 'migrates' && target,
    };
  }

  #decide(observation: Observation): Decision['action'] {
    const { goal } = this.#r;
    this.#step = this.#steps.next(this.#step, observation);
    const { decision } = this.#step;
    if (decision.action === 'set-cap' || decision.action === 'uncap') {
      const cap = decision.action === 'set-cap' ? decision.cap : goal.domain.capOriginal;
      this.#pending = { cap, atMs: this.#atMs + Math.max(0.1, goal.capabilities.actuatorLatencyMs) };
    }
    if (decision.action === 'abort') this.#over = 'stays';
    return decision.action;
  }

  /** Lets the guest run, and a cap come into force on the way. */
  #advance(toMs: number): void {
    const due = this.#pending;
    if (due !== undefined && due.atMs <= toMs) {
      this.#run(Math.max(this.#atMs, due.atMs));
      this.#pending = undefined;
      if (!sameCap(due.cap, this.#cap)) {
        this.#cap = due.cap;
        if (this.#throttled()) {
          const percent = this.#percent();
          this.#roundCapMin = Math.min(this.#roundCapMin || percent, percent);
          this.#capMin = Math.min(this.#capMin || percent, percent);
        }
        this.#decide({ type: 'cap-changed', cap: this.#cap, by: 'us', atMs: ms(this.#atMs) });
      }
    }
    this.#run(toMs);
  }

  #run(toMs: number): void {
    const span = Math.max(0, toMs - this.#atMs);
    const speed = Math.min(1, this.#percent() / Math.max(1, this.#r.demandPercent));
    this.#workMs += speed * span;
    this.#atMs = Math.max(this.#atMs, toMs);
  }

  #clear(): void {
    this.#roundWorkMs = this.#workMs;
    this.#roundAtMs = this.#atMs;
  }

  #inLog(): number {
    return this.#workMs - this.#roundWorkMs;
  }

  #dirty(): number {
    const dirtied = dirtiedAfter(this.#shape, this.#r.curve.deviceShare, this.#inLog(), this.#atMs - this.#roundAtMs);
    return Math.min(this.#r.goal.domain.populatedPages, dirtied);
  }

  #percent(): number {
    return capPercent(this.#cap, this.#r.goal.domain.vcpus);
  }

  #throttled(): boolean {
    return !sameCap(this.#cap, this.#r.goal.domain.capOriginal);
  }

  #look() {
    return { dirtyPages: pages(Math.round(this.#dirty())), cpuTimeMs: ms((this.#workMs * this.#r.demandPercent) / 100) };
  }

  #now() {
    return { atMs: ms(this.#atMs), bytesSent: wireBytes(pages(this.#sentPages)) };
  }
}
