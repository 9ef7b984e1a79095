/**
 * The dead man's switch: `node guard-main.js STATE-DIRECTORY OWNER-JSON`, started by xthrottle before its first change, in a session of
 * its own, with a pipe on stdin that xthrottle alone holds open. A `bye` line ends it. The pipe closing without one means that xthrottle
 * died (SIGKILL, OOM, a crash): then it puts back what that process's journals say.
 *
 * It lives outside our process group. Under systemd it is in the unit's cgroup: it ignores SIGTERM, so the default KillMode lets it
 * finish within TimeoutStopSec; `ExecStopPost=xthrottle restore` covers the rest.
 */
import { writeFileSync } from 'node:fs';
import type { Owner } from './owner.ts';
import { plainXl } from './plain-xl.ts';
import { isLeft, restoreLeftovers } from './restore.ts';

/** With the growing pauses between them these are some three minutes. */
const ATTEMPTS = 16;
/** An xl call that the dead process had under way may still land after our own. */
const SETTLE_MS = 1500;
/** How long a migration is waited for: a day. */
const IN_USE_MS = 5000;
const IN_USE_LOOKS = 17_280;

const [directory = '', ownerJson = '{}'] = process.argv.slice(2);

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
try {
  // The last to be chosen when memory runs out: it is what undoes the change then.
  writeFileSync('/proc/self/oom_score_adj', '-1000');
} catch {
  // Not root, or no such file: no harm.
}

let said = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text: string) => {
  said = (said + text).slice(-16);
  if (said.includes('bye\n')) process.exit(0);
});
process.stdin.on('end', () => void restore());
process.stdin.on('error', () => void restore());
process.stdout.write('ready\n', () => undefined);
process.stdout.on('error', () => undefined);

async function restore(): Promise<void> {
  const owner = JSON.parse(ownerJson) as Owner;
  const restoreAll = () => restoreLeftovers({ xl: plainXl(), directory, owner, attempts: ATTEMPTS, settleMs: SETTLE_MS });
  let outcomes = await restoreAll();
  // Log-dirty mode that a migration has taken over: that turns it off at its end, but not when it is killed.
  for (let look = 0; look < IN_USE_LOOKS && outcomes.some(({ verdict }) => verdict === 'in-use'); look++) {
    await new Promise((resolve) => setTimeout(resolve, IN_USE_MS));
    outcomes = await restoreAll();
  }
  process.exit(outcomes.some(isLeft) ? 9 : 0);
}
