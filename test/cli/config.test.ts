import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandSpecs, specOfCommand } from '../../src/cli/command-specs.ts';
import { loadConfig } from '../../src/cli/config.ts';
import { CONFIGURED, configurable, parseConfig, type Settings } from '../../src/cli/config-file.ts';
import { EXIT_CODES, XthrottleError } from '../../src/core/errors.ts';
import { configSample } from '../../src/packaging/config-sample.ts';
import { buildCli, type Cli } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'xthrottle-config-'));
let cli: Cli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => {
  cli.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const file = (text: string, mode = 0o644): string => {
  const path = join(folder, 'xthrottle.conf');
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};
const watch = (text: string) => parseConfig(text, 'watch', 'f').values;
const migrate = (text: string) => parseConfig(text, 'migrate', 'f').values;

describe('the configuration file', () => {
  it('gives both commands what stands before the first section, and each its own, which wins', () => {
    const text =
      '# a comment\n\n target-downtime = 300ms\r\njson=yes\n[watch]\ntarget-downtime = 1s\ndeny = a b\ndeny=c\n[migrate]\n verbose = on\n';
    expect(watch(text)).toEqual({ 'target-downtime': '1s', json: true, deny: ['a b', 'c'] });
    expect(migrate(text)).toEqual({ 'target-downtime': '300ms', json: true, verbose: true });
  });

  it.each([
    ['an unknown key', 'target-downtme = 1s', /^f:1: there is no option target-downtme$/, /target-downtime/],
    ['dashes', '\n--target-downtime = 1s', /^f:2: there is no option --target-downtime$/, /did you mean target-downtime/],
    ['a negated flag', 'no-trace = true', /^f:1: there is no option no-trace$/, /trace = false/],
    ['the file naming itself', 'config = /x', /^f:1: there is no option config$/, /./],
    ['an unknown section', '[watsch]', /^f:1: there is no section \[watsch\]$/, /\[watch\] and \[migrate\]/],
    ["one command's key for both", 'deny = x', /^f:1: deny is an option of watch only$/, /under \[watch\]/],
    ["one command's key for the other", '[migrate]\ndeny = x', /^f:2: deny is an option of watch only$/, /under \[watch\]/],
    ['a key twice', 'json = true\n\njson = false', /^f:3: json is given a second time \(first in line 1\)$/, undefined],
    ['no value', 'json =', /^f:1: json has no value$/, /#/],
    ['no key', 'json', /^f:1: expected "key = value", got "json"$/, undefined],
    ['a flag that is none', 'json = maybe', /^f:1: json expects true or false, got "maybe"$/, undefined],
    ['a choice that is none', '[watch]\non-miss = perhaps', /^f:2: on-miss expects one of abort, proceed, got "perhaps"$/, undefined],
  ])('refuses %s, whichever command asks', (_, text, message, hint) => {
    for (const command of CONFIGURED) {
      const error = thrown(() => parseConfig(text, command, 'f'));
      expect(error).toMatchObject({ exit: 'usage', message: expect.stringMatching(message) });
      if (hint !== undefined) expect(error.hint).toMatch(hint);
    }
  });

  it.each([
    ['target-downtime = 300', /:1: target-downtime expects a duration with a unit/],
    ['# x\nmetrics = 9464', /:2: metrics takes ADDR:PORT/],
    ['tslice = 2h', /:1: tslice/],
    ['min-cap = none', /:1: min-cap expects a whole number/],
    ['controller-option = x', /:1: controller-option expects name=number/],
  ])('values go through the checks of the command line, told with their line: %s', (text, message) => {
    const path = file(text);
    expect(thrown(() => loadConfig('watch', ['--config', path], '/none')).message).toMatch(message);
  });

  it('never takes a text for something else: it is read as it is, or refused as usage', () => {
    const keys = fc.constantFrom('json', 'deny', 'on-miss', 'deadline', '[watch]', '[migrate]', '#', 'x');
    const line = fc.tuple(keys, fc.constantFrom('=', ' = ', '', ' '), fc.string({ maxLength: 12 })).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
        try {
          const { values } = parseConfig(lines.join('\n'), 'watch', 'f');
          for (const [key, value] of Object.entries(values)) {
            expect(specOfCommand('watch').options.map(({ name }) => name)).toContain(key);
            for (const one of [value].flat())
              expect(lines.some((text) => text.includes(String(one)) || typeof one === 'boolean')).toBe(true);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(XthrottleError);
          expect((error as XthrottleError).exit).toBe('usage');
        }
      }),
    );
  });
});

describe('which file', () => {
  it('is the default where it exists, the one named, or none', () => {
    const path = file('deadline = 10m');
    expect(loadConfig('watch', [], path)?.values).toEqual({ deadline: '10m' });
    expect(loadConfig('watch', [], join(folder, 'nosuch'))).toBeUndefined();
    expect(loadConfig('watch', ['--no-config'], path)).toBeUndefined();
    expect(loadConfig('watch', [`--config=${path}`], '/none')?.values).toEqual({ deadline: '10m' });
    expect(loadConfig('migrate', ['a', 'b', '--', '--no-config'], path)?.values).toEqual({ deadline: '10m' });
    expect(thrown(() => loadConfig('watch', ['--config', join(folder, 'nosuch')], path)).message).toMatch(/cannot read .*nosuch/);
  });
  it('is not one that others can write: it names code that is run as root', () => {
    expect(thrown(() => loadConfig('watch', [], file('json = true', 0o666)))).toMatchObject({
      hint: expect.stringMatching(/^chmod go-w /),
    });
  });
});

describe('on the command line', () => {
  it('the file is below the options and above the defaults, and other commands do not read it', async () => {
    const path = file('controller = from-the-file\n');
    const controllerOf = async (...args: readonly string[]) =>
      /there is no controller "(.*)"/.exec((await cli.run([...args, '--config', path])).stderr)?.[1];
    expect(await controllerOf('watch')).toBe('from-the-file');
    expect(await controllerOf('migrate', 'a', 'b')).toBe('from-the-file');
    expect(await controllerOf('watch', '--controller', 'from-the-line')).toBe('from-the-line');
    expect((await cli.run(['simulate', '--list', '--config', path])).stderr).toContain('there is no option --config of simulate');
  });
  it('controller options in it are checked like those of the command line', async () => {
    const path = file('controller = auto-converge\ncontroller-option = periodic=0.5\n');
    for (const args of [['watch'], ['migrate', 'a', 'b']]) {
      const { code, stderr } = await cli.run([...args, '--config', path], { XTHROTTLE_XL: '/nonexistent/xl' });
      expect(stderr).toContain('the controller option periodic expects 0 or 1, got 0.5');
      expect(code).toBe(EXIT_CODES.usage.code);
    }
  });
  it('an error in it is exit code 2; help works all the same', async () => {
    const path = file('nonsense = 1\n');
    const run = await cli.run(['--config', path]);
    expect(run.code).toBe(EXIT_CODES.usage.code);
    expect(run.stderr).toMatch(/xthrottle\.conf:1: there is no option nonsense/);
    expect((await cli.run(['watch', '--help', '--config', path])).code).toBe(0);
  });
});

describe('the file as it ships', () => {
  it('changes nothing, and explains every option of both commands once', () => {
    for (const command of CONFIGURED) {
      expect(parseConfig(configSample(), command, 'f').values).toEqual({});
      for (const { name, describe: text } of configurable(specOfCommand(command))) {
        expect(configSample().match(new RegExp(`^#${name} = \\S.*$`, 'gm')), name).toHaveLength(1);
        // The same option may say it in the words of one command or of the other.
        const texts = [
          text,
          ...CONFIGURED.flatMap((c) =>
            specOfCommand(c)
              .options.filter((o) => o.name === name)
              .map((o) => o.describe),
          ),
        ];
        expect(
          texts.some((one) => configSample().replaceAll(/\n# /g, ' ').includes(one)),
          name,
        ).toBe(true);
      }
    }
  });
  it('is right when every line of it is switched on', () => {
    const path = file(configSample().replaceAll(/^#(?=[a-z-]+ = )/gm, ''));
    for (const command of CONFIGURED) {
      const values: Settings['values'] = loadConfig(command, ['--config', path], '/none')?.values ?? {};
      expect(Object.keys(values).sort()).toEqual(
        configurable(specOfCommand(command))
          .map(({ name }) => name)
          .sort(),
      );
      for (const { name, byDefault } of configurable(specOfCommand(command)))
        if (byDefault !== undefined) expect(String(values[name])).toBe(byDefault);
    }
  });
});

describe('the definitions as data', () => {
  it('have every option that help shows, of every command', async () => {
    for (const spec of commandSpecs()) {
      const { stdout } = await cli.run([spec.name, '--help']);
      const shown = [...stdout.matchAll(/^ +(?:-\w, )?--([a-z][a-z-]*)/gm)].map((match) => match[1]);
      expect(new Set(shown), spec.name).toEqual(new Set([...spec.options.map(({ name }) => name), 'help', 'version']));
    }
  });
});

function thrown(work: () => unknown): XthrottleError {
  try {
    work();
  } catch (error) {
    if (error instanceof XthrottleError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
