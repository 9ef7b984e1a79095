import type { Lab } from '../lab.ts';

/** A guest as it is found some time after the fault. */
export interface Found {
  /** Domains of its UUID whose CPU time grows. */
  readonly running: readonly { readonly name: string; readonly domid: number }[];
  /** All others of its UUID, with xl's state letters. */
  readonly others: readonly { readonly name: string; readonly domid: number; readonly state: string }[];
  readonly beats: boolean;
  /** `ok`: a whole sweep over its pages after the end, and none before it found anything wrong. */
  readonly memory: 'ok' | 'BAD' | 'unknown';
  readonly cap: number | undefined;
}

interface Row {
  readonly name: string;
  readonly domid: number;
  readonly state: string;
  readonly seconds: number;
  readonly uuid: string;
}

const rowsOf = (text: string): readonly Row[] =>
  text.split('\n').flatMap((line) => {
    const match = /^(\S+)\s+(\d+)\s+\d+\s+\d+\s+([-rbpscd]{6})\s+([\d.]+)\s+([0-9a-f-]{36})/.exec(line);
    if (match === null) return [];
    return [{ name: match[1] ?? '', domid: Number(match[2]), state: match[3] ?? '', seconds: Number(match[4]), uuid: match[5] ?? '' }];
  });

export async function uuidOf(lab: Lab, name: string): Promise<string> {
  const row = rowsOf(await lab.must('xl list -v')).find((each) => each.name === name);
  if (row === undefined) throw new Error(`there is no domain ${name}`);
  return row.uuid;
}

const MARK = '=====';
/** A few sweeps of the guest's pages. */
const WATCH_SECONDS = 3;
const LOOKS_MAX = 8;

/** Looks until the guest is as it should be (exactly one runs, its memory verified, its own cap), or it is in vain. */
export async function find(lab: Lab, name: string, uuid: string, cap: number): Promise<Found> {
  for (let n = 1; ; n++) {
    const found = await look(lab, name, uuid);
    const isWell = found.running.length === 1 && found.beats && found.memory !== 'unknown' && found.cap === cap;
    if (isWell || found.memory === 'BAD' || n === LOOKS_MAX) return found;
  }
}

async function look(lab: Lab, name: string, uuid: string): Promise<Found> {
  const consoles = `cat /var/log/xen/console/guest-${name}*.log`;
  const text = await lab.must(
    `${consoles} | grep -ac 'HB seq='; ${consoles} | grep -ac 'MEM ok'; xl list -v; echo ${MARK}; sleep ${WATCH_SECONDS}; ` +
      `${consoles} | grep -ac 'HB seq='; ${consoles} | grep -ac 'MEM ok'; xl list -v; echo ${MARK}; ${consoles} | grep -ac 'MEM BAD'; xl sched-credit`,
  );
  const [before = '', after = '', rest = ''] = text.split(`${MARK}\n`);
  const counts = (part: string) => part.split('\n').slice(0, 2).map(Number);
  const [[beatsBefore = 0, okBefore = 0], [beatsAfter = 0, okAfter = 0]] = [counts(before), counts(after)];
  const earlier = new Map(rowsOf(before).map((row) => [row.domid, row.seconds]));
  const rows = rowsOf(after).filter((row) => row.uuid === uuid);
  const isRunning = ({ domid, seconds }: Row) => seconds > (earlier.get(domid) ?? Number.POSITIVE_INFINITY);
  const running = rows.filter(isRunning).map(({ name: called, domid }) => ({ name: called, domid }));
  const bad = Number(rest.split('\n')[0]);
  const caps = rest.split('\n').flatMap((line) => {
    const match = /^\S+\s+(\d+)\s+\d+\s+(\d+)\s*$/.exec(line);
    return match === null ? [] : [[Number(match[1]), Number(match[2])] as const];
  });
  return {
    running,
    others: rows.filter((row) => !isRunning(row)).map(({ name: called, domid, state }) => ({ name: called, domid, state })),
    beats: beatsAfter > beatsBefore,
    memory: bad > 0 ? 'BAD' : okAfter > okBefore ? 'ok' : 'unknown',
    cap: caps.find(([domid]) => domid === running[0]?.domid)?.[1],
  };
}
