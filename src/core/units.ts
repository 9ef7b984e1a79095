/** Branded numbers: a value carries its unit in its type, and only the converters below cross units. */
declare const unit: unique symbol;
type Unit<B extends string> = number & { readonly [unit]: B };

/** Milliseconds. Instants (`atMs`) are milliseconds of one monotonic clock (CLOCK_MONOTONIC on a real host, virtual time in the simulated one). */
export type Ms = Unit<'ms'>;
/** 4 KiB guest frames. */
export type Pages = Unit<'pages'>;
export type Bytes = Unit<'bytes'>;
export type PagesPerSecond = Unit<'pages/s'>;
export type BytesPerSecond = Unit<'bytes/s'>;
/** Percent of one pCPU: 100 is one whole pCPU, a domain of four vCPUs can use 400. */
export type CpuPercent = Unit<'cpu-percent'>;

export const ms = (value: number): Ms => value as Ms;
export const pages = (value: number): Pages => value as Pages;
export const bytes = (value: number): Bytes => value as Bytes;
export const pagesPerSecond = (value: number): PagesPerSecond => value as PagesPerSecond;
export const bytesPerSecond = (value: number): BytesPerSecond => value as BytesPerSecond;
export const cpuPercent = (value: number): CpuPercent => value as CpuPercent;

export const PAGE_BYTES = 4096;

/** What one page costs on the wire: its 4096 bytes and its 8-byte PFN entry in a PAGE_DATA record (xg_sr_stream_format.h). */
export const WIRE_BYTES_PER_PAGE = PAGE_BYTES + 8;

/** Bytes on the wire for that many pages. */
export const wireBytes = (count: Pages): Bytes => bytes(count * WIRE_BYTES_PER_PAGE);

/** Pages per second that a byte rate on the wire carries. */
export const pageRate = (rate: BytesPerSecond): PagesPerSecond => pagesPerSecond(rate / WIRE_BYTES_PER_PAGE);

/** Time to send `count` pages at `rate`; Infinity when the rate is not positive. */
export const sendTime = (count: Pages, rate: BytesPerSecond): Ms =>
  ms(count <= 0 ? 0 : rate > 0 ? (wireBytes(count) / rate) * 1000 : Number.POSITIVE_INFINITY);

/** Pages that can be sent within `time` at `rate`. */
export const pagesWithin = (time: Ms, rate: BytesPerSecond): Pages => pages(Math.max(0, (time / 1000) * pageRate(rate)));
