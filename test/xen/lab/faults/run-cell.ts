import { type Lab, localLink } from '../lab.ts';
import type { Cell } from './cells.ts';
import { GUEST, type Injected, inject } from './inject.ts';
import { type Found, find, uuidOf } from './oracle.ts';

/** Not "none": so that neither a cap that was lost nor one that was left can be taken for it. */
const OWN_CAP = 90;
const NAME = 'vm1';
const FAST_LINK = 40_000_000;
const QUIET_RATE = 300;

/** What a cell left, by which it is judged. */
export interface Facts {
  readonly id: string;
  readonly injected: Injected;
  readonly found: Found;
  readonly ownCap: number;
  readonly domidBefore: number;
  /** A half of the migration that is not the guest: it makes later migrations fail. */
  readonly leftover: boolean;
  readonly logDirty: 'off' | 'on' | 'unknown';
  /** xthrottle told what to do about the one and the other. */
  readonly saidLeftover: boolean;
  readonly saidLogDirty: boolean;
  /** Journal entries in xthrottle's state directory. */
  readonly journal: number;
  /** What was told was done, and it helped. */
  readonly logDirtyAfterRestore?: 'off' | 'on';
  readonly next: 'works' | 'works after what was said' | 'works after destroying what was left' | 'fails' | 'not tried';
  readonly nextSaid?: string;
  readonly after?: Found;
}

/**
 * One cell in a booted lab, from the guest to the migration after the fault; the guest is that of the cell before where it came through
 * unharmed. Throws when the lab itself fails.
 */
export async function runCell(lab: Lab, cell: Cell, before?: Facts): Promise<Facts> {
  const kept = before !== undefined && isUnharmed(before) ? before.after?.running[0] : undefined;
  await sweep(lab, kept !== undefined);
  if (kept === undefined) await lab.guest(NAME, GUEST);
  else await setRate(lab, kept.domid, GUEST.rate);
  await lab.must(`xl sched-credit -d ${NAME} -c ${OWN_CAP}`);
  const uuid = await uuidOf(lab, NAME);
  const domidBefore = (await lab.domains())[NAME]?.domid ?? -1;
  // Small enough to be filled without taking dom0's memory.
  if (cell.deed === 'fill') await lab.must('mount -o remount,size=16m /run');
  if (cell.deed === 'leftover') await lab.must(leaveHalf);
  const injected = await inject(lab, NAME, cell);
  await lab.must('rm -f /run/xthrottle-fill');
  const found = await find(lab, NAME, uuid, OWN_CAP);
  const here = found.running[0];
  // A guard that has put the cap back stays for a while, should a slow call undo that: its entry is not left until it has gone.
  await lab.must(`for n in $(seq ${GUARD_SECONDS}); do pgrep -f '[g]uard-main' > /dev/null || break; sleep 1; done`);
  const facts = {
    id: cell.id,
    injected,
    found,
    ownCap: OWN_CAP,
    domidBefore,
    leftover: (await lab.domains())[`${NAME}--incoming`] !== undefined && here?.name !== `${NAME}--incoming`,
    logDirty: here === undefined ? ('unknown' as const) : await logDirtyOf(lab, here.domid),
    saidLeftover: DESTROY.test(said(injected)),
    saidLogDirty: /--log-dirty/.test(said(injected)),
    journal: Number(await lab.must('ls /var/lib/xthrottle 2>/dev/null | grep -v "^pairs\\.json$" | grep -c "\\.json$" || true')),
  };
  if (here === undefined || found.running.length > 1) return { ...facts, next: 'not tried' };
  return { ...facts, ...(await followed(lab, cell, facts, uuid)) };
}

const GUARD_SECONDS = 60;

/** Which command mends it. */
const MEND = /xthrottle restore '?\S+'? --half/;
const DESTROY = new RegExp(`xl destroy \\S|${MEND.source}`);

/** What xthrottle itself told, without what it passed on of xl's: its lines, and the hints below them. */
function said({ stderr, notes = [], summary }: Partial<Injected> & { readonly stderr: string }): string {
  const own = stderr.split('\n').filter((line) => /^(xthrottle| {2}→)/.test(line));
  return [...own, ...notes, summary?.reason ?? ''].join('\n');
}

/** What xl had no time to remove at the source: the guest runs at the destination. */
const REMOVE = /runs at the destination.*: xl destroy (\d+)/;

/** Does what was told, and migrates again. */
async function followed(
  lab: Lab,
  cell: Cell,
  facts: Omit<Facts, 'next'>,
  uuid: string,
): Promise<Pick<Facts, 'next' | 'nextSaid' | 'after' | 'logDirtyAfterRestore'>> {
  const domid = facts.found.running[0]?.domid ?? -1;
  let logDirtyAfterRestore: Facts['logDirtyAfterRestore'];
  if (facts.logDirty === 'on' && facts.saidLogDirty) {
    await lab.sh(`xthrottle restore ${domid} --log-dirty`);
    logDirtyAfterRestore = (await logDirtyOf(lab, domid)) === 'on' ? 'on' : 'off';
  }
  // Whether it can migrate is the question, not whether it converges.
  await setRate(lab, domid, QUIET_RATE);
  const again = () =>
    cell.stock
      ? lab.sh(`xl migrate -s '' ${NAME} '${localLink(FAST_LINK)}'`, 150_000)
      : lab.migrate(NAME, { linkBytesPerSecond: FAST_LINK, args: '--observe --target-downtime 5s' });
  let next: Facts['next'] = 'works';
  const rest = REMOVE.exec(said(facts.injected))?.[1];
  if (rest !== undefined) {
    await lab.sh(`xl destroy ${rest}`);
    next = 'works after what was said';
  }
  if (facts.leftover && MEND.test(said(facts.injected))) {
    await lab.sh(`xthrottle restore ${NAME} --half`);
    next = 'works after what was said';
  }
  let ran = await again();
  const isDone = () => ran.code === 0 || (!cell.stock && ran.code === 3);
  if (!isDone() && facts.leftover) {
    await lab.sh(`xl destroy ${NAME}--incoming`);
    const wasSaid = facts.saidLeftover || DESTROY.test(said(ran));
    ran = await again();
    next = wasSaid ? 'works after what was said' : 'works after destroying what was left';
  }
  return {
    next: isDone() ? next : 'fails',
    ...(isDone() ? {} : { nextSaid: ran.stderr.slice(-1500) }),
    after: await find(lab, NAME, uuid, OWN_CAP),
    ...(logDirtyAfterRestore === undefined ? {} : { logDirtyAfterRestore }),
  };
}

/** It runs once, verified, under its own name and cap, and has just migrated. */
const isUnharmed = ({ next, after, ownCap, logDirty, logDirtyAfterRestore }: Facts): boolean =>
  next.startsWith('works') &&
  (logDirtyAfterRestore ?? logDirty) === 'off' &&
  after?.running.length === 1 &&
  after.others.length === 0 &&
  after.running[0]?.name === NAME &&
  after.memory === 'ok' &&
  after.cap === ownCap;

/** Tells the guest how many pages a second to write. */
const setRate = (lab: Lab, domid: number, rate: number): Promise<unknown> =>
  lab.must(`echo 'rate ${rate}' > "$(xenstore-read /local/domain/${domid}/console/tty)"`);

const logDirtyOf = async (lab: Lab, domid: number): Promise<Facts['logDirty']> => {
  try {
    return (await lab.logsDirty(domid)) ? 'on' : 'off';
  } catch {
    // Xen's console ring may have turned over.
    return 'unknown';
  }
};

/** Nothing of an earlier cell is left, whatever it did. */
async function sweep(lab: Lab, keepsGuest: boolean): Promise<void> {
  await lab.must(
    'rm -f /run/xthrottle-fill; for p in $(pgrep -f "[g]uard-main.js|[r]elay/relay.js|[l]ibxl-save-helper|^[l]inkrate"); do kill -CONT $p; kill -KILL $p; done; true',
  );
  // The daemon that looks after the guest is an xl migrate-receive.
  if (keepsGuest) await lab.must('for p in $(pgrep -f "[x]throttle/dist|[x]l migrate "); do kill -KILL $p; done; rm -rf /run/xthrottle');
  else await lab.clear();
  await lab.must('rm -rf /var/lib/xthrottle');
}

/** As a lost migration leaves it: paused, under the name that the receiver wants. */
const leaveHalf = `sed 's/^name = .*/name = "${NAME}--incoming"/' /run/domu/${NAME}.cfg > /run/domu/half.cfg && xl create -p /run/domu/half.cfg`;
