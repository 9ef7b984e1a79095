import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findPolicy, type PolicyQuestion, servePolicy } from '../../../src/xen/relay/policy-channel.ts';
import { PolicyDesk } from '../../../src/xen/relay/policy-desk.ts';
import { POLICY_PROTOCOL } from '../../../src/xen/relay/policy-wire.ts';
import type { PolicyAnswer } from '../../../src/xen/relay/protocol.ts';
import type { Event } from '../../../src/xen/relay/rounds.ts';

const question = (id: number, iteration: number, dirtyCount: number): PolicyQuestion => ({
  kind: 'query',
  id,
  iteration,
  totalWritten: 100,
  dirtyCount,
});

describe('questions of the policy object', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function desk() {
    const told: Event[] = [];
    const answers: PolicyAnswer[] = [];
    const it = new PolicyDesk((event) => told.push(event));
    return { told, answers, it, ask: (q: PolicyQuestion, waitMs: number | undefined) => it.ask(q, waitMs, (a) => answers.push(a)) };
  }

  it('name the round they are about, before it and after it', () => {
    const { told, ask } = desk();
    ask(question(1, 3, 700), 1000);
    ask(question(2, 4, -1), 1000);
    expect(told).toEqual([
      { type: 'policy-query', id: 1, awaited: true, when: 'before', round: 3, dirtyPages: 700, totalWritten: 100 },
      { type: 'policy-query', id: 2, awaited: true, when: 'after', round: 3, totalWritten: 100 },
    ]);
  });

  it('get the server’s answer, once', () => {
    const { answers, it: it_, ask } = desk();
    ask(question(1, 7, -1), 1000);
    it_.answer(1, 'continue');
    it_.answer(1, 'abort');
    it_.answer(99, 'abort');
    expect(answers).toEqual(['continue']);
  });

  it('get stock’s answer when time runs out, and the server is not waited for again until it speaks', async () => {
    const { answers, told, it: it_, ask } = desk();
    ask(question(1, 7, -1), 1000);
    await vi.advanceTimersByTimeAsync(1000);
    expect(answers).toEqual(['stop-and-copy']);
    ask(question(2, 2, 5000), 1000);
    expect(answers).toEqual(['stop-and-copy', 'continue']);
    expect(told.at(-1)).toMatchObject({ awaited: false });
    it_.heard();
    ask(question(3, 2, -1), 1000);
    expect(answers).toHaveLength(2);
    expect(told.at(-1)).toMatchObject({ awaited: true });
  });

  it('get stock’s answer when the server is lost', () => {
    const { answers, it: it_, ask } = desk();
    ask(question(1, 2, 49), 1000);
    it_.close();
    expect(answers).toEqual(['stop-and-copy']);
  });

  it('are only reported before round 0, where the count is the p2m’s size', () => {
    const { answers, told, ask } = desk();
    ask(question(1, 0, 1044480), 1000);
    expect(answers).toEqual(['continue']);
    expect(told).toEqual([expect.objectContaining({ awaited: false, round: 0, dirtyPages: 1044480 })]);
  });
});

describe('the policy object’s channel', () => {
  it('ends at rubbish, so that the object goes on as stock', () => {
    const channel = new PassThrough();
    const query = vi.fn();
    servePolicy(channel, { hello: vi.fn(), query });
    channel.emit('data', Buffer.alloc(100, 1));
    expect(channel.destroyed).toBe(true);
    expect(query).not.toHaveBeenCalled();
  });
});

describe('which policy object is loaded', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'policy-'));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(dir, { recursive: true, force: true });
  });
  const place = (name: string, stamp: string | undefined) => {
    const path = join(dir, name);
    writeFileSync(path, '');
    if (stamp !== undefined) writeFileSync(`${path}.json`, stamp);
    vi.stubEnv('XTHROTTLE_POLICY', path);
    return path;
  };

  it('one that was built for the Xen that runs', () => {
    const path = place('policy.so', JSON.stringify({ xen: '4.17', protocol: POLICY_PROTOCOL }));
    const found = findPolicy('4.17');
    expect('preload' in found && found.preload.path).toBe(path);
    expect('preload' in found && found.preload.environment(16)).toEqual({ XTHROTTLE_POLICY_FD: '16' });
  });

  it.each<readonly [string, string, string | undefined, string | undefined, RegExp]>([
    ['another Xen', 'policy.so', '{"xen":"4.16","protocol":1}', '4.17', /built for Xen 4.16, this is 4.17/],
    ['no Xen', 'policy.so', '{"xen":"4.16","protocol":1}', undefined, /no Xen/],
    ['another protocol', 'policy.so', '{"xen":"4.17","protocol":99}', '4.17', /another version of xthrottle/],
    ['no stamp', 'policy.so', undefined, '4.17', /policy.so.json/],
    ['a broken stamp', 'policy.so', '{', '4.17', /policy.so.json/],
    ['a path that ld.so would split', 'my policy.so', '{"xen":"4.17","protocol":1}', '4.17', /space or a colon/],
  ])('none for %s, and why', (_name, file, stamp, xen, why) => {
    place(file, stamp);
    const found = findPolicy(xen);
    expect('missing' in found && found.missing).toMatch(why);
  });

  it('the one in the state directory where none for this Xen lies beside us, and only there', () => {
    vi.stubEnv('XTHROTTLE_POLICY', '');
    vi.stubEnv('XTHROTTLE_STATE', dir);
    expect(findPolicy('9.99')).toHaveProperty('missing');
    writeFileSync(join(dir, 'policy.so'), '');
    writeFileSync(join(dir, 'policy.so.json'), JSON.stringify({ xen: '9.99', protocol: POLICY_PROTOCOL }));
    expect(findPolicy('9.99')).toMatchObject({ preload: { path: join(dir, 'policy.so') } });
    expect(findPolicy('9.98')).toMatchObject({ missing: expect.stringMatching(/built for Xen 9.99, this is 9.98/) });
    vi.stubEnv('XTHROTTLE_POLICY', join(dir, 'nothing.so'));
    expect(findPolicy('9.99')).toHaveProperty('missing');
  });

  it('none when there is none, and how to build it', () => {
    vi.stubEnv('XTHROTTLE_POLICY', join(dir, 'nothing.so'));
    const found = findPolicy('4.17');
    expect('missing' in found && found.missing).toContain('npm run build:policy');
  });
});
