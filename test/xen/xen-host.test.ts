import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMPTY, firstValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { capFromXen, capped, capToXen } from '../../src/core/cap.ts';
import { because, type Decision } from '../../src/core/decision.ts';
import type { Observation } from '../../src/core/observation.ts';
import { bytes, ms, pages } from '../../src/core/units.ts';
import { monotonicMs } from '../../src/xen/clock.ts';
import { readJournals } from '../../src/xen/journal.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import type { MigrateResult } from '../../src/xen/migrate-job.ts';
import { startTicksOf } from '../../src/xen/owner.ts';
import { encodeLine, parseServerMessage, type RelayMessage, type ServerMessage } from '../../src/xen/relay/protocol.ts';
import { openXenHost, type XenHost, type XenHostOptions } from '../../src/xen/xen-host.ts';
import type { XenMigration } from '../../src/xen/xen-migration.ts';
import { fakeXl, libraryOn, type StandInDomain, UUID } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let host: XenHost | undefined;
let socket: Socket | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-host-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  socket?.destroy();
  await host?.close();
  rmSync(folder, { recursive: true, force: true });
});

const directory = () => join(folder, 'state');
const until = async (condition: () => boolean, what: string) => {
  for (let i = 0; i < 400; i++) {
    if (condition()) return;
    await new Promise((r) => setTimeout(r, 25));
  }
  throw new Error(`never: ${what}`);
};

async function open(fake: ReturnType<typeof fakeXl>, options: Partial<XenHostOptions> = {}) {
  const notes: string[] = [];
  host = await openXenHost({
    socketPath: join(folder, 'run', 'control.sock'),
    xl: fake.xl,
    directory: directory(),
    // The guard has tests of its own.
    guard: { mainPath: '/nonexistent' },
    note: (_level, text) => notes.push(text),
    ...options,
  });
  return { host, notes };
}

/** The relay's side of the socket. */
function relay(opened: XenHost, domid = 24) {
  const heard: ServerMessage[] = [];
  socket = connect(opened.socketPath);
  // A host that closes while we still say something.
  socket.on('error', () => undefined);
  let rest = '';
  socket.setEncoding('utf8').on('data', (text: unknown) => {
    const lines = (rest + String(text)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) heard.push(parseServerMessage(line) as ServerMessage);
  });
  const write = socket.write.bind(socket);
  write(
    encodeLine({
      type: 'hello',
      version: 1,
      atMs: monotonicMs(),
      domid,
      flags: 1,
      relayPid: 1,
      helperPid: 2,
      policy: false,
      policyMissing: 'no compiler',
    }),
  );
  let sent = 0;
  const more = () => {
    sent += 1000;
    return bytes(sent);
  };
  return {
    heard,
    tell: (message: RelayMessage extends infer M ? (M extends unknown ? Omit<M, 'atMs' | 'bytesSent'> : never) : never) =>
      void write(encodeLine({ ...message, atMs: monotonicMs(), bytesSent: more() } as RelayMessage)),
    hangUp: () => socket?.end(),
    answer: (type: ServerMessage['type']) => heard.find((m) => m.type === type),
  };
}

type Teller = ReturnType<typeof relay>['tell'];
const round = (tell: Teller, number: number, count: number) => tell({ type: 'round-start', round: number, pagesToSend: pages(count) });

/** Subscribes as the loop does: one observation after the other, `decide` gives the decision. */
function steer(
  migration: XenMigration,
  decide: (observation: Observation) => Decision | undefined,
  onMiss: 'abort' | 'proceed' = 'proceed',
) {
  const seen: Observation[] = [];
  const effects: unknown[] = [];
  let queue = Promise.resolve();
  migration.observations$.subscribe((observation) => {
    seen.push(observation);
    queue = queue.then(async () => {
      const decision = decide(observation);
      if (decision !== undefined) effects.push(await migration.apply(decision, observation, false, onMiss));
    });
  });
  return { seen, effects, types: () => seen.map((o) => o.type) };
}
const reason = because('test', 'the test says so');
const capAt = (percent: number): Decision => ({ action: 'set-cap', cap: capped(percent), reason });

describe('a receiver that ends', () => {
  /** Its watch: `end` is what it calls. */
  function watched() {
    const watch: { of: number; stopped: number; end: () => void } = { of: 0, stopped: 0, end: () => undefined };
    const watchReceiver = (relayPid: number, onLost: () => void) => {
      watch.of = relayPid;
      watch.end = onLost;
      return { stop: () => void watch.stopped++ };
    };
    return { watch, system: { watchReceiver } };
  }
  it('in a round: the migration is aborted before the guest stands for nothing, and that was no will of ours', async () => {
    const { watch, system } = watched();
    const { host: opened, notes } = await open(fakeXl(), { system });
    const { tell, heard, answer, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, () => undefined);
    round(tell, 0, 1_044_480);
    expect({ of: watch.of, lost: migration.receiverLost }).toEqual({ of: 1, lost: false });
    watch.end();
    await until(() => heard.some((m) => m.type === 'abort'), 'aborted');
    expect(answer('abort')).toMatchObject({ reason: expect.stringContaining('receiver') });
    expect(notes.join()).toMatch(/vm1: the receiver at the destination ended .* xthrottle restore vm1 --half/);
    tell({ type: 'log', level: 8, context: 'xc', text: 'Bad file descriptor' });
    tell({ type: 'complete', result: -1, errno: 9 });
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    const ending = await migration.ended;
    expect(ending).toMatchObject({ result: 'stayed', reason: expect.stringMatching(/receiver .* ended .*: Bad file descriptor/) });
    expect(ending.abortedByUs).toBeUndefined();
    expect(migration.receiverLost).toBe(true);
    expect(watch.stopped).toBeGreaterThan(0);
  });
  it('while only observing: told, and left to stock Xen', async () => {
    const { watch, system } = watched();
    const { host: opened, notes } = await open(fakeXl(), { system, observe: true });
    const { tell, heard, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, () => undefined);
    round(tell, 0, 1_044_480);
    watch.end();
    tell({ type: 'complete', result: -1, errno: 9 });
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    await migration.ended;
    expect(notes.join()).toContain('receiver');
    expect(heard.some((m) => m.type === 'abort')).toBe(false);
  });
  it('after the guest is all sent it is no loss', async () => {
    const { watch, system } = watched();
    const fake = fakeXl();
    const { host: opened } = await open(fake, { system });
    const { tell, heard, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'suspend-request' ? { action: 'grant', reason } : undefined));
    round(tell, 0, 1_044_480);
    tell({ type: 'suspend-request', id: 7, awaited: true, round: 0 });
    tell({ type: 'suspend-settled', id: 7, result: 'passed-on', by: 'server' });
    tell({ type: 'suspended' });
    tell({ type: 'complete', result: 0, errno: 0 });
    await until(() => watch.stopped > 0, 'not watched any more');
    watch.end();
    fake.state.domains.pop();
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'migrated' });
    expect(migration.receiverLost).toBe(false);
    expect(heard.some((m) => m.type === 'abort')).toBe(false);
  });
});

describe('a migration on this host', () => {
  it('from hello to end: capped in a round, lifted before leave is given, restored, told as it was', async () => {
    const fake = fakeXl();
    fake.domain().cap = 60;
    const { host: opened } = await open(fake);
    const { tell, heard, answer, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    expect(migration.domain).toMatchObject({ name: 'vm1', domid: 24, uuid: UUID, capOriginal: { percent: 60 } });
    expect(migration.capabilities).toMatchObject({
      peek: false,
      policy: false,
      roundsMax: 5,
      actuator: true,
      scheduler: 'credit',
      tsliceMs: 30,
    });
    let capAtAnswer: number | undefined;
    const { seen, effects, types } = steer(migration, (o) => {
      if (o.type === 'round-start' && o.round === 1) return capAt(20);
      if (o.type === 'suspend-request') return { action: 'grant', reason, runFirstMs: ms(30) };
      return undefined;
    });
    round(tell, 0, 1_044_480);
    round(tell, 1, 4000);
    await until(() => fake.domain().cap === 20, 'capped');
    expect(readdirSync(directory())).toEqual([`cap-${UUID}.json`]);
    await until(() => heard.some((m) => m.type === 'cap-set' && m.set), 'the relay knows of the cap');
    tell({ type: 'suspend-request', id: 7, awaited: true, round: 1 });
    await until(() => {
      if (answer('suspend-answer') !== undefined) capAtAnswer ??= fake.domain().cap;
      return capAtAnswer !== undefined;
    }, 'answered');
    expect(capAtAnswer).toBe(60);
    expect(answer('welcome')).toMatchObject({ capOriginal: 60, domid: 24, scheduler: 'credit', observe: false });
    expect(answer('suspend-answer')).toMatchObject({ id: 7, grant: true, afterMs: 30 });
    tell({ type: 'suspend-settled', id: 7, result: 'passed-on', by: 'server' });
    tell({ type: 'suspended' });
    await until(() => migration.leaving, 'leaving');
    tell({ type: 'stop-and-copy', pagesSent: pages(0), pagesToSend: pages(300) });
    tell({ type: 'complete', result: 0, errno: 0 });
    fake.state.domains.pop();
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'migrated', downtimeSource: 'relay' });
    expect(types().filter((t) => t !== 'tick')).toEqual([
      'round-start',
      'round-start',
      'cap-changed',
      'suspend-request',
      'cap-changed',
      'suspended',
      'stop-and-copy',
      'complete',
    ]);
    expect(seen.filter((o) => o.type === 'cap-changed').map((o) => [capToXen(o.cap), o.by])).toEqual([
      [20, 'us'],
      [60, 'us'],
    ]);
    expect(effects).toMatchObject([{ result: 'applied' }, { result: 'applied', cap: { percent: 60 } }]);
    expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: null });
    expect(readdirSync(directory())).toEqual([]);
  });

  it('let run first: leave is given once the guest was seen to run, after the lift', async () => {
    const fake = fakeXl();
    let readings = 0;
    let cpuTimeMs = 0;
    const xenctrl: Xenctrl = {
      library: 'stand-in',
      dirtyPages: () => undefined,
      // Parked, until it was looked at ten times after its lift.
      cpu() {
        if (fake.domain().cap === 0 && ++readings > 10) cpuTimeMs += 6;
        return { cpuTimeMs: ms(cpuTimeMs), onlineVcpus: 1, vcpus: [{ cpuTimeMs, running: false, blocked: false }] };
      },
      getCap: () => capFromXen(fake.domain().cap),
      setCap: (_domid, _scheduler, cap) => {
        fake.domain().cap = capToXen(cap);
        return true;
      },
      close: () => undefined,
    };
    const { host: opened } = await open(fake, { xenctrl });
    const { tell, answer } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    let readingsAtAnswer = 0;
    steer(migration, (o) => {
      if (o.type === 'round-start') return capAt(20);
      return o.type === 'suspend-request' ? { action: 'grant', reason, runFirstMs: ms(500) } : undefined;
    });
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    tell({ type: 'suspend-request', id: 1, awaited: true, round: 4 });
    await until(() => {
      if (answer('suspend-answer') !== undefined) readingsAtAnswer ||= readings;
      return readingsAtAnswer > 0;
    }, 'answered');
    expect(answer('suspend-answer')).toMatchObject({ id: 1, grant: true });
    expect(answer('suspend-answer')).not.toHaveProperty('afterMs');
    expect(readingsAtAnswer).toBeGreaterThan(10);
  });

  it('denied: the answer carries the reason, the guest stays, the cap is back', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell, answer, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => {
      if (o.type === 'round-start') return capAt(20);
      return o.type === 'suspend-request' ? { action: 'deny', reason } : undefined;
    });
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    tell({ type: 'suspend-request', id: 1, awaited: true, round: 4 });
    await until(() => answer('suspend-answer') !== undefined, 'answered');
    expect(answer('suspend-answer')).toMatchObject({ id: 1, grant: false, reason: 'the test says so' });
    await until(() => fake.domain().cap === 0, 'uncapped');
    tell({ type: 'suspend-settled', id: 1, result: 'denied', by: 'server' });
    tell({ type: 'complete', result: -1, errno: 0 });
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'stayed', reason: 'the test says so' });
    expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: 0 });
  });

  describe('when the cap cannot be lifted before the suspension', () => {
    const suspend = async (onMiss: 'abort' | 'proceed') => {
      const fake = fakeXl();
      const { host: opened, notes } = await open(fake);
      const { tell, answer, hangUp } = relay(opened);
      const migration = await firstValueFrom(opened.migrations$);
      steer(
        migration,
        (o) => {
          if (o.type === 'round-start') return capAt(20);
          return o.type === 'suspend-request' ? { action: 'grant', reason } : undefined;
        },
        onMiss,
      );
      round(tell, 0, 9000);
      await until(() => fake.domain().cap === 20, 'capped');
      fake.state.fail = { 'sched-credit set': 'libxl: error: xenstored is away' };
      tell({ type: 'suspend-request', id: 1, awaited: true, round: 4 });
      await until(() => answer('suspend-answer') !== undefined, 'answered');
      fake.state.fail = {};
      return { migration, tell, hangUp, notes, answered: answer('suspend-answer'), fake };
    };

    it('--on-miss abort: denied, with the reason', async () => {
      const { migration, tell, hangUp, answered, fake } = await suspend('abort');
      expect(answered).toMatchObject({ grant: false, reason: expect.stringContaining('could not be lifted') });
      tell({ type: 'suspend-settled', id: 1, result: 'denied', by: 'server' });
      tell({ type: 'end', exitCode: 0 });
      hangUp();
      expect(await migration.ended).toMatchObject({
        result: 'stayed',
        abortedByUs: true,
        reason: expect.stringContaining('could not be lifted'),
      });
      expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: 0 });
      expect(fake.domain().cap).toBe(0);
    });

    it('--on-miss proceed: granted as stock Xen would, and said', async () => {
      const { answered, notes } = await suspend('proceed');
      expect(answered).toMatchObject({ grant: true });
      expect(notes.some((text) => text.includes('could not be lifted'))).toBe(true);
    });
  });

  it('a suspension that nobody granted in time is told as such', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, () => undefined);
    tell({ type: 'suspend-request', id: 1, awaited: true, round: 4 });
    tell({ type: 'suspend-settled', id: 1, result: 'passed-on', by: 'timeout' });
    tell({ type: 'suspended' });
    tell({ type: 'complete', result: 0, errno: 0 });
    fake.state.domains.pop();
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'migrated', failOpen: true });
  });

  it('a guest rebooted while xl says nothing, its journal spoilt: its cap comes back, or that it did not is said', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    writeFileSync(join(directory(), `cap-${UUID}.json`), '{');
    fake.domain().domid = 25;
    hangUp();
    expect(await migration.restoreCap()).toMatchObject({ restored: true, capAfter: 0 });
    expect(fake.domain(25).cap).toBe(0);
  });

  it('a lost relay is an unknown ending, and the cap comes back', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'unknown', reason: 'the relay was lost' });
    expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: 0 });
    expect(fake.domain().cap).toBe(0);
  });

  describe('a migration that failed with the guest suspended', () => {
    /** The guest stands; `job`: how xl, ours, has ended. */
    async function failed(job?: { result: MigrateResult; mayRunThere: boolean }, suspends = true, observe = false) {
      const fake = fakeXl();
      const resumed: number[] = [];
      const xc = {
        resume: (domid: number) => {
          resumed.push(domid);
          fake.domain(domid).state = '-b----';
          return 'resumed' as const;
        },
        close: () => undefined,
      } as unknown as Xenctrl;
      const resume = { open: async () => ({ xc }), processes: () => [], sleep: async () => undefined };
      const { host: opened, notes } = await open(fake, { system: { resume }, observe });
      const { tell, hangUp } = relay(opened);
      const waiting = firstValueFrom(opened.migrations$);
      if (job !== undefined) {
        const { result, mayRunThere } = job;
        const done = new Promise<MigrateResult>((resolve) => setTimeout(() => resolve(result), 500));
        opened.wrap(
          {
            pid: 1,
            steps$: EMPTY,
            done,
            handsOver: () => mayRunThere,
            mayRunThere: () => mayRunThere,
            terminate: async () => undefined,
            endRest: () => false,
          },
          'host2',
        );
      }
      const migration = await waiting;
      steer(migration, () => undefined);
      if (suspends) {
        tell({ type: 'suspend-request', id: 1, awaited: false, round: 4 });
        tell({ type: 'suspend-settled', id: 1, result: 'passed-on', by: 'server' });
        fake.domain().state = '---ss-';
      }
      await until(() => fake.calls.length > 0, 'looked at');
      const before = fake.calls.length;
      tell({ type: 'end', exitCode: 254 });
      hangUp();
      const ended = await migration.ended;
      const looks = fake.calls.slice(before).filter(([command]) => command === 'list').length;
      return { ended, resumed, notes: notes.join('\n'), looks };
    }
    const killed: MigrateResult = { signal: 'SIGKILL', migrated: false };

    it('and xl of ours was killed: the guest is resumed here, and everybody is told', async () => {
      const { ended, resumed, notes } = await failed({ result: killed, mayRunThere: false });
      expect(resumed).toEqual([24]);
      expect(ended).toMatchObject({
        result: 'stayed',
        reason: expect.stringMatching(/^xl migrate was ended by SIGKILL; .*xthrottle resumed it here/),
      });
      expect(notes).toMatch(/vm1: .*xthrottle resumed it here/);
    });
    it('and it may run at the destination: it stays as it is, where it is is unknown, and what to do is told', async () => {
      const { ended, resumed, notes } = await failed({ result: killed, mayRunThere: true });
      expect(resumed).toEqual([]);
      expect(ended).toMatchObject({ result: 'unknown', reason: expect.stringContaining('both hosts') });
      expect(notes).toMatch(/vm1: THE GUEST STANDS SUSPENDED.*--resume/);
    });
    it('and the receiver had told that it runs there: it has moved, and what is left of it here is to be removed', async () => {
      const { ended, resumed, notes } = await failed({ result: { ...killed, startedAtMs: ms(1) }, mayRunThere: true });
      expect(resumed).toEqual([]);
      expect(ended).toMatchObject({ result: 'migrated', downtimeSource: 'handover' });
      expect(notes).toMatch(/vm1: the guest runs at the destination, .*: xl destroy 24$/m);
    });
    it('and xl is not ours: the sidecar tells what to do', async () => {
      const { ended, resumed, notes } = await failed();
      expect(resumed).toEqual([]);
      expect(ended).toMatchObject({ result: 'unknown', reason: expect.stringContaining('xthrottle restore 24 --resume') });
      expect(notes).toMatch(/vm1: THE GUEST STANDS SUSPENDED.*xthrottle restore 24 --resume/);
    });
    it('and only observed: nothing is changed, what to do is told', async () => {
      const { resumed, notes } = await failed({ result: killed, mayRunThere: false }, true, true);
      expect(resumed).toEqual([]);
      expect(notes).toMatch(/vm1: THE GUEST STANDS SUSPENDED.*xthrottle restore 24 --resume/);
    });
    it('but for the suspension: nobody looks', async () => {
      const { ended, looks } = await failed({ result: { exitCode: 1, migrated: false }, mayRunThere: false }, false);
      expect(ended).toMatchObject({ result: 'stayed', reason: 'xl migrate failed' });
      expect(looks).toBe(0);
    });
  });

  it('an xl that was killed in the hand-over leaves it open where the guest is', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const done = Promise.resolve({ signal: 'SIGKILL', migrated: false });
    const { tell, hangUp } = relay(opened);
    const waiting = firstValueFrom(opened.migrations$);
    opened.wrap(
      {
        pid: 1,
        steps$: EMPTY,
        done: new Promise((r) => setTimeout(() => r(done), 2000)),
        handsOver: () => false,
        mayRunThere: () => false,
        terminate: async () => undefined,
        endRest: () => false,
      },
      'host2',
    );
    const migration = await waiting;
    steer(migration, () => undefined);
    tell({ type: 'complete', result: 0, errno: 0 });
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'unknown', reason: 'xl migrate was ended by SIGKILL' });
  });

  it.each([
    [60, []],
    [20, ['vm1: its cap is 20 % at the destination, here it was 60 %; there: xl sched-credit -d vm1 -c 60']],
    [undefined, []],
  ] as const)('the cap after a migration is that at the destination (%s); one that differs is told', async (capThere, told) => {
    const fake = fakeXl();
    fake.domain().cap = 60;
    const { host: opened, notes } = await open(fake);
    const asked: string[] = [];
    let xlEnds: (result: MigrateResult) => void = () => undefined;
    opened.wrap(
      {
        pid: 1,
        steps$: EMPTY,
        done: new Promise((resolve) => {
          xlEnds = resolve;
        }),
        handsOver: () => true,
        mayRunThere: () => true,
        terminate: async () => undefined,
        endRest: () => false,
        capThere: async (uuid) => {
          asked.push(uuid);
          return capThere;
        },
      },
      'host2',
    );
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    tell({ type: 'complete', result: 0, errno: 0 });
    fake.state.domains.pop();
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    xlEnds({ exitCode: 0, migrated: true });
    expect(await migration.ended).toMatchObject({ result: 'migrated' });
    expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: capThere ?? null });
    expect(asked).toEqual([UUID]);
    expect(notes.filter((text) => text.includes('destination'))).toEqual(told);
  });

  it('the cap of a guest that stays is back before xl has ended, should that ever be', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    opened.wrap(
      {
        pid: 1,
        steps$: EMPTY,
        done: new Promise(() => undefined),
        handsOver: () => false,
        mayRunThere: () => false,
        terminate: async () => undefined,
        endRest: () => false,
      },
      'host2',
    );
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    tell({ type: 'complete', result: -1, errno: 9 });
    tell({ type: 'end', exitCode: 1 });
    hangUp();
    await until(() => fake.domain().cap === 0, 'uncapped');
    expect(migration.leaving).toBe(false);
  });

  it('a save that was complete while the domain is still here did not migrate', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, () => undefined);
    tell({ type: 'complete', result: 0, errno: 0 });
    tell({ type: 'end', exitCode: 0 });
    hangUp();
    expect(await migration.ended).toMatchObject({ result: 'stayed', reason: expect.stringContaining('hand-over') });
  });

  it('nothing lowers the cap once the suspend is asked for', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    const { seen } = steer(migration, () => undefined);
    round(tell, 0, 9000);
    tell({ type: 'suspend-request', id: 1, awaited: true, round: 0 });
    await until(() => seen.some((o) => o.type === 'suspend-request'), 'asked');
    expect(await migration.apply(capAt(10), seen[0] as Observation, false)).toEqual({ result: 'skipped' });
    expect(fake.sets()).toEqual([]);
  });

  it('observing: nothing is changed, nothing is awaited, no state is kept', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake, { observe: true });
    const { tell, answer } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    expect(migration.observeOnly).toContain('observing');
    const { seen, effects } = steer(migration, (o) => (o.type === 'suspend-request' ? { action: 'deny', reason } : capAt(10)));
    round(tell, 0, 9000);
    tell({ type: 'suspend-request', id: 1, awaited: false, round: 0 });
    await until(() => effects.length >= 2, 'decided');
    expect(seen.map((o) => o.type)).toContain('suspend-request');
    expect(effects.every((e) => (e as { result: string }).result === 'skipped')).toBe(true);
    expect(answer('welcome')).toMatchObject({ observe: true });
    expect(answer('suspend-answer')).toBeUndefined();
    expect(fake.sets()).toEqual([]);
    expect(await migration.restoreCap()).toMatchObject({ restored: true });
    expect(() => readdirSync(directory())).toThrow();
  });

  it('a scheduler without caps is observed, and that is said', async () => {
    const { host: opened, notes } = await open(fakeXl({ scheduler: 'null' }));
    relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    expect(migration.capabilities).toMatchObject({ actuator: false, scheduler: 'other' });
    expect(notes.join()).toContain('no caps');
  });

  it('a domain that is not wanted, or not there, is left to stock', async () => {
    const fake = fakeXl();
    const { host: opened, notes } = await open(fake, { isWanted: (name) => name !== 'vm1' });
    opened.migrations$.subscribe();
    const refused = relay(opened);
    await until(() => refused.answer('release') !== undefined, 'released');
    const gone = relay(opened, 99);
    await until(() => gone.answer('release') !== undefined, 'released');
    expect(notes.join()).toContain('99');
    expect(fake.sets()).toEqual([]);
  });

  it('what a dead process left is put back before the original is read', async () => {
    const fake = fakeXl();
    fake.domain().cap = 20;
    const { createJournal } = await import('../../src/xen/journal.ts');
    const { thisProcess } = await import('../../src/xen/owner.ts');
    const owner = { ...thisProcess(), startTicks: 1 };
    const entry = {
      v: 1,
      kind: 'cap',
      uuid: UUID,
      domid: 24,
      name: 'vm1',
      scheduler: 'credit',
      capOriginal: 75,
      capsSet: [20],
      owner,
    } as const;
    await createJournal(directory(), undefined, owner).write(entry);
    const { host: opened } = await open(fake);
    expect(opened.restored).toMatchObject([{ verdict: 'restored', before: 20, after: 75 }]);
    relay(opened);
    expect((await firstValueFrom(opened.migrations$)).domain.capOriginal).toEqual(capFromXen(75));
  });

  it('a cap that could not be put back is not taken for the domain’s own by the next migration', async () => {
    const fake = fakeXl();
    fake.domain().cap = 60;
    const { host: opened } = await open(fake);
    const found: XenMigration[] = [];
    opened.migrations$.subscribe((migration) => found.push(migration));
    const first = relay(opened);
    await until(() => found.length === 1, 'the first');
    steer(found[0] as XenMigration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(first.tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    fake.state.fail = { 'sched-credit set': 'libxl: error: no' };
    first.hangUp();
    expect(await found[0]?.restoreCap()).toMatchObject({ restored: false });
    const second = relay(opened);
    await until(() => found.length === 2, 'the second');
    expect(found[1]?.observeOnly).toContain('earlier');
    expect((await readJournals(directory())).entries).toMatchObject([{ capOriginal: 60 }]);
    second.hangUp();
    delete fake.state.fail;
    relay(opened);
    await until(() => found.length === 3, 'the third');
    expect(found[2]).toMatchObject({ domain: { capOriginal: { percent: 60 } }, capabilities: { actuator: true } });
    expect(fake.domain().cap).toBe(60);
    expect((await readJournals(directory())).entries).toMatchObject([{ capOriginal: 60, capsSet: [] }]);
  });

  it('the lift before leave is given is tried again: a parked guest cannot answer the suspend', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake, {
      xl: async (args) => {
        const result = await fake.xl(args);
        if (fake.sets().length === 2) delete fake.state.fail;
        return result;
      },
    });
    const { tell, answer } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => {
      if (o.type === 'round-start') return capAt(20);
      return o.type === 'suspend-request' ? { action: 'grant', reason } : undefined;
    });
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    fake.state.fail = { 'sched-credit set': 'libxl: error: no' };
    tell({ type: 'suspend-request', id: 1, awaited: true, round: 4 });
    await until(() => answer('suspend-answer') !== undefined, 'answered');
    expect(fake.domain().cap).toBe(0);
  });

  it('a change that failed is told as not made, so that it is decided again', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    const { seen, effects } = steer(migration, (o) => (o.type === 'round-start' ? capAt(o.round === 0 ? 40 : 20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 40, 'capped');
    fake.state.fail = { 'sched-credit set': 'libxl: error: no' };
    round(tell, 1, 9000);
    await until(() => effects.length === 2, 'tried');
    const caps = () => seen.flatMap((o) => (o.type === 'cap-changed' ? [[capToXen(o.cap), o.by]] : []));
    await until(() => caps().length === 2, 'told');
    expect(caps()[1]).toEqual([40, 'us']);
  });

  it('a guest that was rebooted under our cap gets its own back under its new domid', async () => {
    const fake = fakeXl();
    fake.domain().cap = 60;
    const { host: opened } = await open(fake);
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    // xl makes the new domain from the old one's configuration, cap included.
    const [reborn] = fake.state.domains.splice(1);
    hangUp();
    const ended = migration.restoreCap();
    await new Promise((resolve) => setTimeout(resolve, 600));
    fake.state.domains.push({ ...(reborn as StandInDomain), domid: 25 });
    expect(await ended).toMatchObject({ restored: true });
    expect(fake.domain(25).cap).toBe(60);
    expect(readdirSync(directory())).toEqual([]);
  });

  it('the guard is not sent away while a cap of ours is in force', async () => {
    const fake = fakeXl();
    const guard = join(folder, 'guard.mjs');
    writeFileSync(
      guard,
      `process.stdout.write('ready\\n'); process.stdin.on('data', (t) => String(t).includes('bye') && process.exit(0));
       (await import('node:fs')).writeFileSync(${JSON.stringify(join(folder, 'guard.pid'))}, String(process.pid));`,
    );
    const { host: opened } = await open(fake, { guard: { mainPath: guard } });
    const { tell, hangUp } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    fake.state.fail = { 'sched-credit set': 'libxl: error: no' };
    hangUp();
    expect(await migration.restoreCap()).toMatchObject({ restored: false });
    await opened.close();
    const pid = Number(readFileSync(join(folder, 'guard.pid'), 'utf8'));
    expect(startTicksOf(pid)).toBeDefined();
    process.kill(pid, 'SIGKILL');
  });

  it('looks from outside while a round runs, with the stale count taken off', async () => {
    const fake = fakeXl();
    let count = 41_613;
    const xenctrl: Xenctrl = {
      ...libraryOn(fake),
      dirtyPages: () => {
        count += 10;
        return pages(count);
      },
      cpu: () => ({ cpuTimeMs: ms(count), onlineVcpus: 1, vcpus: [] }),
    };
    const { host: opened } = await open(fake, { xenctrl });
    const { tell } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    expect(migration.capabilities.peek).toBe(true);
    const { seen } = steer(migration, () => undefined);
    round(tell, 0, 1_044_480);
    await until(() => seen.filter((o) => o.type === 'sample').length >= 3, 'sampled');
    const samples = seen.flatMap((o) => (o.type === 'sample' ? [o.dirtyPages ?? -1] : []));
    expect(samples[0]).toBeLessThan(1000);
    expect(samples).toEqual([...samples].sort((a, b) => a - b));
  });

  it('progress of the helper says that the domid is still the domain: xl is not asked again', async () => {
    const fake = fakeXl();
    let passedMs = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + passedMs);
    const { host: opened } = await open(fake, { xenctrl: libraryOn(fake) });
    const { tell } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    const caps = [40, 30, 20];
    const { seen } = steer(migration, (o) => (o.type === 'round-start' ? capAt(caps[o.round] as number) : undefined));
    const asked = () => fake.calls.filter(([command]) => command === 'list').length;
    const capsAt = (number: number): Promise<void> => {
      round(tell, number, 1_000_000);
      return until(() => fake.domain().cap === caps[number], `cap of round ${number}`);
    };
    await capsAt(0);
    const once = asked();
    passedMs += 25_000;
    tell({ type: 'progress', round: 0, pagesSent: pages(1024), pagesToSend: pages(1_000_000) });
    await until(() => seen.some((o) => o.type === 'progress'), 'progress');
    passedMs += 25_000;
    await capsAt(1);
    expect(asked()).toBe(once);
    passedMs += 50_000;
    await capsAt(2);
    expect(asked()).toBeGreaterThan(once);
  });

  it('an admin who sets the cap in a round ends the steering', async () => {
    const fake = fakeXl();
    const { host: opened } = await open(fake);
    const { tell } = relay(opened);
    const migration = await firstValueFrom(opened.migrations$);
    const { seen } = steer(migration, (o) => (o.type === 'round-start' ? capAt(20) : undefined));
    round(tell, 0, 9000);
    await until(() => fake.domain().cap === 20, 'capped');
    fake.domain().cap = 80;
    await until(() => seen.some((o) => o.type === 'cap-changed' && o.by === 'other'), 'noticed');
    expect(await migration.restoreCap()).toMatchObject({ restored: true, capAfter: 80 });
    expect(fake.domain().cap).toBe(80);
  });
});
