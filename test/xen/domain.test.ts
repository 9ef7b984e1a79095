import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findDomain, preflight } from '../../src/xen/domain.ts';
import { parseDomains } from '../../src/xen/parse-domains.ts';
import { standIn, UUID } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let host: ReturnType<typeof standIn>;
beforeEach(() => {
  host = standIn();
});
afterEach(() => host.remove());

const other = 'aaaaaaaa-0000-4000-8000-000000000001';

describe('the facts of a domain', () => {
  it('are read by name, domid or UUID, and the same', async () => {
    const byName = await preflight('vm1', host.xl());
    expect(byName).toMatchObject({ type: 'pvh', scheduler: 'credit', pool: 'Pool-0', tsliceMs: 30 });
    expect(byName.facts).toMatchObject({ name: 'vm1', domid: 24, uuid: UUID, vcpus: 1, activeVcpus: 1, populatedPages: 32_784 });
    const { xlCallMs, ...known } = byName;
    expect(xlCallMs).toBeGreaterThan(0);
    expect(await preflight('24', host.xl())).toMatchObject(known);
    expect(await preflight(UUID.toUpperCase(), host.xl())).toMatchObject(known);
  });
  it('count the vCPUs that share the cap', async () => {
    host.update((s) => {
      s.domains[1] = { domid: 24, name: 'vm1', uuid: UUID, vcpus: 4, online: 2, cap: 150 };
    });
    const { facts } = await preflight('vm1', host.xl());
    expect(facts).toMatchObject({ vcpus: 4, activeVcpus: 2, capOriginal: { kind: 'capped', percent: 150 } });
  });
  it('say when the scheduler has no caps', async () => {
    host.update((s) => {
      s.scheduler = 'null';
    });
    expect(await preflight('vm1', host.xl())).toMatchObject({ scheduler: 'other', observeOnly: expect.stringContaining('no caps') });
  });
});

describe('what is refused before anything is changed', () => {
  const rename = (name: string) =>
    host.update((s) => {
      s.domains[1] = { domid: 24, name, uuid: UUID, vcpus: 1, cap: 0 };
    });
  it.each([
    ['nosuch', 'vm1', /guests here: vm1/],
    ['Domain-0', 'vm1', /name a guest/],
    ['vm1--incoming', 'vm1--incoming', /xl destroy 24/],
    ['vm1--migratedaway', 'vm1--migratedaway', /destination/],
  ])('%s', async (wanted, present, hint) => {
    rename(present);
    await expect(preflight(wanted, host.xl())).rejects.toMatchObject({ exit: 'noDomain', hint: expect.stringMatching(hint) });
    expect(host.calls().some((c) => c.includes('"-c","'))).toBe(false);
  });
  it('a leftover of an earlier migration, with the command that removes it', async () => {
    host.update((s) => {
      s.domains.push({ domid: 30, name: 'vm1--incoming', uuid: UUID, vcpus: 1, cap: 0 });
    });
    await expect(preflight('vm1', host.xl())).rejects.toMatchObject({
      exit: 'noDomain',
      hint: expect.stringContaining('xthrottle restore vm1 --half'),
    });
  });
  it('a PV guest on a Xen without shadow paging, and only there', async () => {
    host.update((s) => {
      s.domains[1] = { domid: 24, name: 'vm1', uuid: UUID, vcpus: 1, cap: 0, type: 'pv' };
    });
    await expect(preflight('vm1', host.xl())).rejects.toMatchObject({ exit: 'noDomain', message: expect.stringContaining('shadow') });
    host.update((s) => {
      s.virtCaps = 'pv hvm hap shadow';
    });
    expect((await preflight('vm1', host.xl())).type).toBe('pv');
  });
});

describe('names', () => {
  it.each(['-c 0', '--help', 'a b', '$(reboot)', 'x\nvm9 24 256 40', '\u001b[2J', '../../etc'])(
    '%j is compared, never given to xl',
    async (name) => {
      host.update((s) => {
        s.domains.push({ domid: 31, name, uuid: other, vcpus: 1, cap: 55 });
      });
      const { facts } = await preflight(name, host.xl());
      expect(facts).toMatchObject({ domid: 31, name, capOriginal: { percent: 55 } });
      expect(host.calls().every((line) => !line.includes(JSON.stringify(name)))).toBe(true);
    },
  );
  it('never mean another domain', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 8 }), fc.nat(7), (names, pick) => {
        const list = parseDomains(
          JSON.stringify(names.map((name, i) => ({ domid: i + 1, config: { c_info: { name, uuid: other, type: 'pvh' }, b_info: {} } }))),
        );
        const wanted = names[pick % names.length] as string;
        const found = findDomain(list, wanted);
        // A number that is somebody's domid means that one, as it does to xl.
        expect(found.name === wanted || String(found.domid) === String(Number(wanted))).toBe(true);
      }),
    );
  });
});
