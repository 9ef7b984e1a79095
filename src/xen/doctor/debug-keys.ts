import { type RunXl, xlOutput } from '../xl-errors.ts';

/**
 * Which domains Xen logs dirty pages of, from `xl debug-keys q; xl dmesg`. The ring may hold several dumps, and the oldest may be cut:
 * of each domain the last block counts. A domain that is not in it is not in the answer.
 */
export function parseLogDirty(dmesg: string): ReadonlyMap<number, boolean> {
  const found = new Map<number, boolean>();
  let domid: number | undefined;
  for (const line of dmesg.split('\n')) {
    const header = /General information for domain (\d+):/.exec(line)?.[1];
    if (header !== undefined) {
      domid = Number(header);
      found.set(domid, false);
    } else if (domid !== undefined && /paging assistance:.*\blog_dirty\b/.test(line)) found.set(domid, true);
    else if (/VCPU information and callbacks for domain/.test(line)) domid = undefined;
  }
  return found;
}

/** The dump is written by an interrupt of Xen's console after the call has returned. */
const DUMP_MS = 500;

/**
 * Asks Xen itself. Intrusive, so only on request: it writes every domain's description to Xen's console ring and, where there is one, to
 * the serial console, which a host with many domains waits for. Throws XthrottleError as xl's answers say.
 */
export async function askLogDirty(xl: RunXl): Promise<ReadonlyMap<number, boolean>> {
  await xlOutput(xl, ['debug-keys', 'q']);
  await new Promise((resolve) => setTimeout(resolve, DUMP_MS));
  return parseLogDirty(await xlOutput(xl, ['dmesg']));
}
