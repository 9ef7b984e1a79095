import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { messageOf } from '../core/errors.ts';
import type { RestoreResult } from '../host.ts';
import { judgeShrinking, type MemoryReading } from './balloon-plan.ts';
import { memSetArgs, restoreTarget, setTarget } from './balloon-target.ts';
import { monotonicMs } from './clock.ts';
import type { XenDomain } from './domain.ts';
import { createJournal, type Journal } from './journal.ts';
import { type BalloonEntry, JOURNAL_VERSION } from './journal-entry.ts';
import { thisProcess } from './owner.ts';
import { parseDomainRows } from './parse.ts';
import { type RunXl, xlOutput } from './xl-errors.ts';

export interface BalloonOptions {
  readonly xl: RunXl;
  readonly domain: Pick<XenDomain, 'facts' | 'targetKib'>;
  /** The memory target while it migrates, KiB: from `planBalloon`. */
  readonly targetKib: number;
  /** Where the relay asks whether it may start (XTHROTTLE_HOLD); its directory is ours. */
  readonly holdPath: string;
  /** Sees to it that a guard watches, before the first change. */
  readonly guarded: () => Promise<void>;
  readonly note: (level: 'info' | 'warning', text: string) => void;
  /** It has shrunk to so much, and its migration is about to begin. */
  readonly onShrunk: (kib: number) => void;
  readonly journal?: Journal;
  readonly pollMs?: number;
  readonly now?: () => number;
}

/**
 * A guest that is smaller while it migrates.
 *
 * xl tells the destination how much memory the guest is to have when `xl migrate` starts. Only then, with the save helper held back, the
 * target is lowered here: the destination never hears of it. Once the guest runs there, its balloon driver reads the target anew and
 * takes its memory back by itself, so nothing has to be done on a host that we may not reach. Here it is given back when the guest stays.
 */
export interface Balloon {
  readonly holdPath: string;
  /** Call it when the migration is over, however it ended: gives the memory back if the guest is here. Idempotent. */
  giveBack(): Promise<RestoreResult>;
}

const POLL_MS = 500;
const ATTEMPTS = 4;
const RETRY_MS = 250;
const mib = (kib: number): string => `${Math.round(kib / 1024)} MiB`;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Listens for the relay. Throws Error when it cannot: nothing was changed. */
export async function openBalloon(options: BalloonOptions): Promise<Balloon> {
  const { domain, xl, holdPath, note, now = monotonicMs } = options;
  const { facts } = domain;
  const journal = options.journal ?? createJournal();
  let over = false;
  let shrinking: Promise<void> | undefined;
  let entry: BalloonEntry | undefined;

  const shrink = async (): Promise<void> => {
    const wanted: BalloonEntry = {
      v: JOURNAL_VERSION,
      kind: 'balloon',
      uuid: facts.uuid,
      domid: facts.domid,
      name: facts.name,
      targetOriginalKib: domain.targetKib,
      targetsSetKib: [options.targetKib],
      owner: thisProcess(),
    };
    const written = await journal.write(wanted);
    if (!written.ok) throw new Error(written.text);
    entry = wanted;
    await options.guarded();
    if (over) return;
    const before = { atMs: now(), kib: await memoryOf(facts.domid, xl) };
    await setTarget(facts.domid, facts.uuid, options.targetKib, xl);
    const result = await follow(options, before, () => over);
    if (result === undefined) return;
    if (result.state === 'no-driver') {
      await giveBack();
      note('warning', 'not shrunk: its memory did not move, so it has no balloon driver (or that is switched off): all of it is migrated');
      return;
    }
    note(
      'info',
      `shrunk from ${mib(before.kib)} to ${mib(result.kib)}${result.state === 'stuck' ? `, though ${mib(options.targetKib)} were asked for` : ''}`,
    );
    options.onShrunk(result.kib);
  };

  const giveBack = async (): Promise<RestoreResult> => {
    if (entry === undefined) return { restored: true, capAfter: null };
    let result = await restoreTarget(entry, xl);
    for (let attempt = 1; attempt < ATTEMPTS && result.verdict === 'failed'; attempt++) {
      await pause(RETRY_MS * 2 ** attempt);
      result = await restoreTarget(entry, xl);
    }
    if (result.verdict === 'failed') {
      const command = `xl ${memSetArgs(facts.domid, domain.targetKib).join(' ')}`;
      return {
        restored: false,
        capAfter: null,
        hint: `its memory was not given back: ${result.text}; by hand: ${command}, or: xthrottle restore`,
      };
    }
    if (result.verdict === 'restored') note('info', `its memory target is ${mib(result.after)} again`);
    await journal.remove(entry).catch(() => undefined);
    entry = undefined;
    return { restored: true, capAfter: null };
  };

  const server = await listenAt(holdPath, (socket) => {
    // One migration: whoever asks again gets the same answer.
    shrinking ??= shrink().catch((error: unknown) => note('warning', `not shrunk: ${messageOf(error)}`));
    void shrinking.finally(() => socket.end());
  });
  return {
    holdPath,
    async giveBack() {
      over = true;
      server.close();
      rmSync(holdPath, { force: true });
      await shrinking;
      return giveBack();
    },
  };
}

async function memoryOf(domid: number, xl: RunXl): Promise<number> {
  const row = parseDomainRows(await xlOutput(xl, ['list', '-v'])).find((r) => r.domid === domid);
  if (row === undefined) throw new Error(`xl list shows no domain ${domid}`);
  return row.memMib * 1024;
}

/**
 * Watches the guest shrink until that is over; undefined when the migration is. `before` was read ahead of the new target: a guest may have
 * gone as far as it can before the first look after it.
 */
async function follow({ domain, xl, targetKib, pollMs, now = monotonicMs }: BalloonOptions, before: MemoryReading, isOver: () => boolean) {
  const readings = [before];
  while (!isOver()) {
    readings.push({ atMs: now(), kib: await memoryOf(domain.facts.domid, xl) });
    const judged = judgeShrinking(readings, targetKib);
    if (judged.state !== 'going') return judged;
    await pause(pollMs ?? POLL_MS);
  }
  return undefined;
}

function listenAt(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    onConnection(socket);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      chmodSync(path, 0o600);
      server.unref();
      resolve(server);
    });
  });
}
