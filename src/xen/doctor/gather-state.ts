import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { messageOf } from '../../core/errors.ts';
import { fileOf, parseEntry } from '../journal-entry.ts';
import { isAlive } from '../owner.ts';
import { textOf } from './gather-host.ts';
import type { DirectoryFacts, JournalFacts, SidecarFacts, VariableFacts } from './judge-state.ts';

export function gatherDirectory(path: string, what: DirectoryFacts['what']): DirectoryFacts {
  const nothing = { path, what, isDirectory: false, uid: 0, mode: 0 } as const;
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    const room = roomOf(path);
    if (stat === undefined) return { ...nothing, state: 'missing', ...room };
    return { path, what, state: 'there', isDirectory: stat.isDirectory(), uid: stat.uid, mode: stat.mode & 0o7777, ...room };
  } catch (error) {
    return { ...nothing, state: { error: messageOf(error) } };
  }
}

/** Of the nearest folder that is there. */
function roomOf(path: string): { readonly freeBytes?: number; readonly freeInodes?: number } {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    const { bavail, bsize, ffree, files } = statfsSync(folder);
    // Some file systems (btrfs) count no inodes.
    return { freeBytes: bavail * bsize, ...(files > 0 ? { freeInodes: ffree } : {}) };
  } catch {
    return {};
  }
}

const CONNECT_MS = 1000;

export async function gatherSidecar(socketPath: string): Promise<SidecarFacts> {
  let stat: ReturnType<typeof lstatSync>;
  try {
    stat = lstatSync(socketPath, { throwIfNoEntry: false });
  } catch {
    return { socketPath, state: 'denied' };
  }
  if (stat === undefined) return { socketPath, state: 'none' };
  if (!stat.isSocket()) return { socketPath, state: 'not-a-socket' };
  const pid = Number(textOf(`${socketPath}.pid`)?.trim());
  const state = await new Promise<SidecarFacts['state']>((resolve) => {
    const probe = connect(socketPath);
    const settle = (value: SidecarFacts['state']) => {
      clearTimeout(timer);
      probe.destroy();
      resolve(value);
    };
    // Somebody who holds the socket but is too busy to accept is alive.
    const timer = setTimeout(() => settle('listening'), CONNECT_MS);
    probe.once('connect', () => settle('listening'));
    probe.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'EACCES' || error.code === 'EPERM' ? 'denied' : 'refused'));
  });
  return { socketPath, state, ...(Number.isSafeInteger(pid) && pid > 0 ? { pid } : {}) };
}

const VARIABLE = 'LIBXL_SAVE_HELPER';
/** Daemons that start save helpers in their own environment, and how the variable gets there. */
const DAEMONS: Readonly<Record<string, string>> = {
  libvirtd: 'systemctl edit libvirtd',
  virtxend: 'systemctl edit virtxend',
};

export function gatherVariables(front: string, proc = '/proc', apparmor = '/etc/apparmor.d'): readonly VariableFacts[] {
  const set = `${VARIABLE}=${front}`;
  const shell = variableOf('this shell', process.env[VARIABLE], front, `export ${set}`);
  const daemons = readdirSync(proc).flatMap((pid): readonly VariableFacts[] => {
    const name = /^\d+$/.test(pid) ? textOf(`${proc}/${pid}/comm`)?.trim() : undefined;
    const edit = name === undefined ? undefined : DAEMONS[name];
    const environment = edit === undefined ? undefined : textOf(`${proc}/${pid}/environ`);
    if (edit === undefined || environment === undefined) return [];
    const value = environment
      .split('\0')
      .find((pair) => pair.startsWith(`${VARIABLE}=`))
      ?.slice(VARIABLE.length + 1);
    const facts = variableOf(`${name} (pid ${pid})`, value, front, `${edit}: [Service] Environment=${set}`);
    const confined = facts.isOurs
      ? confinedBy(`usr.sbin.${name}`, textOf(`${proc}/${pid}/attr/current`), value ?? '', apparmor)
      : undefined;
    return [{ ...facts, ...(confined === undefined ? {} : { confined }) }];
  });
  return [shell, ...daemons];
}

function variableOf(where: string, value: string | undefined, front: string, how: string): VariableFacts {
  const exists = value !== undefined && statSync(value, { throwIfNoEntry: false })?.isFile() === true;
  return { where, value, exists, isOurs: exists && isSameFile(value, front), how };
}

/** The profile, when it is enforced and its local additions do not let it start the front. */
function confinedBy(profile: string, context: string | undefined, front: string, apparmor: string): VariableFacts['confined'] {
  if (context?.trim().endsWith('(enforce)') !== true) return undefined;
  const local = `${apparmor}/local/${profile}`;
  const rules = (textOf(local) ?? '').split('\n').filter((line) => !line.trim().startsWith('#'));
  return rules.some((line) => line.includes(front)) ? undefined : { profile, local };
}

/** The same file, or another copy of it (an installed package beside a source tree). */
function isSameFile(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b) || readFileSync(a, 'utf8') === readFileSync(b, 'utf8');
  } catch {
    return false;
  }
}

/** The journal as it lies there; unlike restore's reading, nothing is moved aside. */
export function gatherJournals(directory: string): { readonly entries: readonly JournalFacts[]; readonly unreadable: readonly string[] } {
  let names: readonly string[];
  try {
    names = readdirSync(directory).sort();
  } catch {
    return { entries: [], unreadable: [] };
  }
  const entries: JournalFacts[] = [];
  const unreadable: string[] = [];
  for (const name of names.filter((n) => /^(cap|tslice|balloon|logdirty)-.*\.json$/.test(n))) {
    const text = textOf(join(directory, name));
    const entry = text === undefined ? undefined : parseEntry(text);
    if (entry !== undefined && fileOf(entry) === name) entries.push({ entry, ownerAlive: isAlive(entry.owner) });
    else unreadable.push(name);
  }
  return { entries, unreadable };
}
