import { XthrottleError } from '../core/errors.ts';
import type { NamedScenario } from '../sim/scenario-files.ts';
import { type TsliceArguments, tsliceOf } from './host-options.ts';

/** The scenario on a host with the timeslice that is asked for. Throws XthrottleError('usage') as on a real host: credit1 only. */
export function withTslice(scenario: NamedScenario, argv: TsliceArguments): NamedScenario {
  const tsliceMs = tsliceOf(argv);
  if (tsliceMs === undefined) return scenario;
  const { host, name } = scenario;
  if (host.scheduler === 'credit') return { ...scenario, host: { ...host, tsliceMs } };
  throw new XthrottleError('usage', `--tslice is for the scheduler credit: scenario ${name} has ${host.scheduler}`, {
    hint: 'leave the option out, or take another scenario: xthrottle simulate --list',
  });
}
