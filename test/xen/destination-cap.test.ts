import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { capAtDestination, readCap, transportOf } from '../../src/xen/destination-cap.ts';
import { STAND_IN_XL, standIn, UUID } from './stand-in.ts';

// Programs are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

describe('the cap at the destination', () => {
  let there: ReturnType<typeof standIn>;
  let transport: string;
  beforeEach(() => {
    there = standIn();
    transport = join(there.folder, 'transport');
    mkdirSync(join(there.folder, 'bin'));
    symlinkSync(STAND_IN_XL, join(there.folder, 'bin/xl'));
    // As ssh does: the words after the host are the command of a shell there.
    writeFileSync(transport, '#!/bin/sh\nd=$(dirname $0); echo "$1" > $d/host; shift; PATH=$d/bin:$PATH exec sh -c "$*"\n');
    chmodSync(transport, 0o755);
  });
  afterEach(() => there.remove());

  it.each(['credit', 'credit2'])('is asked over the way that xl took, under %s', async (scheduler) => {
    there.update((state) => {
      state.scheduler = scheduler;
      for (const domain of state.domains) if (domain.uuid === UUID) domain.cap = 60;
    });
    expect(await capAtDestination('host2', ['-s', transport], UUID)).toBe(60);
    expect(readFileSync(join(there.folder, 'host'), 'utf8')).toBe('host2\n');
  });
  it('is not known of a domain that is not there, without an answer, and where the destination is a command', async () => {
    expect(await capAtDestination('host2', ['-s', transport], '11111111-2222-4333-8444-555555555555')).toBeUndefined();
    expect(await capAtDestination('host2', ['-s', 'false'], UUID)).toBeUndefined();
    expect(await capAtDestination(`touch ${there.folder}/run; xl migrate-receive`, ['-s', ''], UUID)).toBeUndefined();
    expect(() => readFileSync(join(there.folder, 'run'))).toThrow();
  });
  it.each([
    ['host2; touch RAN', ['-s', 'TRANSPORT']],
    ['$(touch RAN)', ['-s', 'TRANSPORT']],
    ['host2', ['-s', 'TRANSPORT; touch RAN;']],
    ['-oProxyCommand=touch', ['-s', 'TRANSPORT']],
  ])('starts no shell: %s over %j is not asked', async (destination, options) => {
    const ran = join(there.folder, 'ran');
    const filled = (text: string) => text.replace('RAN', ran).replace('TRANSPORT', transport);
    expect(await capAtDestination(filled(destination), options.map(filled), UUID)).toBeUndefined();
    for (const name of ['ran', 'host']) expect(() => readFileSync(join(there.folder, name))).toThrow();
  });
  it('transport: the last -s, in both its forms, else ssh', () => {
    expect(transportOf([])).toBe('ssh');
    expect(transportOf(['--debug', '-s', 'ssh -p 2222'])).toBe('ssh -p 2222');
    expect(transportOf(['-sssh -4'])).toBe('ssh -4');
    expect(transportOf(['-s', 'ssh', '-s', ''])).toBeUndefined();
  });
  it("is the domain's by its UUID, whatever others are called", () => {
    const list = [`vm1 7 128 1 -b---- 1.0 ${UUID} - -`, 'vm1 8 128 1 -b---- 1.0 11111111-2222-4333-8444-555555555555 - -'].join('\n');
    const caps = ['Name ID Weight Cap', 'vm1 7 256 60', 'vm1 8 256 30'].join('\n');
    expect(readCap(`${list}\nxthrottle-caps\n${caps}\n`, UUID)).toBe(60);
    expect(readCap(`${list}\n`, UUID)).toBeUndefined();
    expect(readCap('', UUID)).toBeUndefined();
  });
});
