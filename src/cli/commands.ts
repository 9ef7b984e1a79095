import type { CommandModule } from 'yargs';
import { completionCommand } from './completion.ts';
import { withConfigOption } from './config-option.ts';
import { doctorCommand } from './doctor.ts';
import { evacuateCommand } from './evacuate.ts';
import type { Exit } from './main.ts';
import { migrateCommand } from './migrate.ts';
import { probeCommand } from './probe.ts';
import { reportCommand } from './report.ts';
import { restoreCommand } from './restore.ts';
import { simulateCommand } from './simulate.ts';
import { explainCommand, replayCommand } from './traces.ts';
import { watchCommand } from './watch.ts';

/** Every command, in the order of help. Help, man page, completion and configuration file are made from these. */
export const commandModules = (exit: Exit): readonly CommandModule[] =>
  [
    withConfigOption(watchCommand(exit) as unknown as CommandModule),
    withConfigOption(migrateCommand(exit) as unknown as CommandModule),
    withConfigOption(evacuateCommand(exit) as unknown as CommandModule),
    simulateCommand(exit),
    restoreCommand(exit),
    doctorCommand(exit),
    probeCommand(exit),
    replayCommand(exit),
    explainCommand(exit),
    reportCommand(exit),
    completionCommand(exit),
  ] as unknown as readonly CommandModule[];
