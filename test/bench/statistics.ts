/** The value below which the share `q` of `values` lies, between the two nearest by rank; null without values. */
export function quantile(values: readonly number[], q: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const a = sorted[low] as number;
  const b = sorted[Math.min(sorted.length - 1, low + 1)] as number;
  const part = at - low;
  return part === 0 || a === b ? a : a + (b - a) * part;
}

export const median = (values: readonly number[]): number | null => quantile(values, 0.5);

/** Geometric mean of positive values; null without any. */
export const geometricMean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);
