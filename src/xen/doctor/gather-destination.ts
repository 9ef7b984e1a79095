import { execa } from 'execa';
import { parseDomainRows, parseInfo } from '../parse.ts';
import { lastErrorLine } from '../xl-errors.ts';
import type { DestinationFacts } from './judge-destination.ts';

const CONNECT_S = 10;
const TIMEOUT_MS = 30_000;
const OUTPUT_BYTES_MAX = 1 << 20;
const MARK = 'xthrottle-doctor-mark';
const REMOTE = `date +%s.%N; xl info; echo ${MARK}; xl list -v`;

/** `command`: the transport as `xl migrate -s` takes it, `ssh` by default; OpenSSH is told never to ask. */
export async function gatherDestination(host: string, command = 'ssh'): Promise<DestinationFacts> {
  const [program = 'ssh', ...options] = command.split(' ').filter((word) => word !== '');
  const quiet = program.endsWith('ssh') ? ['-o', 'BatchMode=yes', '-o', `ConnectTimeout=${CONNECT_S}`] : [];
  const startedAt = performance.now();
  const child = execa(program, [...options, ...quiet, host, REMOTE], {
    reject: false,
    stdin: 'ignore',
    timeout: TIMEOUT_MS,
    maxBuffer: OUTPUT_BYTES_MAX,
    stripFinalNewline: false,
  });
  let firstAt: { readonly wallMs: number; readonly afterMs: number } | undefined;
  child.stdout.once('data', () => {
    firstAt = { wallMs: Date.now(), afterMs: performance.now() - startedAt };
  });
  const { stdout, stderr, timedOut, exitCode, shortMessage } = await child;
  if (!stdout.includes(MARK)) {
    const why = timedOut
      ? `no answer within ${TIMEOUT_MS / 1000} s`
      : (lastErrorLine(stderr.replaceAll('\r', '')) ?? shortMessage ?? `exit code ${exitCode}`);
    return { reached: false, host, text: why };
  }
  return readDestination(host, stdout, firstAt ?? { wallMs: Date.now(), afterMs: performance.now() - startedAt });
}

/** What the remote commands printed; `firstAt`: when the first of it arrived here. */
export function readDestination(
  host: string,
  stdout: string,
  firstAt: { readonly wallMs: number; readonly afterMs: number },
): DestinationFacts {
  const [head = '', list = ''] = stdout.split(`${MARK}\n`);
  const [first = '', ...rest] = head.split('\n');
  const infoText = rest.join('\n');
  const info = parseInfo(infoText);
  const free = /^free_memory *: *(\d+)/m.exec(infoText)?.[1];
  // busybox's date may not know %N: then there is nothing to compare.
  const remoteMs = /^\d+\.\d{3,9}$/.test(first.trim()) ? Number(first.trim()) * 1000 : undefined;
  return {
    reached: true,
    host,
    info: info.version === undefined ? undefined : info,
    freeMib: free === undefined ? undefined : Number(free),
    incoming: parseDomainRows(list).flatMap(({ name }) => (name.endsWith('--incoming') ? [name] : [])),
    reachedAfterMs: firstAt.afterMs,
    clockAheadMs: remoteMs === undefined ? undefined : remoteMs - firstAt.wallMs,
  };
}
