import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/cli/config-file.ts';

const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const why = has('dpkg-deb') ? undefined : 'dpkg-deb is not here';
if (why !== undefined) console.info(`skipped: the Debian package: ${why}`);

const folder = mkdtempSync(join(tmpdir(), 'xthrottle-package-'));
const root = join(folder, 'root');
const lib = join(root, 'usr/lib/xthrottle');
/** Without node: what the package needs it brings along. */
const ENV = { PATH: join(folder, 'bin'), LC_ALL: 'C', XTHROTTLE_STATE: join(folder, 'state') };
let deb = '';

function must(command: string, args: readonly string[], options: object = {}): string {
  const ran = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (ran.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${ran.stderr}${ran.error?.message ?? ''}`);
  return ran.stdout;
}
const packaged = (...args: readonly string[]) =>
  spawnSync(join(lib, 'node'), [join(lib, 'dist/src/cli/bin.js'), ...args], { encoding: 'utf8', env: ENV });

describe.skipIf(why !== undefined)('the Debian package', () => {
  beforeAll(() => {
    must(process.execPath, ['src/packaging/deb.mjs', '--out', folder, '--level', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    deb = join(folder, readdirSync(folder).find((name) => name.endsWith('.deb')) ?? 'none');
    must('dpkg-deb', ['-x', deb, root]);
    must('dpkg-deb', ['-e', deb, join(folder, 'control')]);
    mkdirSync(ENV.PATH);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('says what it is, and needs no more than the C and C++ libraries', () => {
    const field = (name: string): string => must('dpkg-deb', ['-f', deb, name]).trim();
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
    expect(field('Package')).toBe('xthrottle');
    expect(field('Version')).toBe(version);
    expect(field('Architecture')).toBe(must('dpkg', ['--print-architecture']).trim());
    const depends = field('Depends')
      .split(', ')
      .map((one) => one.split(' ')[0]);
    for (const one of depends) expect(['libc6', 'libgcc-s1', 'libstdc++6', 'libatomic1']).toContain(one);
    expect(field('Recommends')).toBe('xen-utils-common');
  });

  it('has everything in its place, owned by root, and sums that are right', () => {
    const listed = must('dpkg-deb', ['-c', deb]).trim().split('\n');
    for (const line of listed) expect(line).toMatch(/^[dl-]rw[x-]r.[x-]r.[x-] root\/root |^lrwxrwxrwx root\/root /);
    for (const path of [
      'usr/bin/xthrottle',
      'usr/lib/xthrottle/front.sh',
      'usr/lib/xthrottle/build-policy',
      'usr/lib/xthrottle/dist/src/xen/relay/relay.js',
      'usr/lib/xthrottle/dist/src/xen/guard-main.js',
      'usr/lib/xthrottle/src/xen/relay/policy.c',
      'usr/share/man/man8/xthrottle.8.gz',
      'usr/share/bash-completion/completions/xthrottle',
      'usr/share/doc/xthrottle/copyright',
      'usr/share/doc/xthrottle/changelog.gz',
      'usr/share/doc/xthrottle/examples/save-helper.conf',
      'usr/share/xthrottle/grafana/dashboards/xthrottle-migration.json',
      'lib/systemd/system/xthrottle.service',
      'lib/systemd/system/xthrottle-restore.service',
      'etc/xthrottle/xthrottle.conf',
    ])
      expect(existsSync(join(root, path)), path).toBe(true);
    const sums = readFileSync(join(folder, 'control/md5sums'), 'utf8').trim().split('\n');
    for (const line of sums) {
      const [sum, path = ''] = line.split('  ');
      expect(
        createHash('md5')
          .update(readFileSync(join(root, path)))
          .digest('hex'),
        path,
      ).toBe(sum);
    }
    expect(readFileSync(join(folder, 'control/conffiles'), 'utf8')).toBe('/etc/xthrottle/xthrottle.conf\n');
    for (const name of ['postinst', 'prerm', 'postrm']) expect(statSync(join(folder, 'control', name)).mode & 0o777, name).toBe(0o755);
    const config = readFileSync(join(root, 'etc/xthrottle/xthrottle.conf'), 'utf8');
    expect(parseConfig(config, 'watch', 'f').values).toEqual({});
  });

  it('runs where there is no node', () => {
    expect(packaged('--help').stdout).toContain('xthrottle migrate');
    expect(packaged('--version').stdout.trim()).toBe(must('dpkg-deb', ['-f', deb, 'Version']).trim());
    const simulated = packaged('simulate', '--scenario', 'busy-database', '--seed', '1', '--json', '--trace');
    expect(simulated.stderr).not.toContain('unexpected');
    expect(JSON.parse(simulated.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ type: 'summary', outcome: 'met' });
    const trace = join(ENV.XTHROTTLE_STATE, 'traces', readdirSync(join(ENV.XTHROTTLE_STATE, 'traces'))[0] ?? '');
    expect(packaged('report', trace, '-o', join(folder, 'report.html')).status).toBe(0);
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('uPlot');
  });

  it('calls C libraries: its native part is found beside it', () => {
    const script = `import koffi from 'koffi'; console.log(koffi.load('libc.so.6').func('int getpid()')() === process.pid)`;
    expect(must(join(lib, 'node'), ['--input-type=module', '-e', script], { cwd: join(lib, 'dist'), env: ENV }).trim()).toBe('true');
  });

  it('goes on when its files are replaced under it: a running program loads nothing more of them', async () => {
    const program = spawn(
      join(lib, 'node'),
      [
        join(lib, 'dist/src/cli/bin.js'),
        ...['simulate', '--scenario', 'busy-database', '--seed', '1', '--pace', '8', '--no-live'],
        ...['--metrics', '127.0.0.1:0', '--textfile', folder, '--trace'],
      ],
      { env: ENV },
    );
    let said = '';
    program.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    program.stdout.resume();
    const url = await new Promise<string>((resolve, reject) => {
      program.stderr.on('data', () => {
        const match = /metrics at (\S+)/.exec(said);
        if (match !== null) resolve(match[1] ?? '');
      });
      program.on('close', () => reject(new Error(said)));
    });
    renameSync(join(lib, 'dist'), join(lib, 'dist.old'));
    try {
      expect(await (await fetch(url)).text()).toContain('xthrottle_');
      expect(await new Promise((resolve) => program.on('close', resolve)), said).toBe(0);
      expect(readdirSync(folder).filter((name) => name.endsWith('.prom'))).toHaveLength(1);
    } finally {
      renameSync(join(lib, 'dist.old'), join(lib, 'dist'));
    }
  });

  it('is clean for lintian', () => {
    if (!has('lintian')) return console.info('skipped: lintian is not installed');
    const run = spawnSync('lintian', ['--fail-on', 'error,warning', deb], { encoding: 'utf8' });
    expect(run.stdout).toBe('');
    expect(run.status).toBe(0);
    return undefined;
  });
});
