import { dirname } from 'node:path';
import { EXIT_CODES, XthrottleError } from '../core/errors.ts';
import { exitNameOfFindings } from '../core/finding.ts';
import { wantsColor } from '../view/colors.ts';
import { doctorLines } from '../view/doctor.ts';
import { examine } from '../xen/doctor/doctor.ts';
import { createXl } from '../xen/xl.ts';
import type { DoctorArguments } from './doctor.ts';
import { sidecarSocket } from './xen-setup.ts';

/** All checks; the exit code of the worst finding. Throws XthrottleError('usage') for a host that would be an option of ssh. */
export async function doctor({ host, ssh, deep, json }: DoctorArguments): Promise<number> {
  if (host?.startsWith('-') === true)
    throw new XthrottleError('usage', `${host} is no host name`, { hint: 'options of ssh go into --ssh "ssh -p 2222"' });
  const socketPath = sidecarSocket();
  const findings = await examine({
    xl: createXl(),
    socketPath,
    socketDirectory: dirname(socketPath),
    deep,
    ssh,
    ...(host === undefined ? {} : { host }),
  });
  const { code } = EXIT_CODES[exitNameOfFindings(findings)];
  const lines = json
    ? findings.map((finding) => JSON.stringify({ type: 'finding', ...finding }))
    : doctorLines(findings, { color: wantsColor(process.stdout, process.env), columns: process.stdout.columns });
  process.stdout.write(`${lines.join('\n')}\n`);
  if (json) process.stdout.write(`${JSON.stringify({ type: 'result', exit: exitNameOfFindings(findings), code })}\n`);
  return code;
}
