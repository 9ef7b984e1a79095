export interface Line {
  readonly number: number;
  readonly text: string;
  /** The file ended inside this line. */
  readonly cut: boolean;
}

export interface TooLong {
  readonly number: number;
  readonly tooLong: true;
}

const NEWLINE = 0x0a;

/** Splits chunks into lines without ever holding more than `bytesMax` of one: a longer line is skipped and reported as too long. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Line | TooLong> {
  let parts: Uint8Array[] = [];
  let held = 0;
  let skipping = false;
  let number = 1;
  const take = (part: Uint8Array): void => {
    if (skipping || part.length === 0) return;
    if (held + part.length > bytesMax) {
      skipping = true;
      parts = [];
      held = 0;
      return;
    }
    parts.push(part);
    held += part.length;
  };
  const line = (cut: boolean): Line | TooLong => {
    const done: Line | TooLong = skipping ? { number, tooLong: true } : { number, text: Buffer.concat(parts).toString('utf8'), cut };
    parts = [];
    held = 0;
    skipping = false;
    number += 1;
    return done;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      take(chunk.subarray(start, end));
      yield line(false);
      start = end + 1;
    }
    take(chunk.subarray(start));
  }
  if (held > 0 || skipping) yield line(true);
}
