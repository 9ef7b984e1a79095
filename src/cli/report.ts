import { writeFile } from 'node:fs/promises';
import type { Argv, CommandModule } from 'yargs';
import { messageOf, XthrottleError } from '../core/errors.ts';
import type { Exit } from './main.ts';

interface ReportArguments {
  readonly traces: readonly string[];
  readonly output: string;
}

/** `xthrottle report`: one self-contained HTML page. */
export const reportCommand = (_exit: Exit): CommandModule<object, ReportArguments> => ({
  command: 'report <traces..>',
  describe: 'make one self-contained HTML page of recorded migrations',
  builder: ((args: Argv) =>
    args.positional('traces', { type: 'string', array: true, demandOption: true, describe: 'trace files' }).option('output', {
      alias: 'o',
      type: 'string',
      requiresArg: true,
      default: 'report.html',
      describe: 'where the page goes',
    })) as unknown as (args: Argv) => Argv<ReportArguments>,
  handler: async ({ traces, output }) => {
    const [{ report }, { loadTraces }] = await Promise.all([import('../view/report.ts'), import('./load-traces.ts')]);
    const { migrations, notes } = await loadTraces(traces);
    const html = report(migrations, { notes });
    try {
      await writeFile(output, html);
    } catch (error) {
      throw new XthrottleError('usage', `cannot write ${output}: ${messageOf(error)}`, {
        cause: error,
        hint: 'name another file with --output',
      });
    }
    process.stderr.write(`xthrottle: ${output}, ${Math.round(html.length / 1024)} KiB\n`);
  },
});
