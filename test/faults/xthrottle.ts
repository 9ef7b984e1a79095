import { firstValueFrom, lastValueFrom, mergeMap, ReplaySubject, takeUntil } from 'rxjs';
import { controllerByName } from '../../controllers/registry.ts';
import { capped } from '../../src/core/cap.ts';
import { messageOf } from '../../src/core/errors.ts';
import { goalFor } from '../../src/core/options.ts';
import type { MigrationRecord, SummaryRecord } from '../../src/core/record.ts';
import { ms } from '../../src/core/units.ts';
import { control } from '../../src/loop.ts';
import { createActuator } from '../../src/xen/cap-actuator.ts';
import { steerCap } from '../../src/xen/cap-steering.ts';
import { describeDomain, isHere, listDomains, preflight, timedXl } from '../../src/xen/domain.ts';
import type { Guard } from '../../src/xen/guard.ts';
import { createJournal, type JournalFs } from '../../src/xen/journal.ts';
import { reborn } from '../../src/xen/reborn.ts';
import { type RestoreOutcome, restoreLeftovers } from '../../src/xen/restore.ts';
import type { ResumeSystem } from '../../src/xen/resume.ts';
import { lookAfter } from '../../src/xen/stranded.ts';
import { openXenHost, type XenHost } from '../../src/xen/xen-host.ts';
import type { XenMigration } from '../../src/xen/xen-migration.ts';
import { createXl } from '../../src/xen/xl.ts';
import type { RunXl } from '../../src/xen/xl-errors.ts';
import { UUID } from '../xen/stand-in.ts';
import { SimProcess } from './process.ts';
import { wild } from './wild.ts';
import { STATE, type World } from './world.ts';

/** Of the guard, as guard-main.ts has them. */
const GUARD = { attempts: 16, settleMs: 1500 };

/** One run of the program: the real host, journal, steering and loop on the simulated dom0, put together as the command line does. */
export class SimXthrottle {
  readonly process: SimProcess;
  readonly records: { readonly atMs: number; readonly record: MigrationRecord }[] = [];
  readonly notes: string[] = [];
  readonly summaries: SummaryRecord[] = [];
  /** What its start, and its guard after its death, put back or could not. */
  readonly outcomes: RestoreOutcome[] = [];
  guard: SimProcess | undefined;
  /** It was killed before its work was done. */
  guardFell = false;
  /** There is to be none. */
  withoutGuard = false;
  failure: string | undefined;
  closed = false;
  /** The migration is under its control, and that has ended. */
  controlled: 'not yet' | 'running' | 'over' = 'not yet';
  onSummary: (summary: SummaryRecord) => void = () => undefined;
  readonly #world: World;
  readonly #signals$ = new ReplaySubject<string>(1);
  #signalled: string | undefined;

  constructor(world: World, name = 'xthrottle') {
    this.#world = world;
    this.process = new SimProcess(name, world.time);
    world.live(this.process);
  }

  /** `migrate` begins its migration itself; `watch` listens. */
  start(): void {
    this.process.start(() => {
      const run = this.#world.setting.mode === 'watch' ? this.#watch() : this.#migrate();
      void run
        .catch((error: unknown) => {
          this.failure = messageOf(error);
          this.#world.note(`${this.process.name} ends: ${this.failure}`);
        })
        .then(() => {
          this.closed = true;
          this.process.end();
        });
    });
  }

  /** Steers the domain for `forMs` beside the other one: a claim on the same journal, changes where it is granted, and the way back. */
  steerAlone(forMs: number): void {
    const { time, disk, xen } = this.#world;
    this.process.start(() => {
      void this.#steerAlone(
        createXl({ start: xen.program(this.process) }),
        disk.for(this.process),
        () => new Promise((resolve) => time.after(forMs, this.process, () => resolve(undefined))),
      )
        .catch((error: unknown) => this.#world.note(`${this.process.name}: ${messageOf(error)}`))
        .then(() => {
          this.closed = true;
          this.process.end();
        });
    });
  }

  async #steerAlone(xl: RunXl, fs: JournalFs, wait: () => Promise<unknown>): Promise<void> {
    const lives = (owner: { readonly pid: number }) => this.#world.lives(owner.pid);
    this.outcomes.push(
      ...(await restoreLeftovers({ xl, directory: STATE, fs, lives, callsUnderWay: (of) => this.#world.xen.callsUnderWay(of) })),
    );
    const { facts } = await describe(this.#world.xen.byUuid(UUID)?.domid, xl);
    const scheduler = this.#world.setting.scheduler ?? 'credit';
    const steering = steerCap({
      actuator: createActuator({ xl, domain: facts, scheduler }),
      journal: createJournal(STATE, fs, this.process.owner, lives),
      domain: facts,
      scheduler,
      isHere: () => isHere(xl, facts.domid, facts.uuid),
      guarded: async () => undefined,
      reborn: (entry) => reborn(xl, entry),
      onLowered: () => undefined,
      onChanged: () => undefined,
      lives,
      owner: this.process.owner,
    });
    const refused = await steering.claim();
    this.#world.note(`${this.process.name}: ${refused ?? 'has the domain'}`);
    if (refused !== undefined) return;
    await steering.set(capped(44));
    await wait();
    const result = await steering.restore(true);
    if (!result.restored) this.notes.push(`THE CAP WAS NOT RESTORED: ${result.hint}`);
    this.#world.note(`${this.process.name}: restored: ${result.restored}`);
  }

  /** SIGTERM or SIGINT: the first one counts. */
  signal(name: string): void {
    if (this.#signalled !== undefined || !this.process.alive) return;
    this.#signalled = name;
    this.#world.time.after(0, this.process, () => this.#signals$.next(name));
  }

  get signalled(): boolean {
    return this.#signalled !== undefined;
  }

  async #open(): Promise<XenHost> {
    const { time, disk, xen, setting } = this.#world;
    const xl = createXl({ start: xen.program(this.process) });
    const host = await openXenHost({
      socketPath: '/run/control.sock',
      xl,
      xenctrl: setting.peek ? xen.xenctrl(this.process) : undefined,
      directory: STATE,
      ...(setting.tsliceMs === undefined ? {} : { tsliceMs: ms(setting.tsliceMs) }),
      note: (level, text) => {
        this.notes.push(text);
        this.#world.note(`${this.process.name} ${level}: ${text}`);
      },
      system: {
        fs: disk.for(this.process),
        owner: this.process.owner,
        lives: (owner) => this.#world.lives(owner.pid),
        callsUnderWay: (of) => xen.callsUnderWay(of),
        listen: async (path) => this.#world.listen(this.process, path),
        watchReceiver: (relayPid, onLost) => {
          const { migration } = this.#world;
          let stopped = migration?.relay?.pid !== relayPid;
          const look = (): void => {
            if (stopped) return;
            if (migration?.receiver.alive === false) onLost();
            else time.after(1000, this.process, look);
          };
          look();
          return {
            stop: () => {
              stopped = true;
            },
          };
        },
        resume: this.#resume,
        startGuard: () => new Promise((resolve) => time.after(60, this.process, () => resolve(this.#startGuard()))),
      },
    });
    this.outcomes.push(...host.restored);
    return host;
  }

  get #resume(): ResumeSystem {
    const { time, xen } = this.#world;
    return {
      open: async () => ({ xc: xen.xenctrl(this.process) }),
      processes: () => this.#world.saveProcesses(),
      sleep: (forMs) => new Promise((resolve) => time.after(forMs, this.process, () => resolve())),
    };
  }

  #startGuard(): Guard | { readonly reason: string } {
    if (this.withoutGuard) return { reason: 'it did not start' };
    const { time, disk, xen } = this.#world;
    const guard = new SimProcess('guard', time);
    this.#world.live(guard);
    this.guard = guard;
    let done = false;
    guard.onEnd(() => {
      this.guardFell = !done;
    });
    let bye = false;
    this.process.onEnd(() => {
      if (bye) return;
      guard.start(() => {
        this.#world.note('the guard sets to work');
        void restoreLeftovers({
          xl: createXl({ start: xen.program(guard) }),
          directory: STATE,
          owner: this.process.owner,
          ...GUARD,
          fs: disk.for(guard),
          lives: (owner) => this.#world.lives(owner.pid),
          callsUnderWay: (of) => xen.callsUnderWay(of),
        }).then(
          (outcomes) => {
            this.outcomes.push(...outcomes);
            for (const o of outcomes) this.#world.note(`guard: ${o.verdict}: ${o.text}`);
            done = true;
            guard.end();
          },
          (error: unknown) => {
            this.#world.note(`guard fails: ${messageOf(error)}`);
            guard.end();
          },
        );
      }, 1);
    });
    return {
      pid: guard.pid,
      alive: () => guard.alive,
      dismiss: async () => {
        bye = true;
        done = true;
        guard.end();
      },
    };
  }

  async #watch(): Promise<void> {
    const host = await this.#open();
    try {
      await lastValueFrom(
        host.migrations$.pipe(
          takeUntil(this.#signals$),
          mergeMap((migration) => this.#follow(migration)),
        ),
        { defaultValue: undefined },
      );
    } finally {
      await host.close();
    }
  }

  async #follow(migration: XenMigration): Promise<void> {
    try {
      await this.#control(migration, 'release');
    } catch (error) {
      this.notes.push(messageOf(error));
      await migration.restoreCap();
    }
  }

  async #migrate(): Promise<void> {
    const { xen } = this.#world;
    const xl = createXl({ start: xen.program(this.process) });
    const found = await preflight(String(xen.byUuid(UUID)?.domid), xl);
    const host = await this.#open();
    try {
      if (host.restored.some((o) => o.uuid === found.facts.uuid && (o.verdict === 'failed' || o.verdict === 'owner-alive')))
        throw new Error('the cap that an earlier run left could not be put back');
      if (this.#signalled !== undefined) return;
      const domain = host.restored.some(({ verdict }) => verdict === 'restored') ? await preflight(String(found.facts.domid), xl) : found;
      const job = this.#world.migrate().job(this.process);
      host.wrap(job, 'there', domain);
      const migration = await firstValueFrom(host.migrations$.pipe(takeUntil(this.#signals$)), { defaultValue: undefined });
      if (migration === undefined) {
        if (this.#signalled !== undefined) await job.terminate();
        const { migrated, signal } = await job.done;
        const { endRest } = job;
        const how = { isOurs: true, mayRunThere: job.mayRunThere(), mayYetSuspend: signal !== undefined, endRest, system: this.#resume };
        const stranded = migrated ? undefined : await lookAfter(found.facts, xl, how);
        if (stranded !== undefined) this.notes.push(stranded.text);
        return;
      }
      await this.#control(migration, 'abort');
      await job.done;
    } finally {
      await host.close();
    }
  }

  async #control(migration: XenMigration, how: 'release' | 'abort'): Promise<void> {
    const { setting, time } = this.#world;
    this.controlled = 'running';
    if (migration.observeOnly !== undefined) this.#world.note(`${this.process.name}: ${migration.observeOnly}`);
    const goal = goalFor({ targetDowntimeMs: ms(setting.targetMs), onMiss: setting.onMiss }, migration.domain, migration.capabilities);
    const summary = await control(migration, {
      controller: setting.controller === wild.name ? wild : controllerByName(setting.controller),
      goal,
      ...(how === 'release' ? { release$: this.#signals$ } : { abort$: this.#signals$ }),
      sink: {
        write: (record) => {
          this.records.push({ atMs: time.nowMs, record });
          if (record.type === 'note') this.#world.note(`${record.level}: ${record.text}`);
        },
        close: async () => undefined,
      },
    });
    this.controlled = 'over';
    this.summaries.push(summary);
    this.#world.note(`summary: ${summary.outcome} (${summary.reason}), cap restored: ${summary.capRestored}`);
    this.onSummary(summary);
  }
}

/** As a relay's session has it: no checks of names. */
async function describe(domid: number | undefined, xl: RunXl) {
  const config = (await listDomains(xl)).find((d) => d.domid === domid);
  if (config === undefined) throw new Error('the domain is gone');
  return describeDomain(config, timedXl(xl));
}
