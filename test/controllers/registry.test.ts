import { describe, expect, it } from 'vitest';
import { asController, controllerByName, controllerNames, controllers } from '../../controllers/registry.ts';
import { type Controller, checkControllerOptions, XthrottleError } from '../../src/core/index.ts';

const usage = (run: () => unknown): XthrottleError => {
  try {
    run();
  } catch (error) {
    if (error instanceof XthrottleError && error.exit === 'usage') return error;
    throw error;
  }
  throw new Error('expected a usage error');
};

describe('registry', () => {
  it('gives each controller by its name, and names them once', () => {
    for (const c of controllers) expect(controllerByName(c.name)).toBe(c);
    expect(new Set(controllerNames).size).toBe(controllers.length);
    for (const name of ['none', 'step-down', 'proportional', 'auto-converge', 'tailslow', 'clark', 'jin', 'vdsm', 'nova'])
      expect(controllerNames).toContain(name);
  });

  it('names the known ones when asked for another', () => {
    const error = usage(() => controllerByName('autoconverge'));
    expect(error.message).toContain('"autoconverge"');
    for (const name of controllerNames) expect(error.hint).toContain(name);
  });

  it('has a one-line summary for each', () => {
    for (const { summary } of controllers) expect(summary).toMatch(/^[^\n]{20,140}$/);
  });
});

describe('asController', () => {
  const good = { name: 'mine', summary: 'mine', initial: () => null, decide: () => [null, {}] };

  it('takes what keeps the contract, as it is', () => {
    expect(asController(good)).toBe(good);
    for (const c of controllers) expect(asController(c)).toBe(c);
  });

  it.each([
    [undefined, 'an object, got undefined'],
    [null, 'an object, got null'],
    [() => good, 'an object, got function'],
    [{ ...good, name: 'My One' }, '"name" in kebab-case, got "My One"'],
    [{ ...good, summary: '' }, '"summary"'],
    [{ ...good, initial: undefined }, '"initial" to be a function, got nothing'],
    [{ ...good, options: 'step' }, '"options" to be a list'],
    [{ ...good, options: [{ name: 'step' }] }, '"options" to be a list'],
    [{ ...good, decide: 7 }, '"decide" to be a function, got 7'],
  ])('refuses %o', (value, said) => expect(usage(() => asController(value)).message).toContain(said));
});

describe('controller options', () => {
  const check = (given: Readonly<Record<string, number>>, ...names: readonly string[]): void =>
    checkControllerOptions(given, names.map(controllerByName));

  it('are all declared by the built-in controllers, with a default that they take', () => {
    for (const controller of controllers) {
      expect(controller.options).toBeDefined();
      for (const { name, byDefault } of controller.options ?? []) check({ [name]: byDefault }, controller.name);
    }
  });

  it.each([
    [{ stepPercent: 200 }, 'step-down', 'stepPercent expects a number from 1 to 100, got 200'],
    [{ freeRounds: 1.5 }, 'step-down', 'freeRounds expects a whole number from 0 to 1000, got 1.5'],
    [{ periodic: 0.5 }, 'tailslow', 'periodic expects 0 or 1, got 0.5'],
    [{ foo: 1 }, 'step-down', 'step-down: there is no controller option "foo"'],
    [{ stepPercent: 20 }, 'working-set', 'working-set: there is no controller option "stepPercent"'],
  ])('refuses %o for %s', (given, name, said) => expect(usage(() => check(given, name)).message).toContain(said));

  it('are for whichever of two compared controllers knows them', () => {
    check({ stepPercent: 30 }, 'step-down', 'none');
    expect(usage(() => check({ stepPercent: 200 }, 'none', 'step-down')).message).toContain('got 200');
    expect(usage(() => check({ foo: 1 }, 'step-down', 'proportional')).hint).toContain('freeRounds, stepPercent, shrink');
  });

  it('of a controller that declares none are its own affair', () => {
    const { options: _, ...undeclared } = controllerByName('step-down');
    checkControllerOptions({ foo: -1 }, [undeclared as Controller]);
  });
});
