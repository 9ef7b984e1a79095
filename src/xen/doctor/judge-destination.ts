/** Judges a destination by what it answered over ssh. Pure. */
import type { Finding } from '../../core/finding.ts';
import { isCapping } from '../cap-calls.ts';
import type { XenInfo } from '../parse.ts';
import type { DomainConfig } from '../parse-domains.ts';
import { printable, quoted } from '../xl-errors.ts';
import { note, ok, problem, warning } from './judge-host.ts';

export type DestinationFacts =
  | { readonly reached: false; readonly host: string; readonly text: string }
  | {
      readonly reached: true;
      readonly host: string;
      /** undefined: xl did not answer there. */
      readonly info: XenInfo | undefined;
      readonly freeMib: number | undefined;
      /** Names of its domains, in so far as it was told. */
      readonly incoming: readonly string[];
      /** Until its first answer: connection and login. */
      readonly reachedAfterMs: number;
      /** Its wall clock less ours when its first answer arrived: too low by the way here. */
      readonly clockAheadMs: number | undefined;
    };

/** Memory a domain needs beside its own: page tables, vCPUs. xl reckons with some 1 MiB a vCPU and 8 KiB a MiB. */
const overheadMib = (domain: DomainConfig): number => 4 + domain.vcpusMax + domain.targetKib / 1024 / 128;

const CLOCK_APART_MS = 100;

const versionNumber = (version: string): number => {
  const [major = '0', minor = '0'] = version.split('.');
  return Number(major) * 1000 + Number(minor);
};

export function judgeDestination(
  facts: DestinationFacts,
  here: { readonly version: string | undefined; readonly schedulers: readonly string[]; readonly guests: readonly DomainConfig[] },
): readonly Finding[] {
  const check = 'destination';
  const host = printable(facts.host);
  if (!facts.reached) {
    const todo = `ssh -o BatchMode=yes ${host} true must work without a question: ssh-copy-id root@${host}, and accept its host key once`;
    return [problem(check, `${host} is not reached by ssh: ${facts.text}`, todo)];
  }
  if (facts.info === undefined)
    return [problem(check, `${host} is reached, but its xl does not answer`, `ssh ${host} xl info; is it dom0, and are you root there?`)];
  const { version, scheduler } = facts.info;
  const findings: Finding[] = [
    ok(check, `${host} is reached by ssh in ${Math.round(facts.reachedAfterMs)} ms, Xen ${version ?? 'of unknown version'}`),
  ];
  if (version !== undefined && here.version !== undefined && versionNumber(version) < versionNumber(here.version)) {
    const found = `${host} runs Xen ${version}, older than ${here.version} here: Xen only promises to migrate to the same release or a newer one`;
    findings.push(warning(check, found, `upgrade ${host} first, or migrate the other way`));
  }
  if (scheduler !== undefined && !isCapping(scheduler))
    findings.push(note(check, `${host} runs the scheduler ${printable(scheduler)}: a domain's own cap is not in force there`));
  else if (scheduler !== undefined && here.schedulers.length > 0 && !here.schedulers.includes(scheduler)) {
    const found = `${host} runs the scheduler ${scheduler}, here it is ${here.schedulers.join(', ')}: xl may refuse the cap of a domain that has one`;
    findings.push(note(check, found, 'xl list -l DOMAIN shows sched_params; look at them there after the first migration'));
  }
  for (const name of facts.incoming) {
    const base = printable(name.slice(0, -'--incoming'.length));
    findings.push(
      problem(
        check,
        `${printable(name)} is there: unless a migration of ${base} runs, none will succeed`,
        `if none runs: ssh ${host} xl destroy ${quoted(quoted(name))}`,
      ),
    );
  }
  return [...findings, ...judgeRoom(facts.freeMib, here.guests, host), ...judgeClocks(facts.clockAheadMs, host)];
}

function judgeRoom(freeMib: number | undefined, guests: readonly DomainConfig[], host: string): readonly Finding[] {
  const check = 'destination';
  if (freeMib === undefined) return [note(check, `${host} does not say how much memory is free`)];
  const needs = guests.map((guest) => ({
    name: printable(guest.name),
    mib: Math.ceil((guest.targetKib + guest.videoKib) / 1024 + overheadMib(guest)),
  }));
  const tooBig = needs.filter(({ mib }) => mib > freeMib);
  const all = needs.reduce((sum, { mib }) => sum + mib, 0);
  if (tooBig.length > 0) {
    const named = tooBig.map(({ name, mib }) => `${name} needs ${mib}`).join(', ');
    return [
      warning(check, `${host} has ${freeMib} MiB free: ${named}`, `xl list there; xl mem-set shrinks a guest that has a balloon driver`),
    ];
  }
  if (all > freeMib) return [note(check, `${host} has ${freeMib} MiB free: each guest fits, but not all of them (${all} MiB)`)];
  return [ok(check, `${host} has ${freeMib} MiB free${needs.length === 0 ? '' : `; all guests here need ${all}`}`)];
}

function judgeClocks(aheadMs: number | undefined, host: string): readonly Finding[] {
  if (aheadMs === undefined) return [];
  const check = 'destination';
  const apart = Math.round(Math.abs(aheadMs));
  if (apart <= CLOCK_APART_MS) return [ok(check, `the clocks of both hosts agree to ${Math.max(1, apart)} ms`)];
  const found = `the clock of ${host} is ${apart} ms ${aheadMs > 0 ? 'ahead of' : 'behind'} ours: guests see that as a jump`;
  return [warning(check, found, 'timedatectl set-ntp true on both hosts')];
}
