// Runs in the lab's dom0: starts a migration, waits for a moment of it, does a deed to one of its processes, waits until all of it is
// over, and prints what it saw as one JSON object. argv[2]: the plan (InjectorPlan in inject.ts). Plain JavaScript on Node's own modules.
import { spawn } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

const plan = JSON.parse(process.argv[2]);
const POLL_MS = 40;

const VICTIMS = {
  xthrottle: ([, ...args]) => args.some((arg) => arg.endsWith('/dist/src/cli/bin.js')),
  relay: ([, ...args]) => args.some((arg) => arg.endsWith('/relay/relay.js')),
  helper: (args) => basename(args[0]) === 'libxl-save-helper' && args[1] === '--save-domain',
  xl: (args) => basename(args[0]) === 'xl' && args.includes('migrate'),
  // Not the daemon that it leaves to look after the domain.
  receiver: (args, pid) =>
    basename(args[0]) === 'xl' && args.includes('migrate-receive') && readlinkSync(`/proc/${pid}/fd/0`) !== '/dev/null',
  transport: (args) => basename(args[0]) === 'linkrate',
  restorer: (args) => basename(args[0]) === 'libxl-save-helper' && args[1] === '--restore-domain',
  guard: ([, ...args]) => args.some((arg) => arg.endsWith('/guard-main.js')),
};

function pidsOf(name) {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      try {
        const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').slice(0, -1);
        // A zombie has no command line.
        return args.length > 0 && Number(entry) !== process.pid && VICTIMS[name](args, entry) ? [Number(entry)] : [];
      } catch {
        return [];
      }
    });
}

function signal(pids, name) {
  return pids.filter((pid) => {
    try {
      return process.kill(pid, name);
    } catch {
      return false;
    }
  });
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const report = { hit: [], moment: false, held: false, granted: false, hanging: [] };
let linkHeld = [];

const holdLink = () => {
  if (!plan.holdLink || linkHeld.length > 0) return;
  linkHeld = signal(pidsOf('transport'), 'SIGSTOP');
  report.held = linkHeld.length > 0;
};

let deed;
function strike() {
  if (report.moment) return;
  report.moment = true;
  const pids = pidsOf(plan.victim);
  if (plan.deed === 'fill') {
    try {
      for (let n = 0; n < 1024; n++) appendFileSync('/run/xthrottle-fill', Buffer.alloc(1 << 16));
    } catch {
      // ENOSPC: that is what is wanted.
    }
    report.hit = [0];
  } else report.hit = signal(pids, plan.deed === 'stop' ? 'SIGSTOP' : 'SIGKILL');
  deed = (async () => {
    if (plan.deed === 'stop') {
      await sleep(plan.stopMs);
      signal(report.hit, 'SIGCONT');
    } else if (plan.deed === 'cut') {
      await ended;
      await sleep(plan.stopMs);
    } else if (linkHeld.length > 0) await sleep(1000);
    signal(linkHeld, 'SIGCONT');
  })();
}

// What each moment looks like: in xthrottle's records, in xl's own output, or in what the save helper has written.
const RECORDS = {
  'round 0': (o) => o.type === 'progress' && o.round === 0 && o.bytesSent > 8e6,
  'throttled round': (o) => o.type === 'cap-changed' && o.by === 'us' && o.cap.kind === 'capped',
  'suspend request': (o) => o.type === 'suspend-request',
  suspended: (o) => o.type === 'suspended',
};
const TEXTS = {
  'suspend request': 'suspend request via XenBus',
  suspended: 'guest has suspended',
  'hand-over': 'Target has acknowledged transfer',
};
const BYTES = { 'round 0': 8e6, 'throttled round': (plan.memMib + 4) * 2 ** 20 };

const child = spawn('sh', ['-c', `exec ${plan.command}`], { stdio: ['ignore', 'pipe', 'pipe'] });
const output = { stdout: '', stderr: '' };
let line = '';
child.stdout.setEncoding('utf8').on('data', (text) => {
  output.stdout += text;
  const lines = (line + text).split('\n');
  line = lines.pop();
  for (const each of lines) {
    if (!each.startsWith('{')) continue;
    const record = JSON.parse(each);
    if (record.type === 'decision' && !report.moment && /grant|stop-and-copy/.test(record.decision.action)) report.granted = true;
    if (record.type !== 'observation') continue;
    if (record.observation.type === 'suspend-request') holdLink();
    if (RECORDS[plan.moment]?.(record.observation)) strike();
  }
});
child.stderr.setEncoding('utf8').on('data', (text) => {
  output.stderr += text;
  if (plan.stock && output.stderr.includes(TEXTS['suspend request'])) holdLink();
  const wanted = plan.stock || plan.moment === 'hand-over' ? TEXTS[plan.moment] : undefined;
  if (wanted !== undefined && output.stderr.includes(wanted)) strike();
});
const ended = new Promise((resolve) => child.on('exit', (code, name) => resolve({ code, signal: name })));
let over = false;
ended.then(() => {
  over = true;
});

if (plan.moment === 'start') strike();
while (!over && !report.moment && plan.stock && BYTES[plan.moment] !== undefined) {
  for (const pid of pidsOf('helper')) {
    try {
      if (Number(/wchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]) > BYTES[plan.moment]) strike();
    } catch {
      // It has ended.
    }
  }
  await sleep(POLL_MS);
}

const limit = setTimeout(() => {
  report.timedOut = true;
  signal([child.pid], 'SIGKILL');
}, plan.limitMs);
Object.assign(report, await ended);
clearTimeout(limit);
await deed;
signal(linkHeld, 'SIGCONT');
// What it started may outlive it: a killed xthrottle leaves a migration that goes on.
const parts = ['relay', 'helper', 'xl', 'receiver', 'transport', 'restorer', 'guard'];
for (let waited = 0; waited < plan.settleMs; waited += 250) {
  report.hanging = parts.filter((name) => pidsOf(name).length > 0);
  if (report.hanging.length === 0) break;
  await sleep(250);
}
for (const name of report.hanging) signal(pidsOf(name), 'SIGKILL');
const summary = output.stdout.split('\n').findLast((each) => each.startsWith('{"type":"summary"'));
if (summary !== undefined) report.summary = JSON.parse(summary);
report.notes = output.stdout
  .split('\n')
  .filter((each) => each.startsWith('{"type":"note"'))
  .slice(-20);
report.stderr = output.stderr.slice(-6000);
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
