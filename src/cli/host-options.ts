import type { Argv } from 'yargs';
import { XthrottleError } from '../core/errors.ts';
import { type Ms, ms } from '../core/units.ts';
import { parseDuration } from './quantities.ts';

export interface TsliceArguments {
  readonly tslice?: string | undefined;
}

/** Options that change more of a real host than the domain itself. */
export const withTsliceOption = <T>(args: Argv<T>) =>
  args.option('tslice', {
    type: 'string',
    requiresArg: true,
    group: 'Control:',
    describe: "shorten credit1's timeslice to this while a migration runs (5ms): lower caps stall less, all of the pool switches more",
  });

/** Xen's own limits: XEN_SYSCTL_CSCHED_TSLICE_MIN and _MAX. */
const TSLICE_MS_MAX = 1000;

/** Throws XthrottleError('usage') for what is no whole number of milliseconds in 1…1000. */
export function tsliceOf({ tslice }: TsliceArguments): Ms | undefined {
  if (tslice === undefined) return undefined;
  const value = parseDuration('--tslice', tslice);
  if (Number.isInteger(value) && value <= TSLICE_MS_MAX) return ms(value);
  throw new XthrottleError('usage', `--tslice is a whole number of milliseconds from 1 to ${TSLICE_MS_MAX}, got ${tslice}`, {
    hint: 'say for example --tslice 5ms',
  });
}
