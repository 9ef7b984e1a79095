import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { SimProcess } from './process.ts';
import type { VirtualTime } from './time.ts';

/** How a connection behaves; faults change it while it is open. */
export interface WireState {
  latencyMs: number;
  /** Nothing gets through before. */
  stuckUntilMs: number;
  /** Cuts what is written into pieces. */
  cut: (bytes: Buffer) => readonly Buffer[];
}

/** One end of a stream socket, as far as the relay and the server use it. */
class SimSocket extends EventEmitter {
  destroyed = false;
  writable = true;
  writableLength = 0;
  peer: SimSocket | undefined;
  readonly owner: SimProcess;
  readonly #time: VirtualTime;
  readonly #wire: WireState;
  readonly #seen: (text: Buffer) => void;
  #lastMs = 0;

  constructor(owner: SimProcess, time: VirtualTime, wire: WireState, seen: (text: Buffer) => void) {
    super();
    this.owner = owner;
    this.#time = time;
    this.#wire = wire;
    this.#seen = seen;
    owner.onEnd(() => this.#hangUp());
  }

  write(data: string | Buffer): boolean {
    if (!this.writable || !this.owner.alive) return false;
    for (const piece of this.#wire.cut(Buffer.from(data))) {
      this.writableLength += piece.length;
      this.#deliver(() => {
        this.writableLength -= piece.length;
        this.#seen(piece);
        this.peer?.emit('data', piece);
      });
    }
    return true;
  }

  end(sent?: () => void): void {
    if (sent !== undefined) this.#time.after(this.#wire.latencyMs, this.owner, sent);
    this.#hangUp();
    this.#time.after(0, this.owner, () => this.#closed());
  }

  destroySoon(): void {
    this.end();
  }

  destroy(): this {
    if (!this.destroyed) this.end();
    return this;
  }

  #deliver(what: () => void): void {
    const { latencyMs, stuckUntilMs } = this.#wire;
    this.#lastMs = Math.max(this.#lastMs, this.#time.nowMs + latencyMs, stuckUntilMs);
    this.#time.after(this.#lastMs - this.#time.nowMs, this.peer?.owner, what);
  }

  #hangUp(): void {
    if (!this.writable) return;
    this.writable = false;
    this.#deliver(() => {
      if (this.peer === undefined) return;
      this.peer.writable = false;
      this.peer.#closed();
    });
  }

  #closed(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

/** Two ends, `seen` for each piece that reaches the other one. */
export function connection(
  time: VirtualTime,
  wire: WireState,
  client: SimProcess,
  server: SimProcess,
  seen: (from: 'client' | 'server', bytes: Buffer) => void,
): { readonly client: Socket; readonly server: Socket } {
  const a = new SimSocket(client, time, wire, (bytes) => seen('client', bytes));
  const b = new SimSocket(server, time, wire, (bytes) => seen('server', bytes));
  a.peer = b;
  b.peer = a;
  return { client: a as unknown as Socket, server: b as unknown as Socket };
}
