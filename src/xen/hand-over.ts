import { lastErrorLine, printable } from './xl-errors.ts';

/** What xl migrate's stderr tells of the hand-over. */
export type HandOverStep =
  | 'ready'
  | 'transfer-complete'
  | 'target-acknowledged'
  | 'permission-given'
  | 'permission-got'
  | 'domain-started'
  | 'target-reports-success'
  | 'success'
  | 'failed-resuming'
  | 'failed';

const PHRASES: readonly (readonly [HandOverStep, string])[] = [
  ['ready', 'migration target: Ready to receive domain.'],
  ['transfer-complete', 'migration target: Transfer complete, requesting permission to start domain.'],
  ['target-acknowledged', 'migration sender: Target has acknowledged transfer.'],
  ['permission-given', 'migration sender: Giving target permission to start.'],
  ['permission-got', 'migration target: Got permission, starting domain.'],
  // Xen writes "successsfully" to this day; should it be corrected, we still understand it.
  ['domain-started', 'migration target: Domain started success'],
  ['target-reports-success', 'migration sender: Target reports successful startup.'],
  ['success', 'Migration successful.'],
  ['failed-resuming', 'Migration failed, resuming at sender.'],
  ['failed', 'Migration failed,'],
];
const PERMITTED: readonly HandOverStep[] = ['permission-given', 'permission-got', 'domain-started', 'target-reports-success', 'success'];
const PHRASE_LENGTH_MAX = Math.max(...PHRASES.map(([, phrase]) => phrase.length));
/** Of stderr as a whole: its beginning and its end, where the causes and the result are. */
const KEPT_CHARS = 32_768;
const HALF_THERE = /Domain with name "?[^\n]*--incoming"? already exists/;
/** The receiver did not live to clean up, or nobody knows. */
const RECEIVER_LOST = /message from migration receiver stream|migration transport process/;

export interface HandOver {
  /** The steps that this chunk completed, in the order of their text. */
  push(chunk: string): readonly HandOverStep[];
  readonly seen: ReadonlySet<HandOverStep>;
  /**
   * Whether the receiver may have started the guest: it does so only after xl's permission, which xl announces before it gives it
   * (xl_migrate.c). False is certain once xl has ended and all of its stderr was read.
   */
  mayRunThere(): boolean;
  /**
   * Whether the receiving half (NAME--incoming) was left at the destination by an earlier migration, or may have been by this one:
   * with it there, every further migration of the domain fails.
   */
  half(): 'there' | 'maybe' | undefined;
  /** For the summary, unless it succeeded: xl's verdict with the first error as its cause. */
  reason(): string | undefined;
}

/**
 * Reads xl migrate's stderr as it comes. It is unbuffered, one message may come in several writes, and sender and receiver share it and
 * interleave inside lines: so phrases are looked for in the accumulated text, wherever they stand.
 */
export function handOver(): HandOver {
  const seen = new Set<HandOverStep>();
  let window = '';
  let text = '';
  return {
    seen,
    push(chunk) {
      window += chunk;
      text = text.length + chunk.length > KEPT_CHARS ? (text + chunk).slice(-KEPT_CHARS) : text + chunk;
      const found = PHRASES.filter(([step]) => !seen.has(step)).flatMap(([step, phrase]) => {
        const at = window.indexOf(phrase);
        return at < 0 ? [] : [{ step, at }];
      });
      window = window.slice(-PHRASE_LENGTH_MAX);
      found.sort((a, b) => a.at - b.at);
      for (const { step } of found) seen.add(step);
      return found.map(({ step }) => step);
    },
    mayRunThere: () => PERMITTED.some((step) => seen.has(step)),
    half() {
      if (seen.has('success')) return undefined;
      return HALF_THERE.test(text) ? 'there' : RECEIVER_LOST.test(text) ? 'maybe' : undefined;
    },
    reason() {
      if (seen.has('success')) return undefined;
      const verdict = text.split('\n').findLast((line) => line.includes('Migration failed,'));
      const said = verdict === undefined ? undefined : printable(verdict.slice(verdict.indexOf('Migration failed,')));
      const cause = lastErrorLine(text);
      const parts = [said, cause === said ? undefined : cause].filter((part) => part !== undefined);
      return parts.length === 0 ? undefined : parts.join(' ');
    },
  };
}
