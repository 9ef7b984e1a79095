import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Preload } from './helper.ts';
import { decodeRequest, encodeReply, POLICY_PROTOCOL, type PolicyRequest, REQUEST_BYTES, stockAnswer } from './policy-wire.ts';
import type { PolicyAnswer } from './protocol.ts';

type Found = { readonly preload: Preload } | { readonly missing: string };

/**
 * The policy object to load for this Xen, or why there is none. In this order: XTHROTTLE_POLICY alone; the one beside us (a program
 * that is not the relay says where that is); the one in the
 * state directory, which the Debian package's build-policy makes for the Xen that is installed.
 */
export function findPolicy(xen: string | undefined, besideUs = fileURLToPath(new URL('policy.so', import.meta.url))): Found {
  const named = process.env['XTHROTTLE_POLICY'];
  if (named !== undefined && named !== '') return policyAt(named, xen);
  const beside = policyAt(besideUs, xen);
  if ('preload' in beside) return beside;
  const built = join(process.env['XTHROTTLE_STATE'] || '/var/lib/xthrottle', 'policy.so');
  return existsSync(built) ? policyAt(built, xen) : beside;
}

function policyAt(path: string, xen: string | undefined): Found {
  // ld.so takes spaces and colons for separators.
  if (/[\s:]/.test(path)) return { missing: `the policy object's path ${path} has a space or a colon` };
  if (!existsSync(path))
    return { missing: 'the policy object is not built (npm run build:policy; in the Debian package: /usr/lib/xthrottle/build-policy)' };
  const stamp = stampOf(`${path}.json`);
  if (stamp === undefined)
    return { missing: `${path}.json, which says what the policy object was built for, is not there or not readable` };
  if (stamp.protocol !== POLICY_PROTOCOL) return { missing: 'the policy object is of another version of xthrottle: build it again' };
  if (xen === undefined || stamp.xen !== xen)
    return { missing: `the policy object was built for Xen ${stamp.xen}, this is ${xen ?? 'no Xen'}` };
  return { preload: { path, environment: (fd) => ({ XTHROTTLE_POLICY_FD: String(fd) }) } };
}

function stampOf(path: string): { readonly xen: unknown; readonly protocol: unknown } | undefined {
  try {
    const stamp: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof stamp === 'object' && stamp !== null ? { xen: undefined, protocol: undefined, ...stamp } : undefined;
  } catch {
    return undefined;
  }
}

export type PolicyQuestion = Extract<PolicyRequest, { kind: 'query' }>;

/** Serves the object; rubbish ends the channel, after which the object answers as stock. */
export function servePolicy(
  channel: Duplex,
  on: { hello(refusal: number): void; query(question: PolicyQuestion, answer: (answer: PolicyAnswer) => void): void },
): void {
  let rest: Buffer = Buffer.alloc(0);
  channel.on('error', () => undefined);
  channel.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= REQUEST_BYTES && !channel.destroyed) {
      const request = decodeRequest(Buffer.from(rest.subarray(0, REQUEST_BYTES)));
      rest = Buffer.from(rest.subarray(REQUEST_BYTES));
      if (request === undefined) channel.destroy();
      else if (request.kind === 'hello') on.hello(request.refusal);
      else {
        on.query(request, (answer) => {
          if (channel.writable) channel.write(encodeReply(request.id, answer));
        });
      }
    }
  });
}

export const stockAnswerTo = (question: PolicyQuestion): PolicyAnswer => stockAnswer(question.iteration, question.dirtyCount);
