import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { servePolicy } from '../../../src/xen/relay/policy-channel.ts';
import { decodeRequest, encodeReply, REPLY_BYTES, REQUEST_BYTES, refusalText, stockAnswer } from '../../../src/xen/relay/policy-wire.ts';
import type { PolicyAnswer } from '../../../src/xen/relay/protocol.ts';

const here = (path: string): string => new URL(path, import.meta.url).pathname;
const SOURCE = here('../../../src/xen/relay/policy.c');
const BUILD = here('../../../src/xen/relay/build-policy.mjs');

const includes = ['/usr/include', process.env['XTHROTTLE_XEN_INCLUDE'] ?? '', join(homedir(), '.cache/xenlab/kern/usr/include')];
const include = includes.find((path) => path !== '' && existsSync(join(path, 'xenguest.h')));
const compiler = ['gcc', 'cc', 'clang'].find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
const missing =
  compiler === undefined ? 'there is no C compiler' : include === undefined ? "Xen's headers are not installed (libxen-dev)" : '';
if (missing !== '') console.info(`the policy object is not tested: ${missing}`);

let dir: string;
/** How long the impatient helper waits for an answer; the others wait as long as the real one. */
const WAIT_MS = 1000;
// Programs are started: slow on a busy machine.
vi.setConfig({ testTimeout: 60_000 });
const FLAGS = ['-std=gnu11', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

function compile(args: readonly string[]): void {
  const result = spawnSync(compiler as string, [...FLAGS, '-isystem', include as string, ...args], { cwd: dir, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${compiler} ${args.join(' ')}\n${result.stderr}`);
}

/** A helper linked with the policy object, built for 4.17, and a libxenguest of `release`. */
function buildHelper(release: string, name: string = release, more: readonly string[] = []): void {
  const library = `libxenguest.so.${release}`;
  compile(['-shared', '-fPIC', `-Wl,-soname,${library}`, '-o', library, here('policy/fake-xen.c')]);
  const macros = ['-DXTHROTTLE_XEN_MAJOR="4"', '-DXTHROTTLE_XEN_MINOR="17"', ...more];
  compile([...macros, '-o', `helper-${name}`, here('policy/fake-helper.c'), SOURCE, library, '-Wl,-rpath,$ORIGIN', '-rdynamic', '-ldl']);
}

interface Run {
  /** `before 0 1044480 0`: when, iteration, dirty count, answer. */
  readonly asked: readonly string[];
  readonly code: number | null;
  readonly stderr: string;
  readonly stdout: string;
}

function run(peer: ((channel: Duplex, pid: number) => void) | undefined, env: Readonly<Record<string, string>> = {}, helper = '4.17') {
  const child = spawn(join(dir, `helper-${helper}`), {
    stdio: ['ignore', 'pipe', 'pipe', peer === undefined ? 'ignore' : 'pipe'],
    env: { XTHROTTLE_POLICY_FD: '3', LD_PRELOAD: '', ASAN_OPTIONS: 'detect_leaks=1', ...env },
  });
  const channel = child.stdio[3] as unknown as Duplex | null;
  channel?.on('error', () => undefined);
  if (channel !== null) peer?.(channel, child.pid as number);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise<Run>((resolve) => {
    child.once('close', (code) => {
      const asked = stdout.split('\n').filter((line) => /^(before|after|stock)/.test(line));
      resolve({ asked, code, stderr, stdout });
    });
  });
}

/** A relay that answers with what `policy` says. */
const answering =
  (policy: (iteration: number, dirty: number) => PolicyAnswer, onHello: (refusal: number) => void = () => undefined) =>
  (channel: Duplex) =>
    servePolicy(channel, { hello: onHello, query: (question, answer) => answer(policy(question.iteration, question.dirtyCount)) });

/** A relay that answers `count` questions with "go on" and then does `then` with the next request. */
const answeringThen =
  (count: number, then: (channel: Duplex, id: number, pid: number) => void) =>
  (channel: Duplex, pid: number): void => {
    let asked = 0;
    let rest = Buffer.alloc(0);
    channel.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (; rest.length >= REQUEST_BYTES; rest = rest.subarray(REQUEST_BYTES)) {
        const request = decodeRequest(Buffer.from(rest.subarray(0, REQUEST_BYTES)));
        if (request?.kind !== 'query') continue;
        if (asked++ < count) channel.write(encodeReply(request.id, 'continue'));
        else then(channel, request.id, pid);
      }
    });
  };

const STOCK = ['before 0 1044480 0', ...[1, 2, 3, 4].flatMap((round) => [`after ${round} -1 0`, `before ${round} 5000 0`]), 'after 5 -1 1'];

describe.skipIf(missing !== '')('the policy object', () => {
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'policy-'));
    buildHelper('4.17');
    buildHelper('4.17', 'impatient', [`-DANSWER_WAIT_MS=${WAIT_MS}`]);
    buildHelper('4.16');
    buildHelper('4.170');
  }, 60_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('goes on past five rounds and stops when the relay says so', async () => {
    const result = await run(answering((iteration, dirty) => (iteration === 9 && dirty < 0 ? 'stop-and-copy' : 'continue')));
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    expect(result.asked).toHaveLength(18);
    expect(result.asked.at(-1)).toBe('after 9 -1 1');
  });

  it('passes on what libxenguest knows', async () => {
    const seen: unknown[] = [];
    await run(
      (channel) =>
        servePolicy(channel, {
          hello: () => undefined,
          query: (question, answer) => {
            seen.push([question.iteration, question.dirtyCount, question.totalWritten]);
            answer(question.iteration < 2 ? 'continue' : 'abort');
          },
        }),
      { FAKE_DIRTY: '77' },
    );
    expect(seen).toEqual([
      [0, 1044480, 0],
      [1, -1, 1044480],
      [1, 77, 1044480],
      [2, -1, 1044557],
    ]);
  });

  it('aborts when the relay says so', async () => {
    const result = await run(answering((iteration) => (iteration === 2 ? 'abort' : 'continue')));
    expect(result.asked.at(-1)).toBe('after 2 -1 -1');
  });

  it('stops early, before a round and after it', async () => {
    const before = await run(
      answering((_iteration, dirty) => (dirty >= 0 && dirty < 300 ? 'stop-and-copy' : 'continue')),
      {
        FAKE_DIRTY: '4000,299',
      },
    );
    expect(before.asked.at(-1)).toBe('before 2 299 1');
    const after = await run(answering((iteration) => (iteration === 1 ? 'stop-and-copy' : 'continue')));
    expect(after.asked).toEqual(['before 0 1044480 0', 'after 1 -1 1']);
  });

  it('keeps the preload to the helper alone', async () => {
    const result = await run(answering(() => 'stop-and-copy'));
    expect(result.stdout).toContain('save 14 3 1 clean');
  });

  it.each<readonly [string, (channel: Duplex, id: number) => void]>([
    ['hangs up', (channel) => channel.destroy()],
    ['is silent', () => undefined],
    ['answers half', (channel, id) => channel.write(encodeReply(id, 'continue').subarray(0, 9))],
    ['answers half and hangs up', (channel, id) => channel.end(encodeReply(id, 'continue').subarray(0, 9))],
    ['answers another question', (channel, id) => channel.write(encodeReply(id + 1, 'continue'))],
    ['answers what there is not', (channel, id) => channel.write(damaged(encodeReply(id, 'continue'), 12, 5))],
    ['answers in another protocol', (channel, id) => channel.write(damaged(encodeReply(id, 'continue'), 4, 9))],
    ['answers rubbish', (channel) => channel.write(Buffer.alloc(64, 0xa5))],
  ])('decides as stock from the moment when the relay %s', async (_name, then) => {
    // Within the first five rounds, and past them, where stock's answer is to stop at once.
    expect((await run(answeringThen(4, then), {}, 'impatient')).asked).toEqual(STOCK);
    const late = await run(answeringThen(13, then), {}, 'impatient');
    expect(late.stderr).toBe('');
    expect(late.asked.slice(-2)).toEqual(['before 6 5000 0', 'after 7 -1 1']);
  });

  it('waits once for a relay that is stopped, not at every question', async () => {
    const from = performance.now();
    await run(
      answeringThen(2, () => undefined),
      {},
      'impatient',
    );
    const elapsed = performance.now() - from;
    expect(elapsed).toBeGreaterThanOrEqual(WAIT_MS);
    // Seven more questions follow the one that is not answered.
    expect(elapsed).toBeLessThan(7 * WAIT_MS);
  });

  it('answers as stock to any reply that is not an exact one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: REPLY_BYTES, maxLength: 3 * REPLY_BYTES }), async (bytes) => {
        const result = await run(answeringThen(0, (channel) => channel.end(Buffer.from(bytes))));
        expect(result.stderr).toBe('');
        expect(result.asked).toEqual(STOCK);
      }),
      { numRuns: 10 },
    );
  });

  it('is not confused by signals while it waits', async () => {
    const result = await run(
      answeringThen(1, (channel, id, pid) => {
        // SIGCONT interrupts poll() without ending the process.
        for (let i = 0; i < 5; i++) process.kill(pid, i % 2 === 0 ? 'SIGSTOP' : 'SIGCONT');
        process.kill(pid, 'SIGCONT');
        setTimeout(() => channel.write(encodeReply(id, 'stop-and-copy')), 50);
      }),
    );
    expect(result.asked.at(-1)).toBe('after 1 -1 1');
  });

  it.each<readonly [string, number, Readonly<Record<string, string>>, string]>([
    ['another hypervisor', 1, { FAKE_XEN_VERSION: '0x40010' }, '4.17'],
    ['no hypervisor', 1, { FAKE_XEN_VERSION: '-1' }, '4.17'],
    ['another libxenguest', 2, {}, '4.16'],
    ['a libxenguest whose release only begins alike', 2, {}, '4.170'],
    ['a helper with a policy of its own', 3, { FAKE_TAKEN: '1' }, '4.17'],
  ])('leaves everything alone under %s, and says so', async (_name, refusal, env, release) => {
    let said: number | undefined;
    const result = await run(
      answering(
        () => 'continue',
        (value) => {
          said = value;
        },
      ),
      env,
      release,
    );
    expect(said).toBe(refusal);
    expect(refusalText(refusal)).not.toContain('refused');
    expect(result.asked).toEqual(env['FAKE_TAKEN'] === undefined ? ['stock'] : ['before 0 1044480 1']);
  });

  it.each<readonly [string, Readonly<Record<string, string>>]>([
    ['no descriptor', { XTHROTTLE_POLICY_FD: '' }],
    ['one that is not open', { XTHROTTLE_POLICY_FD: '77' }],
    ['one that is no socket', { XTHROTTLE_POLICY_FD: '2' }],
    ['one that is no number', { XTHROTTLE_POLICY_FD: '3x' }],
  ])('leaves everything alone with %s', async (_name, env) => {
    const result = await run(undefined, env);
    expect(result.stderr).toBe('');
    expect(result.asked).toEqual(['stock']);
  });

  it('builds against the headers, for one release, without an allocator', () => {
    const out = join(dir, 'policy.so');
    const built = spawnSync(process.execPath, [BUILD, '--include', include as string, '--xen', '4.17', '--out', out], { encoding: 'utf8' });
    expect(built.stderr).toBe('');
    expect(built.status).toBe(0);
    // The names it imports stand in the file as they are.
    const symbols = readFileSync(out, 'latin1').split('\0');
    expect(symbols).toContain('xc_domain_save');
    expect(symbols).toContain('recv');
    expect(symbols.filter((name) => /^(malloc|calloc|realloc|strdup|asprintf|fopen|printf|dlopen)$/.test(name))).toEqual([]);
  });
});

function damaged(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}

describe('the build of the policy object', () => {
  it('says what to do when the headers are missing', () => {
    const result = spawnSync(process.execPath, [BUILD, '--include', '/nonexistent'], { encoding: 'utf8' });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('libxen-dev');
  });
});

describe('stock’s answer', () => {
  it('is libxenguest’s: five rounds, or fewer than 50 pages', () => {
    expect(stockAnswer(0, 49)).toBe('stop-and-copy');
    expect(stockAnswer(0, 50)).toBe('continue');
    expect(stockAnswer(4, -1)).toBe('continue');
    expect(stockAnswer(5, -1)).toBe('stop-and-copy');
    expect(stockAnswer(5, 5000)).toBe('stop-and-copy');
  });
});
