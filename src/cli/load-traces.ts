import { type MigrationTrace, readTrace } from '../trace/read.ts';
import { safeText } from '../view/text.ts';

/** All migrations of some trace files, and what had to be tolerated in reading them (also said on stderr). Throws XthrottleError('usage'). */
export async function loadTraces(
  paths: readonly string[],
): Promise<{ readonly migrations: readonly MigrationTrace[]; readonly notes: readonly string[] }> {
  const migrations: MigrationTrace[] = [];
  const notes: string[] = [];
  for (const path of paths) {
    const read = await readTrace(path);
    notes.push(...read.notes.map((note) => `${safeText(path)}: ${safeText(note)}`));
    migrations.push(...read.traces);
  }
  for (const note of notes) process.stderr.write(`xthrottle: ${note}\n`);
  return { migrations, notes };
}
