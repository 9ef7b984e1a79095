import { readFileSync } from 'node:fs';
import { controllers } from '../../controllers/registry.ts';
import { assetPath } from '../../src/assets.ts';
import { boundedCap } from '../../src/core/bounds.ts';
import { capPercent, capToXen, sameCap } from '../../src/core/cap.ts';
import { XthrottleError } from '../../src/core/errors.ts';
import { goalFor } from '../../src/core/options.ts';
import { stepper } from '../../src/core/step.ts';
import { ms, pages } from '../../src/core/units.ts';
import { scenarioNames, scenarioOf } from '../../src/sim/scenario-files.ts';
import { readTraceFrom } from '../../src/trace/read.ts';
import { handOver } from '../../src/xen/hand-over.ts';
import { parseEntry } from '../../src/xen/journal-entry.ts';
import { parseDomainRows, parseInfo, parsePoolOf, parsePools, parseSched, parseTslices, parseVcpus } from '../../src/xen/parse.ts';
import { parseDomains } from '../../src/xen/parse-domains.ts';
import { cutFrames, decodeFrame, encodeFrame, FRAME_BYTES_MAX } from '../../src/xen/relay/frames.ts';
import { decodeRequest } from '../../src/xen/relay/policy-wire.ts';
import { cutLines, LINE_BYTES_MAX, parseHello, parseRelayMessage, parseServerMessage } from '../../src/xen/relay/protocol.ts';
import { relayReader } from '../../src/xen/relay-reader.ts';
import { printable } from '../../src/xen/xl-errors.ts';
import { facts, UUID } from '../xen/stand-in.ts';
import { Rng } from './rng.ts';

interface Reader {
  readonly name: string;
  /** What it is made for; mutations begin here. */
  readonly samples: readonly Buffer[];
  /** Throws when anything that must hold does not. */
  feed(input: Buffer, rng: Rng): void | Promise<void>;
}

const bytes = (...texts: readonly string[]): readonly Buffer[] => texts.map((text) => Buffer.from(text));

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`broken: ${what}`);
}

/** Errors that a person is told are answers; all others are crashes. */
function told(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof XthrottleError)) throw error;
  }
}

const FRAMES: Reader = {
  name: 'frame decoder',
  samples: [
    encodeFrame({ type: 'progress', context: 'xc', what: 'Frames iteration 2', done: 3072, total: 6336 }),
    Buffer.concat([encodeFrame({ type: 'log', level: 8, errno: -1, context: 'xc', text: 'no' }), encodeFrame({ type: 'suspend' })]),
    encodeFrame({ type: 'complete', result: -1, errno: 9 }),
  ],
  feed(input, rng) {
    let rest: Buffer = Buffer.alloc(0);
    const frames: Buffer[] = [];
    for (let at = 0; at < input.length; ) {
      const next = at + rng.whole(1, 40);
      const cut = cutFrames(rest, input.subarray(at, next));
      rest = cut.rest;
      must(rest.length < FRAME_BYTES_MAX, 'what is left is shorter than a frame');
      frames.push(...cut.frames);
      at = next;
    }
    must(Buffer.concat([...frames, rest]).equals(input), 'no byte is lost');
    for (const frame of frames) decodeFrame(frame);
  },
};

const RELAY_LINES = [
  '{"type":"hello","version":1,"atMs":1.5,"domid":24,"flags":1,"relayPid":2,"helperPid":3,"policy":false}',
  '{"type":"round-start","round":1,"pagesToSend":5000,"atMs":2000,"bytesSent":1000000}',
  '{"type":"progress","round":1,"pagesSent":1024,"pagesToSend":5000,"atMs":2500,"bytesSent":5000000}',
  '{"type":"policy-query","id":3,"awaited":true,"when":"after","round":1,"totalWritten":7,"atMs":2600,"bytesSent":5000001}',
  '{"type":"suspend-request","id":1,"awaited":true,"round":4,"atMs":3000,"bytesSent":9000000}',
  '{"type":"suspend-settled","id":1,"result":"passed-on","by":"timeout","lifted":true,"atMs":1,"bytesSent":2}',
  '{"type":"welcome","version":1,"capOriginal":0,"scheduler":"credit","domid":24}',
  '{"type":"suspend-answer","id":1,"grant":true,"afterMs":30}',
  '{"type":"cap-set","set":true}',
];

const goal = () =>
  goalFor({ targetDowntimeMs: ms(300) }, facts({ vcpus: 2, activeVcpus: 2 }), {
    peek: true,
    policy: true,
    actuator: true,
    actuatorLatencyMs: ms(20),
    liftLatencyMs: ms(4),
    scheduler: 'credit',
    tsliceMs: ms(30),
    runFirstMs: ms(15),
  });

/** Whatever a relay says, no controller's cap is out of bounds. */
const PROTOCOL: Reader = {
  name: 'socket protocol',
  samples: bytes(`${RELAY_LINES.slice(0, 6).join('\n')}\n`, `${RELAY_LINES.slice(6).join('\n')}\n`, ...RELAY_LINES),
  feed(input, rng) {
    const cut = cutLines(Buffer.alloc(0), input);
    must(cut.rest.length <= LINE_BYTES_MAX, 'what is left is shorter than a line');
    const bounds = goal();
    const { domain } = bounds;
    const steps = stepper(rng.pick(controllers), bounds);
    const reader = relayReader(domain, pages(rng.whole(0, 100_000)));
    let step = steps.initial;
    for (const line of [...cut.lines, cut.rest.toString('utf8')]) {
      parseHello(line);
      parseServerMessage(line);
      const message = parseRelayMessage(line);
      if (typeof message === 'string') continue;
      const observation = reader.read(message, () => ({ dirtyPages: pages(rng.whole(0, 2 ** 31)), cpu: undefined }));
      if (observation === undefined) continue;
      step = steps.next(step, observation);
      const { decision } = step;
      if (decision.action !== 'set-cap') continue;
      must(sameCap(decision.cap, boundedCap(decision.cap, bounds)), 'the cap is within its bounds');
      must(capPercent(decision.cap, domain.vcpus) >= bounds.capFloorPercent && capToXen(decision.cap) > 0, 'the cap is above the floor');
    }
  },
};

const DOMAINS = JSON.stringify([
  {
    domid: 24,
    config: {
      c_info: { type: 'pvh', name: 'vm1', uuid: UUID },
      b_info: { max_vcpus: 2, max_memkb: 131072, target_memkb: 131072, sched_params: { sched: 'credit', weight: 256, cap: 40 } },
    },
  },
]);
const XL: Reader = {
  name: 'xl parsers',
  samples: bytes(
    'Name                                ID Weight  Cap\nvm1                                 24    256   40\n',
    'Cpupool Pool-0: tslice=30ms ratelimit=1000us migration-delay=0us\n',
    'Pool-0               2    credit       y          2\n',
    `Name  ID   Mem VCPUs\tState\tTime(s)\nvm1  24  128     1     r-----     5.0 ${UUID}        -   -\n`,
    'Name                                ID  VCPU   CPU State   Time(s) Affinity\nvm1   24     0    1   r--      5.0  all / all\n',
    'xen_major              : 4\nxen_minor              : 17\nvirt_caps              : pv hvm hap\n',
    DOMAINS,
    'migration target: Transfer complete, requesting permission to start domain.\nMigration successful.\n',
  ),
  feed(input, rng) {
    const text = input.toString('utf8');
    const row = parseSched(text, 24);
    must(row === undefined || (Number.isSafeInteger(row.cap) && row.cap >= 0 && row.domid === 24), 'a cap is a whole number');
    parseTslices(text);
    parsePools(text);
    parsePoolOf(text, 24);
    parseDomainRows(text);
    parseVcpus(text, 24);
    parseInfo(text);
    told(() => {
      for (const domain of parseDomains(text))
        must(domain.vcpusMax >= 1 && (domain.cap === undefined || domain.cap >= 0), 'a domain has vCPUs, and its cap is no less than none');
    });
    const reader = handOver();
    for (let at = 0; at < text.length; at += 7) reader.push(text.slice(at, at + 7));
    must(!/\p{Cc}/u.test(reader.reason() ?? ''), 'nothing that a terminal obeys');
    must(!/\p{Cc}/u.test(printable(text.slice(0, rng.whole(0, 80)))), 'nothing that a terminal obeys');
  },
};

const CAP_MAX = 65_534;
const JOURNAL: Reader = {
  name: 'journal reader',
  samples: bytes(
    `{"v":1,"kind":"cap","uuid":"${UUID}","domid":24,"name":"vm1","scheduler":"credit","capOriginal":60,"capsSet":[40,20],"owner":{"pid":5,"startTicks":7,"bootId":"b"}}`,
    '{"v":1,"kind":"tslice","pool":"Pool-0","tsliceOriginalMs":30,"tslicesSetMs":[5],"owner":{"pid":5,"startTicks":7,"bootId":"b"}}',
    `{"v":1,"kind":"balloon","uuid":"${UUID}","domid":24,"name":"vm1","targetOriginalKib":131072,"targetsSetKib":[65536],"owner":{"pid":5,"startTicks":7,"bootId":"b"}}`,
  ),
  feed(input) {
    const entry = parseEntry(input.toString('utf8'));
    if (entry?.kind === 'cap')
      must(
        [entry.capOriginal, ...entry.capsSet].every((cap) => Number.isSafeInteger(cap) && cap >= 0 && cap <= CAP_MAX),
        'a cap that Xen takes',
      );
    if (entry?.kind === 'tslice') must(entry.tsliceOriginalMs >= 1 && entry.tsliceOriginalMs <= 1000, 'a timeslice that Xen takes');
  },
};

/** Magic, protocol 1, a query: id 2, iteration 1, 100 pages written, 7 dirty. */
const QUERY = Buffer.alloc(40);
QUERY.writeUInt32LE(0x78746870, 0);
QUERY.writeUInt16LE(1, 4);
QUERY.writeUInt16LE(1, 6);
QUERY.writeUInt32LE(2, 8);
QUERY.writeUInt32LE(1, 12);
QUERY.writeBigUInt64LE(100n, 16);
QUERY.writeBigInt64LE(7n, 24);
const POLICY: Reader = {
  name: 'policy wire',
  samples: [QUERY],
  feed(input) {
    decodeRequest(input);
    decodeRequest(Buffer.concat([input, Buffer.alloc(40)]).subarray(0, 40));
  },
};

const SCENARIO: Reader = {
  name: 'scenario reader',
  samples: scenarioNames().map((name) => readFileSync(assetPath(`src/sim/scenarios/${name}.json`))),
  feed(input) {
    let value: unknown;
    try {
      value = JSON.parse(input.toString('utf8'));
    } catch {
      return;
    }
    told(() => scenarioOf(value as never));
  },
};

const GOAL = JSON.stringify(goal());
const TRACE: Reader = {
  name: 'trace reader',
  samples: bytes(
    '{"type":"start","v":1,"id":"a","host":"xen","controller":"none","observe":false,"goal":XX}\n{"type":"note","id":"a","level":"info","text":"x"}\n'.replace(
      'XX',
      GOAL,
    ),
    '{"type":"effect","id":"a","atMs":1,"action":"set-cap","result":"applied","cap":{"kind":"capped","percent":40}}\n',
    '{"type":"decision","id":"a","atMs":1,"decision":{"action":"set-cap","cap":{"kind":"capped","percent":0},"reason":{"code":"x","text":"y","numbers":{}}}}\n',
  ),
  async feed(input, rng) {
    const at = rng.whole(0, input.length);
    async function* chunks() {
      yield input.subarray(0, at);
      yield input.subarray(at);
    }
    try {
      const { notes } = await readTraceFrom(chunks(), 'fuzz', { lineBytesMax: 4096, recordsMax: 100 });
      must(notes.length <= 40, 'complaints are bounded');
    } catch (error) {
      if (!(error instanceof XthrottleError)) throw error;
    }
  },
};

export const READERS: readonly Reader[] = [FRAMES, PROTOCOL, XL, JOURNAL, POLICY, SCENARIO, TRACE];

/** What trips parsers up. */
const TOKENS = bytes(
  '\u0000',
  '\n',
  '\r\n',
  '\u001b[2J',
  '\u009b1A',
  '"',
  "'",
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '-',
  '--',
  '-c 5',
  '0',
  '-1',
  '1e999',
  '1e308',
  'NaN',
  'null',
  'true',
  '18446744073709551616',
  '4294967295',
  '9007199254740993',
  '0x10',
  '12.5',
  '__proto__',
  'constructor',
  '\u202e',
  '\ud800',
  '%s%n',
  '../../etc',
  ' '.repeat(300),
  '24',
  '\t',
);

/** A sample with a few wounds, or noise. */
export function mutated(samples: readonly Buffer[], rng: Rng): Buffer {
  if (rng.chance(0.1)) return Buffer.from(Array.from({ length: rng.whole(0, 200) }, () => rng.whole(0, 255)));
  let input = Buffer.from(rng.pick(samples));
  for (let wounds = rng.whole(1, 6); wounds > 0; wounds--) {
    const at = rng.whole(0, input.length);
    const to = Math.min(input.length, at + rng.whole(0, 12));
    switch (rng.whole(0, 5)) {
      case 0:
        if (at < input.length) input[at] = rng.whole(0, 255);
        break;
      case 1:
        input = Buffer.concat([input.subarray(0, at), input.subarray(to)]);
        break;
      case 2:
        input = Buffer.concat([input.subarray(0, at), rng.pick(TOKENS), input.subarray(rng.chance(0.5) ? at : to)]);
        break;
      case 3:
        input = Buffer.concat([input.subarray(0, to), input.subarray(at)]);
        break;
      case 4:
        input = Buffer.concat([input.subarray(0, at), rng.pick(samples).subarray(rng.whole(0, 40))]);
        break;
      default: {
        // A number becomes another one, and the text stays what it was: the reader's own checks are reached.
        const text = input.toString('latin1');
        const numbers = [...text.matchAll(/\d+(\.\d+)?/g)];
        const one = numbers.length === 0 ? undefined : rng.pick(numbers);
        if (one !== undefined) {
          const value = rng.pick(TOKENS.slice(17, 30)).toString('latin1');
          input = Buffer.from(text.slice(0, one.index) + value + text.slice(one.index + one[0].length), 'latin1');
        }
      }
    }
  }
  return input;
}

/** The n-th input of a reader under a seed, fed to it. Throws with the input when something does not hold. */
export async function feedOne(reader: Reader, seed: number): Promise<void> {
  const rng = new Rng(seed);
  const input = mutated(reader.samples, rng);
  try {
    await reader.feed(input, rng);
  } catch (error) {
    throw new Error(
      `${reader.name}, seed ${seed}: ${error instanceof Error ? error.stack : String(error)}\ninput: ${JSON.stringify(input.toString('latin1'))}`,
    );
  }
}

/** `inputs` hostile inputs, shared out over all readers; says what was fed and how much memory that took. */
export async function fuzz(inputs: number, seed: number, say: (text: string) => void): Promise<void> {
  const each = Math.ceil(inputs / READERS.length);
  for (const reader of READERS) {
    const begun = Date.now();
    for (let n = 0; n < each; n++) await feedOne(reader, (seed + n) | 0);
    const mib = Math.round(process.memoryUsage().rss / 2 ** 20);
    say(
      `${reader.name.padEnd(16)} ${each} inputs, seeds ${seed}…${seed + each - 1}, ${((Date.now() - begun) / 1000).toFixed(1)} s, ${mib} MiB resident`,
    );
  }
}
