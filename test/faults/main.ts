/** The simulated fault matrix: `npm run faults`. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { optionsOf, refuse, wholeNumber } from '../program.ts';
import { FAULT_KINDS, type FaultKind } from './faults.ts';
import { fuzz } from './fuzz.ts';
import { seedOf } from './rng.ts';
import { type RunReport, simulate } from './run.ts';
import { simulateStock } from './stock.ts';
import { asMarkdown, asText, Table } from './table.ts';

const USAGE = `npm run faults -- [--runs N] [--seed S] [--only FAULT]… [--json FILE] [--markdown FILE]
Injects seeded faults into simulated migrations that go through the real relay, journal, guard and loop, beside stock Xen.
  --runs      how many [default: 1000]
  --seed      everything follows from it [default: a new one, printed]
  --only      this fault; may be repeated: ${FAULT_KINDS.join(', ')}
  --json      the table and the stories of what was violated, into this file
  --markdown  put the table into this file, between its marks
  --fuzz N    feeds every reader N hostile inputs instead
  SEED=n npm run faults: one run by its own seed, with its story`;
/** One run in so many is followed by a migration without faults. */
const LIVENESS_EVERY = 3;
const STORIES_MAX = 20;

const values = optionsOf(USAGE, {
  runs: { type: 'string', default: '1000' },
  seed: { type: 'string' },
  only: { type: 'string', multiple: true },
  json: { type: 'string' },
  markdown: { type: 'string' },
  fuzz: { type: 'string' },
});

const whole = (text: string, name: string): number => wholeNumber(name, text, USAGE);

const kindsOf = (names: readonly string[] | undefined): readonly FaultKind[] | undefined => {
  const unknown = names?.find((name) => !(FAULT_KINDS as readonly string[]).includes(name));
  if (unknown === undefined) return names as readonly FaultKind[] | undefined;
  return refuse(`there is no fault "${unknown}"`, USAGE);
};

function story(report: RunReport): string {
  const { mode, controller, onMiss, capOriginal } = report.setting;
  const about = `${mode}, ${controller}, on-miss ${onMiss}, cap ${capOriginal}; ${report.faults.map(({ kind }) => kind).join(' + ')}`;
  const lines = [...report.violations.map((text) => `VIOLATED: ${text}`), ...report.story];
  return `SEED=${report.seed} (${about}) → ${report.outcome}\n  ${lines.join('\n  ')}\n`;
}

async function matrix(): Promise<void> {
  const runs = whole(values.runs, '--runs');
  const base = values.seed === undefined ? Date.now() % 2 ** 31 : whole(values.seed, '--seed');
  const kinds = kindsOf(values.only);
  const table = new Table();
  const violated: RunReport[] = [];
  const begun = Date.now();
  for (let n = 0; n < runs; n++) {
    const seed = seedOf(base, n);
    const report = await simulate(seed, { liveness: n % LIVENESS_EVERY === 0, ...(kinds === undefined ? {} : { kinds }) });
    table.add(report, await simulateStock(seed, kinds));
    if (report.violations.length === 0) continue;
    violated.push(report);
    if (violated.length <= STORIES_MAX) console.log(story(report));
  }
  console.log(asText(table));
  const seconds = Math.round((Date.now() - begun) / 1000);
  const said = `${runs} runs under seed ${base} in ${seconds} s, ${table.next} of them followed by a migration without faults; ${table.violated} violated`;
  console.log(`\n${said}`);
  if (values.json !== undefined) {
    const rows = [...table.rows.values()];
    writeFileSync(
      values.json,
      `${JSON.stringify({ commit: commit(), seed: base, runs, violated: table.violated, rows, stories: violated }, null, 2)}\n`,
    );
  }
  if (values.markdown !== undefined) writeMarkdown(values.markdown, `${said} (commit ${commit()}).\n\n${asMarkdown(table)}`);
  if (table.violated > 0) process.exitCode = 1;
}

const commit = (): string => execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();

/** Replaces what stands between the marks. */
function writeMarkdown(file: string, text: string): void {
  const [begin, end] = ['<!-- faults: made by npm run faults -- --markdown -->', '<!-- /faults -->'];
  const before = readFileSync(file, 'utf8');
  const [from, to] = [before.indexOf(begin), before.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} has no ${begin} … ${end}`);
  writeFileSync(file, `${before.slice(0, from + begin.length)}\n\n${text}\n\n${before.slice(to)}`);
}

const one = process.env['SEED'];
if (values.fuzz !== undefined) {
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : whole(values.seed, '--seed');
  await fuzz(whole(values.fuzz, '--fuzz'), seed, (text) => console.log(text));
} else if (one !== undefined) {
  const kinds = kindsOf(values.only);
  const report = await simulate(whole(one, 'SEED'), { liveness: true, ...(kinds === undefined ? {} : { kinds }) });
  console.log(story(report));
  console.log(`stock Xen under the same faults: ${await simulateStock(report.seed, kinds)}`);
  if (report.violations.length > 0) process.exitCode = 1;
} else await matrix();
