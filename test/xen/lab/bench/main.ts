/** Controllers compared on real Xen: `npm run bench:xen`; the lab must be able to run here (see ../README.md). */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../../../src/core/errors.ts';
import { optionsOf, pattern, wholeNumber } from '../../../program.ts';
import { Lab, prepareLab, whyNoLab } from '../lab.ts';
import { intoFile, Results } from '../results.ts';
import { type Cell, cells, idleIdOf, QUICK } from './cells.ts';
import { type Measured, measure, targetOver, warmUp } from './measure.ts';
import { lineOf, markdownOf } from './table.ts';

const USAGE = `npm run bench:xen -- [--quick] [--only PATTERN] [--minutes N] [--again] [--json FILE] [--traces DIR] [--markdown FILE] [--list]
Boots real Xen in QEMU and migrates guests of several kinds over two links, as stock and under three controllers, measured by the guest's
own clock; beside it the simulated host on the same parameters. The target is 2.5 s or, where that is more, half as much again as that
link's idle guest stood at this commit. Cells done at this commit are skipped.
  --quick     a sample of at most five minutes
  --only      those whose name matches this regular expression
  --minutes   begin no further cell after so long; 0: only the table of what was run before
  --again     also those that are done at this commit
  --json      where results are kept [default: node_modules/.cache/bench-xen.json]
  --traces    keep each cell's trace in this folder, for \`xthrottle report\`
  --markdown  put the table into this file, between its marks
  --list      name the cells, and whether they are done`;
const MARKS = ['<!-- bench:xen begin -->', '<!-- bench:xen end -->'] as const;

const values = optionsOf(USAGE, {
  quick: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  minutes: { type: 'string', default: '1000000' },
  again: { type: 'boolean', default: false },
  json: { type: 'string', default: 'node_modules/.cache/bench-xen.json' },
  traces: { type: 'string' },
  markdown: { type: 'string' },
  list: { type: 'boolean', default: false },
});
const minutes = wholeNumber('--minutes', values.minutes, USAGE);

function keepTrace({ id }: Cell, trace: string): void {
  if (values.traces === undefined) return;
  mkdirSync(values.traces, { recursive: true });
  writeFileSync(join(values.traces, `${id.replaceAll(/[^a-z0-9]+/gi, '-')}.jsonl`), trace);
}

/** By the idle guest of this very commit: another day's emulator may have been faster. */
function targetOf(cell: Cell, results: Results<Measured>): number {
  const idle = idleIdOf(cell);
  return targetOver(results.isDone(idle) ? results.get(idle)?.gapMs : undefined);
}

/** Returns false when a cell could not be measured. */
async function run(wanted: readonly Cell[], results: Results<Measured>): Promise<boolean> {
  const until = Date.now() + minutes * 60_000;
  const lab = new Lab(Number(process.env['PORT'] ?? 2222));
  let isWhole = true;
  prepareLab();
  await lab.boot();
  try {
    await lab.deploy();
    await warmUp(lab);
    for (const cell of wanted) {
      if (Date.now() > until) break;
      try {
        const measured = await measure(lab, cell, { targetMs: targetOf(cell, results), keep: (trace) => keepTrace(cell, trace) });
        results.add(measured);
        console.log(lineOf(measured));
      } catch (error) {
        isWhole = false;
        console.error(`${cell.id}: not measured: ${messageOf(error)}`);
      }
    }
  } finally {
    await lab.stop();
  }
  return isWhole;
}

const results = new Results<Measured>(values.json);
const only = pattern('--only', values.only, USAGE);
const asked = cells.filter(({ id }) => only.test(id) && (!values.quick || QUICK.includes(id)));
if (values.list)
  for (const { id } of asked) console.log(`${results.isDone(id) ? 'done' : results.get(id) === undefined ? '    ' : 'old '} ${id}`);
else {
  const wanted = minutes === 0 ? [] : asked.filter(({ id }) => values.again || !results.isDone(id));
  const why = wanted.length === 0 ? undefined : whyNoLab();
  if (why !== undefined) {
    console.error(`the lab cannot run here: ${why}`);
    process.exit(1);
  }
  if (wanted.length > 0 && !(await run(wanted, results))) process.exitCode = 1;
  if (values.markdown !== undefined) intoFile(values.markdown, MARKS, markdownOf(results.all));
  else if (results.all.length > 0) console.log(`\n${markdownOf(results.all)}`);
}
