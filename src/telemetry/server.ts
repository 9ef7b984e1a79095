import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { type ListenAddress, showListen } from './listen.ts';

interface Health {
  readonly ok: boolean;
  readonly text: string;
}

export interface MetricsServerOptions {
  readonly listen: ListenAddress;
  /** What `/metrics` answers; it is asked once for any number of scrapes at the same time. */
  readonly text: () => Promise<string>;
  /** What `/healthz` answers: 200, or 503 when not ok. Default: ok. */
  readonly health?: () => Health;
  /** Clients slower than this are cut off. Default: 10 s. */
  readonly timeoutMs?: number;
  /** More connections at the same time are refused. Default: 32. */
  readonly connectionsMax?: number;
}

export interface MetricsServer {
  readonly address: ListenAddress;
  readonly url: string;
  /** Ends at once, whatever clients are doing. */
  close(): Promise<void>;
}

/** The address can't be listened on; `code` is the system's (`EADDRINUSE`, `EACCES`, …). Whether that is fatal is the caller's affair. */
export class MetricsListenError extends XthrottleError {
  readonly code: string;

  constructor(listen: ListenAddress, cause: NodeJS.ErrnoException) {
    const code = cause.code ?? 'UNKNOWN';
    super('usage', `can't serve metrics on ${showListen(listen)}: ${WHY[code] ?? messageOf(cause)}`, {
      hint: HINTS[code] ?? 'choose another address with --metrics ADDR:PORT',
      cause,
    });
    this.name = 'MetricsListenError';
    this.code = code;
  }
}

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken',
  EACCES: 'not permitted',
  EADDRNOTAVAIL: 'this host has no such address',
  ENOTFOUND: 'no such host name',
};
const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another xthrottle may be running here; choose another port with --metrics ADDR:PORT',
  EACCES: 'ports below 1024 need root; choose another port with --metrics ADDR:PORT',
};

/** Serves `/metrics` and `/healthz`. Rejects with MetricsListenError. Never keeps the process alive by itself. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { listen, timeoutMs = 10_000, connectionsMax = 32 } = options;
  const text = shared(options.text);
  const server = createServer(
    {
      headersTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
      connectionsCheckingInterval: Math.min(1000, timeoutMs),
      maxHeaderSize: 8192,
    },
    (request, response) => {
      // A deadline, not an idle time: who reads a byte now and then is cut off too.
      const deadline = setTimeout(() => request.socket.destroy(), timeoutMs);
      response.once('close', () => clearTimeout(deadline));
      answer(request, response, text, options.health).catch(() => response.destroy());
    },
  );
  server.maxConnections = connectionsMax;
  server.maxRequestsPerSocket = 1000;
  // Clients that send nothing.
  server.setTimeout(timeoutMs, (socket) => socket.destroy());
  await listening(server, listen);
  server.unref();
  const { address, port } = server.address() as AddressInfo;
  const bound = { host: address, port };
  return {
    address: bound,
    url: `http://${showListen(bound)}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listening(server: Server, listen: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(new MetricsListenError(listen, error));
    server.once('error', failed);
    server.listen({ host: listen.host, port: listen.port, exclusive: true }, () => {
      server.off('error', failed);
      // Later errors are those of accept(): the next connection may succeed.
      server.on('error', () => {});
      resolve();
    });
  });
}

/** One call at a time: who asks while it is under way gets the same answer. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

const PLAIN = 'text/plain; charset=utf-8';
const EXPOSITION = 'text/plain; version=0.0.4; charset=utf-8';

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  text: () => Promise<string>,
  health: MetricsServerOptions['health'],
): Promise<void> {
  // Nobody has anything to send us: a body is not read, and its connection ends with the answer.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
    response.setHeader('connection', 'close');
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    send(response, 405, PLAIN, 'only GET and HEAD\n');
    return;
  }
  switch ((request.url ?? '').replace(/\?.*$/, '')) {
    case '/metrics':
      try {
        send(response, 200, EXPOSITION, await text());
      } catch (error) {
        send(response, 500, PLAIN, `${messageOf(error)}\n`);
      }
      break;
    case '/healthz': {
      const state = health?.() ?? { ok: true, text: 'ok' };
      send(response, state.ok ? 200 : 503, PLAIN, `${state.text}\n`);
      break;
    }
    case '/':
      send(response, 200, PLAIN, 'xthrottle: /metrics, /healthz\n');
      break;
    default:
      send(response, 404, PLAIN, 'there is /metrics and /healthz\n');
  }
}

/** node:http leaves the body out for HEAD by itself. */
function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
