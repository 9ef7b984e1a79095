import { fstatSync } from 'node:fs';
import type { MigrationRecord, RecordSink } from '../core/record.ts';
import type { LineWriter } from '../trace/line-writer.ts';
import { createColors } from './colors.ts';
import { safeText } from './text.ts';
import { changesSomething, outcomeSentence, showAction } from './words.ts';

type Level = 'info' | 'warning' | 'error';

/** sd-daemon(3): systemd reads the priority of a line of stderr from such a prefix. */
const PRIORITY: Readonly<Record<Level, string>> = { error: '<3>', warning: '<4>', info: '<6>' };

export interface NoteOptions {
  /** stderr goes to journald: lines carry priorities. */
  readonly journal: boolean;
  readonly color: boolean;
  /** Besides notes, say starts, decisions that change something, and ends: the sidecar's log when its stdout is not the table. */
  readonly events: boolean;
}

/** True when `fd` is the stream that systemd connected to the journal (JOURNAL_STREAM holds its device and inode). */
export function isJournal(fd: number, env: Readonly<Record<string, string | undefined>>): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** One line for people on stderr. */
export function noteLine(level: Level, text: string, options: NoteOptions): string {
  const safe = safeText(text);
  if (options.journal) return PRIORITY[level] + safe;
  const colors = createColors(options.color);
  if (level === 'info') return `xthrottle: ${safe}`;
  return `xthrottle: ${level === 'error' ? colors.red('error:') : colors.yellow('warning:')} ${safe}`;
}

/** The line a record deserves on stderr, if any. `domainOf` names the migration. */
export function noteOf(record: MigrationRecord, domain: string | undefined, options: NoteOptions): string | undefined {
  const at = domain === undefined ? '' : `${domain}: `;
  const info = (text: string): string | undefined => (options.events ? noteLine('info', at + text, options) : undefined);
  switch (record.type) {
    case 'note':
      return noteLine(record.level, at + record.text, options);
    case 'start':
      return info(`migration begins, controller ${record.controller}${record.observe ? ', observe only' : ''}`);
    case 'decision':
      return changesSomething(record.decision) ? info(`${showAction(record.decision)}: ${record.decision.reason.text}`) : undefined;
    case 'effect':
      return record.result === 'failed'
        ? noteLine('warning', `${at}${record.action} failed: ${record.error ?? 'no reason given'}`, options)
        : undefined;
    case 'summary':
      return record.capRestored ? info(outcomeSentence(record)) : noteLine('error', `${at}the cap was not restored`, options);
    default:
      return undefined;
  }
}

/** Notes and warnings for people, on stderr; under systemd with journal priorities. */
export function noteSink(out: LineWriter, options: NoteOptions): RecordSink {
  const domains = new Map<string, string>();
  return {
    write(record) {
      if (record.type === 'start') domains.set(record.id, record.goal.domain.name);
      const line = noteOf(record, domains.get(record.id), options);
      if (line !== undefined) out.write(line);
      if (record.type === 'summary') domains.delete(record.id);
    },
    close: () => out.close(),
  };
}
