import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { parsePushUrl, pushMetrics } from '../../src/telemetry/pushgateway.ts';
import { settleTextfiles, textfileName, writeTextfile } from '../../src/telemetry/textfile.ts';
import { parseExposition } from './exposition.ts';
import { migration } from './records.ts';

const ended = () => {
  const metrics = createMetrics({ version: '0' });
  for (const record of migration('a', 'vm1')) metrics.sink.write(record);
  return metrics;
};

describe('the text file', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'xthrottle-textfile-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('holds the final state, readable by all, and nothing else is left', async () => {
    const path = await writeTextfile(directory, 'vm1', await ended().finalText('vm1'));
    expect(readdirSync(directory)).toEqual(['xthrottle_vm1.prom']);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(parseExposition(readFileSync(path, 'utf8')).series.get('xthrottle_cap_restored{domain="vm1"}')).toBe(1);
  });

  it('is never seen half written', async () => {
    const texts = ['a', 'b'].map((letter) => `${letter.repeat(400_000)}\n`);
    await writeTextfile(directory, 'vm1', texts[0] as string);
    let writing = true;
    const writer = (async () => {
      for (let i = 0; i < 20; i++) await writeTextfile(directory, 'vm1', texts[i % 2] as string);
      writing = false;
    })();
    let looks = 0;
    while (writing) {
      for (const name of readdirSync(directory).filter((file) => file.endsWith('.prom'))) {
        expect(texts.includes(readFileSync(join(directory, name), 'utf8'))).toBe(true);
        looks++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer;
    expect(looks).toBeGreaterThan(0);
    expect(readdirSync(directory)).toHaveLength(1);
  });

  it('says that a cap is back once it is, and keeps how the migration ended', async () => {
    const pathOf = (domain: string) => join(directory, textfileName(domain));
    const said = (domain: string) =>
      parseExposition(readFileSync(pathOf(domain), 'utf8')).series.get(`xthrottle_cap_restored{domain="${domain}"}`);
    for (const domain of ['vm1', 'vm/2', 'vm3']) {
      const metrics = createMetrics({ version: '0' });
      for (const record of migration(domain, domain)) metrics.sink.write(record);
      metrics.onRestore({ domain, restored: false });
      await writeTextfile(directory, domain, await metrics.finalText(domain));
    }
    const before = readFileSync(pathOf('vm1'), 'utf8');
    expect(await settleTextfiles(directory, { left: ['vm3'], only: ['vm/2', 'vm3'] })).toEqual([textfileName('vm/2')]);
    expect([said('vm1'), said('vm/2'), said('vm3')]).toEqual([0, 1, 0]);
    expect(await settleTextfiles(directory, { left: ['vm3'] })).toEqual([textfileName('vm1')]);
    expect(await settleTextfiles(directory, { left: ['vm3'] })).toEqual([]);
    expect([said('vm1'), said('vm/2'), said('vm3')]).toEqual([1, 1, 0]);
    const gone = (text: string) => text.replace(/^xthrottle_cap_restored\{.*$/m, '');
    expect(gone(readFileSync(pathOf('vm1'), 'utf8'))).toBe(gone(before));
  });

  it('says which directory it could not write to', async () => {
    await expect(writeTextfile(join(directory, 'none'), 'vm1', 'x 1\n')).rejects.toMatchObject({
      name: 'XthrottleError',
      message: expect.stringContaining('none'),
      hint: expect.stringContaining('textfile'),
    });
  });

  it('has one plain name for each domain', () => {
    expect(textfileName('vm1')).toBe('xthrottle_vm1.prom');
    expect(textfileName('../../etc/x')).not.toContain('/');
    fc.assert(
      fc.property(fc.string({ maxLength: 400, unit: 'grapheme' }), fc.string({ maxLength: 400, unit: 'grapheme' }), (a, b) => {
        expect(textfileName(a)).toMatch(/^xthrottle_[A-Za-z0-9_%~-]*\.prom$/);
        expect(textfileName(a).length).toBeLessThan(256);
        expect(textfileName(a) === textfileName(b)).toBe(a === b);
      }),
    );
  });
});

describe('the push', () => {
  let server: Server | undefined;
  const gateway = (status: number): Promise<{ url: string; got: string[] }> =>
    new Promise((resolve) => {
      const got: string[] = [];
      const created = createServer((request, response) => {
        let body = '';
        request.on('data', (chunk) => {
          body += chunk;
        });
        request.on('end', () => {
          got.push(`${request.method} ${request.url}\n${body}`);
          if (status > 0) response.writeHead(status).end();
        });
      });
      server = created.listen(0, '127.0.0.1', () => resolve({ url: `http://127.0.0.1:${(created.address() as AddressInfo).port}`, got }));
    });
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  it('replaces what this host pushed of this domain', async () => {
    const { url, got } = await gateway(200);
    await pushMetrics(ended().finalRegistry('vm1'), { url: `${url}/`, domain: 'vm/1', instance: 'dom0' });
    expect(got).toHaveLength(1);
    expect(got[0]).toMatch(/^PUT \/metrics\/job\/xthrottle\/instance\/dom0\/domain\/vm_1\n/);
    expect(got[0]).toContain('xthrottle_last_migration_downtime_seconds{domain="vm1"} 0.3');
  });

  it.each([
    [500, 'a gateway that fails'],
    [0, 'a gateway that hangs'],
  ])('rejects for %i: %s', async (status) => {
    const { url } = await gateway(status);
    const push = pushMetrics(ended().finalRegistry('vm1'), { url: url.replace('//', '//user:secret@'), domain: 'vm1', timeoutMs: 200 });
    await expect(push).rejects.toMatchObject({ name: 'XthrottleError', message: expect.not.stringContaining('secret') });
  });

  it('takes http and https URLs only', () => {
    expect(parsePushUrl('https://push.example:9091/')).toBe('https://push.example:9091');
    for (const bad of ['push.example:9091', 'ftp://x', '', 'http://x/?a=b']) expect(() => parsePushUrl(bad)).toThrow(/--pushgateway/);
  });
});
