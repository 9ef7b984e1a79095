import { controllers } from '../../controllers/registry.ts';
import type { Controller } from '../../src/core/controller.ts';
import type { MigrationRecord } from '../../src/core/record.ts';
import { simulate } from '../../src/sim/run.ts';
import { loadScenario } from '../../src/sim/scenario-files.ts';
import { type MigrationTrace, type ReadResult, readTraceFrom } from '../../src/trace/read.ts';

export function controllerNamed(name: string): Controller {
  const found = controllers.find((controller) => controller.name === name);
  if (found === undefined) throw new Error(`no controller ${name}`);
  return found;
}

/** All records of one simulated migration. */
export const simulated = (scenario = 'busy-database', controller = 'proportional', seed = 3): readonly MigrationRecord[] =>
  simulate({ scenario: loadScenario(scenario), seed, controller: controllerNamed(controller), records: true }).records;

export const asLines = (records: readonly unknown[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');

export async function* chunked(text: string | Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.from(text);
  for (let at = 0; at < buffer.length; at += size) yield buffer.subarray(at, at + size);
}

export const read = (text: string | Uint8Array, size?: number): Promise<ReadResult> => readTraceFrom(chunked(text, size), 'test.jsonl');

export async function traceOf(records: readonly MigrationRecord[]): Promise<MigrationTrace> {
  const { traces } = await read(asLines(records));
  const [only] = traces;
  if (only === undefined) throw new Error('no trace');
  return only;
}
