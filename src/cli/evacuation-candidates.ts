import { messageOf } from '../core/errors.ts';
import { findingsOf } from '../core/probe.ts';
import { type Ms, pages } from '../core/units.ts';
import type { Candidate, DirtyKnown } from '../evacuate/candidate.ts';
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
  readonly output: Output;
  readonly signals: Signals;
  /** One that watches all of them is running. */
  readonly guarded: () => Promise<void>;
}

/** Looks at each guest that can leave, one after the other. What cannot be looked at is planned by its size. */
export async function probeCandidates(candidates: readonly Candidate[], options: ProbeAllOptions): Promise<readonly Candidate[]> {
  const { output, signals } = options;
  const stop = new AbortController();
  const subscription = signals.first$.subscribe(() => stop.abort());
  const probed: Candidate[] = [];
  try {
    for (const candidate of candidates) {
      if (candidate.stays !== undefined || stop.signal.aborted) {
        probed.push(candidate);
        continue;
      }
      try {
        const dirty = await look(candidate, stop.signal, options);
        probed.push(dirty === undefined ? candidate : { ...candidate, dirty });
      } catch (error) {
        output.say(`${candidate.name}: planned by its size alone: ${messageOf(error)}`, 'warning');
        probed.push(candidate);
      }
    }
    return probed;
  } finally {
    subscription.unsubscribe();
  }
}

async function look(candidate: Candidate, signal: AbortSignal, options: ProbeAllOptions): Promise<DirtyKnown | undefined> {
  const { xl, xenctrl, durationMs, output, guarded } = options;
  const config = (await listDomains(xl)).find(({ uuid, domid }) => uuid === candidate.uuid && domid === candidate.domid);
  if (config === undefined) return undefined;
  const { facts } = await describeDomain(config, timedXl(xl));
  await guarded();
  const { looks } = await probeDomain({ domain: facts, xenctrl, durationMs, signal, note: (text) => output.say(text) });
  const findings = findingsOf(looks);
  return findings === undefined
    ? undefined
    : {
        pagesPerSecond: Math.round(findings.dirtyRate),
        workingSetPages: Math.round(workingSetOf(findings.dirtyRate, findings.workingSet)),
      };
}

/** A curve that has not levelled off within the look goes on: twice of what was seen is as good a guess as any, and it can only be more. */
const workingSetOf = (rate: number, set: { readonly pages: number; readonly levelledOff: boolean }): number =>
  Math.max(rate, set.levelledOff ? set.pages : 2 * set.pages);
