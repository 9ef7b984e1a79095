import { ms } from '../core/units.ts';
import { parseDomainRows, parseSched } from './parse.ts';
import { createXl } from './xl.ts';

/** A login and three calls of xl, on a slow host. */
const TIMEOUT_MS = ms(20_000);
const MARK = 'xthrottle-caps';
/** Which scheduler it has there, we don't know: the other one's table is empty. */
const REMOTE = `xl list -v; echo ${MARK}; xl sched-credit; xl sched-credit2`;

/** The transport as `xl migrate` takes it (`-s`, ssh by default); undefined where the destination is a command of its own (`-s ''`). */
export function transportOf(xlOptions: readonly string[]): string | undefined {
  let transport = 'ssh';
  xlOptions.forEach((option, i) => {
    if (option === '-s') transport = xlOptions[i + 1] ?? '';
    else if (/^-s./.test(option)) transport = option.slice(2);
  });
  return transport.trim() === '' ? undefined : transport;
}

/** Xen's number for the cap of the domain with this UUID, in what the remote commands printed; undefined when it is not told. */
export function readCap(stdout: string, uuid: string): number | undefined {
  const [list = '', caps = ''] = stdout.split(`${MARK}\n`);
  const found = parseDomainRows(list).findLast((row) => row.uuid === uuid);
  return found === undefined ? undefined : parseSched(caps, found.domid)?.cap;
}

/** Words without anything that a shell would do something with. */
const PLAIN = /^[\w@%+=:,./[\]-]+$/;

/**
 * Looks up a domain's cap at the destination, over the way that xl has just taken. xl gives transport and host to a shell; here none is
 * started, and a transport that would need one (quotes, variables) is not taken. Never throws; undefined when there is no such way, or no answer.
 */
export async function capAtDestination(destination: string, xlOptions: readonly string[], uuid: string): Promise<number | undefined> {
  const words = transportOf(xlOptions)?.trim().split(/\s+/) ?? [];
  const [program, ...args] = words;
  if (program === undefined || destination.startsWith('-') || ![...words, destination].every((word) => PLAIN.test(word))) return undefined;
  const transport = createXl({ binary: program, timeoutMs: TIMEOUT_MS });
  const answer = await transport([...args, destination, REMOTE]).catch(() => undefined);
  return answer === undefined ? undefined : readCap(answer.stdout, uuid);
}
