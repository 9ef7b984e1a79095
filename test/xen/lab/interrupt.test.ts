import { expect, it } from 'vitest';
import { BUSY, localLink, TARGET } from './lab.ts';
import { onRealXen } from './suite.ts';

onRealXen('migrate, interrupted', (lab) => {
  it('(f) SIGTERM to migrate in a throttled round: guest stays, cap back, documented exit code; the next migration works', async () => {
    await lab.guest('vm1', BUSY);
    const domid = (await lab.domains())['vm1']?.domid ?? 0;
    const command =
      `(xthrottle migrate vm1 '${localLink(4_000_000)}' --json ${TARGET} -- -s '' > /tmp/term.out 2> /tmp/term.err & echo $! > /tmp/term.pid; wait $!; echo $? > /tmp/term.code) & ` +
      `for i in $(seq 600); do grep -q '"type":"cap-changed".*"capped"' /tmp/term.out && break; sleep 0.2; done; kill -TERM $(cat /tmp/term.pid); wait`;
    await lab.must(command, 400_000);
    expect((await lab.must('cat /tmp/term.code')).trim(), await lab.must('cat /tmp/term.err')).toBe('143');
    const domains = await lab.domains();
    expect(domains['vm1']).toEqual({ domid, cap: 0 });
    expect(Object.keys(domains)).toEqual(['Domain-0', 'vm1']);
    expect(await lab.logsDirty(domid)).toBe(false);

    const again = await lab.migrate('vm1', { args: `${TARGET} --on-miss proceed` });
    expect([0, 3], again.stderr).toContain(again.code);
    expect((await lab.domains())['vm1']?.cap).toBe(0);
  });
});
