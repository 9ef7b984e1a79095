import { type Cap, capFromXen, capToXen, sameCap } from '../core/cap.ts';
import type { Decision } from '../core/decision.ts';
import type { Capabilities, DomainFacts } from '../core/goal.ts';
import type { Observation } from '../core/observation.ts';
import { longestStanding, type Standing, standingAfter } from '../core/standing.ts';
import { bytes, type Ms, ms, type Pages, pages, WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import type { Effect, Ending } from '../host.ts';
import { capabilitiesOf, domainOf, fixedMs, p2mFramesOf, suspendPagesOf } from './facts.ts';
import { Guest } from './guest.ts';
import { faultMs, type Mechanism } from './mechanism.ts';
import { type LinkTime, type Planned, planRound } from './plan.ts';
import { gauss } from './random.ts';
import { Realisation } from './realisation.ts';
import type { NamedScenario } from './scenario-files.ts';
import type { Truth } from './truth.ts';

export interface WorldOptions {
  readonly mechanism?: Mechanism;
  /** Hybrid: live rounds before the switch-over; default 1. */
  readonly roundsFirst?: number;
  /** Live rounds after which the suspend is requested whatever a policy says. */
  readonly roundsMax?: number;
  /** False: the cap is kept while the guest is suspended, as without a relay (to compare with captures). Default true. */
  readonly lifts?: boolean;
  /** Position among simultaneous migrations: gives each its own domid. */
  readonly index?: number;
  /** A link that others use too, instead of the scenario's own: call `relink()` when its rate has changed. */
  readonly link?: LinkTime;
}

/** Stock Xen's threshold: fewer dirty pages end the rounds. */
const SPP_TARGET_DIRTY_COUNT = 50;
/** A policy that never stops: the world does. */
const ROUNDS_EVER = 2000;
/** No call is instant: a controller that answers every change with another one still lets time pass. */
const CALL_MS_MIN = 0.05;
const COPY_TICKS_MAX = 20;

type Stage =
  | 'begin'
  | 'round'
  | 'in-round'
  | 'round-over'
  | 'clean'
  | 'ask'
  | 'asked'
  | 'lift'
  | 'pass'
  | 'suspended'
  | 'copy'
  | 'push'
  | 'over';

interface CapCall {
  readonly cap: Cap;
  readonly sinceMs: number;
  readonly atMs: number;
}

interface WorldState {
  stage: Stage;
  round: number;
  /** Pages of the round that is about to start or running, as counted (may be noisy) and as they are. */
  counted: number;
  toSend: number;
  last: boolean;
  plan: readonly Planned[];
  planIndex: number;
  roundPagesAtStart: number;
  framesWalked: number;
  /** When the log is read and cleared after the round that just ended. */
  readAtMs: number;
  pagesSent: number;
  call: CapCall | undefined;
  queued: Cap | undefined;
  awaiting: Observation | undefined;
  passAtMs: number | undefined;
  suspendedAtMs: number | undefined;
  standing: Standing | undefined;
  standingAtLiftMs: number;
  ranBeforeSuspend: boolean;
  lastPages: number | undefined;
  resumedAtMs: number | undefined;
  degradedMs: number;
  ending: Ending | undefined;
}

/**
 * One simulated migration in virtual time. Call `next()`, answer with `apply()`, until `next()` gives undefined. All noise is a function of
 * seed and time, so a clone that decides differently meets the same link and the same guest.
 */
export class World {
  readonly scenario: NamedScenario;
  readonly seed: number;
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  readonly #options: WorldOptions;
  readonly #realisation: Realisation;
  readonly #link: LinkTime;
  readonly #guest: Guest;
  readonly #s: WorldState;
  #atMs: number;

  constructor(scenario: NamedScenario, seed: number, options: WorldOptions = {}, from?: World) {
    this.scenario = scenario;
    this.seed = seed;
    this.#options = options;
    this.domain = from?.domain ?? domainOf(scenario, seed, options.index ?? 0);
    this.capabilities = from?.capabilities ?? capabilitiesOf(scenario);
    this.#realisation = from === undefined ? new Realisation(scenario, seed) : from.#realisation;
    this.#link = options.link ?? this.#realisation;
    this.#guest =
      from === undefined ? new Guest(scenario, this.#realisation, capFromXen(scenario.domain.capOriginalPercent)) : from.#guest.clone();
    this.#atMs = from === undefined ? 0 : from.#atMs;
    this.#s = from === undefined ? freshState(scenario) : { ...from.#s };
  }

  /** An independent copy that goes on from here under the same noise. */
  clone(): World {
    return new World(this.scenario, this.seed, this.#options, this);
  }

  get atMs(): Ms {
    return ms(this.#atMs);
  }

  get cap(): Cap {
    return this.#guest.cap;
  }

  get ending(): Ending | undefined {
    return this.#s.ending;
  }

  /** Pages dirty right now, without noise: what no host can see for free. */
  dirtyPages(): Pages {
    return pages(this.#guest.dirtyPages());
  }

  /** The next thing the host would report; undefined once the migration is over. An unanswered observation counts as `hold` (or `grant`). */
  next(): Observation | undefined {
    if (this.#s.stage === 'asked') this.#grant(undefined);
    this.#s.awaiting = undefined;
    while (this.#s.ending === undefined) {
      const observation = this.#step();
      if (observation !== undefined) {
        this.#s.awaiting = observation;
        return observation;
      }
    }
    return undefined;
  }

  /** Carries out the answer to the last observation. */
  apply(decision: Decision): Effect {
    const s = this.#s;
    const asked = s.awaiting;
    if (asked === undefined) throw new Error('apply() answers the observation that next() gave, once');
    s.awaiting = undefined;
    switch (decision.action) {
      case 'set-cap':
      case 'uncap':
        return this.#steer(decision.action === 'set-cap' ? decision.cap : this.domain.capOriginal);
      case 'abort':
      case 'deny':
        if (!this.#abortable()) return { result: 'skipped' };
        this.#stay(`${decision.action === 'deny' ? 'suspension denied' : 'aborted'}: ${decision.reason.text}`);
        return { result: 'applied' };
      case 'grant':
        if (s.stage !== 'asked') return { result: 'skipped' };
        this.#grant(decision.runFirstMs);
        return { result: 'applied' };
      case 'stop-and-copy':
        if (asked.type !== 'policy-query') return { result: 'skipped' };
        if (asked.when === 'after') s.stage = 'ask';
        else s.last = true;
        return { result: 'applied' };
      default:
        return { result: 'skipped' };
    }
  }

  /** The shared link has another rate from now on: what is left of a round takes longer or shorter. A stop-and-copy is not planned anew. */
  relink(): void {
    const s = this.#s;
    if (s.stage !== 'in-round') return;
    const sent = s.pagesSent - s.roundPagesAtStart;
    const walked = s.plan.slice(0, s.planIndex).reduce((most, { frames }) => Math.max(most, frames), 0);
    const frames = Math.max(s.counted, s.toSend);
    const left = planRound(this.scenario, this.#link, this.#atMs, Math.max(0, frames - walked), Math.max(0, s.toSend - sent));
    s.plan = left.map((planned) => ({
      ...planned,
      pages: planned.pages + sent,
      frames: planned.kind === 'progress' ? Math.min(frames, planned.frames + walked) : planned.frames,
    }));
    s.planIndex = 0;
  }

  /** Ends the migration with the guest here, if it has not been suspended. */
  abort(reason: string): void {
    if (this.#s.ending === undefined && this.#abortable()) this.#stay(reason);
  }

  /** Puts the domain's own cap back at once; a domain that moved got it at the destination. */
  restoreCap(): void {
    this.#s.call = undefined;
    this.#s.queued = undefined;
    if (!sameCap(this.#guest.cap, this.domain.capOriginal)) this.#guest.setCap(this.domain.capOriginal);
  }

  /** What really happened, as nobody on a real host could see it. */
  truth(): Truth {
    const s = this.#s;
    const t = this.#guest.totals;
    const longestStallMs = this.#guest.longestStallMs();
    const moved = s.resumedAtMs !== undefined && s.passAtMs !== undefined && s.suspendedAtMs !== undefined;
    const downtimeMs = moved ? (s.resumedAtMs as number) - (s.passAtMs as number) : null;
    const stood = moved ? (s.resumedAtMs as number) - (s.suspendedAtMs as number) : 0;
    // A guest that is unparked only to be suspended does not get to run: its last stall and the downtime are one gap.
    const gap = moved && s.standingAtLiftMs > 0 && !s.ranBeforeSuspend ? s.standingAtLiftMs + (downtimeMs as number) : stood;
    return {
      result: s.ending?.result ?? 'unknown',
      downtimeMs,
      guestGapMs: Math.max(gap, longestStallMs),
      switchOverGapMs: moved ? gap : null,
      longestStallMs,
      lostWorkSeconds: (t.lostCpuMs + s.degradedMs * (this.scenario.domain.cpuDemandPercent / 100)) / 1000,
      lostGuestSeconds: (t.lostGuestMs + s.degradedMs) / 1000,
      degradedSeconds: s.degradedMs / 1000,
      throttledSeconds: t.throttledMs / 1000,
      capPercentMin: t.capPercentMin ?? null,
      bytesSent: s.pagesSent * WIRE_BYTES_PER_PAGE,
      rounds: s.round,
      pagesAfterSuspend: s.lastPages ?? null,
      totalSeconds: this.#atMs / 1000,
    };
  }

  /** One transition; undefined when it has nothing to report. */
  #step(): Observation | undefined {
    const s = this.#s;
    switch (s.stage) {
      case 'begin':
        return this.#beginRound();
      case 'round':
        return this.#startRound();
      case 'in-round':
        return this.#inRound();
      case 'round-over':
        return this.#endRound();
      case 'clean':
        return this.#clean();
      case 'ask':
        s.stage = 'asked';
        s.call = undefined;
        s.queued = undefined;
        return {
          type: 'suspend-request',
          atMs: this.atMs,
          round: s.round,
          ...this.#look(),
          bytesSent: this.#bytes(),
        };
      case 'lift': {
        const call = s.call as CapCall;
        s.stage = 'pass';
        return this.#capInForce(call);
      }
      case 'pass':
        return this.#suspend();
      case 'suspended':
        return this.#stopAndCopy();
      case 'copy':
      case 'push':
        return this.#copying();
      default:
        throw new Error(`no step out of ${s.stage}`);
    }
  }

  /** Log read and cleared; a policy is asked before the round is sent. */
  #beginRound(): Observation | undefined {
    const s = this.#s;
    if (this.#options.mechanism === 'post-copy') {
      s.stage = 'ask';
      return undefined;
    }
    s.stage = 'round';
    if (this.scenario.host.roundLimit === undefined) {
      const query = { type: 'policy-query', atMs: this.atMs, when: 'before', round: s.round, dirtyPages: pages(s.counted) } as const;
      return { ...query, totalWritten: pages(s.framesWalked), bytesSent: this.#bytes() };
    }
    if (s.round > 0 && s.counted < SPP_TARGET_DIRTY_COUNT) s.last = true;
    return undefined;
  }

  #startRound(): Observation | undefined {
    const s = this.#s;
    s.plan = planRound(this.scenario, this.#link, this.#atMs, Math.max(s.counted, s.toSend), s.toSend);
    s.planIndex = 0;
    s.roundPagesAtStart = s.pagesSent;
    if (s.counted === 0 && s.toSend === 0) {
      s.stage = 'round-over';
      return undefined;
    }
    s.stage = 'in-round';
    return { type: 'round-start', atMs: this.atMs, round: s.round, pagesToSend: pages(s.counted), bytesSent: this.#bytes() };
  }

  #inRound(): Observation | undefined {
    const s = this.#s;
    const planned = s.plan[s.planIndex] as Planned;
    const changed = this.#capDueBy(planned.atMs);
    if (changed !== undefined) return changed;
    this.#advance(planned.atMs);
    s.planIndex++;
    s.pagesSent = s.roundPagesAtStart + planned.pages;
    if (s.planIndex === s.plan.length) s.stage = 'round-over';
    const atMs = this.atMs;
    const bytesSent = this.#bytes();
    if (planned.kind === 'tick') return { type: 'tick', atMs, bytesSent };
    if (planned.kind === 'sample') return { type: 'sample', atMs, round: s.round, ...this.#look(), bytesSent };
    return { type: 'progress', atMs, round: s.round, pagesSent: pages(planned.frames), pagesToSend: pages(s.counted), bytesSent };
  }

  #endRound(): Observation | undefined {
    const s = this.#s;
    const round = s.round;
    s.framesWalked += s.counted;
    s.round = round + 1;
    const { roundLimit } = this.scenario.host;
    const limit = Math.min(roundLimit ?? ROUNDS_EVER, this.#options.roundsMax ?? ROUNDS_EVER, this.#hybridAfter());
    s.stage = s.last || s.round >= limit ? 'ask' : 'clean';
    s.readAtMs = this.#atMs + this.scenario.host.roundOverheadMs;
    if (roundLimit !== undefined || s.last) return undefined;
    const query = { type: 'policy-query', atMs: this.atMs, when: 'after', round } as const;
    const dirty = this.scenario.host.peek ? { dirtyPages: pages(this.#count(0)), ...this.#standing() } : {};
    return { ...query, ...dirty, totalWritten: pages(s.framesWalked), bytesSent: this.#bytes() };
  }

  /** As the real host works it out, from what a look shows; the vCPUs of a simulated guest are parked together. */
  #standing(): { readonly standingMs?: Ms } {
    const reading = { cpuTimeMs: this.#guest.totals.runMs, running: this.#guest.standingMs() === 0, blocked: false };
    this.#s.standing = standingAfter(this.#s.standing, [reading], this.#atMs);
    const longest = longestStanding(this.#s.standing);
    return longest === undefined ? {} : { standingMs: longest };
  }

  #clean(): Observation | undefined {
    const s = this.#s;
    const changed = this.#capDueBy(s.readAtMs);
    if (changed !== undefined) return changed;
    this.#advance(s.readAtMs);
    s.toSend = this.#guest.dirtyPages();
    s.counted = this.#count(s.round === 1 ? this.scenario.dirtyCount.excessPages : 0);
    this.#guest.clearLog();
    s.stage = 'begin';
    return undefined;
  }

  #grant(runFirstMs: Ms | undefined): void {
    const s = this.#s;
    const { host, domain } = this.scenario;
    const throttled = capToXen(this.#guest.cap) !== domain.capOriginalPercent;
    const lifts = throttled && host.actuator && this.#options.lifts !== false;
    const liftedAtMs = this.#atMs + (lifts ? host.liftLatencyMs : 0);
    if (lifts) s.call = { cap: this.domain.capOriginal, sinceMs: this.#atMs, atMs: liftedAtMs };
    s.stage = lifts ? 'lift' : 'pass';
    s.ranBeforeSuspend = (runFirstMs ?? 0) > 0;
    s.standingAtLiftMs = lifts ? 0 : this.#guest.standingMs();
    s.passAtMs = liftedAtMs + (runFirstMs ?? 0);
  }

  /** The suspend is passed on; a guest that its cap holds back answers late. */
  #suspend(): Observation {
    const s = this.#s;
    const latency = fixedMs(this.scenario.suspend, this.seed, 'suspend') / this.#guest.speed();
    this.#advance((s.passAtMs as number) + latency);
    s.suspendedAtMs = this.#atMs;
    s.stage = 'suspended';
    return { type: 'suspended', atMs: this.atMs, bytesSent: this.#bytes() };
  }

  #stopAndCopy(): Observation {
    const s = this.#s;
    const own = suspendPagesOf(this.scenario, this.seed);
    const populated = this.domain.populatedPages;
    const postCopy = this.#options.mechanism === 'post-copy' || this.#options.mechanism === 'hybrid';
    const dirty = this.#options.mechanism === 'post-copy' ? populated : Math.min(populated, this.#guest.dirtyPages() + own);
    s.lastPages = postCopy ? own : dirty;
    s.plan = this.#copyPlan(s.lastPages);
    s.planIndex = 0;
    s.roundPagesAtStart = s.pagesSent;
    s.toSend = postCopy ? Math.max(0, dirty - own) : 0;
    s.stage = 'copy';
    return { type: 'stop-and-copy', atMs: this.atMs, pagesToSend: pages(s.lastPages), bytesSent: this.#bytes() };
  }

  #copying(): Observation | undefined {
    const s = this.#s;
    const planned = s.plan[s.planIndex];
    if (planned === undefined) {
      if (s.stage === 'copy') this.#resume();
      return s.toSend > 0 ? this.#beginPush() : this.#complete();
    }
    this.#atMs = planned.atMs;
    s.planIndex++;
    s.pagesSent = s.roundPagesAtStart + planned.pages;
    return planned.kind === 'tick' ? { type: 'tick', atMs: this.atMs, bytesSent: this.#bytes() } : undefined;
  }

  #resume(): void {
    this.#atMs += fixedMs(this.scenario.resume, this.seed, 'resume');
    this.#s.resumedAtMs = this.#atMs;
  }

  /** Post-copy: the guest runs at the destination while the rest is pushed and pulled. */
  #beginPush(): undefined {
    const s = this.#s;
    s.plan = this.#copyPlan(s.toSend);
    s.planIndex = 0;
    s.roundPagesAtStart = s.pagesSent;
    s.degradedMs = faultMs(this.scenario, s.toSend, (s.plan.at(-1) as Planned).atMs - this.#atMs);
    s.toSend = 0;
    s.stage = 'push';
    return undefined;
  }

  #complete(): Observation {
    const s = this.#s;
    s.stage = 'over';
    const downtimeMs = ms((s.resumedAtMs as number) - (s.passAtMs as number));
    s.ending = { result: 'migrated', downtimeMs, downtimeSource: 'simulated' };
    return { type: 'complete', atMs: this.atMs, bytesSent: this.#bytes() };
  }

  #copyPlan(count: number): readonly Planned[] {
    const planned = planRound({ ...this.scenario, host: { ...this.scenario.host, peek: false } }, this.#link, this.#atMs, count, count);
    return planned.filter((p, i) => p.kind === 'tick' || i === planned.length - 1).slice(-COPY_TICKS_MAX);
  }

  #steer(cap: Cap): Effect {
    const s = this.#s;
    if (!this.scenario.host.actuator || !this.#abortable() || s.stage === 'asked') return { result: 'skipped' };
    if (s.call === undefined && sameCap(cap, this.#guest.cap)) return { result: 'skipped' };
    const latencyMs = ms(this.#callMs());
    if (s.call !== undefined) s.queued = cap;
    else s.call = { cap, sinceMs: this.#atMs, atMs: this.#atMs + latencyMs };
    return { result: 'applied', cap, latencyMs };
  }

  /** A cap change that comes into force by `untilMs`, if one is under way. */
  #capDueBy(untilMs: number): Observation | undefined {
    const call = this.#s.call;
    return call !== undefined && call.atMs <= untilMs ? this.#capInForce(call) : undefined;
  }

  #capInForce(call: CapCall): Observation {
    const s = this.#s;
    this.#advance(call.atMs);
    if (s.stage === 'pass') s.standingAtLiftMs = this.#guest.standingMs();
    this.#guest.setCap(call.cap);
    const next = s.queued;
    s.queued = undefined;
    s.call = next === undefined ? undefined : { cap: next, sinceMs: this.#atMs, atMs: this.#atMs + this.#callMs() };
    return { type: 'cap-changed', atMs: this.atMs, cap: call.cap, by: 'us', latencyMs: ms(call.atMs - call.sinceMs) };
  }

  #callMs(): number {
    return Math.max(CALL_MS_MIN, this.scenario.host.actuatorLatencyMs);
  }

  #stay(reason: string): void {
    this.#s.stage = 'over';
    this.#s.ending = { result: 'stayed', reason };
  }

  #abortable(): boolean {
    return !['suspended', 'copy', 'push', 'over'].includes(this.#s.stage);
  }

  #hybridAfter(): number {
    return this.#options.mechanism === 'hybrid' ? (this.#options.roundsFirst ?? 1) : Number.POSITIVE_INFINITY;
  }

  #advance(toMs: number): void {
    this.#guest.advance(toMs);
    this.#atMs = Math.max(this.#atMs, toMs);
  }

  #bytes(): ReturnType<typeof bytes> {
    return bytes(this.#s.pagesSent * WIRE_BYTES_PER_PAGE);
  }

  /** A dirty count as it is read: with the scenario's noise. */
  #count(excess: number): number {
    const truth = this.#guest.dirtyPages();
    const { sd } = this.scenario.dirtyCount;
    const noisy = sd === 0 ? truth : truth * Math.max(0, 1 + sd * gauss(this.seed, 'count', Math.round(this.#atMs * 10)));
    return Math.round(noisy) + excess;
  }

  #look(): { readonly dirtyPages?: Pages; readonly cpuTimeMs?: Ms; readonly standingMs?: Ms } {
    if (!this.scenario.host.peek) return {};
    return { dirtyPages: pages(this.#count(0)), cpuTimeMs: ms(this.#guest.totals.cpuMs), ...this.#standing() };
  }
}

function freshState(scenario: NamedScenario): WorldState {
  return {
    stage: 'begin',
    round: 0,
    counted: p2mFramesOf(scenario),
    toSend: scenario.domain.memoryMib * 256,
    last: false,
    plan: [],
    planIndex: 0,
    roundPagesAtStart: 0,
    framesWalked: 0,
    readAtMs: 0,
    pagesSent: 0,
    call: undefined,
    queued: undefined,
    awaiting: undefined,
    passAtMs: undefined,
    suspendedAtMs: undefined,
    standing: undefined,
    standingAtLiftMs: 0,
    ranBeforeSuspend: false,
    lastPages: undefined,
    resumedAtMs: undefined,
    degradedMs: 0,
    ending: undefined,
  };
}
