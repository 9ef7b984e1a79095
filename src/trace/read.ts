import { createReadStream } from 'node:fs';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { type MigrationRecord, RECORD_VERSION, type StartRecord, type SummaryRecord } from '../core/record.ts';
import { linesOf } from './lines.ts';
import { parseRecord, versionOf } from './schema.ts';

/** The records of one migration, in order; the first is its start. */
export interface MigrationTrace {
  readonly id: string;
  /** What it was read from, for messages. */
  readonly source: string;
  readonly start: StartRecord;
  readonly records: readonly MigrationRecord[];
  readonly summary?: SummaryRecord;
}

export interface ReadResult {
  readonly traces: readonly MigrationTrace[];
  /** What was tolerated, in words: a cut last line, lines that are no records, records that the recorder had to drop. */
  readonly notes: readonly string[];
}

export interface ReadOptions {
  readonly lineBytesMax?: number;
  readonly recordsMax?: number;
}

/** A record is some hundred bytes; the longest legal one holds a reason of 64 KiB. */
const LINE_BYTES_MAX = 1024 * 1024;
const RECORDS_MAX = 2_000_000;
/** Complaints about single lines are not repeated for ever. */
const NOTES_MAX = 20;

/**
 * Reads a trace file (or what `--json` printed). Throws XthrottleError('usage') when it cannot be read, holds no migration, is of a later
 * version, or is longer than `recordsMax` records.
 */
export async function readTrace(path: string, options: ReadOptions = {}): Promise<ReadResult> {
  try {
    return await readTraceFrom(createReadStream(path), path, options);
  } catch (error) {
    if (error instanceof XthrottleError) throw error;
    throw new XthrottleError('usage', `cannot read the trace ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** The same from any stream of bytes, `source` names it in messages. */
export async function readTraceFrom(chunks: AsyncIterable<Uint8Array>, source: string, options: ReadOptions = {}): Promise<ReadResult> {
  const reading = new Reading(source, options.recordsMax ?? RECORDS_MAX);
  for await (const line of linesOf(chunks, options.lineBytesMax ?? LINE_BYTES_MAX)) {
    if ('tooLong' in line) reading.complain(`line ${line.number} is too long for a record and was skipped`);
    else if (line.text.trim() !== '') reading.take(line.text, line.number, line.cut);
  }
  return reading.result();
}

/** What has been read so far: the one mutable thing here. */
class Reading {
  readonly #source: string;
  readonly #recordsMax: number;
  readonly #byId = new Map<string, MigrationRecord[]>();
  readonly #notes: string[] = [];
  #records = 0;
  #complaints = 0;
  #orphans = 0;

  constructor(source: string, recordsMax: number) {
    this.#source = source;
    this.#recordsMax = recordsMax;
  }

  complain(text: string): void {
    this.#complaints += 1;
    if (this.#complaints <= NOTES_MAX) this.#notes.push(`${this.#source}: ${text}`);
  }

  take(text: string, number: number, cut: boolean): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      this.complain(cut ? `the last line (${number}) is cut off: the writer was ended` : `line ${number} is not JSON and was skipped`);
      return;
    }
    refuseLaterVersion(value, this.#source);
    const parsed = parseRecord(value);
    if (parsed.kind === 'invalid') this.complain(`line ${number} is not a record (${parsed.why}) and was skipped`);
    if (parsed.kind === 'record') this.#keep(parsed.record);
  }

  #keep(record: MigrationRecord): void {
    this.#records += 1;
    if (this.#records > this.#recordsMax) {
      throw new XthrottleError('usage', `${this.#source} has more than ${this.#recordsMax} records`, {
        hint: 'cut it into one migration each',
      });
    }
    const known = this.#byId.get(record.id);
    if (known !== undefined) known.push(record);
    else if (record.type === 'start') this.#byId.set(record.id, [record]);
    else this.#orphans += 1;
    if (record.type === 'note' && record.dropped !== undefined) this.complain(`${record.dropped} records are missing: ${record.text}`);
  }

  result(): ReadResult {
    const traces = [...this.#byId].map(([id, records]) => traceOf(id, records, this.#source));
    if (traces.length === 0) {
      throw new XthrottleError('usage', `${this.#source} holds no migration${this.#notes[0] === undefined ? '' : ` (${this.#notes[0]})`}`, {
        hint: 'give a trace that xthrottle recorded, or what --json printed',
      });
    }
    const { length } = this.#notes;
    if (this.#complaints > length) this.#notes.push(`${this.#source}: and ${this.#complaints - length} more of the kind`);
    if (this.#orphans > 0) this.#notes.push(`${this.#source}: ${this.#orphans} records of migrations whose start is not here were skipped`);
    for (const { id, summary } of traces) {
      if (summary === undefined)
        this.#notes.push(`${this.#source}: migration ${id} has no summary: it was still running, or its end was not recorded`);
    }
    return { traces, notes: this.#notes };
  }
}

function traceOf(id: string, records: readonly MigrationRecord[], source: string): MigrationTrace {
  const [start] = records;
  if (start?.type !== 'start') throw new Error(`migration ${id} does not begin with its start`);
  const summary = records.findLast((record): record is SummaryRecord => record.type === 'summary');
  return { id, source, start, records, ...(summary === undefined ? {} : { summary }) };
}

function refuseLaterVersion(value: unknown, source: string): void {
  const version = versionOf(value);
  if (version !== undefined && version > RECORD_VERSION) {
    throw new XthrottleError('usage', `${source} is of record version ${version}, this xthrottle reads up to ${RECORD_VERSION}`, {
      hint: 'read it with the xthrottle that wrote it, or a later one',
    });
  }
}
