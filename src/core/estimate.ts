/** A value with the range in which the truth is expected to lie (low ≤ value ≤ high; about the 5th and 95th percentile). */
export interface Estimate<T extends number = number> {
  readonly value: T;
  readonly low: T;
  readonly high: T;
}

/** An estimate without uncertainty. */
export const exactly = <T extends number>(value: T): Estimate<T> => ({ value, low: value, high: value });

/** An estimate whose bounds are put in order and made to include the value. */
export const between = <T extends number>(low: T, value: T, high: T): Estimate<T> => ({
  value,
  low: Math.min(low, value, high) as T,
  high: Math.max(low, value, high) as T,
});
