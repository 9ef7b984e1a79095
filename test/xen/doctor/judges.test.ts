import { describe, expect, it } from 'vitest';
import { exitNameOfFindings, type Finding } from '../../../src/core/finding.ts';
import { ms } from '../../../src/core/units.ts';
import { parseLogDirty } from '../../../src/xen/doctor/debug-keys.ts';
import { readDestination } from '../../../src/xen/doctor/gather-destination.ts';
import { judgeDestination } from '../../../src/xen/doctor/judge-destination.ts';
import { judgeClock, judgeHalves, judgeLogDirty, judgePv } from '../../../src/xen/doctor/judge-domains.ts';
import { judgeHelper, judgePolicy, judgePools, judgeXen, judgeXenctrl, judgeXl } from '../../../src/xen/doctor/judge-host.ts';
import { type DirectoryFacts, judgeDirectory, judgeJournals, judgeSidecar, judgeVariable } from '../../../src/xen/doctor/judge-state.ts';
import { thisProcess } from '../../../src/xen/owner.ts';
import { parsePools, parseTslices } from '../../../src/xen/parse.ts';
import type { DomainConfig } from '../../../src/xen/parse-domains.ts';
import type { SaveProcess } from '../../../src/xen/save-processes.ts';
import { capturedCalls, UUID } from '../stand-in.ts';

const levels = (findings: readonly Finding[]) => findings.map(({ level }) => level);
const domain = (change: Partial<DomainConfig> = {}): DomainConfig => ({
  domid: 24,
  name: 'vm1',
  uuid: UUID,
  type: 'pvh',
  vcpusMax: 1,
  targetKib: 131_072,
  videoKib: 0,
  scheduler: 'credit',
  cap: 0,
  ...change,
});
const saving = (domid: number, kind: SaveProcess['kind'] = 'save'): SaveProcess => ({ pid: 9, kind, domid, args: [] });
const said = (file: string, command: string): string => capturedCalls(file).find((call) => call.command === command)?.stdout ?? '';

describe('the host', () => {
  it('is Xen, in dom0, as root', () => {
    expect(levels(judgeXen({ uid: 0, version: '4.17', capabilities: 'control_d\n' }))).toEqual(['ok', 'ok']);
    expect(judgeXen({ uid: 0, version: undefined, capabilities: undefined })[1]).toMatchObject({ level: 'problem', exit: 'noXl' });
    expect(judgeXen({ uid: 0, version: '4.17', capabilities: '' })[1]?.found).toContain('this is a guest');
    expect(judgeXen({ uid: 1000, version: '4.17', capabilities: undefined })[0]).toMatchObject({
      level: 'problem',
      exit: 'noXl',
      todo: expect.stringContaining('sudo'),
    });
  });
  it('has an xl that answers, quickly', () => {
    expect(judgeXl({ works: true, callMs: 15 }).level).toBe('ok');
    expect(judgeXl({ works: true, callMs: 400 }).level).toBe('note');
    expect(judgeXl({ works: false, text: 'xl was not found', hint: 'install it' })).toMatchObject({
      level: 'problem',
      exit: 'noXl',
      todo: 'install it',
    });
  });
  it.each([
    ['01-commands-credit1.txt', 'ok', /timeslice 30 ms: caps down to 18 %/],
    ['01-commands-credit2.txt', 'ok', /credit2/],
  ])('its scheduler in %s', (file, level, found) => {
    const [first] = judgePools(parsePools(said(file, 'xl cpupool-list')), parseTslices(said(file, 'xl sched-credit -s')));
    expect(first).toMatchObject({ level, found: expect.stringMatching(found) });
  });
  it('a pool without caps is a warning beside one that has them, and a problem alone', () => {
    const pool = (name: string, scheduler: string) => ({ name, cpus: 2, scheduler, active: true, domains: 1 });
    expect(levels(judgePools([pool('Pool-0', 'credit'), pool('rt', 'rtds')], new Map([['Pool-0', 30]])))).toEqual(['ok', 'warning']);
    expect(judgePools([pool('Pool-0', 'null')], new Map())[0]).toMatchObject({ level: 'problem', exit: 'noCap' });
    expect(levels(judgePools([], new Map()))).toEqual(['warning']);
  });
  it('has helper, policy object and libxenctrl', () => {
    expect(judgeHelper('/x/libxl-save-helper', []).level).toBe('ok');
    expect(judgeHelper(undefined, ['/a', '/b'])).toMatchObject({
      level: 'problem',
      exit: 'noXl',
      found: expect.stringContaining('/a, /b'),
    });
    expect(judgePolicy({ path: '/p.so' }).level).toBe('ok');
    expect(judgePolicy({ missing: 'built for Xen 4.16, this is 4.17' })).toMatchObject({
      level: 'warning',
      found: expect.stringContaining('4.16'),
    });
    const xc = { loaded: true, library: 'libxenctrl.so.4.17', guests: 2, peeks: 2, caps: 2 } as const;
    expect(judgeXenctrl(xc, '4.17').level).toBe('ok');
    expect(judgeXenctrl({ ...xc, library: 'libxenctrl.so.4.19' }, '4.19').level).toBe('note');
    expect(judgeXenctrl({ ...xc, peeks: 1 }, '4.17')).toMatchObject({ level: 'warning', found: expect.stringContaining('1 of 2') });
    expect(judgeXenctrl({ loaded: false, reason: 'no koffi' }, '4.17').level).toBe('warning');
  });
});

describe('state', () => {
  const there: DirectoryFacts = {
    path: '/run/x',
    what: 'the control socket',
    state: 'there',
    isDirectory: true,
    uid: 0,
    mode: 0o700,
    freeBytes: 1e9,
  };
  it.each([
    ['ours and closed', {}, 'ok'],
    ['missing', { state: 'missing', isDirectory: false }, 'ok'],
    ['open to others', { mode: 0o755 }, 'problem'],
    ['readable by others, of the journal', { mode: 0o755, what: 'journals and traces' }, 'ok'],
    ['writable by others', { mode: 0o775, what: 'journals and traces' }, 'problem'],
    ["somebody else's", { uid: 1000 }, 'problem'],
    ['a file', { isDirectory: false }, 'problem'],
    ['on a full disk', { freeBytes: 4096 }, 'problem'],
    ['missing on a full disk', { state: 'missing', freeBytes: 0 }, 'problem'],
    ['without inodes', { freeInodes: 0 }, 'problem'],
    ['short of room', { freeBytes: 50 * 1024 * 1024 }, 'warning'],
    ['not to be looked at', { state: { error: 'EACCES' } }, 'problem'],
  ] as const)('a directory that is %s', (_, change, level) => {
    expect(judgeDirectory({ ...there, ...change }, 0)).toMatchObject({ level, ...(level === 'ok' ? {} : { todo: expect.any(String) }) });
  });
  it('sidecar', () => {
    const at = { socketPath: '/run/x/control.sock' };
    expect(judgeSidecar({ ...at, state: 'listening', pid: 7 })).toMatchObject({ level: 'ok', found: expect.stringContaining('pid 7') });
    expect((['none', 'refused', 'denied', 'not-a-socket'] as const).map((state) => judgeSidecar({ ...at, state }).level)).toEqual([
      'note',
      'warning',
      'note',
      'problem',
    ]);
  });
  it('LIBXL_SAVE_HELPER', () => {
    const ours = { where: 'libvirtd (pid 8)', value: '/x/front.sh', exists: true, isOurs: true, how: 'systemctl edit libvirtd' };
    expect(judgeVariable(ours).level).toBe('ok');
    expect(judgeVariable({ ...ours, value: undefined, exists: false, isOurs: false })).toMatchObject({ level: 'note', todo: ours.how });
    expect(judgeVariable({ ...ours, isOurs: false }).level).toBe('warning');
    expect(judgeVariable({ ...ours, exists: false, isOurs: false })).toMatchObject({
      level: 'problem',
      found: expect.stringContaining('every migration, xl save and xl restore there fails'),
    });
  });
  it('journals: of the living, of the dead, torn', () => {
    const entry = {
      v: 1,
      kind: 'cap',
      uuid: UUID,
      domid: 24,
      name: 'vm1',
      scheduler: 'credit',
      capOriginal: 0,
      capsSet: [40, 20],
      owner: thisProcess(),
    } as const;
    expect(levels(judgeJournals([], [], '/s'))).toEqual(['ok']);
    expect(levels(judgeJournals([{ entry, ownerAlive: true }], [], '/s'))).toEqual(['ok']);
    const dead = judgeJournals([{ entry, ownerAlive: false }], ['cap-x.json'], '/s');
    expect(dead).toMatchObject([
      {
        level: 'problem',
        exit: 'capNotRestored',
        found: 'vm1: a dead xthrottle may have left a cap of 40 % or 20 % (it was none)',
        todo: 'xthrottle restore',
      },
      { level: 'problem', exit: 'capNotRestored' },
    ]);
    const logged = { v: 1, kind: 'logdirty', uuid: UUID, domid: 24, name: 'vm1', owner: thisProcess() } as const;
    expect(judgeJournals([{ entry: logged, ownerAlive: false }], [], '/s')[0]?.found).toContain('log-dirty');
  });
});

describe('domains', () => {
  const halves = [domain(), domain({ domid: 25, name: 'vm1--incoming' }), domain({ domid: 26, name: 'vm2--migratedaway' })];
  it('halves of lost migrations, with the command that removes them', () => {
    expect(judgeHalves(halves, [])).toMatchObject([
      { level: 'problem', todo: expect.stringContaining('xthrottle restore vm1 --half') },
      { level: 'warning', todo: expect.stringContaining('xl destroy 26') },
    ]);
    expect(levels(judgeHalves(halves, [saving(25, 'restore'), saving(26)]))).toEqual(['ok', 'ok']);
    expect(levels(judgeHalves([domain()], []))).toEqual(['ok']);
  });
  it('a guest that a lost migration left suspended, but not one that is being migrated', () => {
    expect(judgeHalves([domain()], [], new Set([24]))).toMatchObject([
      { level: 'problem', todo: expect.stringContaining('xthrottle restore 24 --resume') },
    ]);
    expect(levels(judgeHalves([domain()], [saving(24)], new Set([24])))).toEqual(['ok']);
    expect(levels(judgeHalves([domain({ domid: 25 })], [], new Set([24])))).toEqual(['ok']);
  });
  it('a name that would move the cursor does not', () => {
    expect(judgeHalves([domain({ name: 'a\u001b[2J--incoming' })], [])[0]?.found).not.toContain('\u001b');
  });
  it('PV guests without shadow paging', () => {
    expect(levels(judgePv([domain({ type: 'pv' })], ['pv', 'hvm', 'hap']))).toEqual(['warning']);
    expect(judgePv([domain({ type: 'pv' })], ['shadow'])).toEqual([]);
    expect(judgePv([domain(), domain({ domid: 0, type: 'pv' })], [])).toEqual([]);
  });
  it('log-dirty that was left on, but not that of a migration', () => {
    const facts = [{ domid: 24, name: 'vm1', uuid: UUID, state: 'on' as const }];
    expect(judgeLogDirty(facts, [], 'dump')).toMatchObject([
      { level: 'warning', todo: expect.stringContaining('xthrottle restore 24 --log-dirty') },
    ]);
    expect(levels(judgeLogDirty(facts, [saving(24)], 'dump'))).toEqual(['ok']);
    expect(levels(judgeLogDirty([{ domid: 24, name: 'vm1', uuid: UUID, state: 'unknown' }], [], 'peeks'))).toEqual(['ok']);
    expect(levels(judgeLogDirty([], [], 'not-at-all'))).toEqual(['note']);
  });
  it("Xen's dump: the last block of each domain counts", () => {
    const block = (domid: number, on: boolean) =>
      `(XEN) General information for domain ${domid}:\n(XEN)     refcnt=3 dying=0 pause_count=0\n(XEN)     paging assistance: hap refcounts ${on ? 'log_dirty ' : ''}translate external \n(XEN) VCPU information and callbacks for domain ${domid}:\n(XEN)     paging assistance: hap, 4 levels\n`;
    const dump = `(XEN) paging assistance: log_dirty\n${block(0, false)}${block(8, true)}${block(9, true)}${block(9, false)}`;
    expect([...parseLogDirty(dump)]).toEqual([
      [0, false],
      [8, true],
      [9, false],
    ]);
    expect(parseLogDirty('').size).toBe(0);
  });
  it('the clock', () => {
    const clock = { synchronised: true, maxErrorUs: 2500, stepMs: 0.1, overMs: 900 };
    expect(judgeClock(clock)).toMatchObject({ level: 'ok', found: 'synchronised, at most 3 ms off' });
    expect(judgeClock({ ...clock, synchronised: false }).level).toBe('warning');
    expect(judgeClock({ ...clock, stepMs: -500 })).toMatchObject({ level: 'warning', found: expect.stringContaining('jumped by -500 ms') });
    expect(judgeClock({ synchronised: undefined, stepMs: 0, overMs: 1 }).level).toBe('note');
  });
});

describe('a destination', () => {
  const here = { version: '4.17', schedulers: ['credit'], guests: [domain()] };
  const info = said('01-commands-credit1.txt', 'xl info');
  const list = said('01-commands-credit1.txt', 'xl list -v');
  const answered = (date: string, change: (text: string) => string = (text) => text, domains = list) =>
    readDestination('host2', `${date}\n${change(info)}xthrottle-doctor-mark\n${domains}`, { wallMs: ms(1_700_000_000_000), afterMs: 300 });

  it('in order', () => {
    const facts = answered('1700000000.020');
    expect(facts).toMatchObject({ reached: true, freeMib: 1194, incoming: [], info: { version: '4.17', scheduler: 'credit' } });
    expect(levels(judgeDestination(facts, here))).toEqual(['ok', 'ok', 'ok']);
  });
  it('not reached, or without xl', () => {
    expect(judgeDestination({ reached: false, host: 'host2', text: 'Connection refused' }, here)).toMatchObject([
      { level: 'problem', found: expect.stringContaining('Connection refused'), todo: expect.stringContaining('BatchMode') },
    ]);
    expect(
      levels(
        judgeDestination(
          answered('1700000000.0', () => ''),
          here,
        ),
      ),
    ).toEqual(['problem']);
  });
  it('older, under another scheduler, with a lost half, its clock ahead', () => {
    const odd = answered(
      '1700000003.500',
      (text) =>
        text
          .replace('xen_minor              : 17', 'xen_minor              : 9')
          .replace('xen_scheduler          : credit', 'xen_scheduler          : credit2'),
      list.replace(/^vm1 {10}/m, 'vm1--incoming'.slice(0, 13)),
    );
    const findings = judgeDestination(odd, here);
    expect(findings.map(({ found }) => found).join('\n')).toMatch(
      /older than 4\.17[\s\S]*scheduler credit2[\s\S]*vm1--incoming[\s\S]*3500 ms ahead/,
    );
    expect(levels(findings)).toEqual(['ok', 'warning', 'note', 'problem', 'ok', 'warning']);
  });
  it('without room: for one, for all, and unknown', () => {
    const big = domain({ name: 'big', targetKib: 2_000_000 });
    expect(judgeDestination(answered('x'), { ...here, guests: [big] }).at(-1)).toMatchObject({
      level: 'warning',
      found: expect.stringContaining('big needs'),
    });
    const three = [1, 2, 3].map((n) => domain({ name: `vm${n}`, targetKib: 500_000 }));
    expect(judgeDestination(answered('x'), { ...here, guests: three }).at(-1)).toMatchObject({
      level: 'note',
      found: expect.stringContaining('not all'),
    });
    expect(
      judgeDestination(
        answered('x', (text) => text.replace(/free_memory.*/, '')),
        here,
      ).at(-1)?.level,
    ).toBe('note');
  });
});

describe('the exit code of all findings', () => {
  const finding = (level: Finding['level'], exit?: Finding['exit']): Finding => ({
    check: 'c',
    level,
    found: 'f',
    ...(exit === undefined ? {} : { exit }),
  });
  it.each([
    [[], 'ok'],
    [[finding('ok'), finding('note')], 'ok'],
    [[finding('warning'), finding('note')], 'warned'],
    [[finding('warning'), finding('problem')], 'unfit'],
    [[finding('problem'), finding('problem', 'noCap')], 'noCap'],
    [[finding('problem', 'noCap'), finding('problem', 'capNotRestored')], 'capNotRestored'],
    [[finding('problem', 'capNotRestored'), finding('problem', 'noXl')], 'noXl'],
  ] as const)('%j is %s', (findings, name) => {
    expect(exitNameOfFindings(findings)).toBe(name);
  });
});
