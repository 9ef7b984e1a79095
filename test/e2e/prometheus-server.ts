import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The program, or an error that says how to get it. */
export function requireProgram(name: 'prometheus' | 'promtool'): string {
  const found = spawnSync(name, ['--version'], { encoding: 'utf8' });
  if (found.error === undefined && found.status === 0) return name;
  throw new Error(`${name} is missing: apt-get install -y --no-install-recommends prometheus`);
}

interface Answer {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Prometheus {
  query(expr: string): Promise<readonly Answer[]>;
  api<T>(path: string): Promise<T>;
  stop(): Promise<void>;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

/** Waits until `ask` gives something other than undefined; throws what `failure` says after `timeoutMs`. */
export async function eventually<T>(ask: () => Promise<T | undefined>, failure: () => string, timeoutMs = 60_000): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const got = await ask();
    if (got !== undefined) return got;
    if (performance.now() > end) throw new Error(failure());
    await sleep(150);
  }
}

/** Debian's Prometheus on loopback, with its data in a temporary directory that goes with it. */
export async function startPrometheus(files: Readonly<Record<string, string>>): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), 'xthrottle-prometheus-'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
  const base = `http://127.0.0.1:${await freePort()}`;
  const child = spawn(
    requireProgram('prometheus'),
    [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${base.slice(7)}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log = `${log}${chunk}`.slice(-4000);
  });
  const stop = async (): Promise<void> => {
    await ended(child);
    rmSync(directory, { recursive: true, force: true });
  };
  const api = async <T>(path: string): Promise<T> => {
    const reply = await fetch(`${base}/api/v1/${path}`);
    const body = (await reply.json()) as { readonly status: string; readonly data: T; readonly error?: string };
    if (body.status !== 'success') throw new Error(`${path}: ${body.error}`);
    return body.data;
  };
  try {
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`prometheus ended with ${child.exitCode}:\n${log}`);
        return await fetch(`${base}/-/ready`).then(
          (reply) => (reply.ok ? true : undefined),
          () => undefined,
        );
      },
      () => `prometheus is not ready:\n${log}`,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    api,
    query: async (expr) => (await api<{ readonly result: readonly Answer[] }>(`query?query=${encodeURIComponent(expr)}`)).result,
    stop,
  };
}

/** Ends the process we started, and no other. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(killer);
}
