import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capCallsUnderWay } from '../../src/xen/cap-calls-under-way.ts';

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'xthrottle-proc-'));
});
afterEach(() => rmSync(proc, { recursive: true, force: true }));

const runs = (pid: string, ...words: readonly string[]) => {
  mkdirSync(join(proc, pid));
  writeFileSync(join(proc, pid, 'cmdline'), words.map((word) => `${word}\0`).join(''));
};

describe('calls that set a cap and have not ended', () => {
  it('are those of the domain, whatever runs them', () => {
    runs('11', 'xl', 'sched-credit', '-d', '24', '-c', '50');
    runs('12', '/usr/bin/node', '/tmp/xl.mjs', 'sched-credit2', '-d', '24', '-c', '50');
    runs('13', 'xl', 'sched-credit', '-d', '25', '-c', '50');
    runs('14', 'xl', 'sched-credit', '-d', '24');
    runs('15', 'xl', 'list', '-l', '24');
    runs('16', 'sched-credit', '-d', '24', '-c', '50');
    runs('self', 'xl', 'sched-credit', '-d', '24', '-c', '50');
    mkdirSync(join(proc, '17'));
    expect(capCallsUnderWay(24, proc)).toEqual([11, 12]);
    expect(capCallsUnderWay(25, proc)).toEqual([13]);
    expect(capCallsUnderWay(24, join(proc, 'nosuch'))).toEqual([]);
  });
});
