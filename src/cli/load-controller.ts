import { pathToFileURL } from 'node:url';
import { asController, controllerByName } from '../../controllers/registry.ts';
import { type Controller, checkControllerOptions } from '../core/controller.ts';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { type GoalArguments, goalOptionsOf } from './options.ts';

/** A path is explicit: it begins with `/`, `./` or `../`. A name never loads a file. */
const isPath = (text: string): boolean => /^\.{0,2}\//.test(text);

/**
 * The controller of that name, or the default export of a user's own module at an explicit path. Its decisions pass through the same bounds
 * as everybody's. Throws XthrottleError('usage') for an unknown name, a module that cannot be loaded or does not keep the contract.
 */
export async function loadController(nameOrPath: string): Promise<Controller> {
  if (!isPath(nameOrPath)) return controllerByName(nameOrPath);
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(nameOrPath).href)) as { readonly default?: unknown };
  } catch (error) {
    throw new XthrottleError('usage', `cannot load the controller ${nameOrPath}: ${messageOf(error)}`, {
      cause: error,
      hint: 'give the path of an ES module (.js, .mjs) whose default export is a controller',
    });
  }
  return asController(module.default);
}

/** The controllers of one command, and its `--controller-option`s fit them. Throws XthrottleError('usage'). */
export async function loadControllers(
  names: readonly string[],
  options: Readonly<Record<string, number>> = {},
): Promise<readonly Controller[]> {
  const controllers = await Promise.all(names.map(loadController));
  checkControllerOptions(options, controllers);
  return controllers;
}

/** The one controller of a command that controls something. Throws XthrottleError('usage'). */
export async function controllerOf(argv: GoalArguments): Promise<Controller> {
  const [controller] = await loadControllers([argv.controller], goalOptionsOf(argv).options);
  tellIgnored(argv, [controller as Controller]);
  return controller as Controller;
}

/** Says on stderr what was asked for and none of the controllers heeds. */
export function tellIgnored(argv: GoalArguments, controllers: readonly Controller[]): void {
  const ignored = (['profile', 'prefer'] as const).filter(
    (name) => argv[name] !== undefined && controllers.every(({ ignores }) => ignores?.includes(name)),
  );
  if (ignored.length === 0) return;
  const options = ignored.map((name) => `--${name} ${argv[name]}`).join(' and ');
  const names = controllers.map(({ name }) => name).join(' and ');
  process.stderr.write(`xthrottle: ${names} ${controllers.length > 1 ? 'do' : 'does'} not heed ${options}\n`);
}
