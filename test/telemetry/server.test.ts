import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { XthrottleError } from '../../src/core/errors.ts';
import { DEFAULT_LISTEN, parseListen, showListen } from '../../src/telemetry/listen.ts';
import { MetricsListenError, type MetricsServer, type MetricsServerOptions, startMetricsServer } from '../../src/telemetry/server.ts';

const ANY = { host: '127.0.0.1', port: 0 };
const open: MetricsServer[] = [];
const serve = async (options: Partial<MetricsServerOptions> = {}): Promise<MetricsServer> => {
  const server = await startMetricsServer({ listen: ANY, text: async () => 'up 1\n', ...options });
  open.push(server);
  return server;
};
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

const raw = (server: MetricsServer, say = ''): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(server.address.port, '127.0.0.1', () => {
      socket.write(say);
      resolve(socket);
    });
    socket.on('error', reject);
  });
const closed = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    let said = '';
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      said += chunk;
    });
    socket.on('close', () => resolve(said));
  });

describe('--metrics ADDR:PORT', () => {
  it('takes addresses, names and IPv6 in brackets', () => {
    expect(parseListen('127.0.0.1:9464')).toEqual(DEFAULT_LISTEN);
    expect(parseListen('localhost:0')).toEqual({ host: 'localhost', port: 0 });
    expect(parseListen('[::1]:9464')).toEqual({ host: '::1', port: 9464 });
  });

  it.each([
    '',
    '9464',
    ':9464',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '::1:9464',
    'http://a:1',
    'a b:1',
    'a:1/metrics',
    'a:-1',
    'a:1e3',
  ])('refuses %j with a hint', (text) => {
    expect(() => parseListen(text)).toThrow(XthrottleError);
    try {
      parseListen(text);
    } catch (error) {
      expect(error).toMatchObject({ exit: 'usage', hint: expect.stringMatching(/\S/) });
    }
  });

  it('reads back what it shows', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.integer({ min: 0, max: 65_535 }), (host, port) => {
        expect(parseListen(showListen({ host, port }))).toEqual({ host, port });
      }),
    );
  });

  it('never takes what has no port, and throws nothing but usage errors', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(parseListen(text).port).toBeLessThanOrEqual(65_535);
        } catch (error) {
          expect(error).toBeInstanceOf(XthrottleError);
        }
      }),
    );
  });
});

describe('the metrics server', () => {
  it('serves /metrics and /healthz', async () => {
    const server = await serve();
    const metrics = await fetch(`${server.url}/metrics?x=1`);
    expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await metrics.text()).toBe('up 1\n');
    expect(await (await fetch(`${server.url}/healthz`)).text()).toBe('ok\n');
    expect((await fetch(`${server.url}/metrics`, { method: 'HEAD' })).headers.get('content-length')).toBe('5');
  });

  it('answers 503 when not healthy, 500 when metrics fail', async () => {
    const server = await serve({
      health: () => ({ ok: false, text: 'cap not restored' }),
      text: async () => Promise.reject(new Error('broken')),
    });
    const health = await fetch(`${server.url}/healthz`);
    expect([health.status, await health.text()]).toEqual([503, 'cap not restored\n']);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(500);
  });

  it('refuses other methods and other paths', async () => {
    const server = await serve();
    const post = await fetch(`${server.url}/metrics`, { method: 'POST', body: 'x'.repeat(100_000) });
    expect([post.status, post.headers.get('allow'), post.headers.get('connection')]).toEqual([405, 'GET, HEAD', 'close']);
    expect((await fetch(`${server.url}/metrics/../etc`)).status).toBe(404);
  });

  it('says whose fault a taken port is, with a typed error', async () => {
    const server = await serve();
    const again = startMetricsServer({ listen: server.address, text: async () => '' });
    await expect(again).rejects.toBeInstanceOf(MetricsListenError);
    await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE', exit: 'usage', message: expect.stringContaining('taken') });
    await expect(startMetricsServer({ listen: { host: '192.0.2.1', port: 0 }, text: async () => '' })).rejects.toMatchObject({
      code: 'EADDRNOTAVAIL',
    });
  });

  it('renders once for scrapes at the same time', async () => {
    let calls = 0;
    let finish: (text: string) => void = () => {};
    const server = await serve({
      text: () => {
        calls++;
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
    });
    const many = Array.from({ length: 8 }, () => fetch(`${server.url}/metrics`));
    while (calls === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 200));
    finish('one 1\n');
    expect(await Promise.all(many.map(async (reply) => (await reply).text()))).toEqual(Array(8).fill('one 1\n'));
    expect(calls).toBe(1);
  });

  it('cuts off clients that say nothing, or dawdle over their headers', async () => {
    const server = await serve({ timeoutMs: 150 });
    const silent = closed(await raw(server));
    const slow = closed(await raw(server, 'GET /metrics HTTP/1.1\r\nHost: x\r\n'));
    expect(await silent).not.toContain('200');
    expect(await slow).not.toContain('200');
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });

  it('cuts off clients that do not read', async () => {
    const server = await serve({ timeoutMs: 150, text: async () => 'x'.repeat(64 * 1024 * 1024) });
    const socket = await raw(server, 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 600));
    const said = await new Promise<number>((resolve) => {
      let size = 0;
      socket.on('data', (chunk) => {
        size += chunk.length;
      });
      socket.on('close', () => resolve(size));
      socket.resume();
    });
    expect(said).toBeLessThan(64 * 1024 * 1024);
  });

  it('bounds connections, and recovers when they end', async () => {
    const server = await serve({ connectionsMax: 2, timeoutMs: 5000 });
    const held = await Promise.all([raw(server), raw(server)]);
    const third = closed(await raw(server, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'));
    expect(await third).toBe('');
    await Promise.all(held.map((socket) => closed(socket.destroy())));
    const status = async (): Promise<number> => {
      for (let i = 0; i < 50; i++) {
        const got = await fetch(`${server.url}/healthz`).then(
          (reply) => reply.status,
          () => 0,
        );
        if (got !== 0) return got;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return 0;
    };
    expect(await status()).toBe(200);
  });

  it('survives what is no HTTP', async () => {
    const server = await serve();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        const socket = await raw(server);
        socket.end(bytes);
        expect(await closed(socket)).not.toContain('200 OK');
      }),
      { numRuns: 30 },
    );
    expect(await closed(await raw(server, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`))).toContain('431');
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });

  it('closes at once though clients hang on', async () => {
    const server = await serve({ text: () => new Promise(() => {}) });
    const hanging = new Promise<void>((resolve) => {
      const waiting = request(`${server.url}/metrics`);
      waiting.on('error', () => resolve());
      waiting.end();
    });
    await raw(server);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close();
    await hanging;
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  });
});
