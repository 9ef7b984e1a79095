import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Case } from './case.ts';
import { type CaseResult, measure } from './measure.ts';
import { variants } from './variants.ts';

interface WorkerSetup {
  readonly benchWorker: true;
  readonly only: readonly string[];
}

/** Measures all cases on `jobs` threads, each taking the next one; the answer is in the order of the cases. */
export async function measureAll(
  cases: readonly Case[],
  options: { readonly jobs: number; readonly only: readonly string[]; readonly onDone: (done: number) => void },
): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = new Array(cases.length);
  let next = 0;
  let done = 0;
  const setup: WorkerSetup = { benchWorker: true, only: options.only };
  const run = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: setup });
      const give = (): void => {
        const index = next++;
        if (index >= cases.length) {
          worker.postMessage(null);
          return;
        }
        worker.postMessage({ index, case: cases[index] });
      };
      worker.on('message', (message: { readonly index: number; readonly result: CaseResult }) => {
        results[message.index] = message.result;
        options.onDone(++done);
        give();
      });
      worker.on('error', reject);
      worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a benchmark thread ended with ${code}`))));
      give();
    });
  await Promise.all(Array.from({ length: Math.min(options.jobs, cases.length) }, run));
  return results;
}

/** What a thread does: measures what it is given until it is given nothing. */
export function serveAsWorker(): void {
  const setup = workerData as Partial<WorkerSetup> | null;
  if (isMainThread || setup?.benchWorker !== true || parentPort === null) return;
  const port = parentPort;
  const { only } = setup;
  const wanted = variants.filter((v) => only?.includes(v.name));
  port.on('message', (message: { readonly index: number; readonly case: Case } | null) => {
    if (message === null) port.close();
    else port.postMessage({ index: message.index, result: measure(message.case, wanted) });
  });
}
