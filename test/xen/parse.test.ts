import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ms } from '../../src/core/units.ts';
import { parseDomainRows, parseInfo, parsePoolOf, parsePools, parseSched, parseTslices, parseVcpus } from '../../src/xen/parse.ts';
import { parseDomains } from '../../src/xen/parse-domains.ts';
import { lastErrorLine, printable, xlError } from '../../src/xen/xl-errors.ts';
import { capturedCalls } from './stand-in.ts';

const credit1 = capturedCalls('01-commands-credit1.txt');
const credit2 = capturedCalls('01-commands-credit2.txt');
const missing = capturedCalls('14-commands-missing-domain.txt');
const outputs = (calls: typeof credit1, command: string) => calls.filter((c) => c.command === command);
const output = (calls: typeof credit1, command: string) => outputs(calls, command)[0]?.stdout ?? '';

describe('what xl of Xen 4.17 really wrote', () => {
  it('shows the cap of a domain, before and after it was set', () => {
    const readings = outputs(credit1, 'xl sched-credit -d vm1').map((c) => parseSched(c.stdout, 24)?.cap);
    expect(readings).toEqual([0, 40, 40, 40, 0]);
    expect(parseSched(output(credit1, 'xl sched-credit'), 24)).toEqual({ name: 'vm1', domid: 24, weight: 256, cap: 0 });
    expect(parseSched(output(credit2, 'xl sched-credit2'), 1)).toEqual({ name: 'vm1', domid: 1, weight: 256, cap: 0 });
  });
  it('has no cap of a domain that is not there, or of another scheduler', () => {
    expect(parseSched(output(credit1, 'xl sched-credit'), 25)).toBeUndefined();
    expect(parseSched(output(credit2, 'xl sched-credit -d vm1'), 1)).toBeUndefined();
  });
  it('shows the timeslice of credit1 pools only', () => {
    expect(parseTslices(output(credit1, 'xl sched-credit -s'))).toEqual(new Map([['Pool-0', 30]]));
    expect(parseTslices(output(credit2, 'xl sched-credit -s')).size).toBe(0);
  });
  it('lists pools, vCPUs and the version', () => {
    expect(parsePools(output(credit1, 'xl cpupool-list'))).toEqual([
      { name: 'Pool-0', cpus: 2, scheduler: 'credit', active: true, domains: 2 },
    ]);
    expect(parsePools(output(credit2, 'xl cpupool-list'))[0]?.scheduler).toBe('credit2');
    expect(parseVcpus(output(credit1, 'xl vcpu-list vm1'), 24)).toEqual([{ vcpu: 0, online: true }]);
    expect(parseVcpus(output(credit1, 'xl vcpu-list'), 0)).toHaveLength(1);
    expect(parseInfo(output(credit1, 'xl info'))).toEqual({
      version: '4.17',
      scheduler: 'credit',
      virtCaps: ['pv', 'hvm', 'hap', 'gnttab-v1', 'gnttab-v2'],
    });
  });
  it('lists domains, as JSON and as a table, with the same UUID', () => {
    const [domain] = parseDomains(output(credit1, 'xl list -l vm1'));
    expect(domain).toMatchObject({ domid: 24, name: 'vm1', type: 'pvh', vcpusMax: 1, targetKib: 131_072, scheduler: 'credit', cap: 0 });
    expect(parseDomainRows(output(credit1, 'xl list -v')).map((r) => [r.domid, r.name, r.uuid])).toEqual([
      [0, 'Domain-0', '00000000-0000-0000-0000-000000000000'],
      [24, 'vm1', domain?.uuid],
    ]);
    expect(parseDomains(output(credit2, 'xl list -l vm1'))[0]?.scheduler).toBe('credit2');
  });
});

describe('what went wrong, in our words', () => {
  const exitOf = (calls: typeof credit1, command: string) => {
    const call = outputs(calls, command)[0];
    if (call === undefined) throw new Error(`not captured: ${command}`);
    const result = { ok: false, exitCode: call.rc, timedOut: false, stdout: call.stdout, stderr: call.stderr, tookMs: ms(1) };
    return xlError(command.split(' ').slice(1), result).exit;
  };
  it.each([
    [credit1, 'xl list nosuch', 'noDomain'],
    [credit1, 'xl sched-credit -d nosuch -c 10', 'noDomain'],
    [credit1, 'xl domname 999', 'noDomain'],
    [credit1, 'xl sched-credit -d vm1 -c 101', 'noCap'],
    [credit1, 'xl sched-credit2 -d vm1 -c 40', 'noCap'],
    [credit2, 'xl sched-credit -d vm1', 'noCap'],
    [credit2, 'xl sched-credit -d vm1 -c 40', 'noCap'],
    [credit1, 'xl sched-credit -d 999 -c 10', 'unexpected'],
    [missing, 'xl list -l 999', 'noDomain'],
    [missing, 'xl sched-credit -d 999', 'unexpected'],
  ] as const)('%#: %2$s is %3$s', (calls, command, exit) => {
    expect(exitOf(calls, command)).toBe(exit);
  });
  it('quotes the error, not the information around it', () => {
    expect(lastErrorLine('xc: info: Saving\nxc: error: Bad thing: Internal error\nMigration failed\n')).toBe(
      'xc: error: Bad thing: Internal error',
    );
  });
});

// Names with all that breaks naive readers, look-alikes of table rows included.
const hostileName = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40 }),
  fc.constantFrom(
    'a b',
    '-c 0',
    '--incoming',
    'x\nvm9    24    256    7',
    '\u001b[2Jvm',
    'vm1  24  256  40',
    '"$(reboot)"',
    'Pool-0: tslice=1ms ',
  ),
);

describe('names that no reader may trust', () => {
  it('reads the cap behind any name', () => {
    fc.assert(
      fc.property(hostileName, fc.nat(32_000), fc.nat(800), (name, domid, cap) => {
        const text = `Name                                ID Weight  Cap\n${name.padEnd(33)} ${String(domid).padStart(4)}    256 ${String(cap).padStart(4)}\n`;
        expect(parseSched(text, domid)?.cap).toBe(cap);
      }),
    );
  });
  it('reads name, type and cap of any name in JSON', () => {
    fc.assert(
      fc.property(hostileName, (name) => {
        const entry = {
          domid: 7,
          config: {
            c_info: { name, type: 'pvh', uuid: 'd926f8f0-ce70-4649-b2c4-b6a282664892' },
            b_info: { sched_params: { sched: 'credit', cap: 12 } },
          },
        };
        expect(parseDomains(JSON.stringify([entry], null, 4))[0]).toMatchObject({ name, domid: 7, cap: 12 });
      }),
    );
  });
  it('makes text printable, whatever it holds, and leaves the rest as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e]/u);
      }),
    );
    expect(printable('vm 1 – größe')).toBe('vm 1 – größe');
    expect(printable('a\u001b[2J\nb')).toBe('a\\x1b[2J\\x0ab');
  });
  it('survives any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        parseSched(text, 1);
        parseTslices(text);
        parsePools(text);
        parsePoolOf(text, 1);
        parseDomainRows(text);
        parseVcpus(text, 1);
        parseInfo(text);
      }),
    );
    fc.assert(
      fc.property(fc.json(), (json) => {
        for (const domain of parseDomains(json)) expect(domain.domid).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe('the cpupool of a domain', () => {
  it('is the last column of xl list -c', () => {
    const text = output(missing, 'xl list -c');
    expect(parsePoolOf(text, 1)).toBe('Pool-0');
    expect(parsePoolOf(text.replace('vm1', 'v 1   7'), 1)).toBe('Pool-0');
    expect(parsePoolOf(text, 4)).toBeUndefined();
  });
});

describe('unplugged vCPUs', () => {
  it('are not online', () => {
    const text =
      'vm1                                 24     0    1   r--     176.5  1 / all\nvm1                                 24     1    -   --p       0.3  all / all\n';
    expect(parseVcpus(text, 24).map((v) => v.online)).toEqual([true, false]);
  });
});
