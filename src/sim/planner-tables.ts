import { Realisation } from './realisation.ts';
import type { Scenario } from './scenario.ts';

/** What one realisation adds up to between two moments. */
export interface Span {
  /** Full-speed writing of each class, ms. */
  readonly exposureMs: readonly number[];
  /** Mean share of its demand that the guest gets at the floor, and at the cap it had before. */
  readonly floorSpeed: number;
  readonly fullSpeed: number;
}

/** Running sums over a realisation, so that any span costs two look-ups. Grows on demand. */
export class Tables {
  readonly realisation: Realisation;
  readonly #scenario: Scenario;
  readonly #floorPercent: number;
  readonly #ceilingPercent: number;
  /** Per bucket: floor ms, ceiling ms, then the exposure of each class; one row a bucket. */
  readonly #sums: Float64Array[] = [];
  readonly #columns: number;

  constructor(scenario: Scenario, seed: number, floorPercent: number, ceilingPercent: number) {
    this.realisation = new Realisation(scenario, seed);
    this.#scenario = scenario;
    this.#floorPercent = floorPercent;
    this.#ceilingPercent = ceilingPercent;
    this.#columns = 2 + scenario.classes.length;
    this.#sums.push(new Float64Array(this.#columns));
  }

  between(fromMs: number, toMs: number): Span {
    const spanMs = toMs - fromMs;
    const a = this.#at(fromMs);
    const b = this.#at(toMs);
    const mean = (column: number): number => (spanMs > 0 ? Math.min(1, ((b[column] as number) - (a[column] as number)) / spanMs) : 1);
    return {
      floorSpeed: mean(0),
      fullSpeed: mean(1),
      exposureMs: this.#scenario.classes.map((_, i) => (b[i + 2] as number) - (a[i + 2] as number)),
    };
  }

  #at(atMs: number): Float64Array {
    const { bucketMs } = this.realisation;
    const k = Math.floor(atMs / bucketMs);
    this.#grow(k + 1);
    const low = this.#sums[k] as Float64Array;
    const high = this.#sums[k + 1] as Float64Array;
    const share = atMs / bucketMs - k;
    const out = new Float64Array(this.#columns);
    for (let i = 0; i < this.#columns; i++) out[i] = (low[i] as number) + share * ((high[i] as number) - (low[i] as number));
    return out;
  }

  #grow(count: number): void {
    const { bucketMs } = this.realisation;
    while (this.#sums.length <= count) {
      const k = this.#sums.length - 1;
      const row = Float64Array.from(this.#sums[k] as Float64Array);
      const endMs = (k + 1) * bucketMs;
      for (let atMs = k * bucketMs; atMs < endMs - 1e-6; ) {
        const weather = this.realisation.weather(atMs);
        const untilMs = Math.min(endMs, weather.untilMs);
        const spanMs = untilMs - atMs;
        row[0] = (row[0] as number) + spanMs * Math.min(1, this.#floorPercent / weather.demandPercent);
        row[1] = (row[1] as number) + spanMs * Math.min(1, this.#ceilingPercent / weather.demandPercent);
        for (let i = 2; i < this.#columns; i++) row[i] = (row[i] as number) + spanMs * weather.factor * (weather.scales[i - 2] as number);
        atMs = untilMs;
      }
      this.#sums.push(row);
    }
  }
}
