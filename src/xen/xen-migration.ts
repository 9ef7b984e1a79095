import { capFromXen, capToXen, showCap } from '../core/cap.ts';
import type { Decision } from '../core/decision.ts';
import type { Capabilities, DomainFacts, OnMiss } from '../core/goal.ts';
import type { Observation } from '../core/observation.ts';
import { goalFor } from '../core/options.ts';
import { currentRound, initialTrack, observe, type Track } from '../core/track.ts';
import { type Ms, ms, type Pages, sendTime } from '../core/units.ts';
import type { Effect, Ending, Migration, RestoreResult } from '../host.ts';
import type { CapSteering } from './cap-steering.ts';
import { monotonicMs } from './clock.ts';
import { INCOMING } from './domain.ts';
import type { Xenctrl } from './libxenctrl.ts';
import { type EndingOptions, endingReader, sampleOf } from './migration-ending.ts';
import type { PairSample } from './pair-store.ts';
import { handoff } from './relay/handoff.ts';
import type { RelayMessage } from './relay/protocol.ts';
import type { RelaySession } from './relay/session.ts';
import { type Look, relayReader } from './relay-reader.ts';
import { type RoundClock, startSampler } from './sampler.ts';
import { seenToRun } from './seen-to-run.ts';
import { suspendWatchdog } from './suspend-watchdog.ts';
import { capFor, type TsliceHold } from './tslice.ts';
import { printable, quoted } from './xl-errors.ts';

export interface XenMigration extends Migration {
  readonly host: 'xen';
  /** Of the relay: whether the pre-copy policy is ours, and why not. */
  readonly policyMissing?: string;
  /** Whose libxl migrates, as the kernel names the program: `xl`, `libvirtd`. */
  readonly startedBy?: string;
  /** The guest is being suspended, stands, or is being handed over: to end xl now could leave it standing. */
  readonly leaving: boolean;
  /** The receiving xl ended before it had the guest: its half of it is left behind. */
  readonly receiverLost: boolean;
  /** What was learned of this pair of hosts; after `ended`, when it migrated and every part was seen. */
  learned(): PairSample | undefined;
}

export interface XenMigrationOptions extends Omit<EndingOptions, 'answers'> {
  readonly session: RelaySession;
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  /** Absent when nothing may be changed. */
  readonly steering?: CapSteering | undefined;
  readonly observeOnly?: string | undefined;
  readonly xenctrl?: Xenctrl | undefined;
  /** What the dirty count held before this migration. */
  readonly staleDirtyPages?: Pages | undefined;
  readonly destination?: string | undefined;
  readonly suspendWaitMs?: Ms | undefined;
  /** A guest that was suspended so long ago and is not sent yet is resumed here. */
  readonly suspendTimeoutMs?: Ms | undefined;
  /** The shorter timeslice that the cap's floor counts on. */
  readonly tslice?: TsliceHold | undefined;
  readonly note?: ((level: 'info' | 'warning' | 'error', text: string) => void) | undefined;
  /** Tells when the receiving xl has ended, where that can be seen. */
  readonly watchReceiver?: (onLost: () => void) => { stop(): void };
  /** Ours and others' changes of the cap come in here from the steering. */
  readonly onCapChanged: (listener: (change: CapChange) => void) => void;
}

export type CapChange = Omit<Extract<Observation, { type: 'cap-changed' }>, 'type' | 'atMs'>;

/** More observations than this unread: nobody reads them. */
const WAITING_MAX = 65_536;
const SUSPEND_WAIT_MS = ms(3000);
const LOOK_LATE_MS = 500;
const RECEIVER_LOST = 'the receiver at the destination ended before it had the guest, which stays here';
/** Within the relay's wait for leave to suspend. */
const LIFT_WAIT_MS = 1500;
/** A guest that does not run after its cap was lifted is waited for: until it runs it dirties nothing. With the lift within the relay's wait, too. */
const SLICES_MAX = 10;
const SEEN_TO_RUN_MS_MAX = 500;

/** One migration on this host: its relay's session, the looks from outside, and the cap, as one stream and one `apply`. */
export function createXenMigration(options: XenMigrationOptions): XenMigration {
  const { session, domain, capabilities, steering, xenctrl } = options;
  const observations = handoff<Observation>(WAITING_MAX);
  const reader = relayReader(domain, options.staleDirtyPages);
  const lookAfter: EndingOptions['lookAfter'] = async (how) => {
    const stranded = await options.lookAfter(how);
    if (stranded !== undefined) options.note?.(stranded.resumed ? 'warning' : 'error', `${printable(domain.name)}: ${stranded.text}`);
    return stranded;
  };
  const ending = endingReader({ ...options, lookAfter, answers: steering !== undefined });
  /** What is waiting for an answer, by the observation that told of it. */
  const questions = new WeakMap<Observation, number>();
  // For the transfer rate alone, read as often as it is for the shortest of targets.
  const anyGoal = goalFor({ targetDowntimeMs: ms(1) }, domain, capabilities);
  let track = initialTrack(anyGoal);
  let settleEnded: (value: Ending) => void = () => undefined;
  const ended = new Promise<Ending>((resolve) => {
    settleEnded = resolve;
  });
  let learnedSample: PairSample | undefined;

  /** How long the guest has been standing is true whenever it is read. */
  const lateLook = (): Look => ({ takenAtMs: monotonicMs(), late: true, cpu: xenctrl?.cpu(domain.domid, domain.vcpus) });
  const look = (): Look => ({
    takenAtMs: monotonicMs(),
    // First: a peek pauses the guest, which is then not seen to run.
    cpu: xenctrl?.cpu(domain.domid, domain.vcpus),
    dirtyPages: xenctrl?.dirtyPages(domain.domid),
  });
  let latestAtMs = ms(0);
  const emit = (reported: Observation | undefined): void => {
    if (reported === undefined) return;
    const asked = questions.get(reported);
    // What the relay stamped may reach us after a look of our own that is younger: time never goes back for a controller.
    const observation = reported.atMs >= latestAtMs ? reported : { ...reported, atMs: latestAtMs };
    latestAtMs = observation.atMs;
    if (asked !== undefined) questions.set(observation, asked);
    track = observe(track, observation, anyGoal);
    observations.next(observation);
  };
  options.onCapChanged((change) => emit({ type: 'cap-changed', atMs: monotonicMs(), ...change }));

  const watchdog = suspendWatchdog(options.suspendTimeoutMs, (reason) => {
    ending.aborting(reason);
    session.abort(reason);
    options.note?.('warning', `${printable(domain.name)}: ${reason}`);
  });

  let receiverLost = false;
  const receiver = options.watchReceiver?.(() => {
    if (reader.phase === 'over' || ending.saved) return;
    receiverLost = true;
    ending.losing(RECEIVER_LOST);
    // xl itself would suspend the guest before it notices.
    if (steering !== undefined) session.abort(RECEIVER_LOST);
    const name = printable(domain.name);
    // It was a process of this host: so is what it leaves.
    options.note?.(
      'error',
      `${name}: ${RECEIVER_LOST}; should ${name}${INCOMING} be left: xthrottle restore ${quoted(domain.name)} --half`,
    );
  });

  const receive = (message: RelayMessage): void => {
    // Late to a message, we would look at what came after it: once the helper has gone on, the dirty count is another one.
    const isLate = monotonicMs() - message.atMs > LOOK_LATE_MS;
    const observation = reader.read(message, isLate ? lateLook : look);
    if (observation !== undefined && 'awaited' in message && message.awaited) questions.set(observation, message.id);
    ending.read(message);
    watchdog.read(message);
    // From here on it goes of itself.
    if (message.type === 'complete' || message.type === 'end') receiver?.stop();
    if (message.type === 'suspend-settled' && message.lifted === true)
      emit({ type: 'cap-changed', atMs: message.atMs, cap: domain.capOriginal, by: 'us' });
    emit(observation);
    if (observation?.type === 'progress' && !isLate) steering?.seen();
    if (observation?.type === 'round-start') sampler.roundBegan();
  };

  /** Longer than counted on: somebody else has set it since. */
  let tsliceMs = capabilities.tsliceMs;
  const lookAtTslice = async (): Promise<void> => {
    const now = (await options.tslice?.lengthened()) ?? capabilities.tsliceMs;
    if (now === tsliceMs || steering === undefined) return;
    tsliceMs = now;
    options.note?.(
      'warning',
      now > capabilities.tsliceMs
        ? `${printable(domain.name)}: somebody has set the timeslice to ${now} ms: caps are raised, so that they stall no longer than was decided`
        : `${printable(domain.name)}: the timeslice is ${now} ms again`,
    );
    if (reader.phase === 'rounds') await steering.set(capFor(steering.inForce(), capabilities.tsliceMs, now, domain));
  };
  let doubted = false;
  const sampler = startSampler({
    round: () => (reader.phase === 'rounds' ? roundClock(track) : undefined),
    look: (atMs) => {
      if (xenctrl !== undefined) emit(reader.sample(atMs, look()));
    },
    tick: (atMs) => {
      // A change that failed is decided again, at this pace.
      if (doubted && steering !== undefined && reader.phase === 'rounds')
        emit({ type: 'cap-changed', atMs, cap: steering.inForce(), by: 'us' });
      doubted = false;
      emit({ type: 'tick', atMs, bytesSent: reader.bytesSent });
    },
    others: async () => {
      await steering?.lookForOthers();
      await lookAtTslice();
    },
  });
  session.messages$.subscribe({
    next: receive,
    complete: () => {
      sampler.stop();
      watchdog.stop();
      receiver?.stop();
      // The guest stays: it has its own cap back before xl has cleaned up, which may take as long as it likes.
      if (!ending.saved) void steering?.restore(true);
      observations.complete();
      void ending.settle(reader.passedOnAtMs).then((value) => {
        learnedSample = sampleOf(value, ending, track.transferRate?.value);
        settleEnded(value);
      });
    },
  });
  session.welcome({
    capOriginal: capToXen(domain.capOriginal),
    scheduler: capabilities.scheduler,
    domid: domain.domid,
    suspendWaitMs: options.suspendWaitMs ?? SUSPEND_WAIT_MS,
    observe: steering === undefined,
  });

  let hasLeft = false;
  void ended.then(({ result }) => {
    hasLeft = result === 'migrated';
  });
  /** Its cap at the destination, in Xen's number; null when that cannot be asked. */
  const arrived = async (): Promise<number | null> => {
    const cap = (await options.job?.capThere?.(domain.uuid)) ?? null;
    const own = domain.capOriginal;
    if (cap !== null && cap !== capToXen(own)) {
      const name = printable(domain.name);
      const todo = `there: xl ${capabilities.scheduler === 'credit2' ? 'sched-credit2' : 'sched-credit'} -d ${quoted(domain.name)} -c ${capToXen(own)}`;
      options.note?.('warning', `${name}: its cap is ${showCap(capFromXen(cap))} at the destination, here it was ${showCap(own)}; ${todo}`);
    }
    return cap;
  };

  const setCap = async (decision: Decision): Promise<Effect> => {
    if (steering === undefined || (decision.action !== 'set-cap' && decision.action !== 'uncap')) return { result: 'skipped' };
    // Once the suspend is asked for, only its answer moves the cap; after that there is nothing left to throttle.
    if (reader.phase !== 'rounds' && reader.phase !== 'starting') return { result: 'skipped' };
    const cap = decision.action === 'uncap' ? domain.capOriginal : capFor(decision.cap, capabilities.tsliceMs, tsliceMs, domain);
    const effect = await steering.set(cap);
    if (effect.result === 'failed') doubted = true;
    return effect;
  };

  /** Lets the guest run before it is suspended; where that cannot be seen the relay is to wait for what is returned. */
  const letRun = async (runFirstMs: Ms): Promise<Ms | undefined> => {
    const vcpus = () => xenctrl?.cpu(domain.domid, domain.vcpus)?.vcpus;
    const seen = await seenToRun({ vcpus, runMs: runFirstMs, atMostMs: Math.min(SEEN_TO_RUN_MS_MAX, SLICES_MAX * capabilities.tsliceMs) });
    if (seen === 'stood')
      options.note?.(
        'warning',
        `${printable(domain.name)}: not all of its vCPUs ran after its cap was lifted: their stall joins the downtime`,
      );
    // Unseen, a parked guest may need a whole timeslice before it runs.
    return seen === 'unknown' ? ms(Math.max(runFirstMs, tsliceMs)) : undefined;
  };

  const answerSuspend = async (decision: Decision, id: number, onMiss: OnMiss): Promise<Effect> => {
    if (decision.action === 'deny' || decision.action === 'abort') {
      ending.aborting(decision.reason.text);
      session.answerSuspend(id, false, decision.reason.text);
      const lifted = await steering?.set(domain.capOriginal);
      return { result: 'applied', ...(lifted?.result === 'failed' && lifted.error !== undefined ? { error: lifted.error } : {}) };
    }
    // A parked guest can't answer the suspend: the cap goes first.
    const lifted = await steering?.lift(LIFT_WAIT_MS);
    if (lifted?.result === 'failed') {
      const why = `the cap could not be lifted before the suspension (${lifted.error ?? 'unknown'})`;
      if (onMiss === 'abort') {
        const reason = `${why}; --on-miss abort: the guest stays here`;
        ending.aborting(reason);
        session.answerSuspend(id, false, reason);
        return { result: 'failed', error: reason };
      }
      options.note?.(
        'error',
        `${printable(domain.name)}: ${why}: suspended all the same, as stock Xen would; the downtime is longer for it`,
      );
    }
    const runFirstMs = decision.action === 'grant' ? decision.runFirstMs : undefined;
    const blindMs = runFirstMs === undefined ? undefined : await letRun(runFirstMs);
    ending.granting();
    session.answerSuspend(id, true, decision.reason.text, blindMs);
    const { latencyMs, error } = lifted ?? {};
    return {
      result: 'applied',
      cap: domain.capOriginal,
      ...(latencyMs === undefined ? {} : { latencyMs }),
      ...(error === undefined ? {} : { error }),
    };
  };

  const answerPolicy = (decision: Decision, id: number): Effect => {
    const stops = decision.action === 'stop-and-copy' || decision.action === 'abort';
    const answer = stops ? (decision.action as 'stop-and-copy' | 'abort') : 'continue';
    session.answerPolicy(id, answer, answer === 'abort' ? decision.reason.text : undefined);
    if (decision.action === 'abort') ending.aborting(decision.reason.text);
    return { result: stops ? 'applied' : 'skipped' };
  };

  return {
    id: `xen-${domain.domid}-${session.hello.relayPid}-${Math.round(session.hello.atMs)}`,
    host: 'xen',
    domain,
    capabilities,
    ...(options.destination === undefined ? {} : { destination: options.destination }),
    ...(options.observeOnly === undefined ? {} : { observeOnly: options.observeOnly }),
    ...(session.hello.policyMissing === undefined ? {} : { policyMissing: session.hello.policyMissing }),
    ...(session.hello.startedBy === undefined ? {} : { startedBy: session.hello.startedBy }),
    observations$: observations.stream$,
    ended,
    now: monotonicMs,
    get leaving() {
      return reader.phase === 'leaving' || ending.saved;
    },
    get receiverLost() {
      return receiverLost;
    },
    learned: () => learnedSample,
    async apply(decision, observation, superseded, onMiss = 'proceed') {
      const id = questions.get(observation);
      if (steering === undefined) return { result: 'skipped' };
      if (observation.type === 'suspend-request') return id === undefined ? { result: 'skipped' } : answerSuspend(decision, id, onMiss);
      // The helper waits for this answer: it goes before the call that changes the cap.
      const answered = observation.type === 'policy-query' && id !== undefined ? answerPolicy(decision, id) : undefined;
      if (answered?.result === 'applied') return answered;
      if (superseded) return { result: 'superseded' };
      if (decision.action === 'abort') {
        ending.aborting(decision.reason.text);
        session.abort(decision.reason.text);
        return { result: 'applied' };
      }
      return setCap(decision);
    },
    async abort(reason) {
      ending.aborting(reason);
      session.abort(reason);
    },
    async restoreCap(): Promise<RestoreResult> {
      const here = steering === undefined ? await unchanged(domain, xenctrl, capabilities) : await steering.restore(!ending.saved);
      const cap = here.capAfter === null && hasLeft ? { ...here, capAfter: await arrived() } : here;
      // Only now: at the pool's own timeslice a cap of ours would stall for longer.
      const tslice = await options.tslice?.release();
      const result = tslice?.restored === false ? { ...tslice, capAfter: cap.capAfter, hint: bothHints(cap, tslice) } : cap;
      // Whatever still goes on does so as stock.
      if (reader.phase !== 'over') session.release('xthrottle let go');
      return result;
    },
  };
}

const bothHints = (...results: readonly RestoreResult[]): string => results.flatMap(({ hint }) => hint ?? []).join('; ');

async function unchanged(domain: DomainFacts, xenctrl: Xenctrl | undefined, capabilities: Capabilities): Promise<RestoreResult> {
  const cap = xenctrl?.getCap(domain.domid, capabilities.scheduler);
  return { restored: true, capAfter: cap === undefined ? null : capToXen(cap) };
}

function roundClock(track: Track): RoundClock | undefined {
  const round = currentRound(track);
  if (round === undefined) return undefined;
  const rate = track.transferRate?.value;
  return { sinceMs: round.startedAtMs, expectedMs: rate === undefined ? Number.POSITIVE_INFINITY : sendTime(round.pagesToSend, rate) };
}
