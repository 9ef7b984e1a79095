import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mayBeSaving, saveProcesses, saveProcessOf } from '../../src/xen/save-processes.ts';

const vm1 = { domid: 8, name: 'vm1', uuid: 'd926f8f0-ce70-4649-b2c4-b6a282664892' };

/** The process table in a capture of a migration: pid, ppid and command line. */
const captured = readFileSync(new URL('captures/06-abort-xl-term.txt', import.meta.url), 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, pid, args] = /^ +(\d+) +\d+ (\S.*)$/.exec(line) ?? [];
    return args === undefined ? [] : [{ pid: Number(pid), args: args.split(/ +/) }];
  });

describe('processes that save a domain', () => {
  it('are found in a real process table, and told from those that restore', () => {
    expect(captured.length).toBeGreaterThan(5);
    const all = captured.flatMap(({ pid, args }) => saveProcessOf(pid, args) ?? []);
    expect(new Set(all.flatMap(({ pid, kind }) => (kind === 'receiver' ? [pid] : [])))).toEqual(new Set([657, 677]));
    const found = all.filter(({ kind }) => kind !== 'receiver');
    expect(found.map(({ pid, kind, domid }) => ({ pid, kind, domid }))).toEqual([
      { pid: 674, kind: 'toolstack', domid: undefined },
      { pid: 678, kind: 'save', domid: 8 },
      { pid: 679, kind: 'restore', domid: 9 },
    ]);
    expect(found.filter((process) => mayBeSaving(process, vm1)).map(({ pid }) => pid)).toEqual([674, 678]);
    expect(found.some((process) => mayBeSaving(process, { ...vm1, domid: 9, name: 'vm1--incoming' }))).toBe(false);
  });
  it('include our relay, and other toolstacks whose command line does not tell the domain', () => {
    const relay = ['/usr/bin/node', '/opt/xthrottle/dist/src/xen/relay/relay.js', '--save-domain', '14', '11', '8', '1', '0', '0'];
    expect(saveProcessOf(1, relay)).toMatchObject({ kind: 'save', domid: 8 });
    const xapi = saveProcessOf(2, ['/usr/lib64/xen/bin/xenguest', '-mode', 'listen']);
    expect(xapi !== undefined && mayBeSaving(xapi, vm1)).toBe(true);
    const other = saveProcessOf(3, ['/usr/lib64/xen/bin/emu-manager', '--domid', '31']);
    expect(other !== undefined && mayBeSaving(other, vm1)).toBe(false);
  });
  it('a helper whose domain cannot be read may be saving any', () => {
    const odd = saveProcessOf(4, ['libxl-save-helper', '--save-domain']);
    expect(odd !== undefined && mayBeSaving(odd, vm1)).toBe(true);
  });
  it('an xl that does anything else, or that migrates another domain, is none', () => {
    expect(saveProcessOf(5, ['xl', 'list'])).toBeUndefined();
    const other = saveProcessOf(7, ['xl', 'migrate', 'vm2', 'host2']);
    expect(other !== undefined && mayBeSaving(other, vm1)).toBe(false);
  });
  it('the receiving xl is one that saves nothing', () => {
    const receiver = saveProcessOf(6, ['/usr/sbin/xl', 'migrate-receive', 'vm1']);
    expect(receiver).toMatchObject({ kind: 'receiver' });
    expect(receiver !== undefined && mayBeSaving(receiver, vm1)).toBe(false);
  });
  it('whatever a command line holds, reading it does not fail', () => {
    fc.assert(fc.property(fc.array(fc.string()), (args) => void saveProcessOf(1, args)));
  });
  it('are read from /proc, where processes end at any time', () => {
    const proc = mkdtempSync(join(tmpdir(), 'xthrottle-proc-'));
    const put = (pid: string, args: readonly string[]) => {
      mkdirSync(join(proc, pid));
      writeFileSync(join(proc, pid, 'cmdline'), args.map((arg) => `${arg}\0`).join(''));
    };
    put('12', ['/x/libxl-save-helper', '--save-domain', '15', '11', '8', '1', '136', '0']);
    put('13', ['sh', '-c', 'true']);
    put('15', ['xl', 'migrate-receive']);
    // The daemon that an earlier one left.
    put('16', ['xl', 'migrate-receive']);
    for (const pid of ['15', '16']) mkdirSync(join(proc, pid, 'fd'));
    symlinkSync('pipe:[15]', join(proc, '15/fd/0'));
    symlinkSync('/dev/null', join(proc, '16/fd/0'));
    mkdirSync(join(proc, '14'));
    mkdirSync(join(proc, 'self'));
    expect(saveProcesses(proc)).toMatchObject([
      { pid: 12, kind: 'save', domid: 8 },
      { pid: 15, kind: 'receiver' },
    ]);
    rmSync(proc, { recursive: true });
  });
});
