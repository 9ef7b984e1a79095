import { connect } from 'node:net';

/** No migration is held for longer, whatever happens. */
const HOLD_MS_MAX = 120_000;

/**
 * Waits before the real helper is started, while whoever listens at `socketPath` (XTHROTTLE_HOLD) keeps the connection open: it makes the
 * guest smaller meanwhile. Its end, of whatever kind, lets the migration go on. `abort` in a line of its own ends it: false.
 */
export function held(socketPath: string | undefined, domid: number, withinMs: number = HOLD_MS_MAX): Promise<boolean> {
  if (socketPath === undefined || socketPath === '') return Promise.resolve(true);
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let said = '';
    const settle = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(!said.includes('abort\n'));
    };
    const timer = setTimeout(settle, withinMs);
    socket.once('connect', () => socket.write(`${domid}\n`));
    socket.setEncoding('utf8').on('data', (text: unknown) => {
      said = (said + String(text)).slice(-64);
    });
    socket.on('error', () => undefined);
    socket.once('close', settle);
  });
}
