import type { Argv, CommandModule } from 'yargs';
import { EXIT_CODES } from '../core/errors.ts';
import { safeText } from '../view/text.ts';
import { showAction } from '../view/words.ts';
import { loadController } from './load-controller.ts';
import type { Exit } from './main.ts';

const SHOWN_MAX = 50;

interface ReplayArguments {
  readonly trace: string;
  readonly controller?: string | undefined;
  readonly json: boolean;
}

/** `xthrottle replay`: the recorded decisions again, or what another controller would have decided. */
export const replayCommand = (exit: Exit): CommandModule<object, ReplayArguments> => ({
  command: 'replay <trace>',
  describe: 'decide a recorded migration again, with its own or another controller',
  builder: ((args: Argv) =>
    args
      .positional('trace', { type: 'string', demandOption: true, describe: 'a trace file, or what --json printed' })
      .option('controller', { type: 'string', requiresArg: true, describe: 'another controller than the recorded one' })
      .option('json', { type: 'boolean', default: false, describe: 'the result as JSON, one migration a line' })) as unknown as (
    args: Argv,
  ) => Argv<ReplayArguments>,
  handler: async ({ trace, controller, json }) => {
    const [{ replay }, { loadTraces }] = await Promise.all([import('../trace/replay.ts'), import('./load-traces.ts')]);
    for (const migration of (await loadTraces([trace])).migrations) {
      const result = replay(migration.records, await loadController(controller ?? migration.start.controller));
      if (controller === undefined && !result.identical) exit.code = EXIT_CODES.unexpected.code;
      if (json) {
        process.stdout.write(`${JSON.stringify({ id: migration.id, ...result })}\n`);
        continue;
      }
      const others = result.differences.filter((d) => showAction(d.recorded) !== showAction(d.replayed));
      const verdict = result.identical
        ? 'every decision is the same'
        : differing(others.length, result.differences.length, result.compared);
      process.stdout.write(
        `${safeText(migration.start.goal.domain.name)} (${safeText(migration.id)}), ${result.recordedController} → ${result.controller}: ${verdict}\n`,
      );
      if (result.dropped > 0) process.stdout.write(`  ${result.dropped} records were dropped by the recorder\n`);
      if (result.error !== undefined) process.stdout.write(`  the controller failed: ${safeText(result.error)}\n`);
      for (const d of others.slice(0, SHOWN_MAX)) {
        process.stdout.write(
          `  ${(d.atMs / 1000).toFixed(2)} s, ${d.observation.type}: ${showAction(d.recorded)} → ${showAction(d.replayed)} (${safeText(d.replayed.reason.text)})\n`,
        );
      }
      if (others.length > SHOWN_MAX) process.stdout.write(`  and ${others.length - SHOWN_MAX} more: --json has them all\n`);
    }
  },
});

/** Differences in what is done count; another reason for the same is said apart. */
function differing(actions: number, all: number, compared: number): string {
  const reasons = all - actions;
  return `${actions} of ${compared} decisions differ${reasons === 0 ? '' : `; ${reasons} more do the same for another reason`}`;
}

interface ExplainArguments {
  readonly trace: string;
}

/** `xthrottle explain`: a page of plain text for a ticket. */
export const explainCommand = (_exit: Exit): CommandModule<object, ExplainArguments> => ({
  command: 'explain <trace>',
  describe: 'say in plain text what happened in a recorded migration, and why',
  builder: ((args: Argv) =>
    args.positional('trace', { type: 'string', demandOption: true, describe: 'a trace file, or what --json printed' })) as unknown as (
    args: Argv,
  ) => Argv<ExplainArguments>,
  handler: async ({ trace }) => {
    const [{ explain }, { loadTraces }] = await Promise.all([import('../view/explain.ts'), import('./load-traces.ts')]);
    const { migrations, notes } = await loadTraces([trace]);
    for (const migration of migrations) process.stdout.write(`${explain(migration, notes)}\n`);
  },
});
