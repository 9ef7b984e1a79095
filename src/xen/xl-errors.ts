import { type ExitName, XthrottleError } from '../core/errors.ts';
import { type Ms, ms } from '../core/units.ts';
import type { Owner } from './owner.ts';

/** One finished call of xl: its exit code and what it wrote, both bounded. `timedOut`: we ended it. */
export interface XlResult {
  readonly ok: boolean;
  readonly exitCode?: number;
  readonly timedOut: boolean;
  /** Time was up and no signal reaches it (it hangs in the hypervisor): what it was to do may still happen while this process lives. */
  readonly lingers?: Owner;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: Ms;
}

/** Runs xl with these arguments. Throws XthrottleError('noXl') only when xl itself cannot be started; a failing xl is a result. */
export type RunXl = (args: readonly string[]) => Promise<XlResult>;

/** Longest time one call of xl may take (it is 10–20 ms on hardware, 0.2–2 s in the emulator). */
export const XL_TIMEOUT_MS = ms(15_000);
/** More output than this is cut off; `xl list -l` writes some 2 KiB a domain. */
export const XL_OUTPUT_BYTES_MAX = 8 * 1024 * 1024;

export const xlBinary = (): string => process.env['XTHROTTLE_XL'] ?? 'xl';

/** What xl's text means to us, most specific first. */
const MEANINGS: readonly (readonly [RegExp, ExitName, string])[] = [
  [
    /privileged command interface|cannot init xl context|[Pp]ermission denied|must be root/,
    'noXl',
    'run as root in dom0 of a host that booted Xen',
  ],
  [
    /is an invalid domain identifier|Domain '\d+' does not exist|maybe this domain does not exist|Domain \d+:Non-existant domain/i,
    'noDomain',
    'xl list shows the domains of this host',
  ],
  [/sched_params_set failed[\s\S]*No such process/, 'noDomain', 'the domain is gone; xl list shows the domains of this host'],
  [/Cpu cap out of range/, 'noCap', 'a cap is between 1 and 100 times the number of vCPUs'],
  [
    /returned \w+ not \w+|Getting domain sched \w+: Invalid argument/,
    'noCap',
    'the domain runs under another scheduler: xl cpupool-list shows which',
  ],
];

/** A failed call as the error that a person can act on. */
export function xlError(args: readonly string[], result: XlResult): XthrottleError {
  const command = `xl ${args.join(' ')}`;
  if (result.timedOut) {
    return new XthrottleError('unexpected', `${command} did not answer within ${Math.round(result.tookMs)} ms`, {
      hint: 'is xenstored running? xl list must answer',
    });
  }
  const said = lastErrorLine(result.stderr) ?? `exit code ${result.exitCode ?? 'unknown'}`;
  const meaning = MEANINGS.find(([pattern]) => pattern.test(result.stderr));
  return new XthrottleError(meaning?.[1] ?? 'unexpected', `${command}: ${said}`, meaning === undefined ? {} : { hint: meaning[2] });
}

/** stdout of a call that must succeed. Throws XthrottleError with what xl said. */
export async function xlOutput(run: RunXl, args: readonly string[]): Promise<string> {
  const result = await run(args);
  if (!result.ok) throw xlError(args, result);
  return result.stdout;
}

/** The line that says most: the first of level error, else the last that is not empty. Printable and short. */
export function lastErrorLine(stderr: string): string | undefined {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const line = lines.find((text) => / error: /.test(text)) ?? lines.at(-1);
  return line === undefined ? undefined : printable(line).slice(0, 300);
}

/** C0 and C1 controls, line separators, direction overrides and isolates. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Text for a terminal or a log: what would move the cursor, end the line or turn the direction is shown as an escape. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);

/** Means nothing special to any shell. */
const PLAIN = /^[\w.,:@%+=/-]+$/;
/** Means something between double quotes. */
const SPECIAL = /["$`\\!]/;

/** A name as one word of a command that a person may paste into a shell, whatever it holds; over ssh, where two shells read it, twice. */
export function quoted(name: string): string {
  const shown = printable(name);
  if (PLAIN.test(shown)) return shown;
  return shown.includes("'") && !SPECIAL.test(shown) ? `"${shown}"` : `'${shown.replaceAll("'", "'\\''")}'`;
}

/** `printable` for text of several lines, whose ends stay. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');
