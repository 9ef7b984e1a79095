import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { callsUnderWay } from '../../src/xen/calls-under-way.ts';

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
    runs('18', 'xl', 'sched-credit', '-s', '-p', 'Pool 1', '-t', '5');
    runs('19', 'xl', 'sched-credit', '-s', '-p', 'Pool 1');
    mkdirSync(join(proc, '17'));
    expect(callsUnderWay(24, proc)).toEqual([11, 12]);
    expect(callsUnderWay(25, proc)).toEqual([13]);
    expect(callsUnderWay('Pool 1', proc)).toEqual([18]);
    expect(callsUnderWay('Pool-0', proc)).toEqual([]);
    expect(callsUnderWay(24, join(proc, 'nosuch'))).toEqual([]);
  });
});
