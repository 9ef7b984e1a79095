import { pathToFileURL } from 'node:url';
import { asController, controllerByName } from '../../controllers/registry.ts';
import type { Controller } from '../core/controller.ts';
import { messageOf, XthrottleError } from '../core/errors.ts';

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
