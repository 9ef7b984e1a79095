import type { Ms } from '../core/units.ts';
import type { RelayMessage } from './relay/protocol.ts';

/**
 * Calls `onTimeout` when a guest stands for `timeoutMs` and is not sent: a link that stalls in the stop-and-copy would keep it down for as
 * long as TCP waits. From the moment it is suspended until the helper has sent all of it; after that only the hand-over is left, which
 * nothing of ours may touch. Without `timeoutMs`: never.
 */
export function suspendWatchdog(timeoutMs: Ms | undefined, onTimeout: (reason: string) => void) {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => clearTimeout(timer);
  return {
    read(message: RelayMessage): void {
      if (message.type === 'suspended' && timeoutMs !== undefined && timer === undefined) {
        const reason = `--suspend-timeout: the guest stood for ${timeoutMs} ms and was not sent yet; it resumes here`;
        timer = setTimeout(() => onTimeout(reason), timeoutMs);
      } else if (message.type === 'complete' || message.type === 'end') stop();
    },
    stop,
  };
}
