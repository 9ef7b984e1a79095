/** Judges of what lies on disk and in the environment: directories, sidecar, the variable, journals. Pure. */
import { capFromXen, showCap } from '../../core/cap.ts';
import type { Finding } from '../../core/finding.ts';
import type { JournalEntry } from '../journal-entry.ts';
import { printable } from '../xl-errors.ts';
import { note, ok, problem, warning } from './judge-host.ts';

export interface DirectoryFacts {
  readonly path: string;
  readonly what: 'journals and traces' | 'the control socket';
  /** Missing: it is made when it is needed. `error`: it cannot even be looked at. */
  readonly state: 'missing' | 'there' | { readonly error: string };
  readonly isDirectory: boolean;
  readonly uid: number;
  /** Permission bits. */
  readonly mode: number;
  /** Of its file system, or of the nearest parent that is there. */
  readonly freeBytes?: number;
  readonly freeInodes?: number;
}

const MIB = 1024 * 1024;
/** A journal entry needs a block; a trace of a long migration some MiB. */
const SPACE_MIN = MIB;
const SPACE_LOW = 100 * MIB;

/** `ownUid`: who would write there. The socket's directory must be closed to all others, the state directory to their writing. */
export function judgeDirectory(facts: DirectoryFacts, ownUid: number): Finding {
  const { path, what, mode } = facts;
  const check = 'directories';
  if (typeof facts.state === 'object') return problem(check, `${path} (${what}) cannot be looked at: ${facts.state.error}`, 'run as root');
  if (facts.freeBytes !== undefined && (facts.freeBytes < SPACE_MIN || facts.freeInodes === 0)) {
    const found = `no room left for ${path} (${what}): without a journal no cap is changed`;
    return problem(check, found, `df -h ${path}; df -i ${path}`);
  }
  if (facts.state === 'missing') return ok(check, `${path} (${what}) is made when it is needed`);
  if (!facts.isDirectory) return problem(check, `${path} (${what}) is not a directory`, `rm ${path}`);
  const forbidden = what === 'the control socket' ? 0o077 : 0o022;
  const mend = `chown ${ownUid} ${path} && chmod 700 ${path}`;
  if (facts.uid !== ownUid)
    return problem(check, `${path} (${what}) belongs to user ${facts.uid}: whoever writes there decides about caps`, mend);
  if ((mode & forbidden) !== 0)
    return problem(check, `${path} (${what}) has mode ${mode.toString(8).padStart(4, '0')}: others could decide about caps`, mend);
  if (facts.freeBytes !== undefined && facts.freeBytes < SPACE_LOW)
    return warning(check, `only ${Math.floor(facts.freeBytes / MIB)} MiB are free for ${path} (${what})`, `df -h ${path}`);
  return ok(check, `${path} (${what})`);
}

export interface SidecarFacts {
  readonly socketPath: string;
  /** `refused`: the socket of a dead process. */
  readonly state: 'none' | 'listening' | 'refused' | 'not-a-socket' | 'denied';
  readonly pid?: number;
}

export function judgeSidecar({ socketPath, state, pid }: SidecarFacts): Finding {
  const check = 'sidecar';
  switch (state) {
    case 'listening':
      return ok(check, `listening at ${socketPath}${pid === undefined ? '' : `, pid ${pid}`}`);
    case 'none':
      return note(
        check,
        'none is listening: migrations other than xthrottle migrate run as stock Xen',
        'xthrottle --observe, to begin with',
      );
    case 'refused':
      return warning(
        check,
        `${socketPath} was left by a dead sidecar: migrations run as stock Xen`,
        'systemctl restart xthrottle, or start xthrottle',
      );
    case 'denied':
      return note(check, `${socketPath} may not be looked at`, 'run as root');
    default:
      return problem(check, `${socketPath} is there and is not a socket`, `rm ${socketPath}`);
  }
}

/** LIBXL_SAVE_HELPER as some process has it. */
export interface VariableFacts {
  /** `this shell`, `libvirtd (pid 812)` */
  readonly where: string;
  readonly value: string | undefined;
  readonly exists: boolean;
  readonly isOurs: boolean;
  /** How it is set there, a command or a file. */
  readonly how: string;
  /** The AppArmor profile that is in force there and does not mention the front, where its rules may be added. */
  readonly confined?: { readonly profile: string; readonly local: string };
}

export function judgeVariable({ where, value, exists, isOurs, how, confined }: VariableFacts): Finding {
  const check = 'LIBXL_SAVE_HELPER';
  if (value === undefined || value === '')
    return note(check, `not set in ${where}: its migrations are not controlled (xthrottle migrate needs no variable)`, how);
  if (!exists) {
    const found = `${where} has ${printable(value)}, which is no program: every migration, xl save and xl restore there fails`;
    return problem(check, found, `unset it, or ${how}`);
  }
  if (!isOurs) return warning(check, `${where} has ${printable(value)}, which is not this xthrottle's front`, how);
  if (confined !== undefined) {
    const found = `${where} has our front, but runs under AppArmor, and ${confined.local} does not name the front: Debian's profile lets it start no such program, and every migration, save and restore there fails`;
    const todo = `echo '${value} PUx,' >> ${confined.local} && apparmor_parser -r /etc/apparmor.d/${confined.profile}`;
    return warning(check, found, todo);
  }
  return ok(check, `${where} has our front`);
}

/** An entry of the journal and whether its writer lives. */
export interface JournalFacts {
  readonly entry: JournalEntry;
  readonly ownerAlive: boolean;
}

export function judgeJournals(entries: readonly JournalFacts[], unreadable: readonly string[], directory: string): readonly Finding[] {
  const check = 'left behind';
  const findings = entries.map(({ entry, ownerAlive }): Finding => {
    const { what, was, left } = wordsOf(entry);
    if (ownerAlive) return ok(check, `${what}: xthrottle with pid ${entry.owner.pid} is at work on it and will put it back`);
    return problem(check, `${what}: a dead xthrottle may have left ${left} (${was})`, 'xthrottle restore', 'capNotRestored');
  });
  const torn = unreadable.map((name) =>
    problem(
      check,
      `the journal ${directory}/${printable(name)} cannot be read: some cap may still be ours`,
      'xthrottle restore keeps it aside and says what to look at; xl sched-credit shows all caps',
      'capNotRestored',
    ),
  );
  return findings.length + torn.length === 0 ? [ok(check, 'no cap of a dead xthrottle')] : [...findings, ...torn];
}

function wordsOf(entry: JournalEntry): { readonly what: string; readonly was: string; readonly left: string } {
  switch (entry.kind) {
    case 'cap': {
      const left = entry.capsSet.length === 0 ? 'its cap' : `a cap of ${entry.capsSet.map((cap) => showCap(capFromXen(cap))).join(' or ')}`;
      return { what: printable(entry.name), was: `it was ${showCap(capFromXen(entry.capOriginal))}`, left };
    }
    case 'balloon':
      return {
        what: printable(entry.name),
        was: `it was ${Math.round(entry.targetOriginalKib / 1024)} MiB`,
        left: 'a smaller memory target',
      };
    case 'logdirty':
      return { what: printable(entry.name), was: 'it was off', left: 'its log-dirty mode on after a probe, which costs it speed' };
    default:
      return { what: `cpupool ${printable(entry.pool)}`, was: `it was ${entry.tsliceOriginalMs} ms`, left: 'its timeslice changed' };
  }
}
