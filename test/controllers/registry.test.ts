import { describe, expect, it } from 'vitest';
import { asController, controllerByName, controllerNames, controllers } from '../../controllers/registry.ts';
import { XthrottleError } from '../../src/core/index.ts';

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
    [{ ...good, decide: 7 }, '"decide" to be a function, got 7'],
  ])('refuses %o', (value, said) => expect(usage(() => asController(value)).message).toContain(said));
});
