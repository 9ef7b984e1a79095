import { compare } from '../../../src/view/compare.ts';
import { gapsOf, Lab, migratedOf, TARGET } from './lab.ts';

/** Where host b answers on the private link (pair.sh). */
const B_ADDRESS = '192.0.2.2';
const A_ADDRESS = '192.0.2.1';
/** The link that stock Xen stops a guest of 1500 pages/s on for ten seconds. */
const SHAPE = 'tc qdisc replace dev eth1 root tbf rate 16mbit burst 64k latency 200ms';

/** Two emulated hosts and a shaped link: stock from a to b, xthrottle back from b to a. Returns xthrottle's exit code. */
export async function runPair(keep: boolean): Promise<number> {
  const port = Number(process.env['PORT'] ?? 2222);
  const a = new Lab(port);
  const b = new Lab(port + 1);
  console.error('lab: booting two Xen hosts');
  await Lab.pair(port, 'start');
  try {
    await Lab.pair(port, 'clock', 'set');
    await Promise.all([a.deploy(), b.deploy()]);
    await a.guest('vm1', { memMib: 96, workingSetMib: 16, rate: 1500 });
    await Promise.all([a.must(SHAPE), b.must(SHAPE)]);
    console.error('lab: a → b as stock Xen does (observed only), over 16 Mbit/s');
    const stock = migratedOf(await a.sh(`xthrottle migrate vm1 ${B_ADDRESS} --json --observe ${TARGET}`, 300_000));
    await b.sh('sleep 1');
    const stockGap = gapsOf(await b.console('vm1', true))[0];
    console.error('lab: b → a under xthrottle, over the same link');
    const ours = migratedOf(await b.sh(`xthrottle migrate vm1 ${A_ADDRESS} --json ${TARGET}`, 300_000));
    await a.sh('sleep 1');
    const ourGap = gapsOf(await a.console('vm1', true))[0];
    const measured = (ms: number | undefined) => ({ 'gap the guest measured': ms === undefined ? '-' : `${Math.round(ms)} ms` });
    for (const run of [stock, ours]) if (run.summary === undefined) console.error(run.stderr);
    const columns = [
      { title: 'stock Xen (a → b)', records: stock.records, facts: measured(stockGap) },
      { title: 'xthrottle (b → a)', records: ours.records, facts: measured(ourGap) },
    ];
    console.log(compare(columns).join('\n'));
    return ours.code;
  } finally {
    if (!keep) await Lab.pair(port, 'stop');
  }
}
