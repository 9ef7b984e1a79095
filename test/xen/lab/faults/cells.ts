/** Whose process is struck. `transport` is the link's pipe, `receiver` xl at the destination. */
export const VICTIMS = ['xthrottle', 'relay', 'helper', 'xl', 'receiver', 'transport'] as const;
/** On stock Xen, which throttles nothing, `throttled round` is a round after the first. */
export const MOMENTS = ['round 0', 'throttled round', 'suspend request', 'suspended', 'hand-over'] as const;

export type Victim = (typeof VICTIMS)[number];
export type Moment = (typeof MOMENTS)[number];
/**
 * `kill`: SIGKILL. `stop`: SIGSTOP for some seconds, then SIGCONT. `cut`: SIGKILL over a link that is dead until all else has ended.
 * `fill`: /run is full. `leftover`: a domain NAME--incoming is there.
 */
export type Deed = 'kill' | 'stop' | 'cut' | 'fill' | 'leftover';

export interface Cell {
  readonly id: string;
  readonly deed: Deed;
  readonly victim?: Victim;
  readonly moment: Moment | 'start';
  /** Without xthrottle: what Xen itself makes of it. */
  readonly stock: boolean;
}

const cell = (deed: Deed, moment: Cell['moment'], stock: boolean, victim?: Victim): Cell => ({
  id: `${stock ? 'stock: ' : ''}${deed}${victim === undefined ? '' : ` ${victim}`}, ${moment}`,
  deed,
  moment,
  stock,
  ...(victim === undefined ? {} : { victim }),
});

const onOne = (stock: boolean): readonly Cell[] => [
  ...(['kill', 'stop'] as const).flatMap((deed) =>
    VICTIMS.filter((victim) => !stock || (victim !== 'xthrottle' && victim !== 'relay')).flatMap((victim) =>
      MOMENTS.map((moment) => cell(deed, moment, stock, victim)),
    ),
  ),
  cell('cut', 'suspended', stock, 'xl'),
  cell('fill', 'start', stock),
  cell('fill', 'throttled round', stock),
  cell('leftover', 'start', stock),
];

/** Runs in CI, where most is at stake: each has been green twice. A cell takes some ninety seconds. */
export const SAMPLE: readonly string[] = ['kill xthrottle, throttled round', 'kill relay, throttled round', 'kill xl, suspended'];

const ALL: readonly Cell[] = [...onOne(false), ...onOne(true)];

/** All cells: CI's sample first, then ours, then stock's. */
export const cells: readonly Cell[] = [...SAMPLE.map((id) => cellOf(id)), ...ALL.filter(({ id }) => !SAMPLE.includes(id))];

/** Throws for an id that there is not. */
export function cellOf(id: string): Cell {
  const found = ALL.find((each) => each.id === id);
  if (found === undefined) throw new Error(`there is no cell "${id}"`);
  return found;
}

/** The same fault on the other one. */
export const twinId = ({ id, stock }: Cell): string => (stock ? id.slice('stock: '.length) : `stock: ${id}`);
