import { type Ms, ms } from '../core/units.ts';

/** CLOCK_MONOTONIC in milliseconds: the one clock of this host, the same in every process, so relays' instants can be compared with ours. */
export const monotonicMs = (): Ms => ms(Number(process.hrtime.bigint()) / 1e6);
