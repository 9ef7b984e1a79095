import { spawn } from 'node:child_process';
import { XthrottleError } from '../core/errors.ts';
import { type Ms, ms } from '../core/units.ts';
import { type RunXl, XL_OUTPUT_BYTES_MAX, XL_TIMEOUT_MS, type XlResult, xlBinary } from './xl-errors.ts';

/** As in xl.ts. */
const KILL_WAIT_MS = 1000;

/** `createXl` on Node's own modules alone: what the guard uses, which must stay small and depend on nothing. */
export function plainXl(binary: string = xlBinary(), timeoutMs: Ms = XL_TIMEOUT_MS): RunXl {
  return (args) =>
    new Promise<XlResult>((resolve, reject) => {
      const startedAt = performance.now();
      const output = { stdout: '', stderr: '' };
      let timedOut = false;
      const child = spawn(binary, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
      let timer = setTimeout(() => {
        timedOut = true;
        try {
          if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
        } catch {
          // ESRCH: it has ended, and something else holds its output.
        }
        timer = setTimeout(() => settle(null), KILL_WAIT_MS);
      }, timeoutMs);
      const settle = (code: number | null): void => {
        clearTimeout(timer);
        resolve({
          ok: code === 0 && !timedOut,
          ...(code === null ? {} : { exitCode: code }),
          timedOut,
          ...output,
          tookMs: ms(performance.now() - startedAt),
        });
      };
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].setEncoding('utf8').on('data', (text: string) => {
          if (output[name].length < XL_OUTPUT_BYTES_MAX) output[name] += text;
        });
      }
      child.on('error', (cause) => {
        clearTimeout(timer);
        reject(new XthrottleError('noXl', `${binary} cannot be started: ${cause.message}`, { cause }));
      });
      child.on('close', settle);
    });
}
