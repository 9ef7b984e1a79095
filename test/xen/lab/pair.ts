import { compare } from '../../../src/view/compare.ts';
import { showXenCap } from '../../../src/view/human.ts';
import { endOnSignal, type GuestOptions, gapsOf, Lab, type Migrated, migratedOf, PORT } from './lab.ts';

/** One host and the other's address on the private link (pair.sh). */
export interface End {
  readonly lab: Lab;
  readonly other: string;
}

/** Hosts a and b. */
export const PAIR: readonly [End, End] = [
  { lab: new Lab(PORT), other: '192.0.2.2' },
  { lab: new Lab(PORT + 1), other: '192.0.2.1' },
];

/** The guest that stock Xen stops for ten seconds over 16 Mbit/s, and one that writes next to nothing (a page takes it 10 ms of CPU time). */
const BUSY: GuestOptions = { memMib: 96, workingSetMib: 16, rate: 1500 };
const IDLE: GuestOptions = { memMib: 96, workingSetMib: 1, rate: 100 };

/**
 * Higher than on one host: over this link an idle guest's switch-over takes 1.7 s (1.0 s of fixed costs and the 350 pages that a suspension
 * itself dirties), and with a single switch-over to learn from the prediction for a busy one reaches up to 4.1 s at the lowest caps allowed.
 */
const TARGET = '--target-downtime 4500ms --max-stall 250ms';

/** Both hosts, their clocks set alike (the guest's own gap has the difference in it), xthrottle in their dom0s. */
export async function bootPair(): Promise<void> {
  await Lab.pair(PORT, 'start');
  try {
    await Lab.pair(PORT, 'clock', 'set');
    for (const { lab } of PAIR) await lab.deploy();
  } catch (error) {
    await Lab.pair(PORT, 'stop');
    throw error;
  }
}

/** Limits the private link, each way. */
export async function shape(megabits: number): Promise<void> {
  for (const { lab } of PAIR) await lab.must(`tc qdisc replace dev eth1 root tbf rate ${megabits}mbit burst 64k latency 200ms`);
}

export interface Moved extends Migrated {
  /** The longest gap that the guest has reported since it runs at the destination: the switch-over. */
  readonly gapMs: number | undefined;
  /** Its cap there, in Xen's number. */
  readonly capThere: number | undefined;
}

/** `xthrottle migrate` over ssh from one host to the other. */
export async function moveOver(name: string, from: End, to: End, args: string): Promise<Moved> {
  const log = `'/var/log/xen/console/guest-${name}--incoming.log'`;
  await to.lab.must(`rm -f ${log}`);
  const run = migratedOf(await from.lab.sh(`xthrottle migrate ${name} ${from.other} --json ${args}`, 300_000));
  await to.lab.sh('sleep 2');
  const gaps = gapsOf((await to.lab.sh(`cat ${log}`)).stdout);
  return { ...run, gapMs: gaps.length === 0 ? undefined : Math.max(...gaps), capThere: (await to.lab.domains())[name]?.cap };
}

const factsOf = ({ gapMs, capThere }: Moved) => ({
  'gap the guest measured': gapMs === undefined ? 'none of 100 ms or more' : `${Math.round(gapMs)} ms`,
  'cap at the destination': showXenCap(capThere),
});

/**
 * Two emulated hosts, ssh and a shaped link: an idle guest (from which b learns what a switch-over to a costs), then a busy one, stock from
 * a to b and under xthrottle back. Returns xthrottle's exit code.
 */
export async function runPair(keep: boolean): Promise<number> {
  console.error('lab: booting two Xen hosts, joined by a private link');
  const [a, b] = PAIR;
  await bootPair();
  endOnSignal(() => Lab.pair(PORT, 'stop'));
  try {
    await shape(16);
    const say = (text: string) => console.error(`lab: ${text}, over ssh and 16 Mbit/s`);
    await b.lab.guest('idle', IDLE);
    say('an idle guest, b → a as stock Xen does (observed only)');
    const idle = await moveOver('idle', b, a, `--observe ${TARGET}`);
    await a.lab.must('xl destroy idle');
    await a.lab.guest('vm1', BUSY);
    say('a busy guest, a → b as stock Xen does (observed only)');
    const stock = await moveOver('vm1', a, b, `--observe ${TARGET}`);
    say('the same guest, b → a under xthrottle');
    // Where the emulator's fixed costs leave the upper bound above the target, it is still shown what the guest feels.
    const ours = await moveOver('vm1', b, a, `${TARGET} --on-miss proceed`);
    for (const run of [idle, stock, ours]) if (run.summary === undefined) console.error(run.stderr);
    const columns = [
      { title: 'idle guest, stock', records: idle.records, facts: factsOf(idle) },
      { title: 'stock Xen', records: stock.records, facts: factsOf(stock) },
      { title: 'xthrottle', records: ours.records, facts: factsOf(ours) },
    ];
    console.log(compare(columns).join('\n'));
    return ours.code;
  } finally {
    if (keep)
      console.error(
        `lab: left running; PORT=${PORT} (a) or ${PORT + 1} (b) test/xen/lab/dom0.sh 'xl list'; test/xen/lab/pair.sh stop ends it`,
      );
    else await Lab.pair(PORT, 'stop');
  }
}
