/** A small generator of our own (mulberry32): one seed, one sequence. */
export class Rng {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** Whole, both ends included. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  chance(p: number): boolean {
    return this.unit() < p;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.whole(0, list.length - 1)] as T;
  }

  /** An independent sequence, so that what one part draws moves nothing in another. */
  fork(salt: number): Rng {
    return new Rng(Math.imul(this.#state ^ salt, 0x9e3779b1) ^ salt);
  }
}

/** The seed of the n-th run under a base seed. */
export const seedOf = (base: number, n: number): number => (Math.imul(base, 0x9e3779b1) + Math.imul(n, 0x85ebca6b)) >>> 0;
