import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gatherVariables } from '../../../src/xen/doctor/gather-state.ts';
import { judgeVariable } from '../../../src/xen/doctor/judge-state.ts';

let folder: string;
let front: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xthrottle-variables-'));
  front = join(folder, 'front.sh');
  writeFileSync(front, '#!/bin/sh\n');
  mkdirSync(join(folder, 'apparmor.d/local'), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A daemon in a /proc of its own, and what the doctor says of it. */
function daemon(comm: string, value: string | undefined, context?: string) {
  const process = join(folder, 'proc/812');
  mkdirSync(join(process, 'attr'), { recursive: true });
  writeFileSync(join(process, 'comm'), `${comm}\n`);
  writeFileSync(join(process, 'environ'), `PATH=/bin\0${value === undefined ? '' : `LIBXL_SAVE_HELPER=${value}\0`}`);
  if (context !== undefined) writeFileSync(join(process, 'attr/current'), `${context}\n`);
  const [, ...daemons] = gatherVariables(front, join(folder, 'proc'), join(folder, 'apparmor.d'));
  return daemons.map(judgeVariable);
}
const allow = (text: string) => writeFileSync(join(folder, 'apparmor.d/local/usr.sbin.libvirtd'), text);

describe('LIBXL_SAVE_HELPER of a daemon', () => {
  it('ours, not set, not there; other programs are not looked at', () => {
    expect(daemon('libvirtd', front)).toMatchObject([{ level: 'ok', found: 'libvirtd (pid 812) has our front' }]);
    expect(daemon('virtxend', undefined)).toMatchObject([{ level: 'note', todo: expect.stringContaining('systemctl edit virtxend') }]);
    expect(daemon('libvirtd', join(folder, 'gone'))).toMatchObject([{ level: 'problem' }]);
    expect(daemon('bash', front)).toEqual([]);
  });
  it('under AppArmor, unless the profile was told of the front: nothing of it would start', () => {
    const local = join(folder, 'apparmor.d/local/usr.sbin.libvirtd');
    const confined = [
      { level: 'warning', todo: `echo '${front} PUx,' >> ${local} && apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd` },
    ];
    expect(daemon('libvirtd', front, 'libvirtd (enforce)')).toMatchObject(confined);
    allow(`# ${front} PUx,\n`);
    expect(daemon('libvirtd', front, 'libvirtd (enforce)')).toMatchObject(confined);
    allow(`${front} PUx,\n`);
    expect(daemon('libvirtd', front, 'libvirtd (enforce)')).toMatchObject([{ level: 'ok' }]);
  });
  it('AppArmor that only complains, or does not confine it, is no matter', () => {
    for (const context of ['libvirtd (complain)', 'unconfined'])
      expect(daemon('libvirtd', front, context)).toMatchObject([{ level: 'ok' }]);
  });
});
