#!/usr/bin/env node
// Plays a recorded save: the frames of $STAND_IN_SCRIPT (a log of the real helper's control pipe) on stdout, waiting for replies where
// the real helper does, 1000 bytes to the stream for each progress inside a round. What it sees goes to $STAND_IN_LOG.
//   STAND_IN_CUT=n    writes at most n bytes at a time
//   STAND_IN_HOLD=s   stops before the first frame whose line has s, until $STAND_IN_GO exists or SIGTERM comes
//   STAND_IN_EXIT=n   for anything but a save of this shape: ends with n
import { appendFileSync, existsSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { endianness } from 'node:os';

const { STAND_IN_SCRIPT, STAND_IN_LOG, STAND_IN_CUT, STAND_IN_HOLD, STAND_IN_GO, STAND_IN_EXIT } = process.env;
const LITTLE = endianness() === 'LE';
const args = process.argv.slice(2);
const note = (text) => appendFileSync(STAND_IN_LOG, `${text}\n`);
const target = (fd) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return 'closed';
  }
};
note(`args ${args.join(' ')}`);
note(`pid ${process.pid}`);
note(`fd ${args[1]} ${target(args[1])}`);
note(`preload ${process.env['LD_PRELOAD'] ?? 'none'}`);
if (STAND_IN_EXIT !== undefined) process.exit(Number(STAND_IN_EXIT));

const streamFd = Number(args[1]);
let terminated = false;
let waiting = false;
process.on('SIGTERM', () => {
  note('SIGTERM');
  terminated = true;
  // As the real one: its read of the reply is interrupted, and it just ends.
  if (waiting) process.exit(254);
});

const number = (bytes, set, value) => {
  const buffer = Buffer.alloc(bytes);
  const view = new DataView(buffer.buffer, buffer.byteOffset, bytes);
  view[set](0, value, LITTLE);
  return buffer;
};
const u16 = (value) => number(2, 'setUint16', value);
const u32 = (value) => number(4, 'setInt32', value);
const u64 = (value) => number(8, 'setBigUint64', BigInt(value));
const string = (text) => Buffer.concat([u32(Buffer.byteLength(text) + 1), Buffer.from(`${text}\0`)]);

function frameOf(line) {
  const at = line.indexOf(' ') + 1;
  const rest = line.slice(at);
  let m = /^log level=(\d+) errno=(-?\d+) ctx=(xencall:buffer|\S+) ?(.*)$/.exec(rest);
  if (m) return [1, u32(Number(m[1])), u32(Number(m[2])), string(m[3]), string(m[4])];
  m = /^progress ctx=(\S+) "(.*)" done=(\d+) total=(\d+)$/.exec(rest);
  if (m) return [2, string(m[1]), string(m[2]), u64(m[3]), u64(m[4])];
  m = /^switch_qemu_logdirty dom=(\d+) enable=(\d+)$/.exec(rest);
  if (m) return [7, u32(Number(m[1])), u32(Number(m[2]))];
  m = /^complete retval=(-?\d+) errno=(-?\d+)$/.exec(rest);
  if (m) return [10, u32(Number(m[1])), u32(Number(m[2]))];
  if (rest.startsWith('msg type=3 suspend')) return [3];
  return undefined;
}

function write(buffer) {
  const step = Number(STAND_IN_CUT ?? buffer.length);
  try {
    for (let at = 0; at < buffer.length; at += step) writeSync(1, buffer, at, Math.min(step, buffer.length - at));
  } catch {
    // Node has no SIGPIPE to die of.
    process.exit(141);
  }
}

let replies = Buffer.alloc(0);
const stdin = process.stdin[Symbol.asyncIterator]();
async function reply() {
  waiting = true;
  while (replies.length < 4) {
    const { value, done } = await stdin.next();
    if (done) process.exit(254);
    replies = Buffer.concat([replies, value]);
  }
  waiting = false;
  const view = new DataView(replies.buffer, replies.byteOffset, 4);
  replies = replies.subarray(4);
  return view.getInt32(0, LITTLE);
}

async function play(line) {
  const [type, ...parts] = frameOf(line) ?? [];
  if (type === undefined) return 1;
  const body = Buffer.concat([u16(type), ...parts]);
  write(Buffer.concat([u16(body.length), body]));
  if (type === 2 && !line.includes('done=0 ')) writeSync(streamFd, Buffer.alloc(1000));
  if (type !== 3 && type !== 7 && type !== 10) return 1;
  const value = await reply();
  note(`reply ${type} ${value}`);
  return value;
}

const tick = () => new Promise((resolve) => setImmediate(resolve));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let held = STAND_IN_HOLD === undefined;

async function fail(text, errno) {
  const at = '0 ';
  await play(`${at}log level=8 errno=-1 ctx=xc ${text}`);
  await play(`${at}log level=8 errno=-1 ctx=xc Save failed (${errno} = ...): Internal error`);
  await play(`${at}switch_qemu_logdirty dom=${args[3]} enable=0`);
  await play(`${at}complete retval=-1 errno=${errno}`);
  note('failed cleanly');
  process.exit(0);
}

for (const line of readFileSync(STAND_IN_SCRIPT, 'utf8').split('\n')) {
  if (!held && line.includes(STAND_IN_HOLD)) {
    held = true;
    note('holding');
    for (let i = 0; i < 1000 && !terminated && !existsSync(STAND_IN_GO); i++) await sleep(10);
  }
  if (terminated) await fail('Failed to write page data to stream (9 = Bad file descriptor): Internal error', 9);
  const value = await play(line);
  if (line.includes('msg type=3') && value !== 1) await fail(`save callback suspend() failed: ${value}: Internal error`, 0);
  await tick();
}
note('done');
process.exit(0);
