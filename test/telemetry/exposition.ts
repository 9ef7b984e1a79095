/** Series of an exposition text: `name{labels}` → value, and the HELP and TYPE lines by name. */
export interface Exposition {
  readonly series: ReadonlyMap<string, number>;
  readonly types: ReadonlyMap<string, string>;
  readonly helps: ReadonlyMap<string, string>;
}

export function parseExposition(text: string): Exposition {
  const series = new Map<string, number>();
  const types = new Map<string, string>();
  const helps = new Map<string, string>();
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) (comment[1] === 'HELP' ? helps : types).set(comment[2] as string, comment[3] as string);
    else if (line !== '') {
      const sample = /^(\w+(?:\{.*\})?) (\S+)$/.exec(line);
      if (sample === null) throw new Error(`not a sample: ${line}`);
      const [, key, value] = sample as unknown as [string, string, string];
      if (series.has(key)) throw new Error(`twice: ${key}`);
      series.set(key, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value));
    }
  }
  return { series, types, helps };
}
