import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import type { standIn } from '../xen/stand-in.ts';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Cli {
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult>;
  /** For what does not end by itself. */
  start(args: readonly string[], env?: NodeJS.ProcessEnv): Started;
  dispose(): void;
}

export interface Started {
  /** What the first group of `pattern` matched, once stderr matches it; rejects when the program ends before. */
  said(pattern: RegExp): Promise<string>;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<number | null>;
}

/** The command line from source, as a program of its own: bundled once, started for each run. */
export async function buildCli(): Promise<Cli> {
  // Inside node_modules, so that packages left external resolve.
  const folder = mkdtempSync(join(resolve('node_modules'), '.cli-'));
  const outfile = join(folder, 'bin.mjs');
  const source = pathToFileURL(resolve('src/cli/bin.ts')).href;
  await build({
    entryPoints: ['src/cli/bin.ts'],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    define: { 'import.meta.url': JSON.stringify(source) },
  });
  const spawned = (args: readonly string[], env: NodeJS.ProcessEnv) =>
    spawn(process.execPath, [outfile, ...args], {
      env: { ...process.env, NO_COLOR: '1', XTHROTTLE_STATE: join(folder, 'state'), ...env },
      timeout: 60_000,
    });
  return {
    start: (args, env = {}) => follow(spawned(args, env)),
    run: (args, env = {}) =>
      new Promise((done, reject) => {
        const child = spawned(args, env);
        let stdout = '';
        let stderr = '';
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          stdout += text;
        });
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          stderr += text;
        });
        child.on('error', reject);
        child.on('close', (code) => done({ code, stdout, stderr }));
      }),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** On the stand-in host: `how` its xl migrate ends, and which signal it sends to us. */
export const migrating = (host: ReturnType<typeof standIn>, how: string, signalled: string): NodeJS.ProcessEnv => ({
  XTHROTTLE_XL: fileURLToPath(new URL('fixtures/xl.mjs', import.meta.url)),
  XTHROTTLE_STATE: host.directory,
  XTHROTTLE_SOCKET: join(host.folder, 'run', 'control.sock'),
  STAND_IN: host.folder,
  STAND_IN_MIGRATE: how,
  STAND_IN_SIGNAL: signalled,
});

function follow(child: ChildProcessWithoutNullStreams): Started {
  let stderr = '';
  let over = false;
  const looks = new Set<() => void>();
  const look = (): void => {
    for (const one of looks) one();
  };
  child.stdout.resume();
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    look();
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      over = true;
      look();
      resolve(code);
    });
  });
  return {
    ended,
    signal: (name) => void child.kill(name),
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const one = (): void => {
          const match = pattern.exec(stderr);
          if (match !== null) resolve(match[1] ?? match[0]);
          else if (over) reject(new Error(`ended without saying ${pattern}: ${stderr}`));
          else return;
          looks.delete(one);
        };
        looks.add(one);
        one();
      }),
  };
}
