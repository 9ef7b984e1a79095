import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { showBytes, showMs, showNarrow, showRange } from '../../src/view/human.ts';
import { compose, type Style } from '../../src/view/segments.ts';
import { clip, columnsOf, filled, safeText, wrap } from '../../src/view/text.ts';
import { hostileName } from '../trace/arbitrary.ts';

const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const columns = fc.integer({ min: 1, max: 60 });
const safe = hostileName.map(safeText);

describe('text from outside', () => {
  it('holds nothing that a terminal would obey', () => {
    fc.assert(
      fc.property(fc.oneof(hostileName, fc.string({ unit: 'binary' })), (text) => {
        expect(safeText(text)).not.toMatch(CONTROL);
      }),
    );
    expect(safeText('vm1\u001b[2J\nroot#')).toBe('vm1\u{FFFD}[2J root#');
    expect(safeText('データベース-1')).toBe('データベース-1');
  });
});

describe('widths', () => {
  it('clip is never wider than asked, and changes nothing that fits', () => {
    fc.assert(
      fc.property(safe, columns, (text, width) => {
        expect(columnsOf(clip(text, width))).toBeLessThanOrEqual(width);
        if (columnsOf(text) <= width) expect(clip(text, width)).toBe(text);
      }),
    );
  });

  it('filled is exactly as wide as asked', () => {
    fc.assert(
      fc.property(safe, columns, fc.constantFrom('left', 'right'), (text, width, align) => {
        expect(columnsOf(filled(text, width, align))).toBe(width);
      }),
    );
  });

  it('wrap keeps to the width and loses no word that fits a line', () => {
    fc.assert(
      fc.property(safe, columns, (text, width) => {
        const lines = wrap(text, width);
        for (const line of lines) expect(columnsOf(line)).toBeLessThanOrEqual(width);
        const words = text.split(' ');
        if (words.every((word) => columnsOf(word) <= width)) expect(lines.join(' ')).toBe(text);
      }),
    );
  });

  it('compose clips over all pieces, and colours add no width', () => {
    const piece = fc.tuple(safe, fc.constantFrom<Style>('plain', 'bold', 'bad', 'dim'));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), columns, (pieces, width) => {
        const plain = compose(pieces, width, false);
        expect(columnsOf(plain)).toBeLessThanOrEqual(width);
        const colored = compose(pieces, width, true);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escapes
        expect(colored.replace(/\u001b\[\d+m/g, '')).toBe(plain);
      }),
    );
  });
});

describe('numbers for people', () => {
  it('change their unit where a person would', () => {
    expect(
      [0, 84.4, 999.4, 999.6, 1250, 9994, 42_000, 99_960, 185_000, 7_440_000, Number.POSITIVE_INFINITY, undefined].map(showMs),
    ).toEqual(['0 ms', '84 ms', '999 ms', '1.00 s', '1.25 s', '9.99 s', '42.0 s', '1 min 40 s', '3 min 05 s', '2 h 04 min', 'never', '-']);
    expect([0, 812, 1023, 1024, 17_616_000, 104_857_600, 1023.6 * 1024, 2 ** 34].map(showBytes)).toEqual([
      '0 B',
      '812 B',
      '1023 B',
      '1.00 KiB',
      '16.8 MiB',
      '100 MiB',
      '1.00 MiB',
      '16.0 GiB',
    ]);
  });

  it('show a range only where there is one', () => {
    expect(showRange({ low: 70, value: 84, high: 110 })).toBe('84 ms (70 ms … 110 ms)');
    expect(showRange({ low: 84, value: 84, high: 84.2 })).toBe('84 ms');
  });

  it('show a range in one unit where there is little room', () => {
    const never = Number.POSITIVE_INFINITY;
    expect(
      [
        { low: 70, value: 84, high: 110 },
        { low: 84, value: 84, high: 84.2 },
        { low: 980, value: 1050, high: 1100 },
        { low: 9000, value: 9500, high: 12_000 },
        { low: 58_000, value: 65_000, high: 130_000 },
        { low: 3_000_000, value: 3_660_000, high: 7_200_000 },
        { low: 80, value: 84, high: never },
        { low: 80, value: never, high: never },
        undefined,
      ].map(showNarrow),
    ).toEqual([
      '84 (70…110) ms',
      '84 ms',
      '1.05 (0.98…1.10) s',
      '9.5 (9.0…12.0) s',
      '1:05 (0:58…2:10) min',
      '1:01 (0:50…2:00) h',
      '84 (80…∞) ms',
      'never',
      '-',
    ]);
  });

  it('a range of up to four days fits its column', () => {
    const time = fc.double({ min: 0, max: 99 * 3_600_000, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(time, time, time), (three) => {
        const [low = 0, value = 0, high = 0] = three.toSorted((a, b) => a - b);
        expect(showNarrow({ low, value, high }).length).toBeLessThanOrEqual(23);
      }),
    );
  });

  it('never grow wide', () => {
    const value = fc.double({ min: 0, max: 1e15, noNaN: true });
    fc.assert(
      fc.property(value, (x) => {
        expect(Math.max(showMs(Math.min(x, 3e9)).length, showBytes(x).length)).toBeLessThanOrEqual(13);
      }),
    );
  });
});
