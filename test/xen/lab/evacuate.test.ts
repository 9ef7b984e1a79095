import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Finding } from '../../../src/core/finding.ts';
import { Lab, prepareLab, whyNoLab } from './lab.ts';

const why = whyNoLab();
if (why !== undefined) console.info(`skipped: real Xen, draining a host: ${why}`);

const B = '192.0.2.2';
const CALM = { memMib: 96, workingSetMib: 2, rate: 200 } as const;
/** Half as fast or twice as fast, one round at the floor leaves all that it writes to (8192 pages), a second one fewer than are allowed. */
const BUSY = { memMib: 128, workingSetMib: 32, rate: 3000 } as const;
const OPTIONS = '--target-downtime 4s --max-dirty-pages 6000 --max-stall 250ms --max-rounds 1 --probe 1s';

interface Row {
  readonly name: string;
  readonly attempts: readonly { readonly result: string; readonly metTarget?: boolean }[];
}
interface End {
  readonly moved: readonly Row[];
  readonly left: readonly Row[];
  readonly notBegun: readonly Row[];
}

describe.skipIf(why !== undefined)('real Xen, draining a host', () => {
  const port = Number(process.env['PORT'] ?? 2222);
  const a = new Lab(port);
  const b = new Lab(port + 1);
  const plans = () => a.must('find /var/lib/xthrottle -name "evacuation-*.json"');
  const endOf = (stdout: string): End => {
    const line = stdout.split('\n').findLast((one) => one.startsWith('{"type":"evacuation",'));
    if (line === undefined) throw new Error(`no table in ${stdout.slice(-2000)}`);
    return JSON.parse(line) as End;
  };
  const namesOf = (rows: readonly Row[]) => rows.map(({ name }) => name).sort();

  beforeAll(async () => {
    prepareLab();
    await Lab.pair(port, 'start');
    await Lab.pair(port, 'clock', 'set');
    await a.deploy();
    await a.guest('calm1', CALM);
    await a.guest('calm2', CALM);
    await a.guest('busy', BUSY);
  });
  afterAll(() => Lab.pair(port, 'stop'));

  it('has a destination that is well', async () => {
    const ran = await a.sh(`xthrottle doctor ${B} --json`, 200_000);
    console.info((await a.sh(`xthrottle doctor ${B}`, 200_000)).stdout);
    expect([0, 10], ran.stdout + ran.stderr).toContain(ran.code);
    const checks = ran.stdout.split('\n').flatMap((line) => (line.startsWith('{"type":"finding"') ? [JSON.parse(line) as Finding] : []));
    expect(checks.filter(({ found }) => found.includes(B))).not.toEqual([]);
    expect(checks.filter(({ level }) => level === 'problem')).toEqual([]);
  });

  it('plans: who leaves when, nothing is moved, a guest that is denied is named', async () => {
    const before = await a.domains();
    const ran = await a.sh(`xthrottle evacuate ${B} --dry-run --bandwidth 5MB/s --deny calm2 ${OPTIONS}`);
    console.info(ran.stdout);
    expect(ran.code, ran.stderr).toBe(0);
    const [heading, first, second, ...rest] = ran.stdout.trimEnd().split('\n');
    expect(heading).toMatch(/^guest +memory +dirties +time +downtime +done after$/);
    expect(first).toMatch(/^calm1 +96\.0 MiB/);
    expect(second).toMatch(/^busy +128 MiB/);
    expect(rest.join('\n')).toMatch(/stays here:\n +calm2 +--deny/);
    expect(await a.domains()).toEqual(before);
    expect(await plans()).toBe('');
  });

  it('is interrupted: what has left is there, what was on its way runs on here without a cap, and the plan is kept', async () => {
    const run = await a.background(`evacuate ${B} --json ${OPTIONS}`);
    await run.says('1 of 3 moved');
    // In the middle of the next migration.
    await a.until(
      'the second on its way',
      60,
      async () => (await b.domains())['calm1--incoming'] !== undefined || (await b.domains())['calm2--incoming'] !== undefined,
    );
    await run.signal('INT');
    const ended = await run.done();
    expect(ended.code, ended.stderr).toBe(130);
    const { moved, left, notBegun } = endOf(ended.stdout);
    expect(left).toEqual([]);
    expect([moved.length, notBegun.length]).toEqual([1, 2]);
    // The receiver clears up when its stream ends.
    await b.until('the half is gone', 30, async () => !Object.keys(await b.domains()).some((name) => name.endsWith('--incoming')));
    const [here, there] = [await a.domains(), await b.domains()];
    expect(Object.keys(there).sort()).toEqual(['Domain-0', ...namesOf(moved)]);
    expect(Object.keys(here).sort()).toEqual(['Domain-0', ...namesOf(notBegun)].sort());
    for (const { name } of notBegun) {
      expect(here[name]?.cap).toBe(0);
      expect(await a.logsDirty(here[name]?.domid ?? 0)).toBe(false);
      await a.beats(name);
    }
    expect((await plans()).trim().split('\n')).toHaveLength(1);
  });

  it('goes on where it was: the rest leaves, the one that missed is tried again with more rounds, the table tells', async () => {
    const ran = await a.sh(`xthrottle evacuate ${B} --json ${OPTIONS}`, 300_000);
    console.info(ran.stderr);
    const { moved, left, notBegun } = endOf(ran.stdout);
    expect(ran.stderr).toContain(`goes on with the evacuation to ${B}`);
    expect([0, 3], ran.stderr).toContain(ran.code);
    expect({ moved: namesOf(moved), left, notBegun }).toEqual({ moved: ['busy', 'calm1', 'calm2'], left: [], notBegun: [] });
    expect(moved.find(({ name }) => name === 'busy')?.attempts.map(({ result }) => result)).toEqual(['stayed', 'moved']);
    expect(ran.stderr).toMatch(/busy: stays for now .*tried again later/);
    expect(ran.stderr).toMatch(/busy: leaves now, with more rounds/);
    expect(Object.keys(await a.domains())).toEqual(['Domain-0']);
    const there = await b.domains();
    for (const name of ['busy', 'calm1', 'calm2']) {
      expect(there[name]?.cap).toBe(0);
      await b.beats(name);
    }
    expect(await plans()).toBe('');
    const again = await a.sh(`xthrottle evacuate ${B} ${OPTIONS}`);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toContain('0 moved, 0 left here');
  });
});
