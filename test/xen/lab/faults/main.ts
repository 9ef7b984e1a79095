/** The fault matrix on real Xen: `npm run faults:xen`; the lab must be able to run here (see ../README.md). */
import { messageOf } from '../../../../src/core/errors.ts';
import { optionsOf, pattern, wholeNumber } from '../../../program.ts';
import { Lab, prepareLab, whyNoLab } from '../lab.ts';
import { intoFile, Results } from '../results.ts';
import { type Cell, cells, SAMPLE } from './cells.ts';
import { installInjector } from './inject.ts';
import { lostIn } from './judge.ts';
import { type Facts, runCell } from './run-cell.ts';
import { lineOf, markdownOf } from './table.ts';

const USAGE = `npm run faults:xen -- [--cells N|all|sample] [--only PATTERN] [--minutes N] [--again] [--json FILE] [--markdown FILE] [--list]
Boots real Xen in QEMU and strikes one process of a migration at one moment, cell by cell. Cells done at this commit are skipped.
  --cells     how many more to run; sample: those that CI runs [default: all]
  --only      those whose name matches this regular expression
  --minutes   begin no further cell after so long
  --again     also those that are done at this commit
  --json      where results are kept [default: node_modules/.cache/faults-xen.json]
  --markdown  put the table into this file, between its marks; alone with --cells 0: of what was run before
  --list      name the cells, and whether they are done`;
const MARKS = ['<!-- faults:xen begin -->', '<!-- faults:xen end -->'] as const;

const values = optionsOf(USAGE, {
  cells: { type: 'string', default: 'all' },
  only: { type: 'string', default: '' },
  minutes: { type: 'string', default: '1000000' },
  again: { type: 'boolean', default: false },
  json: { type: 'string', default: 'node_modules/.cache/faults-xen.json' },
  markdown: { type: 'string' },
  list: { type: 'boolean', default: false },
});

function chosen(results: Results<Facts>): readonly Cell[] {
  const only = pattern('--only', values.only, USAGE);
  const wanted = cells.filter(({ id }) => only.test(id) && (values.cells !== 'sample' || SAMPLE.includes(id)));
  if (values.list) return wanted;
  const open = wanted.filter(({ id }) => values.again || !results.isDone(id));
  return values.cells === 'all' || values.cells === 'sample' ? open : open.slice(0, wholeNumber('--cells', values.cells, USAGE));
}

async function run(wanted: readonly Cell[], results: Results<Facts>): Promise<boolean> {
  const lab = new Lab(Number(process.env['PORT'] ?? 2222));
  const until = Date.now() + wholeNumber('--minutes', values.minutes, USAGE) * 60_000;
  let lost = false;
  let before: Facts | undefined;
  prepareLab();
  const start = async () => {
    await lab.boot();
    await lab.deploy();
    await installInjector(lab);
  };
  await start();
  try {
    for (const cell of wanted) {
      if (Date.now() > until) break;
      const begun = Date.now();
      try {
        const facts = await runCell(lab, cell, before);
        before = facts;
        results.add(facts);
        lost ||= !cell.stock && lostIn(cell, facts).length > 0;
        console.log(`${lineOf(cell, facts)} (${Math.round((Date.now() - begun) / 1000)} s)`);
      } catch (error) {
        // The lab itself is broken: nothing is known of this cell, and the next one begins in a new one.
        console.error(`${cell.id}: not done: ${messageOf(error)}`);
        before = undefined;
        await lab.stop();
        await start();
      }
    }
  } finally {
    await lab.stop();
  }
  return lost;
}

const results = new Results<Facts>(values.json);
const wanted = chosen(results);
if (values.list)
  for (const { id } of wanted) console.log(`${results.isDone(id) ? 'done' : results.get(id) === undefined ? '    ' : 'old '} ${id}`);
else {
  const why = wanted.length === 0 ? undefined : whyNoLab();
  if (why !== undefined) {
    console.error(`the lab cannot run here: ${why}`);
    process.exit(1);
  }
  if (wanted.length > 0 && (await run(wanted, results))) process.exitCode = 1;
  if (values.markdown !== undefined) intoFile(values.markdown, MARKS, markdownOf(results.all));
}
