import type { Argv, CommandModule } from 'yargs';
import type { Exit } from './main.ts';

export interface DoctorArguments {
  readonly host?: string | undefined;
  readonly ssh: string;
  readonly deep: boolean;
  readonly json: boolean;
}

const builder = (args: Argv) =>
  args
    .positional('host', { type: 'string', describe: 'a destination to look at too: reached by ssh, Xen, scheduler, free memory, clock' })
    .option('ssh', {
      type: 'string',
      requiresArg: true,
      default: 'ssh',
      describe: 'the command that reaches HOST, as xl migrate -s takes it',
    })
    .option('deep', {
      type: 'boolean',
      default: false,
      describe: "ask Xen which domains it logs dirty pages of (writes a dump to Xen's console ring and its serial console)",
    })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object a line: check, level, found, todo; then the totals' })
    .example('$0 doctor', 'all checks of this host')
    .example('$0 doctor host2', '… and of a destination');

/** `xthrottle doctor`: what would go wrong, and how to mend it. */
export const doctorCommand = (exit: Exit): CommandModule<object, DoctorArguments> => ({
  command: 'doctor [host]',
  describe: 'check all that can go wrong beforehand, and say how to mend it',
  builder: builder as unknown as (args: Argv) => Argv<DoctorArguments>,
  handler: async (argv) => {
    const { doctor } = await import('./run-doctor.ts');
    exit.code = await doctor(argv);
  },
});
