import { hostname } from 'node:os';
import { Pushgateway, type Registry } from 'prom-client';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { domainLabel } from './labels.ts';

export interface PushOptions {
  readonly url: string;
  /** Pushed metrics replace those of the same instance and domain. */
  readonly domain: string;
  /** Default: the host's name. */
  readonly instance?: string;
  /** The whole push, name look-up included. Default: 5 s. */
  readonly timeoutMs?: number;
}

/** The value of `--pushgateway`: an http or https URL. Throws XthrottleError('usage'). */
export function parsePushUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:') && url.search === '' && url.hash === '') {
    return url.href.replace(/\/$/, '');
  }
  throw new XthrottleError('usage', `--pushgateway takes an http or https URL, got ${JSON.stringify(text)}`, {
    hint: 'for example --pushgateway http://pushgateway.example:9091',
  });
}

/** Pushes the final state of a short job. Rejects with XthrottleError('unexpected'): worth a warning, no reason to fail a migration. */
export async function pushMetrics(registry: Registry, options: PushOptions): Promise<void> {
  const { url, timeoutMs = 5000, instance = hostname() } = options;
  const gateway = new Pushgateway(parsePushUrl(url), { timeout: timeoutMs, signal: AbortSignal.timeout(timeoutMs) }, registry);
  try {
    // A slash would end the value in the gateway's path, escaped or not.
    const domain = domainLabel(options.domain).replaceAll('/', '_');
    await gateway.push({ jobName: 'xthrottle', groupings: { instance, domain } });
  } catch (error) {
    throw new XthrottleError('unexpected', `can't push metrics to ${new URL(url).host}: ${messageOf(error)}`, { cause: error });
  }
}
