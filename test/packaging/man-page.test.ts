import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { commandSpecs } from '../../src/cli/command-specs.ts';
import { completionScript, SHELLS } from '../../src/cli/completion.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { manPage } from '../../src/packaging/man-page.ts';

const folder = mkdtempSync(join(tmpdir(), 'xthrottle-man-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const page = manPage('1.2.3', '2026-01-31');
const file = join(folder, 'xthrottle.8');
writeFileSync(file, page);
/** As a reader sees it, without the marks of roff. */
const plain = page
  .replaceAll(/\\f[BIR]/g, '')
  .replaceAll('\\-', '-')
  .replaceAll('\\e', '\\')
  .replaceAll('\\&', '');
const squeezed = plain.replaceAll(/\s+/g, ' ');
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

describe('the man page', () => {
  it('has every command, option, choice and example that help has', () => {
    for (const command of commandSpecs()) {
      expect(squeezed).toContain(`xthrottle ${command.isDefault ? `[${command.name}]` : command.name} [options]`);
      for (const option of command.options) {
        const heads = [...plain.matchAll(/^\.B "(.*)"$/gm)].map((match) => match[1]);
        expect(heads.some((head) => new RegExp(`(^|, )--${option.name}( |,|$)`).test(head ?? ''))).toBe(true);
        for (const choice of option.choices) expect(squeezed).toContain(choice);
      }
      for (const example of command.examples) expect(plain).toContain(example.command);
    }
  });

  it('has the exit codes', () => {
    for (const { code, text } of Object.values(EXIT_CODES)) expect(squeezed).toContain(`.B "${code}" ${text}`);
  });

  it('has every variable that a person may set', () => {
    const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ts|sh|c)$/.test(name));
    const read = sources.flatMap((name) => readFileSync(join('src', name), 'utf8').match(/\bXTHROTTLE_[A-Z_]+\b/g) ?? []);
    const inner = new Set(['XTHROTTLE_HOLD', 'XTHROTTLE_POLICY_FD', 'XTHROTTLE_XEN_MAJOR', 'XTHROTTLE_XEN_MINOR']);
    for (const name of new Set(read)) if (!inner.has(name)) expect(plain).toContain(`.B "${name}"`);
  });

  it('is read by man and mandoc without a warning', () => {
    const said: string[] = [];
    if (has('man')) {
      const run = spawnSync('man', ['--warnings', '-l', file], {
        encoding: 'utf8',
        env: { ...process.env, MANPAGER: 'cat', LC_ALL: 'C.UTF-8' },
      });
      said.push(run.stderr);
      expect(run.stdout).toContain('--target-downtime');
    } else console.info('skipped: man is not installed');
    if (has('mandoc')) said.push(spawnSync('mandoc', ['-Tlint', '-Wwarning', file], { encoding: 'utf8' }).stdout);
    else console.info('skipped: mandoc is not installed');
    expect(said.join('')).toBe('');
  });
});

describe('shell completion', () => {
  it.each(SHELLS)('of %s is a script that the shell takes', (shell) => {
    if (!has(shell)) return console.info(`skipped: ${shell} is not installed`);
    writeFileSync(join(folder, shell), completionScript(shell));
    expect(spawnSync(shell, ['-n', join(folder, shell)], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    return undefined;
  });

  it('in bash offers what the program says, and names of domains where one is wanted', () => {
    if (!has('bash')) return console.info('skipped: bash is not installed');
    const complete = (...words: readonly string[]): readonly string[] =>
      execFileSync(
        'bash',
        [
          '-c',
          `${completionScript('bash')}
          xthrottle() { local IFS=' '; printf '%s\\n' migrate report "asked:$*"; }
          xl() { printf 'Name ID\\nDomain-0 0\\ndb1 4\\nweb 5\\n'; }
          COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _xthrottle; printf '%s\\n' "\${COMPREPLY[@]}"`,
          'bash',
          ...words,
        ],
        { encoding: 'utf8' },
      )
        .trim()
        .split('\n');
    expect(complete('xthrottle', 're')).toEqual(['report']);
    expect(complete('xthrottle', 'report', 'asked')).toEqual(['asked:--get-yargs-completions xthrottle report asked']);
    expect(complete('xthrottle', 'migrate', '')).toEqual(['db1', 'web']);
    expect(complete('xthrottle', 'migrate', 'd')).toEqual(['db1']);
    return undefined;
  });
});
