import type { Bytes, Ms } from '../../core/units.ts';
import { bytesWritten, type Helper, type Job, programOf } from './helper.ts';
import type { Link } from './link.ts';
import { PROTOCOL_VERSION, type RelayMessage } from './protocol.ts';
import type { Event } from './rounds.ts';

const now = (): Ms => (Number(process.hrtime.bigint() / 1000n) / 1000) as Ms;

interface Measured {
  readonly pid: number;
  /** libxl's process. */
  readonly ppid?: number;
  readonly bytesWritten?: (pid: number) => number | undefined;
}

/** Puts time and bytes on what happens and sends it, the hello first. */
export class Reporter {
  /** What the helper wrote to its control pipe, which is no page data. */
  controlBytes = 0;
  readonly #link: Link;
  readonly #helper: Helper;
  readonly #job: Job;
  readonly #xen: string | undefined;
  readonly #self: Measured;
  #bytesSent = 0;
  #greeted = false;

  constructor(link: Link, helper: Helper, job: Job, xen: string | undefined, self: Measured = process) {
    this.#self = self;
    this.#link = link;
    this.#helper = helper;
    this.#job = job;
    this.#xen = xen;
  }

  /** Says hello unless it was said; `missing` tells why there is no policy object. */
  greet(missing: string | undefined): void {
    if (this.#greeted) return;
    this.#greeted = true;
    const startedBy = this.#self.ppid === undefined ? undefined : programOf(this.#self.ppid);
    this.#link.send({
      type: 'hello',
      version: PROTOCOL_VERSION,
      atMs: now(),
      domid: this.#job.domid,
      flags: this.#job.flags,
      relayPid: this.#self.pid,
      helperPid: this.#helper.pid,
      policy: missing === undefined,
      ...(missing === undefined ? {} : { policyMissing: missing }),
      ...(this.#xen === undefined ? {} : { xenVersion: this.#xen }),
      ...(startedBy === undefined ? {} : { startedBy }),
    });
  }

  tell(event: Event): void {
    this.greet('the policy object did not answer in time');
    this.#link.send({ ...event, atMs: now(), bytesSent: this.#measure() } as RelayMessage);
  }

  /** Never falls, and stays known when the helper is gone. */
  #measure(): Bytes {
    const written = (this.#self.bytesWritten ?? bytesWritten)(this.#helper.pid);
    if (written !== undefined) this.#bytesSent = Math.max(this.#bytesSent, written - this.controlBytes);
    return this.#bytesSent as Bytes;
  }
}
