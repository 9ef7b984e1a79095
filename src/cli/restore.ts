import type { Argv, CommandModule } from 'yargs';
import { EXIT_CODES, XthrottleError } from '../core/errors.ts';
import type { Exit } from './main.ts';

interface Arguments {
  readonly domain?: string | undefined;
  readonly all: boolean;
  readonly 'log-dirty': boolean;
  readonly half: boolean;
  readonly resume: boolean;
  readonly json: boolean;
  readonly textfile?: string | undefined;
}

/** `xthrottle restore`: puts back the caps (and timeslices) that a dead xthrottle left. */
export const restoreCommand = (exit: Exit): CommandModule<object, Arguments> => ({
  command: 'restore [domain]',
  describe: 'put back the caps that a dead xthrottle left',
  builder: ((args: Argv) =>
    args
      .positional('domain', { type: 'string', describe: 'only this domain: name, domid or UUID' })
      .option('all', { type: 'boolean', default: false, describe: 'also what a living xthrottle holds; it then lets go of the domain' })
      .option('log-dirty', {
        type: 'boolean',
        default: false,
        describe: "turn off DOMAIN's log-dirty mode too, whoever left it on; never under a migration",
      })
      .option('half', {
        type: 'boolean',
        default: false,
        describe: 'destroy DOMAIN--incoming too, the half that a lost migration left here; never one that runs or is being received',
      })
      .option('resume', {
        type: 'boolean',
        default: false,
        describe: 'resume DOMAIN too, which a lost migration left suspended here; only if it does not run at the destination',
      })
      .option('textfile', {
        type: 'string',
        requiresArg: true,
        describe: "correct what migrate --textfile left in this directory of node_exporter's textfile collector",
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON object a line' })) as unknown as (
    args: Argv,
  ) => Argv<Arguments>,
  handler: async ({ domain, all, json, textfile, 'log-dirty': logDirty, half, resume }) => {
    if ((logDirty || half || resume) && domain === undefined) {
      const option = logDirty ? '--log-dirty' : half ? '--half' : '--resume';
      throw new XthrottleError('usage', `${option} needs a domain`, { hint: `xthrottle restore DOMAIN ${option}` });
    }
    const [{ isLeft, restoreLeftovers, restoreLogDirtyOf }, { createXl }] = await Promise.all([
      import('../xen/restore.ts'),
      import('../xen/xl.ts'),
    ]);
    const xl = createXl();
    const left = await restoreLeftovers({ xl, all, ...(domain === undefined ? {} : { domain }) });
    const outcomes = [...left];
    if (domain !== undefined && logDirty) outcomes.push(await restoreLogDirtyOf(domain, xl));
    if (domain !== undefined && resume) outcomes.push(await (await import('../xen/resume.ts')).resumeNamed(domain, xl));
    if (domain !== undefined && half) outcomes.push(await (await import('../xen/half.ts')).destroyHalf(domain, xl));
    for (const outcome of outcomes) {
      process.stdout.write(
        json
          ? `${JSON.stringify(outcome)}\n`
          : `${outcome.what}: ${outcome.text}\n${outcome.hint === undefined ? '' : `  → ${outcome.hint}\n`}`,
      );
    }
    if (outcomes.length === 0 && !json) process.stdout.write('no cap was left behind\n');
    if (textfile !== undefined) {
      const { settle } = await import('./settle.ts');
      for (const name of await settle(textfile, outcomes, domain))
        process.stderr.write(`xthrottle: ${name} says now that the cap is back\n`);
    }
    if (outcomes.some(isLeft)) exit.code = EXIT_CODES.capNotRestored.code;
  },
});
