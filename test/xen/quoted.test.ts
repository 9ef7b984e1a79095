import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { printable, quoted } from '../../src/xen/xl-errors.ts';

// Shells are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

const wordsIn = (command: string): readonly string[] =>
  execFileSync('sh', ['-c', `for word in ${command}; do printf '%s\\0' "$word"; done`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);

const name = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'ab -\'"$`\\!;&|*?~#()<>{}[]=%\n'), minLength: 1 }),
  fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !text.includes('\0')),
);

describe('a name in a command that a person may paste', () => {
  it('is one word of a shell, and over ssh of the second one', () => {
    fc.assert(
      fc.property(name, (text) => {
        expect(wordsIn(quoted(text))).toEqual([printable(text)]);
        expect(wordsIn(wordsIn(quoted(quoted(text))).join(' '))).toEqual([printable(text)]);
      }),
      { numRuns: 60 },
    );
  });
  it('stands as it is where nothing in it is special', () => {
    expect([quoted('vm1'), quoted("db 1's"), quoted('a b')]).toEqual(['vm1', '"db 1\'s"', "'a b'"]);
  });
});
