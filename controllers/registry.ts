import { type Controller, XthrottleError } from '../src/core/index.ts';
import { autoConverge, tailslow } from './auto-converge.ts';
import { clark } from './clark.ts';
import { jin } from './jin.ts';
import { none } from './none.ts';
import { nova } from './nova.ts';
import { proportional } from './proportional.ts';
import { stepDown } from './step-down.ts';
import { vdsm } from './vdsm.ts';
import { workingSet } from './working-set.ts';

/** The controller that is used unless another is asked for. */
export const DEFAULT_CONTROLLER = 'working-set';

/** All built-in controllers, the way help lists them. */
export const controllers: readonly Controller[] = [
  workingSet as Controller,
  none,
  stepDown,
  proportional,
  autoConverge,
  tailslow,
  jin,
  clark,
  vdsm,
  nova,
];

export const controllerNames: readonly string[] = controllers.map((c) => c.name);

/** Asked for on real Xen, or as if it were a way to throttle. */
export const noPostCopy = (asked: string): XthrottleError =>
  new XthrottleError('usage', `${asked}: Xen (xl, libxl) has no post-copy migration; only pre-copy can be throttled`, {
    hint: 'xthrottle simulate --mechanism post-copy shows what it would give',
  });

/** A built-in controller. Throws XthrottleError('usage') naming the known ones. */
export function controllerByName(name: string): Controller {
  const found = controllers.find((c) => c.name === name);
  if (found !== undefined) return found;
  if (/^(post-?copy|hybrid)$/.test(name)) throw noPostCopy(`--controller ${name}`);
  throw new XthrottleError('usage', `there is no controller "${name}"`, {
    hint: `the known ones are ${controllerNames.join(', ')}; a module of your own is given by its path, with a / in it`,
  });
}

/**
 * What a user's module exported, checked to be a controller. Throws XthrottleError('usage') that says what is missing.
 * Nothing is called here: a controller that throws later ends steering, not the migration.
 */
export function asController(value: unknown): Controller {
  const bad = (what: string): XthrottleError =>
    new XthrottleError('usage', `this module does not export a controller: ${what}`, {
      hint: 'export one object as default: { name, summary, initial(goal), decide(state, observation, goal) }',
    });
  if (typeof value !== 'object' || value === null) throw bad(`expected an object, got ${value === null ? 'null' : typeof value}`);
  const candidate = value as Record<string, unknown>;
  const { name, summary } = candidate;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9-]*$/.test(name)) throw bad(`expected "name" in kebab-case, got ${show(name)}`);
  if (typeof summary !== 'string' || summary === '') throw bad(`expected "summary", one line of text, got ${show(summary)}`);
  for (const method of ['initial', 'decide']) {
    if (typeof candidate[method] !== 'function') throw bad(`expected "${method}" to be a function, got ${show(candidate[method])}`);
  }
  if (candidate['options'] !== undefined && !(Array.isArray(candidate['options']) && candidate['options'].every(isOption)))
    throw bad(`expected "options" to be a list of { name, summary, byDefault, min, max, whole }, got ${show(candidate['options'])}`);
  return value as Controller;
}

function isOption(value: unknown): boolean {
  const { name, summary, byDefault, min, max, whole } = (value ?? {}) as Record<string, unknown>;
  return (
    [name, summary].every((text) => typeof text === 'string') &&
    [byDefault, min, max].every((number) => typeof number === 'number') &&
    typeof whole === 'boolean'
  );
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : (JSON.stringify(value) ?? typeof value));
