import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { capFromXen, capToXen } from '../../src/core/cap.ts';
import type { DomainFacts } from '../../src/core/goal.ts';
import { ms, pages } from '../../src/core/units.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import { createXl, type XlOptions } from '../../src/xen/xl.ts';
import type { RunXl } from '../../src/xen/xl-errors.ts';
import { answer } from './fixtures/xl-model.mjs';

export const STAND_IN_XL = fileURLToPath(new URL('fixtures/xl.mjs', import.meta.url));
export const UUID = 'd926f8f0-ce70-4649-b2c4-b6a282664892';

export interface StandInDomain {
  domid: number;
  name: string;
  uuid: string;
  vcpus: number;
  cap: number;
  type?: string;
  online?: number;
  targetKib?: number;
  memMib?: number;
  /** What its balloon driver moves between two looks; none without. */
  balloonMib?: number;
  /** Its driver has moved before the first look. */
  isQuick?: boolean;
  /** It cannot become smaller. */
  leastMib?: number;
  fudgeKib?: number;
  /** xl's six letters; default: it runs. */
  state?: string;
  /** CPU time, as xl prints it. */
  seconds?: string;
}

export interface StandInState {
  scheduler: string;
  tslice: number;
  ratelimitUs?: number;
  domains: StandInDomain[];
  fail?: Record<string, string>;
  hang?: string;
  slowMs?: Record<string, number>;
  rubbish?: string;
  ignoreSets?: boolean;
  virtCaps?: string;
  /** Calls that set something wait for it first; only inside this process. */
  slow?: Promise<void>;
}

const initialState = (change: Partial<StandInState>): StandInState => ({
  scheduler: 'credit',
  tslice: 30,
  domains: [
    { domid: 0, name: 'Domain-0', uuid: '00000000-0000-0000-0000-000000000000', vcpus: 1, cap: 0, type: 'pv' },
    { domid: 24, name: 'vm1', uuid: UUID, vcpus: 1, cap: 0 },
  ],
  ...change,
});

/** The same host inside this process: for what does not depend on xl being a program. */
export function fakeXl(change: Partial<StandInState> = {}) {
  const state = initialState(change);
  const calls: (readonly string[])[] = [];
  const xl: RunXl = async (args) => {
    calls.push(args);
    await new Promise((resolve) => setImmediate(resolve));
    if (args.includes('-c') && args[0] !== 'list') await state.slow;
    const { code, stdout, stderr } = answer(args, state);
    return { ok: code === 0, exitCode: code, timedOut: false, stdout, stderr, tookMs: ms(1) };
  };
  return {
    xl,
    state,
    calls,
    /** The caps that were set, in order. */
    sets: () => calls.filter((c) => c[0]?.startsWith('sched') && c.includes('-c')).map((c) => Number(c.at(-1))),
    domain: (domid = 24) => state.domains.find((d) => d.domid === domid) as StandInDomain,
  };
}

/** A host of stand-in domains: state that tests read and change, and the log of xl's calls. */
export function standIn(change: Partial<StandInState> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'xthrottle-test-'));
  const path = join(folder, 'state.json');
  const write = (state: StandInState) => {
    writeFileSync(`${path}.new`, JSON.stringify(state));
    renameSync(`${path}.new`, path);
  };
  const read = (): StandInState => JSON.parse(readFileSync(path, 'utf8')) as StandInState;
  write(initialState(change));
  // The stand-in finds its folder in the environment; execa and the guard both inherit ours.
  process.env['STAND_IN'] = folder;
  return {
    folder,
    directory: join(folder, 'state'),
    read,
    write,
    update(how: (state: StandInState) => void) {
      const state = read();
      how(state);
      write(state);
    },
    cap: (domid = 24) => read().domains.find((d) => d.domid === domid)?.cap,
    calls: (): readonly string[] =>
      existsSync(join(folder, 'calls.log')) ? readFileSync(join(folder, 'calls.log'), 'utf8').trim().split('\n') : [],
    xl: (options: XlOptions = {}) => createXl({ binary: STAND_IN_XL, ...options }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export const facts = (change: Partial<DomainFacts> = {}): DomainFacts => ({
  name: 'vm1',
  domid: 24,
  uuid: UUID,
  vcpus: 1,
  activeVcpus: 1,
  populatedPages: pages(32_784),
  capOriginal: capFromXen(0),
  ...change,
});

/** What xl answered in a capture: by command line, as often as it was called. */
export function capturedCalls(
  name: string,
): readonly { readonly command: string; readonly stdout: string; readonly stderr: string; readonly rc: number }[] {
  const text = readFileSync(fileURLToPath(new URL(`captures/${name}`, import.meta.url)), 'utf8');
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((block) => {
      const [command = '', ...rest] = block.split('\n');
      const of = (prefix: string) => rest.filter((line) => line.startsWith(prefix)).map((line) => `${line.slice(prefix.length)}\n`);
      const rc = Number(/^rc=(\d+)/m.exec(block)?.[1]);
      return { command, stdout: of('out: ').join(''), stderr: of('err: ').join(''), rc };
    });
}

/** The writes to stderr in a capture of xl migrate, in order, as they were cut. */
export function capturedWrites(name: string): readonly string[] {
  const text = readFileSync(fileURLToPath(new URL(`captures/${name}`, import.meta.url)), 'utf8');
  return [...text.matchAll(/^ +[\d.]+ [\d.]+ err n=\d+ (".*")$/gm)].map(([, quoted]) => JSON.parse(quoted as string) as string);
}

/** The library on the stand-in's domain; `works`: whether it takes a cap. */
export const libraryOn = (fake: ReturnType<typeof fakeXl>, works = (): boolean => true): Xenctrl => ({
  library: 'stand-in',
  dirtyPages: () => undefined,
  cpu: () => undefined,
  getCap: () => capFromXen(fake.domain().cap),
  setCap: (_domid, _scheduler, cap) => {
    if (works()) fake.domain().cap = capToXen(cap);
    return works();
  },
  close: () => {},
});
