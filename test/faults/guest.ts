/** What a guest does to its memory. */
export interface GuestKind {
  /** Pages that exist. */
  readonly pages: number;
  /** Writable working set, pages. */
  readonly hotPages: number;
  /** Pages dirtied per second at full speed, into an empty log. */
  readonly pagesPerSecond: number;
  /** vCPUs it keeps busy, of as many as it has. */
  readonly vcpus: number;
}

/** A guest that writes at random into its working set: unique pages dirtied after w seconds of work are hot × (1 − exp(−rate × w / hot)). */
export class SimGuest {
  readonly kind: GuestKind;
  suspended = false;
  /** Where it runs (or stands). */
  place: 'here' | 'there' | 'nowhere' = 'here';
  /** Resumed here while it ran there. */
  runsTwice = false;
  /** Read by the hypervisor, in Xen's number. */
  readonly #cap: () => number;
  #atMs = 0;
  #workMs = 0;
  #cpuMs = 0;

  constructor(kind: GuestKind, cap: () => number) {
    this.kind = kind;
    this.#cap = cap;
  }

  /** Share of full speed that its cap leaves. */
  get speed(): number {
    const cap = this.#cap();
    return this.suspended || this.place !== 'here' ? 0 : cap === 0 ? 1 : Math.min(1, cap / (100 * this.kind.vcpus));
  }

  /** To be called before anything changes its speed. */
  advance(nowMs: number): void {
    const elapsed = Math.max(0, nowMs - this.#atMs);
    this.#workMs += elapsed * this.speed;
    this.#cpuMs += elapsed * this.speed * this.kind.vcpus;
    this.#atMs = Math.max(nowMs, this.#atMs);
  }

  dirty(nowMs: number): number {
    this.advance(nowMs);
    const { hotPages, pagesPerSecond } = this.kind;
    return Math.floor(hotPages * (1 - Math.exp((-pagesPerSecond * this.#workMs) / 1000 / hotPages)));
  }

  /** Reads the dirty count and clears the log. */
  clean(nowMs: number): number {
    const count = this.dirty(nowMs);
    this.#workMs = 0;
    return count;
  }

  cpuMs(nowMs: number): number {
    this.advance(nowMs);
    return this.#cpuMs;
  }
}

/** The migration's link: pages per second, but for stalls, until it drops. */
export class SimLink {
  pagesPerSecond: number;
  stalledUntilMs = 0;
  dropped = false;

  constructor(pagesPerSecond: number) {
    this.pagesPerSecond = pagesPerSecond;
  }
}
