import { closeSync, fstatSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { SummaryRecord } from '../../src/core/record.ts';
import { isJournal, noteLine, noteOf } from '../../src/view/notes.ts';
import { outcomeSentence } from '../../src/view/words.ts';
import { simulated } from '../trace/runs.ts';

const plain = { journal: false, color: false, events: false };

describe('notes on stderr', () => {
  it('carry priorities only where stderr really is the journal', () => {
    const fd = openSync('/dev/null', 'w');
    const { dev, ino } = fstatSync(fd);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino + 1}` })).toBe(false);
    expect(isJournal(fd, {})).toBe(false);
    closeSync(fd);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(false);
    const journal = { ...plain, journal: true };
    expect([noteLine('error', 'a', journal), noteLine('warning', 'b', journal), noteLine('info', 'c', journal)]).toEqual([
      '<3>a',
      '<4>b',
      '<6>c',
    ]);
  });

  it('a note is always one line', () => {
    expect(noteLine('warning', 'first\n<0>second\u001b[2J', plain)).toBe('xthrottle: warning: first <0>second\u{FFFD}[2J');
  });

  it('the outcome speaks of what the target is about: a downtime, or pages', () => {
    const base = {
      ...(simulated('idle', 'none').at(-1) as SummaryRecord),
      observedDowntimeMs: 900,
      targetDowntimeMs: 2000,
      lastDirtyPages: 7044,
    };
    expect(outcomeSentence({ ...base, outcome: 'met' })).toBe('migrated within the target downtime: downtime 900 ms, target 2.00 s');
    expect(outcomeSentence({ ...base, outcome: 'missed', maxDirtyPages: 5000 })).toBe(
      'migrated, but the target was missed: 7044 pages sent after the suspend, downtime 900 ms, target 5000 pages',
    );
  });

  it('events are said only when asked for, trouble always', () => {
    const [start] = simulated('idle', 'none');
    if (start === undefined) throw new Error('no records');
    expect(noteOf(start, 'vm', plain)).toBeUndefined();
    expect(noteOf(start, 'vm', { ...plain, events: true })).toMatch(/vm: migration begins/);
    expect(noteOf({ type: 'note', id: 'x', level: 'error', text: 'bad' }, undefined, plain)).toBe('xthrottle: error: bad');
    expect(noteOf({ type: 'effect', id: 'x', atMs: 1 as never, action: 'restore', result: 'failed' }, 'vm', plain)).toMatch(
      /warning: vm: restore failed/,
    );
  });
});
