/**
 * The relay: runs as libxl's save helper in front of the real one, passes everything on, tells xthrottle what happens and asks it for
 * leave to suspend. Page data never comes through here. Started by front.sh; only Node's own modules, because every migration waits
 * for it to start.
 */
import { becomeHelper, endAs, exitOf, jobOf, startHelper, xenVersion } from './helper.ts';
import { held } from './hold.ts';
import { dial } from './link.ts';
import { findPolicy } from './policy-channel.ts';
import { Relay } from './run.ts';

/** A server on this host that does not take a connection at once is not there. */
const DIAL_WAIT_MS = 1000;

async function main(args: readonly string[]): Promise<void> {
  const path = process.env['XTHROTTLE_REAL_HELPER'];
  const socketPath = process.env['XTHROTTLE_SOCKET'];
  if (path === undefined) throw new Error('XTHROTTLE_REAL_HELPER is not set: the relay is started by front.sh');
  const job = jobOf(args);
  if (job !== undefined && !(await held(process.env['XTHROTTLE_HOLD'], job.domid))) throw new Error('ended before the first round');
  const socket = job === undefined || socketPath === undefined ? undefined : await dial(socketPath, DIAL_WAIT_MS);
  if (job === undefined || socket === undefined) return becomeHelper(path, args);
  const xen = xenVersion();
  const policy = findPolicy(xen);
  const helper = await startHelper(path, job, 'preload' in policy ? policy.preload : undefined);
  const exited = exitOf(helper.process);
  const relay = new Relay({ job, helper, socket, xen, policyMissing: 'missing' in policy ? policy.missing : undefined });
  const exit = await exited;
  await relay.end(exit);
  endAs(exit);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`xthrottle: the relay cannot run the save helper: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(127);
});
