import { z } from 'zod';
import { SUSPEND_PAGES } from '../core/downtime.ts';

const positive = z.number().positive();
const share = z.number().min(0).max(1);

/** A random walk around 1: relative standard deviation, and how long a deviation lasts. */
const Variation = z
  .strictObject({
    sd: z.number().min(0).max(1).default(0).describe('relative standard deviation; 0.1 = ±10 %'),
    correlationSeconds: positive.default(2).describe('time after which a deviation is forgotten (AR(1))'),
  })
  .prefault({});

const PageClass = z.strictObject({
  name: z.string().min(1),
  pages: z.int().positive().describe('4 KiB pages that this class writes to'),
  writesPerSecond: z.number().min(0).describe('page writes per second while the guest runs at full speed'),
  pattern: z
    .enum(['uniform', 'sweep', 'hot-cold'])
    .default('uniform')
    .describe('uniform: any page at random; sweep: one after the other, round and round; hot-cold: most writes to few pages'),
  hotPagesShare: share.default(0.1).describe('hot-cold only: share of the pages that is hot'),
  hotWritesShare: share.default(0.9).describe('hot-cold only: share of the writes that goes to the hot pages'),
  ignoresCpu: z.boolean().default(false).describe('true: written by devices (DMA), whatever the cap is'),
});

const Phase = z.strictObject({
  atSeconds: z.number().min(0).describe('from here on, until the next phase'),
  scale: z
    .union([z.number().min(0), z.record(z.string(), z.number().min(0))])
    .default(1)
    .describe('factor on the write rates: one for all classes, or by class name'),
  cpuDemandPercent: positive.optional().describe("the domain's CPU demand in this phase"),
});

const Bursts = z.strictObject({
  meanGapSeconds: positive.describe('mean time between two of them (random arrivals)'),
  lengthSeconds: positive,
  scale: z.number().min(0).describe('factor on all write rates meanwhile; below 1 it is a lull'),
});

const Domain = z.strictObject({
  name: z.string().min(1).default('vm1'),
  memoryMib: z.int().positive().describe('populated memory'),
  p2mFrames: z.int().positive().optional().describe('frames that round 0 counts, absent ones included; default: as a PVH guest has it'),
  vcpus: z.int().positive().default(1),
  activeVcpus: z.int().positive().optional().describe('vCPUs that share the cap; default: all'),
  cpuDemandPercent: positive.describe('CPU that the guest uses when nothing holds it back; percent of one pCPU, all vCPUs together'),
  capOriginalPercent: z.int().min(0).default(0).describe("the cap it has before the migration, Xen's number: 0 = none"),
});

const Link = z.strictObject({
  bytesPerSecond: positive.describe('what the stream really gets'),
  variation: Variation,
  sags: z
    .array(
      z.strictObject({
        atSeconds: z.number().min(0),
        lengthSeconds: positive,
        share: share.describe('share of the rate that is left; 0 = the link stalls'),
        everySeconds: positive.optional().describe('repeats after so long'),
      }),
    )
    .default([]),
  stalls: z.strictObject({ meanGapSeconds: positive, lengthSeconds: positive, share: share.default(0) }).optional(),
  roundTripMs: z.number().min(0).default(0.2).describe('network round trip; only post-copy faults feel it'),
  absentFramesPerSecond: positive.default(20e6).describe('how fast round 0 walks frames that do not exist'),
});

const Host = z
  .strictObject({
    scheduler: z.enum(['credit', 'credit2', 'other']).default('credit'),
    tsliceMs: positive.default(30),
    parking: z.boolean().default(true).describe('false: a capped guest runs slower but evenly (for noise-free experiments)'),
    roundLimit: z
      .int()
      .positive()
      .optional()
      .describe('live rounds before the suspend request; stock Xen: 5. Absent: our own pre-copy policy'),
    roundOverheadMs: z.number().min(0).default(1).describe('fixed time between two rounds (reading and clearing the log)'),
    actuator: z.boolean().default(true).describe('the cap can be changed'),
    actuatorLatencyMs: z.number().min(0).default(15).describe('a cap change by xl'),
    liftLatencyMs: z.number().min(0).default(1).describe('the lift at the suspend request; 1 ms through libxenctrl, as xl otherwise'),
    peek: z.boolean().default(true).describe('dirty count and CPU time can be read inside rounds'),
  })
  .prefault({});

/** A fixed time with a relative spread from one migration to the next. */
const fixedTime = (timeMs: number, sd: number) =>
  z.strictObject({ timeMs: z.number().min(0).default(timeMs), sd: z.number().min(0).max(1).default(sd) }).prefault({});

export const ScenarioSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z.string().min(1).optional().describe('default: the file name'),
    description: z.string().min(1),
    domain: Domain,
    classes: z.array(PageClass).min(1).describe('what the guest writes to'),
    rateVariation: Variation.describe('of all write rates together'),
    bursts: Bursts.optional(),
    phases: z.array(Phase).default([]),
    phasesRepeatSeconds: positive.optional().describe('phases start again after so long'),
    phasesShiftSeconds: z.number().min(0).default(0).describe('phases begin up to so much earlier, by the seed'),
    link: Link,
    suspend: fixedTime(12, 0.1).describe('from passing the suspend on until the guest stands, when no cap holds it'),
    suspendPages: z
      .strictObject({
        low: z
          .int()
          .min(0)
          .default(SUSPEND_PAGES - 80),
        high: z
          .int()
          .min(0)
          .default(SUSPEND_PAGES + 100),
      })
      .prefault({})
      .describe('pages that the suspend itself dirties'),
    resume: fixedTime(40, 0.1).describe('from the last page sent until the guest runs at the destination'),
    host: Host,
    dirtyCount: z
      .strictObject({
        sd: z.number().min(0).max(1).default(0).describe('relative noise of every dirty count that is read'),
        excessPages: z.int().min(0).default(0).describe('counted before round 1 though not dirty: left over by an aborted migration'),
      })
      .prefault({}),
    suggested: z
      .strictObject({ targetDowntimeMs: positive.default(200), maxStallMs: positive.optional() })
      .prefault({})
      .describe('options that suit this scenario'),
  })
  .superRefine((s, context) => {
    const bad = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    const { domain } = s;
    const populated = domain.memoryMib * 256;
    const used = s.classes.reduce((sum, c) => sum + c.pages, 0);
    if (used > populated)
      bad(['classes'], `expected at most the ${populated} pages of ${domain.memoryMib} MiB, got ${used} in all classes`);
    if (new Set(s.classes.map((c) => c.name)).size < s.classes.length) bad(['classes'], 'expected every class to have its own name');
    if (domain.p2mFrames !== undefined && domain.p2mFrames < populated)
      bad(['domain', 'p2mFrames'], `expected at least the ${populated} populated pages, got ${domain.p2mFrames}`);
    const active = domain.activeVcpus ?? domain.vcpus;
    if (active > domain.vcpus) bad(['domain', 'activeVcpus'], `expected at most vcpus (${domain.vcpus}), got ${active}`);
    const most = 100 * active;
    if (domain.cpuDemandPercent > most)
      bad(['domain', 'cpuDemandPercent'], `expected at most ${most} (100 per active vCPU), got ${domain.cpuDemandPercent}`);
    if (domain.capOriginalPercent > 100 * domain.vcpus)
      bad(['domain', 'capOriginalPercent'], `expected at most ${100 * domain.vcpus}, got ${domain.capOriginalPercent}`);
    if (s.suspendPages.high < s.suspendPages.low)
      bad(['suspendPages'], `expected low ≤ high, got ${s.suspendPages.low} and ${s.suspendPages.high}`);
    s.phases.forEach((phase, i) => {
      if (i > 0 && phase.atSeconds <= (s.phases[i - 1]?.atSeconds ?? 0))
        bad(['phases', i, 'atSeconds'], 'expected phases in order of time');
      if (s.phasesRepeatSeconds !== undefined && phase.atSeconds >= s.phasesRepeatSeconds)
        bad(['phases', i, 'atSeconds'], `expected less than phasesRepeatSeconds (${s.phasesRepeatSeconds}), got ${phase.atSeconds}`);
      if ((phase.cpuDemandPercent ?? 0) > most)
        bad(['phases', i, 'cpuDemandPercent'], `expected at most ${most}, got ${phase.cpuDemandPercent}`);
      if (typeof phase.scale === 'number') return;
      for (const name of Object.keys(phase.scale)) {
        if (!s.classes.some((c) => c.name === name)) bad(['phases', i, 'scale', name], `expected the name of a class, got "${name}"`);
      }
    });
    for (const [i, sag] of s.link.sags.entries()) {
      if (sag.everySeconds !== undefined && sag.everySeconds <= sag.lengthSeconds)
        bad(['link', 'sags', i], `expected everySeconds above lengthSeconds (${sag.lengthSeconds}), got ${sag.everySeconds}`);
    }
  });

/** A simulated migration: guest, link and host. All defaults are filled in. */
export type Scenario = z.output<typeof ScenarioSchema>;
/** What a scenario file may say. */
export type ScenarioInput = z.input<typeof ScenarioSchema>;
/** JSON schema of a scenario file. */
export const scenarioJsonSchema = (): unknown => z.toJSONSchema(ScenarioSchema, { io: 'input' });
