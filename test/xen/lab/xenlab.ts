import { compare } from '../../../src/view/compare.ts';
import { optionsOf } from '../../program.ts';
import { BUSY, endOnSignal, gapsOf, Lab, type Migrated, PORT, prepareLab, TARGET, whyNoLab } from './lab.ts';
import { runPair } from './pair.ts';

const USAGE = `npm run xenlab [-- --pair] [-- --keep]
Boots real Xen in QEMU (software emulation) and migrates a busy guest twice: stock, and under xthrottle.
  --pair   between two emulated hosts, over ssh and a shaped link
  --keep   leave the lab running; it says how to get in`;

async function single(keep: boolean): Promise<number> {
  const lab = new Lab(PORT);
  console.error('lab: booting Xen');
  await lab.boot();
  endOnSignal(() => lab.stop());
  try {
    await lab.deploy();
    await lab.guest('vm1', BUSY);
    console.error('lab: migrating as stock Xen does (observed only)');
    const stock = await lab.migrate('vm1', { args: `--observe ${TARGET}` });
    const stockGap = await gap(lab);
    const seen = gapsOf(await lab.console('vm1', true)).length;
    console.error('lab: migrating under xthrottle');
    // Where the emulator's fixed costs leave the upper bound above the target, it is still shown what the guest feels.
    const ours = await lab.migrate('vm1', { args: `${TARGET} --on-miss proceed` });
    const ourGap = await gap(lab, seen);
    show(stock, stockGap, ours, ourGap);
    return ours.code;
  } finally {
    if (keep) console.error(`lab: left running; test/xen/lab/dom0.sh 'xl list' (PORT=${lab.port}), test/xen/lab/stop.sh ends it`);
    else await lab.stop();
  }
}

/** The switch-over as the guest's own clock saw it: the longest gap it reported after the first `seen`. */
async function gap(lab: Lab, seen = 0): Promise<number | undefined> {
  await lab.sh('sleep 1');
  const gaps = gapsOf(await lab.console('vm1', true)).slice(seen);
  return gaps.length === 0 ? undefined : Math.max(...gaps);
}

function show(stock: Migrated, stockGap: number | undefined, ours: Migrated, ourGap: number | undefined): void {
  const measured = (ms: number | undefined) => ({
    'gap the guest measured': ms === undefined ? 'none of 100 ms or more' : `${Math.round(ms)} ms`,
  });
  for (const run of [stock, ours]) if (run.summary === undefined) console.error(run.stderr);
  const columns = [
    { title: 'stock Xen', records: stock.records, facts: measured(stockGap) },
    { title: 'xthrottle', records: ours.records, facts: measured(ourGap) },
  ];
  console.log(compare(columns).join('\n'));
}

const values = optionsOf(USAGE, { pair: { type: 'boolean' }, keep: { type: 'boolean' } });
const why = whyNoLab();
if (why !== undefined) {
  console.error(`the lab cannot run here: ${why}`);
  process.exit(1);
}
prepareLab();
process.exitCode = await (values.pair === true ? runPair(values.keep === true) : single(values.keep === true));
