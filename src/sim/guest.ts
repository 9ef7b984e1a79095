import { type Cap, capPercent, isLower } from '../core/cap.ts';
import { longestStallMs, ranMs, startWave, stateAt, type Wave } from './parking.ts';
import type { Realisation } from './realisation.ts';
import type { Scenario } from './scenario.ts';

/** Pages of one pattern. hot-cold is two of them. */
export interface Writer {
  readonly classIndex: number;
  readonly pages: number;
  readonly writesPerMs: number;
  readonly sweep: boolean;
  readonly ignoresCpu: boolean;
}

interface GuestState {
  atMs: number;
  cap: Cap;
  /** Set while the cap in force bites. */
  wave: Wave | undefined;
  /** How long the guest had stood when the wave began. */
  carriedMs: number;
  dirty: number[];
  runMs: number;
  cpuMs: number;
  lostCpuMs: number;
  lostGuestMs: number;
  throttledMs: number;
  longestStallMs: number;
  capPercentMin: number | undefined;
}

/**
 * The guest: what it dirties, what CPU it gets, how it stands still. Dirtying follows from exposure alone (ms of full-speed writing since
 * the log was cleared): a uniform writer over n pages has dirtied d' = r (1 − d/n), so d = n − (n − d₀) e^(−r·x/n); a sweep min(n, d₀ + r·x).
 */
export class Guest {
  readonly #scenario: Scenario;
  readonly #realisation: Realisation;
  readonly #writers: readonly Writer[];
  readonly #capOriginal: Cap;
  readonly #s: GuestState;

  constructor(scenario: Scenario, realisation: Realisation, capOriginal: Cap, from?: Guest) {
    this.#scenario = scenario;
    this.#realisation = realisation;
    this.#capOriginal = capOriginal;
    this.#writers = from === undefined ? writersOf(scenario) : from.#writers;
    this.#s =
      from === undefined
        ? {
            atMs: 0,
            cap: capOriginal,
            wave: undefined,
            carriedMs: 0,
            dirty: this.#writers.map(() => 0),
            runMs: 0,
            cpuMs: 0,
            lostCpuMs: 0,
            lostGuestMs: 0,
            throttledMs: 0,
            longestStallMs: 0,
            capPercentMin: undefined,
          }
        : { ...from.#s, dirty: [...from.#s.dirty] };
    if (from === undefined) this.#enterWave(realisation.weather(0).demandPercent);
  }

  clone(): Guest {
    return new Guest(this.#scenario, this.#realisation, this.#capOriginal, this);
  }

  get cap(): Cap {
    return this.#s.cap;
  }

  get totals(): Readonly<Omit<GuestState, 'dirty' | 'wave' | 'carriedMs'>> {
    return this.#s;
  }

  /** Unique pages dirty since the log was last cleared. */
  dirtyPages(): number {
    return Math.round(this.#s.dirty.reduce((sum, d) => sum + d, 0));
  }

  clearLog(): void {
    this.#s.dirty = this.#s.dirty.map(() => 0);
  }

  /** Lets the guest run until `toMs`. */
  advance(toMs: number): void {
    const s = this.#s;
    const exposure = this.#writers.map(() => 0);
    while (s.atMs < toMs) {
      const weather = this.#realisation.weather(s.atMs);
      this.#enterWave(weather.demandPercent);
      const end = Math.min(toMs, weather.untilMs);
      const span = end - s.atMs;
      const ran = s.wave === undefined ? span : this.#ranIn(s.wave, s.atMs, end);
      this.#writers.forEach((w, i) => {
        const scale = weather.factor * (weather.scales[w.classIndex] as number);
        exposure[i] = (exposure[i] as number) + scale * (w.ignoresCpu ? span : ran);
      });
      s.runMs += ran;
      s.cpuMs += (weather.demandPercent / 100) * ran;
      if (isLower(s.cap, this.#capOriginal)) {
        s.throttledMs += span;
        s.lostGuestMs += span - ran;
        s.lostCpuMs += (weather.demandPercent / 100) * (span - ran);
      }
      s.atMs = end;
    }
    s.dirty = s.dirty.map((d, i) => grown(this.#writers[i] as Writer, d, exposure[i] as number));
  }

  /** Puts a cap into force now. */
  setCap(cap: Cap): void {
    const s = this.#s;
    s.cap = cap;
    if (isLower(cap, this.#capOriginal)) {
      const percent = capPercent(cap, this.#scenario.domain.vcpus);
      s.capPercentMin = Math.min(s.capPercentMin ?? percent, percent);
    }
    this.#enterWave(this.#realisation.weather(s.atMs).demandPercent);
  }

  /** How long the guest has been standing still at this moment; 0 while it runs. */
  standingMs(): number {
    const { wave, atMs, carriedMs } = this.#s;
    if (wave === undefined) return 0;
    const state = stateAt(wave, atMs);
    if (state.runs) return 0;
    return atMs - state.sinceMs + (state.sinceMs === wave.startMs ? carriedMs : 0);
  }

  /** Share of its demand the guest gets now. */
  speed(): number {
    return this.#s.wave?.speed ?? 1;
  }

  /** The longest it stood still until now, because its cap was used up. */
  longestStallMs(): number {
    const s = this.#s;
    if (s.wave === undefined || !this.#scenario.host.parking) return s.longestStallMs;
    return Math.max(s.longestStallMs, longestStallMs(s.wave, s.atMs, s.carriedMs));
  }

  #ranIn(wave: Wave, fromMs: number, toMs: number): number {
    if (!this.#scenario.host.parking) return wave.speed * (toMs - fromMs);
    return Math.min(toMs - fromMs, Math.max(0, ranMs(wave, toMs) - ranMs(wave, fromMs)));
  }

  /** Makes the wave fit cap and demand, keeping the guest's state and the stall it is in. */
  #enterWave(demandPercent: number): void {
    const s = this.#s;
    const { domain, host } = this.#scenario;
    const percent = capPercent(s.cap, domain.vcpus);
    const activeVcpus = domain.activeVcpus ?? domain.vcpus;
    const bites = percent < demandPercent;
    if (!bites && s.wave === undefined) return;
    const same = s.wave?.capPerVcpu === percent / activeVcpus && s.wave.speed === percent / demandPercent;
    if (bites && same) return;
    s.longestStallMs = this.longestStallMs();
    s.carriedMs = bites && host.parking ? this.standingMs() : 0;
    if (!bites) {
      s.wave = undefined;
      return;
    }
    const before = s.wave === undefined ? undefined : { wave: s.wave, stoodMs: s.carriedMs };
    const input = { capPercent: percent, demandPercent, activeVcpus, scheduler: host.scheduler, tsliceMs: host.tsliceMs };
    s.wave = startWave(input, s.atMs, this.#realisation.seed, Math.floor(s.atMs / 10), before);
  }
}

/** Unique pages dirty after `exposureMs` more of full-speed writing. */
export function grown(writer: Writer, dirty: number, exposureMs: number): number {
  if (writer.sweep) return Math.min(writer.pages, dirty + writer.writesPerMs * exposureMs);
  return Math.max(dirty, writer.pages - Math.max(0, writer.pages - dirty) * Math.exp((-writer.writesPerMs * exposureMs) / writer.pages));
}

/** The writers of a scenario's classes. */
export function writersOf(scenario: Scenario): readonly Writer[] {
  return scenario.classes.flatMap((c, classIndex) => {
    const writer = (pages: number, writesPerSecond: number): Writer => ({
      classIndex,
      pages,
      writesPerMs: writesPerSecond / 1000,
      sweep: c.pattern === 'sweep',
      ignoresCpu: c.ignoresCpu,
    });
    if (c.pattern !== 'hot-cold') return [writer(c.pages, c.writesPerSecond)];
    const hot = c.pages * c.hotPagesShare;
    return [writer(hot, c.writesPerSecond * c.hotWritesShare), writer(c.pages - hot, c.writesPerSecond * (1 - c.hotWritesShare))].filter(
      (w) => w.pages > 0,
    );
  });
}
