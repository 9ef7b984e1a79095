import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { MigrationRecord } from '../../src/core/record.ts';
import { buildCli, type Cli } from './run-cli.ts';

let cli: Cli;
const folder = mkdtempSync(join(tmpdir(), 'xthrottle-cli-'));
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => {
  cli.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const lines = (text: string): readonly MigrationRecord[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MigrationRecord);

describe('help', () => {
  it('names every command and every exit code, and the README has the same table', async () => {
    const { code, stdout } = await cli.run(['--help']);
    expect(code).toBe(0);
    for (const command of ['watch', 'migrate', 'simulate', 'restore', 'doctor', 'probe', 'replay', 'explain', 'report'])
      expect(stdout).toContain(`xthrottle ${command}`);
    const readme = readFileSync('README.md', 'utf8').replace(/ +/g, ' ');
    for (const { code: value, text } of Object.values(EXIT_CODES)) {
      expect(stdout.replace(/\s+/g, ' ')).toContain(`${value} ${text}`);
      expect(readme).toContain(`| ${value} | ${text} |`);
    }
  });
  it('prints the version', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
    expect((await cli.run(['--version'])).stdout.trim()).toBe(version);
  });
});

describe('bad input: exit code 2, one clear message, nothing on stdout', () => {
  it.each([
    ['a mistyped command', ['migrat', 'vm1', 'host2'], /migrat/],
    ['a word for the default command', ['vm1'], /vm1/],
    ['an unknown option', ['simulate', '--scenaro', 'idle'], /scenaro/],
    [
      'a duration without unit',
      ['simulate', '--scenario', 'idle', '--target-downtime', '200'],
      /--target-downtime expects a duration with a unit, got the bare number 200/,
    ],
    ['a target of 0', ['simulate', '--scenario', 'idle', '--target-downtime', '0ms'], /not above zero/],
    ['an unknown scenario', ['simulate', '--scenario', 'nosuch'], /there is no scenario "nosuch"[\s\S]*busy-database/],
    ['no scenario', ['simulate'], /--scenario is missing/],
    [
      'an unknown controller',
      ['simulate', '--scenario', 'idle', '--controller', 'nosuch'],
      /there is no controller "nosuch"[\s\S]*working-set/,
    ],
    ['a controller that is no module', ['simulate', '--scenario', 'idle', '--controller', './nosuch.js'], /cannot load the controller/],
    ['a floor above what the domain may use', ['simulate', '--scenario', 'idle', '--min-cap', '99999'], /--min-cap 99999 is above/],
    ['a floor of 0', ['simulate', '--scenario', 'idle', '--min-cap', '0'], /--min-cap expects a whole number from 1/],
    ['a bad choice', ['simulate', '--scenario', 'idle', '--on-miss', 'perhaps'], /--on-miss expects one of abort, proceed, got "perhaps"/],
    ['a metrics address without port', ['watch', '--metrics', 'here'], /--metrics/],
    ['a trace that is not there', ['explain', '/nonexistent/trace.jsonl'], /cannot read the trace/],
    ['migrate without a host', ['migrate', 'vm1'], /migrate needs a domain and a host[\s\S]*xthrottle migrate --help/],
    ['an option without its value', ['simulate', '--scenario', 'idle', '--compare'], /--compare needs a value/],
    ["xl's options without --", ['migrate', 'vm1', 'host2', '-s', 'ssh'], /no option -s of migrate[\s\S]*behind --/],
    ['a scenario without its option', ['simulate', 'idle'], /--scenario idle/],
    ['a word close to a command', ['restor'], /did you mean xthrottle restore/],
    ['migrate left out', ['vm1', 'host2'], /xthrottle migrate vm1 host2/],
    ['comparing as JSON', ['simulate', '--scenario', 'idle', '--json', '--compare', 'none'], /does not go with --json/],
    ['comparing several', ['simulate', '--scenario', 'idle', '--scenario', 'stress', '--compare', 'none'], /--compare is for one scenario/],
    ['post-copy on Xen', ['migrate', 'vm1', 'host2', '--post-copy'], /--post-copy: Xen [\s\S]*simulate --mechanism post-copy shows/],
    ['hybrid on Xen', ['migrate', 'vm1', 'host2', '--mechanism', 'hybrid'], /--mechanism hybrid: Xen .* has no post-copy migration/],
    ['post-copy of a sidecar', ['--mechanism=post-copy'], /--mechanism=post-copy: Xen .* has no post-copy migration/],
    ['post-copy of a host', ['evacuate', 'host2', '--mechanism', 'post-copy'], /only pre-copy can be throttled/],
    ['post-copy as a controller', ['migrate', 'vm1', 'host2', '--controller', 'post-copy'], /--controller post-copy: Xen .* no post-copy/],
    ['post-copy as an option', ['simulate', '--scenario', 'idle', '--post-copy'], /say --mechanism post-copy/],
    [
      'a throttled post-copy',
      ['simulate', '--scenario', 'idle', '--mechanism', 'post-copy', '--controller', 'jin'],
      /expected no --controller, got jin[\s\S]*--compare jin/,
    ],
    ['a timeslice without unit', ['simulate', '--scenario', 'idle', '--tslice', '5'], /--tslice expects a duration with a unit/],
    ['a timeslice of parts', ['probe', '--scenario', 'idle', '--tslice', '1.5ms'], /--tslice is a whole number of milliseconds from 1/],
    [
      'a timeslice of credit2',
      ['simulate', '--scenario', 'credit2', '--tslice', '5ms'],
      /--tslice is for the scheduler credit: .* credit2/,
    ],
    ['comparing a controller with itself', ['simulate', '--scenario', 'idle', '--compare', 'working-set'], /another controller than ours/],
    ['staying without metrics', ['simulate', '--scenario', 'idle', '--stay'], /needs --metrics/],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await cli.run(args);
    expect(stderr).toMatch(message);
    expect(stdout).toBe('');
    expect(code).toBe(EXIT_CODES.usage.code);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it.each([
    ['simulate', ['simulate', '--scenario', 'idle']],
    ['migrate', ['migrate', 'vm1', 'host2']],
    ['the sidecar', ['watch']],
    ['evacuate', ['evacuate', 'host2']],
    ['a simulated evacuation', ['evacuate', '--simulate', '2']],
    ['probe', ['probe', 'vm1']],
  ])('%s with controller options that do not fit', async (_, args) => {
    const { code, stdout, stderr } = await cli.run([...args, '--controller', 'step-down', '--controller-option', 'stepPercent=200'], {
      XTHROTTLE_XL: '/nonexistent/xl',
    });
    expect(stderr).toMatch(/the controller option stepPercent expects a number from 1 to 100, got 200\n {2}→ stepPercent: percent/);
    expect(stdout).toBe('');
    expect(code).toBe(EXIT_CODES.usage.code);
  });
});

describe('repeated options', () => {
  const start = async (...more: readonly string[]) => {
    const { stdout } = await cli.run(['simulate', '--scenario', 'idle', '--seed', '1', '--json', ...more]);
    const record = lines(stdout)[0];
    return record?.type === 'start' ? record : undefined;
  };
  it('that may be repeated all count', async () => {
    const goal = (await start('--controller', 'step-down', '--controller-option', 'freeRounds=2', '--controller-option', 'stepPercent=30'))
      ?.goal;
    expect(goal?.options).toEqual({ freeRounds: 2, stepPercent: 30 });
  });
  it('a shorter timeslice lowers the floor', async () => {
    const floor = async (...more: readonly string[]) => (await start(...more))?.goal.capFloorPercent ?? Number.NaN;
    expect(await floor('--tslice', '5ms')).toBeLessThan((await floor()) / 3);
  });
  it('otherwise the last one counts', async () => {
    expect(
      (await start('--target-downtime', '1s', '--target-downtime', '2s', '--on-miss', 'abort', '--on-miss', 'proceed'))?.goal,
    ).toMatchObject({
      targetDowntimeMs: 2000,
      onMiss: 'proceed',
    });
  });
});

describe('simulate', () => {
  it('lists scenarios one a line', async () => {
    const { stdout } = await cli.run(['simulate', '--list']);
    expect(stdout.trim().split('\n')).toContain('busy-database');
  });
  it('prints records as JSON lines that end in the summary, the same for the same seed', async () => {
    const args = ['simulate', '--scenario', 'idle', '--seed', '7', '--json'];
    const first = await cli.run(args);
    const records = lines(first.stdout);
    expect(records[0]?.type).toBe('start');
    expect(records.at(-1)).toMatchObject({ type: 'summary', outcome: 'met', controller: 'working-set', seed: 7, capRestored: true });
    expect(first.code).toBe(0);
    expect((await cli.run(args)).stdout).toBe(first.stdout);
  });
  it('a hopeless guest is left where it is: exit code 4, never suspended', async () => {
    const { code, stdout } = await cli.run(['simulate', '--scenario', 'hopeless', '--seed', '1', '--json']);
    expect(code).toBe(EXIT_CODES.aborted.code);
    const records = lines(stdout);
    expect(records.some((record) => record.type === 'observation' && record.observation.type === 'suspended')).toBe(false);
    expect(records.at(-1)).toMatchObject({ type: 'summary', outcome: 'aborted', observedDowntimeMs: null });
  });
  it('stock Xen misses where xthrottle meets, side by side', async () => {
    const { code, stdout } = await cli.run(['simulate', '--scenario', 'busy-database', '--seed', '1', '--compare', 'none', '--no-live']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/outcome\s+migrated, but the target downtime was missed\s+migrated within the target downtime/);
  });
  it('says once what the controller does not heed, and only when it was asked for', async () => {
    const said = async (...args: readonly string[]) =>
      (await cli.run(['simulate', '--scenario', 'idle', '--seed', '1', '--no-live', ...args])).stderr.match(/.* not heed .*/g);
    expect(await said('--controller', 'jin', '--prefer', 'speed', '--profile', 'steep')).toEqual([
      'xthrottle: jin does not heed --profile steep and --prefer speed',
    ]);
    expect(await said('--controller', 'jin')).toBeNull();
    expect(await said('--prefer', 'speed', '--compare', 'none')).toBeNull();
    const watch = await cli.run(['watch', '--controller', 'none', '--prefer', 'speed'], { XTHROTTLE_XL: '/nonexistent/xl' });
    expect(watch.stderr).toContain('none does not heed --prefer speed');
  });
  it('models post-copy and hybrid, and says what the guest pays after its resume', async () => {
    const args = ['simulate', '--scenario', 'busy-database', '--seed', '1', '--no-live', '--mechanism'];
    const post = await cli.run([...args, 'post-copy', '--compare', 'working-set']);
    expect(post.stdout).toMatch(/working-set\s+post-copy \(model\)/);
    expect(post.stdout).toMatch(/waiting for pages\s+15\.\d s/);
    const hybrid = await cli.run([...args, 'hybrid']);
    expect(hybrid.stderr).toMatch(
      /hybrid, a model of what Xen does not have: suspended for \d+ ms, then [\d.]+ s in all waiting for pages/,
    );
    expect(hybrid.code).toBe(0);
  });
  it('runs a controller of the user’s own from its path, within the bounds of everybody', async () => {
    const path = join(folder, 'mine.mjs');
    writeFileSync(
      path,
      `const reason = { code: 'mine', text: 'mine', numbers: {} };
       export default { name: 'mine', summary: 'always far too low', initial: () => 0,
         decide: (s, o) => [s, o.type === 'suspend-request' ? { action: 'grant', reason } : { action: 'set-cap', cap: { kind: 'capped', percent: 1 }, reason }] };`,
    );
    const { stdout } = await cli.run(['simulate', '--scenario', 'busy-database', '--seed', '1', '--controller', path, '--json']);
    const records = lines(stdout);
    const start = records[0];
    const floor = start?.type === 'start' ? start.goal.capFloorPercent : Number.NaN;
    expect(records.at(-1)).toMatchObject({ controller: 'mine', capPercentMin: floor, capRestored: true });
  });
});

describe('a trace', () => {
  it('of a simulated run is replayed to the same decisions, explained and reported', async () => {
    const trace = join(folder, 'trace.jsonl');
    writeFileSync(trace, (await cli.run(['simulate', '--scenario', 'busy-database', '--seed', '3', '--json'])).stdout);
    const again = await cli.run(['replay', trace]);
    expect(again.stdout).toContain('every decision is the same');
    expect(again.code).toBe(0);
    expect((await cli.run(['replay', trace, '--controller', 'none'])).stdout).toMatch(/\d+ of \d+ decisions differ/);
    expect((await cli.run(['explain', trace])).stdout).toContain('orders-db');
    const page = join(folder, 'report.html');
    expect((await cli.run(['report', trace, '-o', page])).code).toBe(0);
    expect(readFileSync(page, 'utf8')).toContain('orders-db');
  });
});

describe('without Xen', () => {
  it('a missing xl is said with its own exit code', async () => {
    const { code, stderr } = await cli.run(['migrate', 'vm1', 'host2'], { XTHROTTLE_XL: '/nonexistent/xl' });
    expect(code).toBe(EXIT_CODES.noXl.code);
    expect(stderr).toContain('/nonexistent/xl');
  });
});
