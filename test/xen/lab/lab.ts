import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Observation } from '../../../src/core/observation.ts';
import type { MigrationRecord, SummaryRecord } from '../../../src/core/record.ts';

/** What the lab needs from Debian, by a file that shows it is there. */
const PACKAGES: Readonly<Record<string, string>> = {
  'qemu-system-x86': '/usr/bin/qemu-system-x86_64',
  'qemu-utils': '/usr/bin/qemu-img',
  debootstrap: '/usr/sbin/debootstrap',
  'busybox-static': '/bin/busybox',
  cpio: '/usr/bin/cpio',
  e2fsprogs: '/sbin/mke2fs',
  gcc: '/usr/bin/gcc',
  'libc6-dev': '/usr/include/stdio.h',
  'openssh-client': '/usr/bin/ssh',
  python3: '/usr/bin/python3',
  'xz-utils': '/usr/bin/xz',
};

const here = join(process.cwd(), 'test/xen/lab');
const labFolder = process.env['LAB'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'xenlab');

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why the lab cannot run here, or undefined when it can. */
export function whyNoLab(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root (debootstrap, mknod)';
  if (!existsSync('/usr/bin/apt-get')) return 'it needs apt (Debian packages of Xen and QEMU)';
  return undefined;
}

/** Installs what is missing and builds the image when it is missing, made from other sources or without `debs`. */
export function prepareLab(debs: readonly string[] = []): void {
  const missing = Object.entries(PACKAGES).flatMap(([name, file]) => (existsSync(file) ? [] : [name]));
  if (missing.length > 0) {
    console.error(`lab: installing ${missing.join(' ')}`);
    must('apt-get', ['update', '-q']);
    must('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing]);
  }
  const stamp = join(labFolder, 'image.stamp');
  const want = sourcesHash();
  // What was once installed stays in all further images.
  const lacks = debs.some((name) => !existsSync(join(labFolder, 'img/var/lib/dpkg/info', `${name}.list`)));
  if (!lacks && existsSync(join(labFolder, 'dom0.img')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === want) return;
  console.error('lab: building the image (one to three minutes the first time)');
  must('bash', [join(here, 'build-image.sh')], { EXTRA_DEBS: debs.join(' ') });
  mkdirSync(labFolder, { recursive: true });
  writeFileSync(stamp, want);
}

function sourcesHash(): string {
  const hash = createHash('sha256').update(process.version);
  for (const folder of [here, join(here, 'dom0'), join(here, 'src')]) {
    for (const name of readdirSync(folder).sort()) {
      const path = join(folder, name);
      if (statSync(path).isFile() && !name.endsWith('.ts') && !name.endsWith('.md')) hash.update(name).update(readFileSync(path));
    }
  }
  return hash.digest('hex');
}

function must(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const ran = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', ...env },
    maxBuffer: 1 << 26,
  });
  if (ran.status !== 0)
    throw new Error(
      `${command} ${args.join(' ')} failed (${ran.status ?? ran.error?.message}):\n${(ran.stdout + ran.stderr).slice(-3000)}`,
    );
}

export interface GuestOptions {
  readonly memMib?: number;
  readonly workingSetMib?: number;
  /** Pages written per second with a whole pCPU. */
  readonly rate?: number;
  readonly pattern?: 'seq' | 'rand' | 'hot' | 'bursts';
  readonly gapMs?: number;
  /** Verifies all its pages each so many seconds (`MEM ok` on its console); 0: never. */
  readonly checkSeconds?: number;
  readonly vcpus?: number;
  readonly type?: 'pvh' | 'pv' | 'hvm';
}

/** A guest that dirties memory faster than the lab's links carry it. */
export const BUSY = { memMib: 128, workingSetMib: 32, rate: 3000 } as const;

/** Fixed costs in the emulator are near a second, so the target is 2 s; the stalls allowed still exercise the floor. */
export const TARGET = '--target-downtime 2s --max-stall 250ms';

/** Where the lab's first host answers; a second one has the next port. */
export const PORT = Number(process.env['PORT'] ?? 2222);

/** Ctrl-C does not leave an emulator behind. */
export function endOnSignal(stop: () => Promise<void>): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => void stop().finally(() => process.exit(code)));
}

/** One emulated Xen host. All commands run as root in its dom0, over ssh on loopback. */
export class Lab {
  readonly port: number;

  constructor(port: number) {
    this.port = port;
  }

  async boot(options: { readonly sched?: 'credit' | 'credit2'; readonly smp?: number; readonly memMib?: number } = {}): Promise<void> {
    const env = { SCHED: options.sched ?? 'credit', SMP: String(options.smp ?? 2), MEM: String(options.memMib ?? 2048) };
    const ran = await bash(this.port, join(here, 'boot.sh'), [], { timeoutMs: 180_000, env });
    if (ran.code === 0) return;
    // One that ran before is not ours to end.
    if (!ran.stderr.includes('already running')) await this.stop();
    throw new Error(`the lab did not boot: ${ran.stdout}${ran.stderr}`);
  }

  async stop(): Promise<void> {
    await bash(this.port, join(here, 'stop.sh'), [], { timeoutMs: 30_000 });
  }

  /** Runs a shell command in dom0; its exit status is a value. */
  async sh(command: string, timeoutMs = 120_000, input?: Buffer): Promise<Ran> {
    return bash(this.port, join(here, 'dom0.sh'), [command], { timeoutMs, ...(input === undefined ? {} : { input }) });
  }

  /** The same, for a command that has to succeed; its stdout. */
  async must(command: string, timeoutMs = 120_000): Promise<string> {
    const ran = await this.sh(command, timeoutMs);
    if (ran.code !== 0) throw new Error(`in dom0: ${command}\nexit ${ran.code}\n${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  }

  /** Installs the bundled xthrottle (npm run build made dist/) as /usr/local/bin/xthrottle. */
  async deploy(): Promise<void> {
    must(process.execPath, ['src/xen/relay/build-policy.mjs', '--include', join(labFolder, 'kern/usr/include'), '--xen', '4.17']);
    must(process.execPath, ['src/packaging/bundle.mjs', 'node_modules/.cache/lab-bundle']);
    const tar = spawnSync('tar', ['-C', 'node_modules/.cache/lab-bundle', '-cz', '.'], { maxBuffer: 1 << 28 });
    const script =
      'mkdir -p /opt/xthrottle && tar -C /opt/xthrottle -xz && for m in koffi @koromix; do ln -sfn /lab/koffi/node_modules/$m /opt/xthrottle/node_modules/$m; done && ' +
      'printf \'#!/bin/sh\\nexec node /opt/xthrottle/dist/src/cli/bin.js "$@"\\n\' > /usr/local/bin/xthrottle && chmod +x /usr/local/bin/xthrottle';
    const ran = await this.sh(script, 60_000, tar.stdout);
    if (ran.code !== 0) throw new Error(`deploying failed: ${ran.stdout}${ran.stderr}`);
  }

  /** Creates a guest that dirties memory, and waits until it does. */
  async guest(name: string, options: GuestOptions = {}): Promise<void> {
    const o = {
      memMib: 128,
      workingSetMib: 32,
      rate: 3000,
      pattern: 'seq',
      gapMs: 100,
      checkSeconds: 0,
      vcpus: 1,
      type: 'pvh',
      ...options,
    };
    await this.must(
      `domu ${name} mem=${o.memMib} ws=${o.workingSetMib} rate=${o.rate} pat=${o.pattern} gap=${o.gapMs} check=${o.checkSeconds} vcpus=${o.vcpus} type=${o.type}`,
    );
  }

  /** Ends what an earlier test left: programs of ours, migrations, guests. */
  async clear(): Promise<void> {
    await this.must(
      'for p in $(pgrep -f "[x]throttle/dist|[x]l migrate"); do kill -KILL $p; done; sleep 0.5; ' +
        "for d in $(xl list | awk 'NR > 2 { print $(NF - 4) }'); do xl destroy $d; done; rm -rf /run/xthrottle /var/log/xen/console/*",
    );
  }

  /** What the guest wrote to its console, over all the domains it lived in (`NAME`, and `NAME--incoming` after a migration). */
  async console(name: string, incoming: boolean): Promise<string> {
    return (await this.sh(`cat '/var/log/xen/console/guest-${name}${incoming ? '--incoming' : ''}.log' 2>/dev/null`)).stdout;
  }

  /** Throws unless the guest runs here: its heartbeats go on. */
  async beats(name: string, seconds = 3): Promise<void> {
    const count = `cat /var/log/xen/console/guest-${name}*.log | grep -c 'HB seq='`;
    const [before, after] = (await this.must(`${count}; sleep ${seconds}; ${count}`)).trim().split('\n').map(Number);
    if (!((after ?? 0) > (before ?? 0)))
      throw new Error(`the guest ${name} stands still: ${before} heartbeats, ${seconds} s later ${after}`);
  }

  /** `xthrottle migrate` to this same host over a link of so many bytes a second, with `--json`. */
  async migrate(
    name: string,
    options: {
      readonly linkBytesPerSecond?: number;
      readonly args?: string;
      readonly environment?: string;
      readonly timeoutMs?: number;
    } = {},
  ): Promise<Migrated> {
    const link = localLink(options.linkBytesPerSecond ?? 8_000_000);
    return migratedOf(
      await this.sh(
        `${options.environment ?? ''} xthrottle migrate ${name} '${link}' --json ${options.args ?? ''} -- -s ''`,
        options.timeoutMs ?? 280_000,
      ),
    );
  }

  /** Starts xthrottle in dom0 and leaves it running, one at a time; `done` waits for its end, `says` for a text on stderr. */
  async background(args: string): Promise<Background> {
    await this.must(
      `rm -f /tmp/bg.*; (xthrottle ${args} > /tmp/bg.out 2> /tmp/bg.err & echo $! > /tmp/bg.pid; wait $!; echo $? > /tmp/bg.code) </dev/null >/dev/null 2>&1 &`,
    );
    const told = () => this.must('cat /tmp/bg.err');
    return {
      done: async (seconds = 180) => {
        await this.until(`the end of xthrottle ${args}`, seconds, async () => (await this.sh('test -s /tmp/bg.code')).code === 0);
        return migratedOf({
          code: Number(await this.must('cat /tmp/bg.code')),
          stdout: await this.must('cat /tmp/bg.out'),
          stderr: await told(),
        });
      },
      says: (text, seconds = 180) => this.until(`xthrottle says ${text}`, seconds, async () => (await told()).includes(text)),
      signal: async (name) => {
        await this.must(`kill -${name} $(cat /tmp/bg.pid)`);
      },
    };
  }

  /** Looks once a second, at most so often. Throws when it never came, with what an xthrottle in the background has said. */
  async until(what: string, seconds: number, condition: () => Promise<boolean>): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      if (await condition()) return;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    throw new Error(`never: ${what}\n${(await this.sh('tail -n 20 /tmp/bg.err')).stdout}`);
  }

  /** Domains by name, with domid and cap (Xen's number). */
  async domains(
    command: 'sched-credit' | 'sched-credit2' = 'sched-credit',
  ): Promise<Readonly<Record<string, { readonly domid: number; readonly cap: number }>>> {
    const rows = (await this.must(`xl ${command}`)).split('\n').flatMap((line) => {
      const match = /^(\S+)\s+(\d+)\s+\d+\s+(\d+)\s*$/.exec(line);
      return match === null ? [] : [[match[1] as string, { domid: Number(match[2]), cap: Number(match[3]) }] as const];
    });
    return Object.fromEntries(rows);
  }

  /** Whether Xen still logs the domain's dirty pages: it is to be off after every migration. */
  async logsDirty(domid: number): Promise<boolean> {
    const text = await this.must('xl dmesg -c >/dev/null; xl debug-keys q; sleep 0.5; xl dmesg');
    const at = text.indexOf(`General information for domain ${domid}:`);
    if (at < 0) throw new Error(`Xen says nothing of domain ${domid}:\n${text.slice(0, 2000)}`);
    const end = text.indexOf('General information for domain', at + 10);
    return /paging assistance:.*log_dirty/.test(text.slice(at, end < 0 ? undefined : end));
  }

  /** Two hosts joined by a private link: this port and the next (pair.sh). */
  static async pair(port: number, ...args: readonly string[]): Promise<void> {
    const ran = await bash(port, join(here, 'pair.sh'), args, { timeoutMs: 240_000 });
    if (ran.code === 0) return;
    if (args[0] === 'start' && !ran.stderr.includes('already running')) await Lab.pair(port, 'stop');
    throw new Error(`pair.sh ${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
  }
}

function bash(
  port: number,
  file: string,
  args: readonly string[],
  options: { readonly timeoutMs: number; readonly env?: NodeJS.ProcessEnv; readonly input?: Buffer },
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', [file, ...args], {
      env: { ...process.env, PORT: String(port), ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      // Background processes (qemu, the ssh master) may keep the pipes open: the command's own end is what counts.
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ code: code ?? (signal === null ? 1 : 128), stdout, stderr });
      }, 100);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
  });
}

/** Gaps in its own execution that a guest reported, in ms of its boot clock, in order. */
export function gapsOf(consoleText: string): readonly number[] {
  return [...consoleText.matchAll(/GAP ms=[\d.]+ mono=[\d.]+ boot=([\d.]+)/g)].map((match) => Number(match[1]));
}

/** The domain's migration command for a link of `bytesPerSecond` to this same host: give it as HOST with `-s ''`. */
export const localLink = (bytesPerSecond: number): string => `unset LIBXL_SAVE_HELPER; linkrate ${bytesPerSecond} | xl migrate-receive`;

/** An xthrottle that was left running in dom0. */
export interface Background {
  done(seconds?: number): Promise<Migrated>;
  says(text: string, seconds?: number): Promise<void>;
  signal(name: 'INT' | 'TERM' | 'KILL'): Promise<void>;
}

/** What `xthrottle migrate --json` printed. */
export interface Migrated extends Ran {
  readonly records: readonly MigrationRecord[];
  readonly summary: SummaryRecord | undefined;
}

export const observationsOf = (run: Migrated): readonly Observation[] =>
  run.records.flatMap((record) => (record.type === 'observation' ? [record.observation] : []));

export function migratedOf(ran: Ran): Migrated {
  const records = ran.stdout.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as MigrationRecord] : []));
  return { ...ran, records, summary: records.findLast((record): record is SummaryRecord => record.type === 'summary') };
}
