import { parseArgs } from 'node:util';
import { XthrottleError } from '../../src/core/index.ts';

export interface BenchArguments {
  readonly quick: boolean;
  readonly seed: number;
  readonly jobs: number | undefined;
  readonly html: string | undefined;
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly only: readonly string[] | undefined;
  readonly explain: string | undefined;
}

export const HELP = `npm run bench -- [options]

  --quick           one seed per shipped scenario, fewer drawn ones and rows: within 40 s on two CPUs
  --seed N          everything follows from it (default: a new one, printed)
  --only A,B        only these rows (names as in the table)
  --explain ROW     also one line a case for that row, the worst first
  --html FILE       a self-contained page with charts
  --json FILE       { tuned, heldOut } → per controller; lost work against auto-converge, geometric means where both attain:
                    lostWorkVsAutoConvergeAll over all of these (N: nBothAttain), lostWorkVsAutoConverge (and plannerVsAutoConverge)
                    over those where either throttled (N: nBothAttainThrottled); totalTimeVsAutoConverge over nBothAttain
  --markdown FILE   replaces the benchmark's section in FILE, between its markers
  --jobs N          threads (default: one per CPU)
`;

/** Throws XthrottleError('usage'). */
export function parseArguments(argv: readonly string[], newSeed: () => number): BenchArguments | undefined {
  const { values } = parsed(argv);
  if (values.help === true) return undefined;
  return {
    quick: values.quick === true,
    seed: whole('--seed', values.seed, 0) ?? newSeed(),
    jobs: whole('--jobs', values.jobs, 1),
    html: values.html,
    json: values.json,
    markdown: values.markdown,
    explain: values.explain,
    only: values.only?.split(',').map((name) => name.trim()),
  };
}

function parsed(argv: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...argv],
      options: { quick: flag, help: flag, seed: text, jobs: text, html: text, json: text, markdown: text, only: text, explain: text },
    });
  } catch (cause) {
    throw new XthrottleError('usage', cause instanceof Error ? cause.message : String(cause), { hint: HELP, cause });
  }
}

function whole(name: string, value: string | undefined, min: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value) && Number(value) >= min) return Number(value);
  throw new XthrottleError('usage', `${name} takes a whole number of at least ${min} and at most nine digits, got ${value}`, {
    hint: HELP,
  });
}
