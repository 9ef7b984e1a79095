import { dirname, join } from 'node:path';
import { XthrottleError } from '../core/errors.ts';
import { openXenctrl, type Xenctrl } from '../xen/libxenctrl.ts';
import { DEFAULT_SOCKET } from '../xen/relay/server.ts';
import { createXl } from '../xen/xl.ts';
import type { RunXl } from '../xen/xl-errors.ts';
import type { Output } from './output.ts';
import type { Telemetry } from './telemetry.ts';

export interface XenTools {
  readonly xl: RunXl;
  readonly xenctrl: Xenctrl | undefined;
}

/** xl and, where it is there, libxenctrl; why it is not is said once. Throws XthrottleError('noXl') when not root: nothing works then. */
export async function openXenTools(output: Output, telemetry: Telemetry): Promise<XenTools> {
  const xl = createXl({ onCall: telemetry.onXlCall });
  if (process.getuid?.() !== 0 && process.env['XTHROTTLE_XL'] === undefined) {
    throw new XthrottleError('noXl', 'controlling Xen needs root', {
      hint: 'run it in dom0 as root (sudo drops LIBXL_SAVE_HELPER: see README)',
    });
  }
  const opened = await openXenctrl();
  const xenctrl = telemetry.timed('xc' in opened ? opened.xc : undefined);
  if (!('reason' in opened)) return { xl, xenctrl };
  output.say(`no looks inside rounds (${opened.reason}): predictions use the rounds alone`, 'warning');
  return { xl, xenctrl: undefined };
}

/** Where the sidecar listens. */
export const sidecarSocket = (): string => process.env['XTHROTTLE_SOCKET'] ?? DEFAULT_SOCKET;

/** A socket for one wrapped job, beside the sidecar's, so that both can run. */
export const privateSocket = (): string => join(dirname(sidecarSocket()), `migrate-${process.pid}.sock`);
