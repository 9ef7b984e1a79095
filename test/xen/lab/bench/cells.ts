import type { GuestOptions } from '../lab.ts';

/** What the guest does. Its rate is that of a whole pCPU: some half more than the slower link sends. */
export interface Writer extends GuestOptions {
  readonly memMib: number;
  readonly workingSetMib: number;
  readonly rate: number;
  readonly pattern: 'seq' | 'rand' | 'hot' | 'bursts';
}

// With 96 MiB the guest's own kernel runs out of memory.
const BUSY = { memMib: 128, workingSetMib: 24, rate: 2500 } as const;

/** `idle` is no contender: what the same link costs a guest that writes next to nothing. */
export const WRITERS: Readonly<Record<string, Writer>> = {
  // A page takes it 10 ms: at a rate of 1 its own work would look like a gap of a second.
  idle: { memMib: 96, workingSetMib: 1, rate: 100, pattern: 'seq' },
  seq: { ...BUSY, pattern: 'seq' },
  rand: { ...BUSY, pattern: 'rand' },
  // 10 % of the pages get 90 % of the writes.
  hot: { ...BUSY, pattern: 'hot' },
  // seq for two seconds, nothing for two seconds, round and round.
  bursts: { ...BUSY, pattern: 'bursts' },
};

export const LINKS_BYTES_PER_SECOND = [8_000_000, 4_000_000] as const;
/** `stock` is observed only. */
export const CONTROLLERS = ['stock', 'step-down', 'auto-converge', 'working-set'] as const;
export type ControllerName = (typeof CONTROLLERS)[number];

/** The case of the project's facts, here on one host: stock stops it for ten seconds. */
const SLOW_BYTES_PER_SECOND = 2_000_000;
const SLOW: Readonly<Record<string, Writer>> = {
  '16mbit': { memMib: 96, workingSetMib: 16, rate: 1500, pattern: 'seq' },
};

export interface Cell {
  readonly id: string;
  readonly writerName: string;
  readonly writer: Writer;
  readonly linkBytesPerSecond: number;
  readonly controller: ControllerName;
}

const idOf = (writerName: string, linkBytesPerSecond: number, controller: ControllerName): string =>
  `${writerName}, ${linkBytesPerSecond / 1e6} MB/s, ${controller}`;

/** The cell of the same guest and link without a controller. */
export const stockIdOf = ({ writerName, linkBytesPerSecond }: Cell): string => idOf(writerName, linkBytesPerSecond, 'stock');

/** The cell that tells what the link costs a guest that writes next to nothing. */
export const idleIdOf = ({ linkBytesPerSecond }: Cell): string => idOf('idle', linkBytesPerSecond, 'stock');

const cellsOf = (writerName: string, writer: Writer, linkBytesPerSecond: number, controllers: readonly ControllerName[]): readonly Cell[] =>
  controllers.map((controller) => ({
    id: idOf(writerName, linkBytesPerSecond, controller),
    writerName,
    writer,
    linkBytesPerSecond,
    controller,
  }));

/** In this order, so that a run that is cut short has whole rows. */
export const cells: readonly Cell[] = [
  ...LINKS_BYTES_PER_SECOND.flatMap((link) =>
    Object.entries(WRITERS).flatMap(([name, writer]) => cellsOf(name, writer, link, name === 'idle' ? ['stock'] : CONTROLLERS)),
  ),
  ...cellsOf('idle', WRITERS['idle'] as Writer, SLOW_BYTES_PER_SECOND, ['stock']),
  ...Object.entries(SLOW).flatMap(([name, writer]) => cellsOf(name, writer, SLOW_BYTES_PER_SECOND, ['stock', 'working-set'])),
];

/** At most five minutes, also what CI runs: one writer, one link. */
export const QUICK: readonly string[] = ['seq, 8 MB/s, stock', 'seq, 8 MB/s, working-set'];
