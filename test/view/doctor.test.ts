import { describe, expect, it } from 'vitest';
import type { Finding } from '../../src/core/finding.ts';
import { doctorLines } from '../../src/view/doctor.ts';
import { columnsOf } from '../../src/view/text.ts';

const findings: readonly Finding[] = [
  { check: 'Xen', level: 'ok', found: 'Xen 4.17, dom0' },
  { check: 'directories', level: 'ok', found: '/var/lib/xthrottle' },
  { check: 'directories', level: 'problem', found: 'a'.repeat(20).concat(' ').repeat(12).trim(), todo: `xl ${'x'.repeat(150)}` },
  { check: 'clock', level: 'warning', found: 'not synchronised\u001b[2J', todo: 'chrony' },
];

describe("doctor's page", () => {
  it('says what was looked at once, wraps what was found, never what is to be copied', () => {
    const lines = doctorLines(findings, { color: false, columns: 80 });
    expect(lines[0]).toBe('ok       Xen          Xen 4.17, dom0');
    expect(lines.filter((line) => line.includes('directories'))).toHaveLength(1);
    const command = lines.find((line) => line.includes('→ xl'));
    expect(command).toContain('x'.repeat(150));
    for (const line of lines) if (line !== command) expect(columnsOf(line)).toBeLessThanOrEqual(80);
    expect(lines.at(-1)).toBe('1 problem, 1 warning, 0 notes, 2 ok');
  });
  it('is harmless, in colours too', () => {
    const text = doctorLines(findings, { color: false }).join('\n');
    expect(text).not.toContain('\u001b');
    const colored = doctorLines(findings, { color: true }).join('\n');
    expect(colored).toContain('\u001b[31m');
    expect(colored).not.toContain('\u001b[2J');
  });
});
