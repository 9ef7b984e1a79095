import { EMPTY, from, mergeMap, type Observable } from 'rxjs';
import { capToXen } from '../core/cap.ts';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { runFirstOf } from '../core/run-first.ts';
import type { Ms } from '../core/units.ts';
import type { Host } from '../host.ts';
import { callsUnderWay } from './calls-under-way.ts';
import { capLatencies, createActuator } from './cap-actuator.ts';
import { isCapping } from './cap-calls.ts';
import { type CapSteering, steerCap } from './cap-steering.ts';
import { describeDomain, isHere, TSLICE_DEFAULT_MS, timedXl, type XenDomain } from './domain.ts';
import { type Guard, type GuardOptions, startGuard } from './guard.ts';
import { createJournal, type Journal, type JournalFs, readJournals, stateDirectory } from './journal.ts';
import type { Xenctrl } from './libxenctrl.ts';
import type { MigrateJob } from './migrate-job.ts';
import { isAlive, type Owner, sameOwner, thisProcess } from './owner.ts';
import { parseDomains } from './parse-domains.ts';
import { reborn } from './reborn.ts';
import { watchReceiver } from './receiver-watch.ts';
import { listen, type RelayServer, type RelaySession } from './relay/server.ts';
import { type RestoreOptions, type RestoreOutcome, restoreLeftovers } from './restore.ts';
import { RESUME_SYSTEM, type ResumeSystem } from './resume.ts';
import { lookAfter } from './stranded.ts';
import { ownTslice, type TsliceHold, type TsliceKeeper, tsliceKeeper } from './tslice.ts';
import { type CapChange, createXenMigration, type XenMigration } from './xen-migration.ts';
import { printable, type RunXl, xlOutput } from './xl-errors.ts';

export interface XenHostOptions {
  readonly socketPath: string;
  readonly xl: RunXl;
  readonly xenctrl?: Xenctrl | undefined;
  /** Nothing is changed, every suspension goes on as stock. */
  readonly observe?: boolean;
  /** Journal, guard's report and learned pairs; default: `stateDirectory()`. */
  readonly directory?: string;
  readonly guard?: GuardOptions;
  /** How long a relay waits for leave to suspend. */
  readonly suspendWaitMs?: Ms;
  /** Shortens the credit1 timeslice of a domain's pool to this while its migration runs. */
  readonly tsliceMs?: Ms | undefined;
  /** After the suspend: a guest that is not sent for so long is resumed here. */
  readonly suspendTimeoutMs?: Ms | undefined;
  /** By name: others are left alone. */
  readonly isWanted?: (name: string) => boolean;
  /** What is not this process's own; default: this machine's. */
  readonly system?: Partial<HostSystem>;
  /** For people: what could not be done, and why. */
  readonly note?: (level: 'info' | 'warning' | 'error', text: string) => void;
}

/** What a host needs of the operating system beside xl and libxenctrl; the fault tests put a simulated one in its place. */
export interface HostSystem {
  readonly fs: JournalFs | undefined;
  readonly owner: Owner;
  lives(owner: Owner): boolean;
  /** Of a domid's cap or a cpupool's timeslice. */
  callsUnderWay(of: number | string): readonly number[];
  listen(socketPath: string): Promise<RelayServer>;
  startGuard(options: GuardOptions): ReturnType<typeof startGuard>;
  /** Of the migration of this relay. */
  watchReceiver(relayPid: number, onLost: () => void): { stop(): void };
  /** For a guest that a lost migration left suspended. */
  readonly resume: ResumeSystem;
}

export interface XenHost extends Host {
  readonly migrations$: Observable<XenMigration>;
  readonly socketPath: string;
  /** What a dead process had left, put back at our start. */
  readonly restored: readonly RestoreOutcome[];
  /** The xl migrate that we started ourselves: the next migration is its. `domain`, as `preflight` found it, saves reading it anew. When the job ends, `migrations$` completes. */
  wrap(job: MigrateJob, destination: string, domain?: XenDomain): void;
  /** The same for one of several jobs: `migrations$` goes on after it. */
  adopt(job: MigrateJob, destination: string, domain?: XenDomain): void;
  /** Sees to it that a guard watches: before a change of anything else that a journal entry tells of. */
  guarded(): Promise<void>;
}

/** Live rounds before stock libxenguest suspends (SPP_MAX_ITERATIONS, xg_sr_save.c). */
const STOCK_ROUNDS = 5;
const LEFT_POLL_MS = 500;
const LEFT_POLLS = 30;

/** Puts back what dead processes left, and listens for relays. Throws XthrottleError as `listen` and xl do. */
export async function openXenHost(options: XenHostOptions): Promise<XenHost> {
  const directory = options.directory ?? stateDirectory();
  const system: HostSystem = {
    fs: undefined,
    owner: thisProcess(),
    lives: isAlive,
    callsUnderWay,
    listen,
    startGuard,
    watchReceiver,
    resume: RESUME_SYSTEM,
    ...options.system,
  };
  const restored = options.observe === true ? [] : await restoreLeftovers({ xl: options.xl, directory, ...disk(system) });
  const server = await system.listen(options.socketPath);
  const journal = createJournal(directory, system.fs, system.owner, system.lives);
  const guards = guardKeeper(directory, options, system);
  const steered = new Map<string, CapSteering>();
  const closing = new AbortController();
  const tslices = tsliceKeeper({ xl: options.xl, journal, guarded: guards.ensure, place: disk(system), owner: system.owner });
  const wraps = new Map<number | 'any', Wrapped>();
  const open = async (session: RelaySession): Promise<readonly XenMigration[]> => {
    try {
      const migration = await openMigration(session, {
        options,
        system,
        journal,
        directory,
        guarded: guards.ensure,
        wrapped: wraps.get(session.hello.domid) ?? wraps.get('any'),
        steered,
        tslices,
        closing: closing.signal,
      });
      return migration === undefined ? [] : [migration];
    } catch (error) {
      options.note?.('error', `the migration of domain ${session.hello.domid} is left to stock Xen: ${messageOf(error)}`);
      session.release(messageOf(error));
      return [];
    }
  };
  const adopt: XenHost['adopt'] = (job, destination, domain) => {
    const key = domain?.facts.domid ?? 'any';
    const wrap = { job, destination, domain };
    wraps.set(key, wrap);
    if (options.observe !== true) void guards.ensure();
    const over = () => {
      if (wraps.get(key)?.job === job) wraps.delete(key);
    };
    job.done.then(over, over);
  };
  return {
    socketPath: server.socketPath,
    restored,
    migrations$: server.sessions$.pipe(
      mergeMap((session) => from(open(session)).pipe(mergeMap((found) => (found.length === 0 ? EMPTY : from(found))))),
    ),
    wrap(job, destination, domain) {
      adopt(job, destination, domain);
      const over = () => void server.close();
      job.done.then(over, over);
    },
    adopt,
    guarded: guards.ensure,
    async close() {
      closing.abort();
      await server.close();
      await guards.dismiss();
    },
  };
}

interface Wrapped {
  readonly job: MigrateJob;
  readonly destination: string;
  readonly domain: XenDomain | undefined;
}

/** As `restoreLeftovers` takes it. */
const disk = ({ fs, lives, callsUnderWay }: HostSystem): Pick<RestoreOptions, 'fs' | 'lives' | 'callsUnderWay'> => ({
  lives,
  callsUnderWay,
  ...(fs === undefined ? {} : { fs }),
});

interface Context {
  readonly options: XenHostOptions;
  readonly system: HostSystem;
  readonly journal: Journal;
  readonly directory: string;
  readonly guarded: () => Promise<void>;
  readonly wrapped: Wrapped | undefined;
  /** By UUID: whose cap may still be one of ours. */
  readonly steered: Map<string, CapSteering>;
  readonly tslices: TsliceKeeper;
  readonly closing: AbortSignal;
}

async function openMigration(session: RelaySession, context: Context): Promise<XenMigration | undefined> {
  const { options, wrapped } = context;
  const { xenctrl } = options;
  const { domid } = session.hello;
  // At once: soon the count has this migration's pages in it.
  const staleDirtyPages = xenctrl?.dirtyPages(domid);
  const domain = await domainOf(session, context);
  if (domain === undefined) return undefined;
  const { facts, scheduler, xlCallMs } = domain;
  const listeners = new Set<(change: CapChange) => void>();
  const { steering, observeOnly } = await steeringOf(domain, session, context, (change) => {
    for (const listener of listeners) listener(change);
  });
  if (observeOnly !== undefined && options.observe !== true) options.note?.('warning', `${printable(facts.name)}: ${observeOnly}`);
  const tslice = steering === undefined ? undefined : await tsliceOf(domain, context);
  const tsliceMs = tslice?.tsliceMs ?? domain.tsliceMs;
  const fast = xenctrl?.getCap(domid, scheduler) !== undefined;
  return createXenMigration({
    session,
    domain: facts,
    capabilities: {
      peek: staleDirtyPages !== undefined,
      policy: session.hello.policy,
      ...(session.hello.policy ? {} : { roundsMax: STOCK_ROUNDS }),
      actuator: steering !== undefined,
      ...capLatencies(fast, xlCallMs),
      scheduler,
      tsliceMs,
      runFirstMs: runFirstOf(xenctrl?.cpu(domid, facts.vcpus) !== undefined, facts, tsliceMs),
    },
    steering,
    tslice,
    note: options.note,
    observeOnly,
    xenctrl,
    staleDirtyPages,
    job: wrapped?.job,
    destination: wrapped?.destination,
    suspendWaitMs: options.suspendWaitMs,
    suspendTimeoutMs: options.suspendTimeoutMs,
    watchReceiver: (onLost) => context.system.watchReceiver(session.hello.relayPid, onLost),
    hasLeft: () => hasLeft(options.xl, domid, facts.uuid),
    lookAfter: (how) =>
      lookAfter(facts, options.xl, {
        ...how,
        isOurs: how.isOurs && options.observe !== true,
        system: context.system.resume,
        signal: context.closing,
      }),
    onCapChanged: (listener) => listeners.add(listener),
  });
}

/** The timeslice that this migration may count on, shortened where that was asked for. */
async function tsliceOf({ facts, scheduler, pool, tsliceMs }: XenDomain, context: Context): Promise<TsliceHold | undefined> {
  const { options, tslices, directory, system } = context;
  if (scheduler !== 'credit' || pool === undefined) {
    if (options.tsliceMs !== undefined) options.note?.('warning', `${printable(facts.name)}: no --tslice: its scheduler is not credit`);
    return undefined;
  }
  if (options.tsliceMs !== undefined) {
    const hold = await tslices.hold(pool, tsliceMs, options.tsliceMs);
    if (hold.refused !== undefined) options.note?.('warning', `${printable(facts.name)}: ${hold.refused}`);
    return hold;
  }
  // One shorter than Xen's own may be another xthrottle's, which takes it away when it ends.
  if (tsliceMs >= TSLICE_DEFAULT_MS) return undefined;
  const own = await ownTslice(pool, options.xl, { directory, ...disk(system) }).catch(() => tsliceMs);
  return own > tsliceMs
    ? { tsliceMs: own, lengthened: async () => undefined, release: async () => ({ restored: true, capAfter: null }) }
    : undefined;
}

/** The domain of a session, unless it is not to be controlled. */
async function domainOf(session: RelaySession, context: Context): Promise<XenDomain | undefined> {
  const { options, directory, wrapped } = context;
  const timed = timedXl(options.xl);
  const { xl } = timed;
  const { domid } = session.hello;
  if (wrapped?.domain?.facts.domid === domid) return wrapped.domain;
  const readConfig = async () => parseDomains(await xlOutput(xl, ['list', '-l', String(domid)])).find((d) => d.domid === domid);
  let config = await readConfig();
  if (config === undefined)
    throw new XthrottleError('noDomain', `xl lists no domain ${domid}`, { hint: 'xl list shows the domains of this host' });
  if (options.isWanted?.(config.name) === false) {
    session.release(`${printable(config.name)} is not among the domains to control`);
    return undefined;
  }
  if (options.observe !== true) {
    // A cap that a dead process left must not become this migration's original.
    const left = await restoreLeftovers({ xl, directory, domain: config.uuid, ...disk(context.system) });
    const before = await context.steered.get(config.uuid)?.restore(true);
    if (before?.restored === true || left.some((outcome) => outcome.verdict === 'restored')) config = (await readConfig()) ?? config;
  }
  return describeDomain(config, timed, options.xenctrl?.cpu(domid, config.vcpusMax)?.onlineVcpus);
}

/** The steering of a domain's cap, or why there is none. */
async function steeringOf(
  domain: XenDomain,
  session: RelaySession,
  context: Context,
  changed: (change: CapChange) => void,
): Promise<{ readonly steering?: CapSteering; readonly observeOnly?: string }> {
  const { options, journal, guarded } = context;
  const { xl, xenctrl } = options;
  if (options.observe === true) return { observeOnly: 'only observing, as asked' };
  if (!isCapping(domain.scheduler)) return { observeOnly: domain.observeOnly ?? 'its scheduler has no caps' };
  const { uuid } = domain.facts;
  if (context.steered.has(uuid)) return { observeOnly: 'only observing: the cap of an earlier migration is not back yet' };
  const steering = steerCap({
    actuator: createActuator({ xl, xenctrl, domain: domain.facts, scheduler: domain.scheduler }),
    journal,
    domain: domain.facts,
    scheduler: domain.scheduler,
    isHere: () => isHere(xl, domain.facts.domid, domain.facts.uuid),
    reborn: (entry) => reborn(xl, entry),
    owner: context.system.owner,
    lives: context.system.lives,
    guarded,
    onLowered: (lowered, cap) => session.capSet(lowered, cap === undefined ? undefined : capToXen(cap)),
    onChanged: (cap, by, latencyMs) => changed({ cap, by, ...(latencyMs === undefined ? {} : { latencyMs }) }),
  });
  // It takes a moment to start; the first change waits for it.
  void guarded();
  const refused = await steering.claim();
  if (refused !== undefined) return { observeOnly: `only observing: ${refused}` };
  const kept: CapSteering = {
    ...steering,
    restore: async (stays) => {
      const result = await steering.restore(stays);
      if (result.restored && context.steered.get(uuid) === kept) context.steered.delete(uuid);
      return result;
    },
  };
  context.steered.set(uuid, kept);
  return { steering: kept };
}

/** Whether the domain is gone from this host; undefined when xl does not answer. xl and libvirt destroy the source after the hand-over. */
async function hasLeft(xl: RunXl, domid: number, uuid: string): Promise<boolean | undefined> {
  let left: boolean | undefined;
  for (let poll = 0; poll < LEFT_POLLS; poll++) {
    left = await isHere(xl, domid, uuid).then(
      (here) => !here,
      () => undefined,
    );
    if (left === true) return true;
    await new Promise((resolve) => setTimeout(resolve, LEFT_POLL_MS));
  }
  return left;
}

async function isLeftBehind(directory: string, { fs, owner }: HostSystem): Promise<boolean> {
  const listing = await readJournals(directory, fs).catch(() => undefined);
  // What cannot be read may be ours.
  return listing === undefined || listing.failed.length > 0 || listing.entries.some((entry) => sameOwner(entry.owner, owner));
}

/** One guard for all domains, started before the first change, and again should it have died. */
function guardKeeper(directory: string, options: XenHostOptions, system: HostSystem) {
  let running: Promise<Guard | undefined> | undefined;
  const start = async (): Promise<Guard | undefined> => {
    const guard = await system.startGuard({ directory, ...options.guard });
    if (!('reason' in guard)) return guard;
    options.note?.('warning', `no guard (${guard.reason}): should xthrottle be killed, run xthrottle restore`);
    return undefined;
  };
  return {
    async ensure(): Promise<void> {
      running ??= start();
      const guard = await running;
      if (guard?.alive() !== false) return;
      running = start();
      await running;
    },
    /** It stays where a cap of ours is left: our end then sets it to work. */
    async dismiss(): Promise<void> {
      if (running === undefined || (await isLeftBehind(directory, system))) return;
      await (await running)?.dismiss();
      running = undefined;
    },
  };
}
