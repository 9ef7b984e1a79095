import type { Argv } from 'yargs';
import { XthrottleError } from '../core/errors.ts';
import { type Ms, ms } from '../core/units.ts';
import type { BalloonRequest } from '../xen/balloon-plan.ts';
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

export interface SuspendTimeoutArguments {
  readonly 'suspend-timeout'?: string | undefined;
}

export const withSuspendTimeoutOption = <T>(args: Argv<T>) =>
  args.option('suspend-timeout', {
    type: 'string',
    requiresArg: true,
    group: 'Control:',
    describe: 'resume the guest here when it has been suspended for this long and is not sent yet, a stalled link (10s); off unless given',
  });

/** Throws XthrottleError('usage'). */
export const suspendTimeoutOf = (args: SuspendTimeoutArguments): Ms | undefined =>
  args['suspend-timeout'] === undefined ? undefined : parseDuration('--suspend-timeout', args['suspend-timeout']);

export interface BalloonArguments {
  readonly balloon?: string | undefined;
}

export const withBalloonOption = <T>(args: Argv<T>) =>
  args.option('balloon', {
    type: 'string',
    requiresArg: true,
    group: 'Control:',
    describe: 'shrink the guest to this while it migrates (64m, 4g), or by half of what its agent says is free (auto)',
  });

const KIB_OF: Readonly<Record<string, number>> = { k: 1, m: 1024, g: 1024 ** 2, t: 1024 ** 3 };

/** `auto` or a size in xl's units (k, m, g, t; a bare number is refused). Throws XthrottleError('usage'). */
export function balloonOf({ balloon }: BalloonArguments): BalloonRequest | undefined {
  if (balloon === undefined) return undefined;
  if (balloon === 'auto') return { kind: 'auto' };
  const [, number, unit] = /^(\d{1,9})([kmgt])(?:i?b)?$/i.exec(balloon.trim()) ?? [];
  if (number === undefined || unit === undefined || Number(number) === 0) {
    throw new XthrottleError('usage', `--balloon expects auto or a size with a unit, got ${JSON.stringify(balloon)}`, {
      hint: 'say for example --balloon 4g: what the guest shrinks to while it migrates',
    });
  }
  return { kind: 'size', kib: Number(number) * (KIB_OF[unit.toLowerCase()] as number) };
}
