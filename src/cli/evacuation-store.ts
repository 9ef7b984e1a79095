import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry, Evacuation } from '../evacuate/plan.ts';
import { prepareStateDirectory, replaceFile, stateDirectory } from '../xen/journal.ts';

/** The plan of the evacuation to one destination, kept on disk. */
export interface EvacuationStore {
  /** An unfinished plan; undefined where there is none, or none that can be read. */
  load(): Promise<Evacuation | undefined>;
  /** Throws where the state directory cannot be written. */
  save(evacuation: Evacuation): Promise<void>;
  forget(): Promise<void>;
}

export function evacuationStore(destination: string, directory: string = stateDirectory()): EvacuationStore {
  const name = `evacuation-${createHash('sha256').update(destination).digest('hex').slice(0, 16)}.json`;
  let queue: Promise<void> = Promise.resolve();
  return {
    async load() {
      try {
        return parseEvacuation(await readFile(join(directory, name), 'utf8'), destination);
      } catch {
        return undefined;
      }
    },
    save(evacuation) {
      // One after the other: the newest is what stays.
      queue = queue
        .catch(() => undefined)
        .then(async () => {
          await prepareStateDirectory(directory);
          await replaceFile(directory, name, JSON.stringify(evacuation));
        });
      return queue;
    },
    async forget() {
      await queue.catch(() => undefined);
      await rm(join(directory, name), { force: true });
    },
  };
}

const STATUS: readonly unknown[] = ['waiting', 'running', 'moved', 'left'] satisfies readonly Entry['status'][];

/** The plan in a file; undefined for anything that is not one for this destination. */
export function parseEvacuation(text: string, destination: string): Evacuation | undefined {
  try {
    const value = JSON.parse(text) as Evacuation;
    const isEntry = ({ candidate, status, attempts }: Entry): boolean =>
      typeof candidate.uuid === 'string' && typeof candidate.name === 'string' && STATUS.includes(status) && Array.isArray(attempts);
    return value.v === 1 && value.destination === destination && Array.isArray(value.entries) && value.entries.every(isEntry)
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}
