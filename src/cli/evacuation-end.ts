import { EXIT_CODES, type ExitName } from '../core/errors.ts';
import type { Entry, Evacuation } from '../evacuate/plan.ts';

/** The worst of what happened: a cap that is not back, a signal, a migration that failed, a guest left here, a target missed. */
export function evacuationCode({ entries }: Evacuation, notRestored: boolean, signal: ExitName | undefined): number {
  if (notRestored) return EXIT_CODES.capNotRestored.code;
  if (signal !== undefined && entries.some(({ status }) => status === 'waiting')) return EXIT_CODES[signal].code;
  const left = entries.filter(({ status }) => status !== 'moved');
  if (left.some(({ attempts }) => attempts.at(-1)?.result === 'failed')) return EXIT_CODES.migrationFailed.code;
  if (left.length > 0) return EXIT_CODES.aborted.code;
  return entries.some(({ attempts }) => attempts.at(-1)?.metTarget === false) ? EXIT_CODES.missed.code : EXIT_CODES.ok.code;
}

/** The last line of `--json`. */
export function evacuationRecord({ destination, entries }: Evacuation, exitCode: number): unknown {
  const rowOf = ({ candidate, attempts, why }: Entry) => ({
    uuid: candidate.uuid,
    name: candidate.name,
    attempts,
    ...(why === undefined ? {} : { why }),
  });
  const of = (...wanted: readonly Entry['status'][]) => entries.filter(({ status }) => wanted.includes(status)).map(rowOf);
  return { type: 'evacuation', destination, moved: of('moved'), left: of('left'), notBegun: of('waiting', 'running'), exitCode };
}
