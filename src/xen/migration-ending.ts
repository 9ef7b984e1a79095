import { type BytesPerSecond, type Ms, ms, type Pages, sendTime } from '../core/units.ts';
import type { Ending } from '../host.ts';
import type { MigrateJob } from './migrate-job.ts';
import type { PairSample } from './pair-store.ts';
import type { RelayMessage } from './relay/protocol.ts';
import type { Stranded, StrandedOptions } from './stranded.ts';

/** xentoollog's level of an error. */
const MESSAGE_ERROR_LEVEL = 8;

export interface EndingOptions {
  /** The wrapped xl migrate: its hand-over lines tell when the guest ran at the destination. */
  readonly job?: MigrateJob | undefined;
  /** Its suspension waits for our answer: it is not only observed. */
  readonly answers: boolean;
  /** Whether the domain has left this host; asked after a save that ended well without a job to tell. */
  readonly hasLeft: () => Promise<boolean | undefined>;
  /** Resumes a guest that was left suspended, or tells; asked after a migration that failed with the guest suspended, or perhaps. */
  readonly lookAfter: (
    how: Pick<StrandedOptions, 'isOurs' | 'mayRunThere' | 'runsThere' | 'mayYetSuspend' | 'endRest'>,
  ) => Promise<Stranded | undefined>;
}

export type EndingReader = ReturnType<typeof endingReader>;

/** How it ended, put together from the relay's last messages and, where we started it, from xl's own lines. */
export function endingReader(options: EndingOptions) {
  let completedAtMs: Ms | undefined;
  let suspendedAtMs: Ms | undefined;
  let passedOnAtMs: Ms | undefined;
  let lastPages: Pages | undefined;
  let saved = false;
  let closed = false;
  let why: string | undefined;
  let firstError: string | undefined;
  let lost: string | undefined;
  let failOpen = false;
  let granted = false;
  const fromJob = async (job: MigrateJob): Promise<Ending> => {
    const result = await job.done;
    const downtime = result.startedAtMs === undefined || passedOnAtMs === undefined ? undefined : ms(result.startedAtMs - passedOnAtMs);
    const observed: Partial<Ending> = downtime === undefined ? relayDowntime() : { downtimeMs: downtime, downtimeSource: 'handover' };
    if (result.migrated) return { result: 'migrated', ...observed };
    if (result.startedAtMs !== undefined) {
      // It has moved, whatever became of xl afterwards.
      await options.lookAfter({ isOurs: true, mayRunThere: true, runsThere: true, mayYetSuspend: false });
      return { result: 'migrated', ...observed };
    }
    const ending: Ending = {
      result: saved && result.signal !== undefined ? 'unknown' : 'stayed',
      // Killed, it had no last word: what it wrote before is no reason.
      reason:
        why ??
        besides(lost, result.signal === undefined ? (result.reason ?? firstError) : `xl migrate was ended by ${result.signal}`) ??
        'xl migrate failed',
      ...ours(),
    };
    const mayYetSuspend = !saved && suspendedAtMs === undefined;
    return lookedAfter(ending, { isOurs: true, mayRunThere: job.mayRunThere(), mayYetSuspend, endRest: job.endRest });
  };
  /** What became of the guest is part of how it ended. */
  const lookedAfter = async (ending: Ending, how: Parameters<EndingOptions['lookAfter']>[0]): Promise<Ending> => {
    const neverAsked = closed && !saved && passedOnAtMs === undefined;
    const stranded = neverAsked ? undefined : await options.lookAfter(how);
    if (stranded === undefined) return ending;
    const { abortedByUs: _, ...rest } = ending;
    const reason = `${ending.reason ?? 'it failed'}; ${stranded.text}`;
    return stranded.resumed ? { ...ending, result: 'stayed', reason } : { ...rest, result: 'unknown', reason };
  };
  const ours = (): Partial<Ending> => (why === undefined ? {} : { abortedByUs: true });
  const relayDowntime = (): Partial<Ending> =>
    completedAtMs === undefined || passedOnAtMs === undefined
      ? {}
      : { downtimeMs: ms(completedAtMs - passedOnAtMs), downtimeSource: 'relay' };
  const fromRelay = async (): Promise<Ending> => {
    const how = { isOurs: false, mayRunThere: !closed || saved, mayYetSuspend: !saved && suspendedAtMs === undefined };
    if (!closed) return lookedAfter({ result: 'unknown', reason: 'the relay was lost' }, how);
    if (!saved) return lookedAfter({ result: 'stayed', reason: why ?? besides(lost, firstError) ?? 'the save failed', ...ours() }, how);
    const left = await options.hasLeft();
    if (left === true) return { result: 'migrated', ...relayDowntime() };
    const ending: Ending =
      left === false
        ? { result: 'stayed', reason: 'the save was complete, but the domain is still here: the hand-over failed' }
        : { result: 'unknown', reason: 'the save was complete; whether the domain has left could not be read' };
    return lookedAfter(ending, how);
  };
  return {
    get suspendLatencyMs(): Ms | undefined {
      return suspendedAtMs === undefined || passedOnAtMs === undefined ? undefined : ms(suspendedAtMs - passedOnAtMs);
    },
    /** The save helper has sent all of the guest. */
    get saved(): boolean {
      return saved;
    },
    get lastPages() {
      return lastPages;
    },
    granting(): void {
      granted = true;
    },
    aborting(reason: string): void {
      why ??= reason;
    },
    /** Ended by us, but not of our will: there was nobody left to receive the guest. */
    losing(reason: string): void {
      lost ??= reason;
    },
    read(message: RelayMessage): void {
      if (message.type === 'suspended') suspendedAtMs = message.atMs;
      else if (message.type === 'suspend-settled' && message.by === 'timeout') failOpen = true;
      else if (message.type === 'stop-and-copy') lastPages = message.pagesToSend;
      else if (message.type === 'log' && message.level >= MESSAGE_ERROR_LEVEL) firstError ??= message.text;
      else if (message.type === 'end') closed = true;
      else if (message.type === 'complete') {
        saved = message.result === 0;
        completedAtMs = message.atMs;
      }
    },
    async settle(passedOn: Ms | undefined): Promise<Ending> {
      passedOnAtMs = passedOn;
      try {
        const ending = await (options.job === undefined ? fromRelay() : fromJob(options.job));
        // Gone without a word of ours, whether its relay told so or not.
        return failOpen || (ending.result === 'migrated' && options.answers && !granted) ? { ...ending, failOpen: true } : ending;
      } catch (error) {
        return { result: 'unknown', reason: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

const besides = (first: string | undefined, second: string | undefined): string | undefined =>
  first === undefined || second === undefined ? (first ?? second) : `${first}: ${second}`;

/** The fixed part of the observed downtime: what is neither the suspend nor sending the last pages. */
export function sampleOf(ending: Ending, seen: EndingReader, rate: BytesPerSecond | undefined): PairSample | undefined {
  const { suspendLatencyMs, lastPages } = seen;
  if (ending.result !== 'migrated' || ending.downtimeSource !== 'handover' || ending.downtimeMs === undefined) return undefined;
  if (suspendLatencyMs === undefined || lastPages === undefined || rate === undefined) return undefined;
  const overhead = ending.downtimeMs - suspendLatencyMs - sendTime(lastPages, rate);
  return { overheadMs: ms(Math.max(0, overhead)), suspendLatencyMs, bytesPerSecond: rate };
}
