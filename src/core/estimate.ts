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

/**
 * The sum of quantities that err independently: their deviations add in quadrature. Added up one by one, ranges of the 5th to the 95th
 * percentile would make one that the truth practically never leaves, and what fits a target would be refused.
 */
export function plus<T extends number>(...parts: readonly Estimate<T>[]): Estimate<T> {
  let value = 0;
  let below = 0;
  let above = 0;
  for (const part of parts) {
    value += part.value;
    below += (part.value - part.low) ** 2;
    above += (part.high - part.value) ** 2;
  }
  return { value: value as T, low: (value - Math.sqrt(below)) as T, high: (value + Math.sqrt(above)) as T };
}

/** The product of two quantities of at least 0 that err independently, to first order. */
export function times(a: Estimate, b: Estimate): Estimate {
  const value = a.value * b.value;
  const below = Math.hypot((a.value - a.low) * b.value, a.value * (b.value - b.low));
  const above = Math.hypot((a.high - a.value) * b.value, a.value * (b.high - b.value));
  return { value, low: Math.max(a.low * b.low, value - below), high: value + above };
}

/** The same value, at least 0, with `factor` (at least 1) times the range; what is above 0 stays so. */
export const widened = <T extends number>({ low, value, high }: Estimate<T>, factor: number): Estimate<T> => ({
  value,
  low: (value > 0 ? value * Math.max(0, low / value) ** factor : low) as T,
  high: (value + factor * (high - value)) as T,
});
