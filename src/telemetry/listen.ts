import { XthrottleError } from '../core/errors.ts';

/** Where `/metrics` is served. */
export interface ListenAddress {
  /** Name or address, an IPv6 one without its brackets. */
  readonly host: string;
  /** 0 … 65535; 0 takes any free port. */
  readonly port: number;
}

export const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 9464 };

export const showListen = ({ host, port }: ListenAddress): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** The value of `--metrics`, `ADDR:PORT`. Throws XthrottleError('usage') for anything else. */
export function parseListen(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new XthrottleError('usage', `--metrics takes ADDR:PORT, got ${JSON.stringify(text)}`, { hint: hintFor(text) });
  }
  return { host, port };
}

function hintFor(text: string): string {
  if (/^\d+$/.test(text) || /^:\d+$/.test(text)) {
    const port = text.replace(':', '');
    return `say 127.0.0.1:${port} for this host only, 0.0.0.0:${port} for every address`;
  }
  if (text.startsWith('http')) return 'leave out http:// and the path: 127.0.0.1:9464';
  if ((text.match(/:/g)?.length ?? 0) > 1) return 'an IPv6 address goes into brackets: [::1]:9464';
  return 'for example 127.0.0.1:9464; the port is at most 65535';
}
