import { messageOf } from '../core/errors.ts';
import { floorFor } from '../core/stall.ts';
import { type Ms, ms, pages } from '../core/units.ts';
import { type Candidate, floorSpeedOf, knownFrom, LOOKS_AT_ONCE } from '../evacuate/candidate.ts';
import { assertLoggable, assertMigratable, describeDomain, listDomains, timedXl } from '../xen/domain.ts';
import type { Xenctrl } from '../xen/libxenctrl.ts';
import type { DomainConfig } from '../xen/parse-domains.ts';
import { probeDomain } from '../xen/probe.ts';
import type { RunXl } from '../xen/xl-errors.ts';
import type { Output } from './output.ts';
import type { Signals } from './signals.ts';

export interface CandidateOptions {
  readonly xl: RunXl;
  readonly deny: readonly string[];
}

/** Every guest of this host, Domain-0 excepted, and why some of them cannot leave. Throws XthrottleError as xl does. */
export async function listCandidates({ xl, deny }: CandidateOptions): Promise<readonly Candidate[]> {
  const domains = await listDomains(xl);
  const guests = domains.filter(({ domid }) => domid !== 0);
  return Promise.all(
    guests.map(async (domain): Promise<Candidate> => {
      const stays = await whyItStays(domain, domains, xl, deny);
      return {
        uuid: domain.uuid,
        name: domain.name,
        domid: domain.domid,
        memoryPages: pages(Math.ceil((domain.targetKib + domain.videoKib) / 4)),
        ...(stays === undefined ? {} : { stays }),
      };
    }),
  );
}

async function whyItStays(
  domain: DomainConfig,
  domains: readonly DomainConfig[],
  xl: RunXl,
  deny: readonly string[],
): Promise<string | undefined> {
  if (deny.includes(domain.name)) return '--deny';
  if (domain.isDriver) return "a driver domain: other guests' devices are served from it";
  try {
    assertMigratable(domain, domains);
    await assertLoggable(domain, xl);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

export interface ProbeAllOptions {
  readonly xl: RunXl;
  readonly xenctrl: Xenctrl;
  readonly durationMs: Ms;
  readonly maxStallMs: Ms;
  readonly tsliceMs: Ms | undefined;
  readonly output: Output;
  readonly signals: Signals;
  /** One that watches all of them is running. */
  readonly guarded: () => Promise<void>;
}

/** Looks at each guest that can leave, several at a time. What cannot be looked at is planned by its size. */
export async function probeCandidates(candidates: readonly Candidate[], options: ProbeAllOptions): Promise<readonly Candidate[]> {
  const { output, signals } = options;
  const stop = new AbortController();
  const subscription = signals.first$.subscribe(() => stop.abort());
  const waiting = candidates.filter(({ stays }) => stays === undefined);
  const seen = new Map<Candidate, Partial<Candidate>>();
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !stop.signal.aborted; next = waiting.shift()) {
      const candidate = next;
      try {
        seen.set(candidate, await look(candidate, stop.signal, options));
      } catch (error) {
        output.say(`${candidate.name}: planned by its size alone: ${messageOf(error)}`, 'warning');
      }
    }
  };
  try {
    await options.guarded();
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, work));
    return candidates.map((candidate) => ({ ...candidate, ...seen.get(candidate) }));
  } finally {
    subscription.unsubscribe();
  }
}

async function look(candidate: Candidate, signal: AbortSignal, options: ProbeAllOptions): Promise<Pick<Candidate, 'dirty' | 'floorSpeed'>> {
  const { xl, xenctrl, durationMs, output } = options;
  const config = (await listDomains(xl)).find(({ uuid, domid }) => uuid === candidate.uuid && domid === candidate.domid);
  if (config === undefined) return {};
  const { facts, scheduler, tsliceMs } = await describeDomain(config, timedXl(xl));
  const note = (text: string): void => output.say(text);
  const { looks, released } = await probeDomain({ domain: facts, xenctrl, durationMs, signal, note, guard: async () => GUARDED });
  if (released.result === 'failed') output.say(`${candidate.name}: LOG-DIRTY IS STILL ON: ${released.text}: xthrottle restore`, 'error');
  const known = knownFrom(looks);
  if (known === undefined) return {};
  const { demandPercent, ...dirty } = known;
  const floor = floorFor(options.maxStallMs, facts.activeVcpus, scheduler, ms(Math.min(tsliceMs, options.tsliceMs ?? tsliceMs)));
  return { dirty, ...floorSpeedOf(floor, demandPercent) };
}

/** The host's guard watches all of them. */
const GUARDED = { pid: process.pid, alive: () => true, dismiss: async () => undefined } as const;
