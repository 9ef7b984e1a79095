/**
 * Randomness as a function: the n-th draw of a named stream under a seed. Nothing is consumed in call order, so two runs that decide
 * differently meet the same noise at the same time.
 */
export type Stream =
  | 'link'
  | 'link-stall'
  | 'writes'
  | 'burst'
  | 'count'
  | 'parking'
  | 'suspend'
  | 'resume'
  | 'suspend-pages'
  | 'phase'
  | 'uuid'
  | 'evacuation';

const STREAM_SALT: Readonly<Record<Stream, number>> = {
  link: 0x1f123bb5,
  'link-stall': 0x2b7e1516,
  writes: 0x3c6ef372,
  burst: 0x4a7c15d3,
  count: 0x5be0cd19,
  parking: 0x6a09e667,
  suspend: 0x7137449b,
  resume: 0x8f1bbcdc,
  'suspend-pages': 0x9b05688c,
  phase: 0xa54ff53a,
  uuid: 0xbb67ae85,
  evacuation: 0xc2b2ae3d,
};

/** An avalanche step: every input bit moves every output bit (multiply and xor-shift, 32 bits). */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** 32 random bits. `n` is any whole number up to 2^53. */
export function bits(seed: number, stream: Stream, n: number): number {
  const low = n >>> 0;
  const high = Math.floor(n / 4294967296) >>> 0;
  const seedHigh = Math.floor(seed / 4294967296) | 0;
  return mix(mix(mix(mix(mix(seed | 0) ^ seedHigh) ^ STREAM_SALT[stream]) + high) ^ mix(low + 0x9e3779b9)) >>> 0;
}

/** Uniform in [0, 1). */
export const unit = (seed: number, stream: Stream, n: number): number => bits(seed, stream, n) / 4294967296;

/** Standard normal (Box and Muller), from draws 2n and 2n + 1 of the stream. */
export function gauss(seed: number, stream: Stream, n: number): number {
  const u = 1 - unit(seed, stream, 2 * n);
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * unit(seed, stream, 2 * n + 1));
}
