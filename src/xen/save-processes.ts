import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** A process that saves or restores a domain, or is about to. */
export interface SaveProcess {
  readonly pid: number;
  /**
   * `toolstack`: an xl that migrates or saves; its helper may not be there yet. `receiver`: the xl at the other end. `foreign`: another
   * toolstack's helper.
   */
  readonly kind: 'save' | 'restore' | 'toolstack' | 'receiver' | 'foreign';
  /** undefined where its command line does not tell. */
  readonly domid?: number;
  readonly args: readonly string[];
}

/** XAPI's helpers; their command lines tell the domain or do not. */
const FOREIGN = /^(xenguest|emu-manager|xc_save)$/;

/** What a command line says; undefined for any other program. */
export function saveProcessOf(pid: number, args: readonly string[]): SaveProcess | undefined {
  // libxl's helper, and our relay before it: --save-domain STREAM-FD BACK-CHANNEL-FD DOMID …
  const at = args.findIndex((arg) => arg === '--save-domain' || arg === '--restore-domain');
  if (at >= 0) return { pid, kind: args[at] === '--save-domain' ? 'save' : 'restore', ...domidOf(args[at + 3]), args };
  const program = basename(args[0] ?? '');
  if (program === 'xl' && args.some((arg) => arg === 'migrate' || arg === 'save' || arg === 'remus'))
    return { pid, kind: 'toolstack', args };
  if (program === 'xl' && args.includes('migrate-receive')) return { pid, kind: 'receiver', args };
  if (!FOREIGN.test(program)) return undefined;
  const option = args.findIndex((arg) => /^--?domid$/.test(arg));
  return { pid, kind: 'foreign', ...(option < 0 ? {} : domidOf(args[option + 1])), args };
}

const domidOf = (text: string | undefined): { readonly domid?: number } => (/^\d{1,5}$/.test(text ?? '') ? { domid: Number(text) } : {});

/** All such processes that run now, by their command lines. */
export function saveProcesses(proc = '/proc'): readonly SaveProcess[] {
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const args = readFileSync(`${proc}/${name}/cmdline`, 'utf8').split('\0').slice(0, -1);
        const found = saveProcessOf(Number(name), args);
        return found === undefined || (found.kind === 'receiver' && isDaemon(`${proc}/${name}`)) ? [] : [found];
      } catch {
        // It has ended.
        return [];
      }
    });
}

/** The receiving xl leaves a daemon of the same command line, for as long as the domain lives: it reads no stream any more. */
function isDaemon(folder: string): boolean {
  try {
    return readlinkSync(`${folder}/fd/0`) === '/dev/null';
  } catch {
    return false;
  }
}

/** Whether a process may be saving or migrating this domain away. When its command line does not tell which, it may. */
export function mayBeSaving(
  process: SaveProcess,
  domain: { readonly domid: number; readonly name: string; readonly uuid: string },
): boolean {
  if (process.kind === 'restore' || process.kind === 'receiver') return false;
  if (process.kind === 'toolstack') return process.args.some((arg) => [domain.name, domain.uuid, String(domain.domid)].includes(arg));
  return process.domid === undefined || process.domid === domain.domid;
}
