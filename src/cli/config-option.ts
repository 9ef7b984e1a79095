import type { Argv, CommandModule } from 'yargs';

export const DEFAULT_CONFIG = '/etc/xthrottle/xthrottle.conf';

/** A command that reads the configuration file, with the option that names it. */
export function withConfigOption(module: CommandModule): CommandModule {
  const build = module.builder;
  if (typeof build !== 'function') return module;
  return {
    ...module,
    builder: (args: Argv) =>
      (build(args) as Argv).option('config', {
        type: 'string',
        requiresArg: true,
        describe: `take options from this file, --no-config from none [default: ${DEFAULT_CONFIG}, if it is there]`,
      }),
  };
}
