import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { copyright, debianChangelog } from '../../src/packaging/debian-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'xthrottle-units-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const unit = (name: string): string => readFileSync(`src/packaging/systemd/${name}`, 'utf8');
const valuesOf = (text: string, key: string): readonly string[] =>
  [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map((match) => match[1] ?? '');
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

describe('the service', () => {
  const service = unit('xthrottle.service');

  it('keeps its records out of the journal, but not what it says to people: stderr would follow stdout', () => {
    expect(valuesOf(service, 'StandardOutput')).toEqual(['null']);
    expect(valuesOf(service, 'StandardError')).toEqual(['journal']);
  });
  it('is taken for started when it says so, is watched, and puts caps back however it ends', () => {
    expect(valuesOf(service, 'Type')).toEqual(['notify']);
    expect(valuesOf(service, 'NotifyAccess')).toEqual(['all']);
    expect(Number(valuesOf(service, 'WatchdogSec')[0])).toBeGreaterThan(0);
    expect(valuesOf(service, 'ExecStopPost')).toEqual(["/bin/sh -c 'exec /usr/bin/xthrottle restore >&2'"]);
  });
  it('may take its time to start: a busy dom0 answers each call of xl late, and what was left behind is put back first', () => {
    expect(Number(valuesOf(service, 'TimeoutStartSec')[0])).toBeGreaterThanOrEqual(300);
  });
  it('leaves the guard alone when it is stopped or killed', () => {
    expect(valuesOf(service, 'KillMode')).toEqual(['process']);
    expect(valuesOf(service, 'OOMPolicy')).toEqual(['continue']);
  });
  it("knows our exit codes: a signal's is no failure, what a restart cannot mend is not tried again", () => {
    const { interrupted, terminated, usage, noXl } = EXIT_CODES;
    expect(valuesOf(service, 'SuccessExitStatus')).toEqual([`${interrupted.code} ${terminated.code}`]);
    expect(valuesOf(service, 'RestartPreventExitStatus')).toEqual([`${usage.code} ${noXl.code}`]);
  });
  it('keeps its directories to itself, and the sockets of wrapped migrations when it ends', () => {
    for (const key of ['RuntimeDirectoryMode', 'StateDirectoryMode']) expect(valuesOf(service, key)).toEqual(['0700']);
    expect(valuesOf(service, 'RuntimeDirectoryPreserve')).toEqual(['yes']);
  });
  it('asks for no hardening that would take /dev/xen or the compiler of the runtime away', () => {
    for (const key of ['PrivateDevices', 'DevicePolicy', 'ProtectClock', 'MemoryDenyWriteExecute', 'PrivateUsers', 'ProcSubset'])
      expect(valuesOf(service, key)).toEqual([]);
  });
});

describe('all units', () => {
  it('come after the domains that are restored at boot, whose caps they may have to put back', () => {
    for (const name of readdirSync('src/packaging/systemd'))
      expect(valuesOf(unit(name), 'After')[0]?.split(' ')).toContain('xendomains.service');
  });
  it('are right for systemd', () => {
    if (!has('systemd-analyze') || !existsSync('/lib/systemd/system/sysinit.target'))
      return console.info('skipped: systemd is not installed');
    const names = readdirSync('src/packaging/systemd');
    // The program is not installed here: any that is there stands for it.
    for (const name of names) writeFileSync(join(folder, name), unit(name).replaceAll('/usr/bin/xthrottle', '/bin/true'));
    const drop = readFileSync('src/packaging/examples/save-helper.conf', 'utf8');
    writeFileSync(join(folder, 'job.service'), `[Service]\nExecStart=/bin/true\n${drop}`);
    const run = spawnSync('systemd-analyze', ['verify', '--man=no', ...[...names, 'job.service'].map((name) => join(folder, name))], {
      encoding: 'utf8',
    });
    const ours = run.stderr.split('\n').filter((line) => /xthrottle|job\.service/.test(line));
    expect(ours).toEqual([]);
    expect(run.status, run.stderr).toBe(0);
    return undefined;
  });
  it('name nothing but what the package installs', () => {
    const paths = readdirSync('src/packaging', { recursive: true, encoding: 'utf8' })
      .filter((name) => /^(systemd|examples|deb)\//.test(name))
      .flatMap((name) => readFileSync(join('src/packaging', name), 'utf8').match(/\/usr\/(bin|lib)\/xthrottle[\w./-]*\b/g) ?? []);
    const made = ['/usr/bin/xthrottle', '/usr/lib/xthrottle/front.sh', '/usr/lib/xthrottle/node', '/usr/lib/xthrottle/dist/src/cli/bin.js'];
    for (const path of new Set(paths))
      expect([...made, '/usr/lib/xthrottle/src/xen/relay/build-policy.mjs', '/usr/lib/xthrottle']).toContain(path);
  });
});

describe('maintainer scripts and examples', () => {
  it.each(readdirSync('src/packaging/deb').filter((name) => name !== 'lintian-overrides'))('%s is a script of a plain sh', (name) => {
    const path = `src/packaging/deb/${name}`;
    expect(readFileSync(path, 'utf8')).toMatch(/^#!\/bin\/sh\n/);
    expect(spawnSync('sh', ['-n', path], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });
  it('the sudoers example is one for visudo, and keeps what libxl reads', () => {
    const path = 'src/packaging/examples/sudoers';
    expect(readFileSync(path, 'utf8')).toContain('env_keep += "LIBXL_SAVE_HELPER"');
    if (!has('visudo')) return console.info('skipped: visudo is not installed');
    expect(spawnSync('visudo', ['-c', '-f', path], { encoding: 'utf8' }).status).toBe(0);
    return undefined;
  });
});

describe('files that Debian asks for', () => {
  it('the copyright names everything inside with its licence', () => {
    const text = copyright({
      packages: [
        { name: 'rxjs', version: '7', license: 'Apache-2.0', text: 'long' },
        { name: '@a/b', version: '1', license: 'MIT', text: 'Copyright B\n\nPermission' },
        { name: 'koffi', version: '3', license: 'MIT', text: 'Copyright K' },
      ],
      runtime: { version: 'v20', text: 'Node\n\n.text' },
    });
    expect(text).toContain('Comment: rxjs 7, @a/b 1\n');
    expect(text).toContain('License: Apache-2.0 and MIT-of-a-b\n');
    expect(text).toContain('License: MIT-of-a-b\n Copyright B\n .\n Permission\n');
    expect(text).toContain('License: Node.js\n Node\n .\n .text\n');
    expect(text).not.toContain('long');
    for (const line of text.split('\n')) expect(line).toMatch(/^( |[A-Z][\w-]*: |$)/);
  });
  it('the changelog is the newest section', () => {
    const markdown = '# Changelog\n\n## 2.0\n\n### A\n\n- one\n  two\n- three\n\n## 1.0\n\n- old\n';
    expect(debianChangelog(markdown, { version: '2.0', maintainer: 'M <m@e>', date: new Date(0) })).toBe(
      'xthrottle (2.0) unstable; urgency=medium\n\n  * one two\n  * three\n\n -- M <m@e>  Thu, 01 Jan 1970 00:00:00 +0000\n',
    );
  });
});
