import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { writeTextfile } from '../../src/telemetry/textfile.ts';
import { parseExposition } from '../telemetry/exposition.ts';
import { STAND_IN_XL, standIn } from '../xen/stand-in.ts';
import { buildCli, type Cli } from './run-cli.ts';

// Programs are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let cli: Cli;
let folder: string;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.dispose());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A port that somebody else has. */
async function taken() {
  const server = createServer((_, response) => response.end('not ours'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { listen: `127.0.0.1:${port}`, free: () => new Promise((resolve) => server.close(resolve)) };
}

describe('when the port of --metrics is taken', () => {
  let host: ReturnType<typeof standIn>;
  let port: Awaited<ReturnType<typeof taken>>;
  beforeEach(async () => {
    host = standIn();
    port = await taken();
  });
  afterEach(async () => {
    await port.free();
    host.remove();
  });
  const run = (args: readonly string[]) =>
    cli.run([...args, '--metrics', port.listen], {
      XTHROTTLE_XL: STAND_IN_XL,
      XTHROTTLE_STATE: host.directory,
      XTHROTTLE_SOCKET: join(host.folder, 'run', 'control.sock'),
      STAND_IN: host.folder,
    });

  it('watch refuses to start, before any call of xl', async () => {
    const { code, stderr, stdout } = await run(['watch']);
    expect(stderr).toContain(`can't serve metrics on ${port.listen}: the port is taken`);
    expect(stdout).toBe('');
    expect(code).toBe(EXIT_CODES.usage.code);
    expect(host.calls()).toEqual([]);
  });
  it('simulate refuses too', async () => {
    expect((await run(['simulate', '--scenario', 'idle'])).code).toBe(EXIT_CODES.usage.code);
  });
  it('migrate warns and goes on', async () => {
    const { code, stderr } = await run(['migrate', 'vm1', 'host2']);
    expect(stderr).toContain(`can't serve metrics on ${port.listen}: the port is taken; going on without`);
    expect(host.calls().some((call) => call.includes('"migrate"'))).toBe(true);
    // What this stand-in makes of it.
    expect(code).toBe(EXIT_CODES.migrationFailed.code);
  });
});

describe('watch', () => {
  it('serves metrics and health, and a scrape makes no call of xl', async () => {
    const host = standIn();
    const child = cli.start(['watch', '--metrics', '127.0.0.1:0'], {
      XTHROTTLE_XL: STAND_IN_XL,
      XTHROTTLE_STATE: host.directory,
      XTHROTTLE_SOCKET: join(host.folder, 'run', 'control.sock'),
      STAND_IN: host.folder,
    });
    try {
      const url = await child.said(/metrics at (\S+)/);
      await child.said(/listening at/);
      const before = host.calls();
      expect(before.length).toBeGreaterThan(0);
      for (let i = 0; i < 5; i++) {
        const { series } = parseExposition(await (await fetch(url)).text());
        expect(series.get('xthrottle_xl_calls_total{command="list",result="ok"}')).toBeGreaterThan(0);
        expect((await fetch(new URL('/healthz', url))).status).toBe(200);
      }
      expect(host.calls()).toEqual(before);
    } finally {
      child.signal('SIGTERM');
      expect(await child.ended).toBe(EXIT_CODES.terminated.code);
      host.remove();
    }
  });
});

describe('restore --textfile', () => {
  it('corrects a file that says "not restored" when nothing is left', async () => {
    const host = standIn();
    try {
      const metrics = createMetrics({ version: '0' });
      metrics.onRestore({ domain: 'vm1', restored: false });
      const path = await writeTextfile(folder, 'vm1', await metrics.finalText('vm1'));
      const { code, stdout, stderr } = await cli.run(['restore', '--textfile', folder], {
        XTHROTTLE_XL: STAND_IN_XL,
        XTHROTTLE_STATE: host.directory,
        STAND_IN: host.folder,
      });
      expect(code).toBe(0);
      expect(stdout).toContain('no cap was left behind');
      expect(stderr).toContain('xthrottle_vm1.prom says now that the cap is back');
      expect(parseExposition(readFileSync(path, 'utf8')).series.get('xthrottle_cap_restored{domain="vm1"}')).toBe(1);
    } finally {
      host.remove();
    }
  });
});

describe('simulate', () => {
  it('leaves text files and traces where it is told to, one for each migration', async () => {
    const { code } = await cli.run(
      ['simulate', '--scenario', 'idle', '--scenario', 'busy-database', '--seed', '1', '--textfile', folder, '--trace', '--quiet'],
      { XTHROTTLE_STATE: join(folder, 'state') },
    );
    expect(code).toBe(0);
    const files = readdirSync(folder).filter((name) => name.endsWith('.prom'));
    expect(files).toHaveLength(2);
    for (const name of files) {
      const { series } = parseExposition(readFileSync(join(folder, name), 'utf8'));
      expect([...series].filter(([key]) => key.includes('result="met"')).map(([, value]) => value)).toEqual([1]);
    }
    const traces = readdirSync(join(folder, 'state', 'traces'));
    expect(traces).toHaveLength(2);
    for (const name of traces) {
      expect((await cli.run(['replay', join(folder, 'state', 'traces', name)])).stdout).toContain('every decision is the same');
    }
  });

  it('ends with the gravest outcome of several, and says whose lines are whose', async () => {
    const { code, stdout } = await cli.run(['simulate', '--scenario', 'idle', '--scenario', 'hopeless', '--seed', '1']);
    expect(code).toBe(EXIT_CODES.aborted.code);
    const alone = await cli.run(['simulate', '--scenario', 'hopeless', '--seed', '1']);
    const outcome = /Outcome +.*/.exec(alone.stdout)?.[0] ?? 'nothing';
    expect(stdout).toContain(outcome);
    expect(stdout).toMatch(/Outcome +migrated within the target downtime/);
  });

  it('serves metrics and health while it runs, and with --stay until a signal', async () => {
    const child = cli.start(['simulate', '--scenario', 'idle', '--seed', '1', '--metrics', '127.0.0.1:0', '--stay']);
    try {
      const url = await child.said(/metrics at (\S+)/);
      await child.said(/metrics stay until a signal/);
      expect(await (await fetch(new URL('/healthz', url))).text()).toBe('ok\n');
      const { series } = parseExposition(await (await fetch(new URL('/metrics', url))).text());
      expect(series.get('xthrottle_migrations_total{result="met"}')).toBe(1);
    } finally {
      child.signal('SIGINT');
    }
    expect(await child.ended).toBe(0);
  });
});
