import { execa } from 'execa';

const WAIT_MS = 5000;
const BYTES_MAX = 4096;

/**
 * One value of xenstore, as its domain or a toolstack wrote it: text from outside. undefined where it is not there, or xenstore-read (Debian:
 * xenstore-utils) is not.
 */
export async function readXenstore(
  path: string,
  binary: string = process.env['XTHROTTLE_XENSTORE_READ'] ?? 'xenstore-read',
): Promise<string | undefined> {
  const result = await execa(binary, [path], {
    reject: false,
    stdin: 'ignore',
    timeout: WAIT_MS,
    maxBuffer: BYTES_MAX,
    env: { LC_ALL: 'C' },
  });
  return result.exitCode === 0 ? result.stdout : undefined;
}

/** KiB that the guest's agent says are free (XenServer's and XCP-ng's guest tools write it); undefined where none does. */
export async function guestFreeKib(domid: number): Promise<number | undefined> {
  const text = await readXenstore(`/local/domain/${domid}/data/meminfo_free`);
  return text !== undefined && /^\d{1,12}$/.test(text.trim()) ? Number(text.trim()) : undefined;
}
