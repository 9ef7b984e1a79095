import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Cli {
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult>;
  dispose(): void;
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
  return {
    run: (args, env = {}) =>
      new Promise((done, reject) => {
        const child = spawn(process.execPath, [outfile, ...args], {
          env: { ...process.env, NO_COLOR: '1', XTHROTTLE_STATE: join(folder, 'state'), ...env },
          timeout: 60_000,
        });
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
