import { UUID } from '../xen/stand-in.ts';
import type { Rng } from './rng.ts';
import { type Moment, STATE, type World } from './world.ts';
import { SimXthrottle } from './xthrottle.ts';

/** One fault of a run: where it strikes and what it does. */
export interface Fault {
  readonly kind: FaultKind;
  readonly at: { readonly ms: number } | { readonly moment: Moment; readonly laterMs: number };
}

/** What a fault may touch. */
export interface Scene {
  readonly world: World;
  readonly xthrottle: SimXthrottle;
  readonly rng: Rng;
  /** Told that it struck, and that it is over. */
  fired(text: string): void;
  /** The second xthrottle, should one be started. */
  rival: SimXthrottle | undefined;
}

type Strike = (scene: Scene) => void;

/** For `ms`, and then as before. */
function during(scene: Scene, ms: number, begin: () => void, end: () => void): void {
  begin();
  scene.world.time.after(ms, undefined, end);
}

const xlTrouble =
  (kind: NonNullable<World['xen']['trouble']['xl']>, seconds: number): Strike =>
  (scene) => {
    const { trouble } = scene.world.xen;
    const ms = scene.rng.between(50, seconds * 1000);
    trouble.setsOnly = scene.rng.chance(0.4);
    scene.fired(`xl ${kind} for ${Math.round(ms)} ms${trouble.setsOnly ? ', where it sets' : ''}`);
    during(
      scene,
      ms,
      () => {
        trouble.xl = kind;
      },
      () => {
        trouble.xl = undefined;
      },
    );
  };

const killXthrottle: Strike = ({ xthrottle, fired }) => {
  fired('SIGKILL to xthrottle');
  xthrottle.process.end();
};

/** At one of its next file operations, calls or messages, before or after it took effect. */
const killAtDoing: Strike = ({ xthrottle, rng, fired }) => {
  const doing = xthrottle.process.doings + rng.whole(1, 25);
  const side = rng.pick(['before', 'after'] as const);
  fired(`SIGKILL to xthrottle ${side} its doing ${doing}`);
  xthrottle.process.dieAt = { doing, side };
};

const stop =
  (of: (scene: Scene) => { stoppedUntilMs: number } | undefined, name: string): Strike =>
  (scene) => {
    const process = of(scene);
    if (process === undefined) return;
    const ms = scene.rng.between(200, 40_000);
    scene.fired(`SIGSTOP to ${name} for ${Math.round(ms)} ms`);
    scene.world.slowed = true;
    process.stoppedUntilMs = scene.world.time.nowMs + ms;
  };

const signal =
  (name: string): Strike =>
  ({ xthrottle, fired }) => {
    fired(`${name} to xthrottle`);
    xthrottle.signal(name);
  };

const SPOILT: readonly ((text: string) => string)[] = [
  (text) => text.slice(0, text.length / 2),
  () => '',
  () => '\u0000\u0000\u0000\u0000',
  (text) => text.replace('"capOriginal":', '"capOriginal":-'),
  (text) => `${text}}`,
];

export const FAULTS = {
  'xl fails': xlTrouble('fails', 6),
  'xl prints rubbish': xlTrouble('rubbish', 6),
  'xl hangs': xlTrouble('hangs', 4),
  'xl cannot be killed': xlTrouble('stuck', 2),
  'xl cannot be started': xlTrouble('cannot-start', 6),
  'xl slow': (scene) => {
    const { trouble } = scene.world.xen;
    const slowMs = scene.rng.pick([200, 1000, 3000, 9000]);
    scene.fired(`each xl call takes some ${slowMs} ms`);
    during(
      scene,
      scene.rng.between(500, 10_000),
      () => {
        trouble.slowMs = slowMs;
      },
      () => {
        trouble.slowMs = 0;
      },
    );
  },
  'relay killed': ({ world, fired }) => {
    if (world.migration?.relay?.alive !== true) return;
    fired('SIGKILL to the relay');
    world.migration.relay.end();
  },
  'relay stopped': stop(({ world }) => (world.migration?.relay?.alive ? world.migration.relay : undefined), 'the relay'),
  'half a frame': ({ world, fired }) => {
    const process = world.migration?.helperProcess;
    if (process?.alive !== true) return;
    fired('the helper dies inside a frame');
    world.migration?.helper?.sayHalf();
    world.time.after(0.5, undefined, () => process.end());
  },
  'socket stuck': (scene) => {
    const ms = scene.rng.between(100, 20_000);
    scene.fired(`nothing gets through between relay and xthrottle for ${Math.round(ms)} ms`);
    scene.world.wire.stuckUntilMs = scene.world.time.nowMs + ms;
  },
  'helper killed': ({ world, fired }) => {
    if (world.migration?.helperProcess?.alive !== true) return;
    fired('SIGKILL to the helper');
    world.migration.helperProcess.end();
  },
  'aborted elsewhere': ({ world, fired }) => {
    if (world.migration?.helperProcess?.alive !== true) return;
    fired('somebody else sends SIGTERM to the helper');
    world.migration.helper?.terminate();
  },
  'xl migrate killed': ({ world, fired }) => {
    if (world.migration?.xl.alive !== true) return;
    fired('somebody kills xl migrate');
    world.migration.xl.end();
  },
  'receiver killed': ({ world, fired }) => {
    if (world.migration?.over !== false || !world.migration.receiver.alive) return;
    fired('SIGKILL to the receiver');
    world.migration.receiver.end();
  },
  'peek fails': (scene) => {
    scene.fired('libxenctrl answers nothing');
    during(
      scene,
      scene.rng.between(100, 6000),
      () => {
        scene.world.xen.trouble.peek = 'fails';
      },
      () => {
        scene.world.xen.trouble.peek = undefined;
      },
    );
  },
  'peek lies': (scene) => {
    scene.fired('libxenctrl answers any number');
    during(
      scene,
      scene.rng.between(100, 6000),
      () => {
        scene.world.xen.trouble.peek = 'lies';
      },
      () => {
        scene.world.xen.trouble.peek = undefined;
      },
    );
  },
  'link stalls': ({ world, rng, fired }) => {
    const ms = rng.pick([500, 3000, 20_000, 180_000]) * rng.between(0.5, 1);
    fired(`the link stalls for ${Math.round(ms)} ms`);
    world.link.stalledUntilMs = world.time.nowMs + ms;
  },
  'link slower': ({ world, rng, fired }) => {
    const before = world.link.pagesPerSecond;
    fired('the link has a fraction of its rate');
    world.link.pagesPerSecond = before * rng.between(0.1, 0.7);
    world.time.after(rng.between(500, 8000), undefined, () => {
      world.link.pagesPerSecond = before;
    });
  },
  'link drops': ({ world, fired }) => {
    if (world.migration?.over !== false) return;
    fired('the link drops');
    world.link.dropped = true;
  },
  'clock jumps': ({ world, xthrottle, rng, fired }) => {
    const relay = world.migration?.relay;
    const process = rng.chance(0.5) && relay !== undefined ? relay : xthrottle.process;
    const ms = rng.pick([-3_600_000, -2000, 2000, 60_000, 3_600_000]);
    fired(`the clock of ${process.name} jumps by ${ms} ms`);
    process.clockOffsetMs += ms;
  },
  'domain renamed': ({ world, rng, fired }) => {
    const name = rng.pick(['vm1--migratedaway', '-c 5', "a'b\nvm1   24   256    7", '\u001b[2Jvm', '']);
    fired(`the domain is renamed to ${JSON.stringify(name)}`);
    world.rename(name);
  },
  'domain rebooted': ({ world, fired }) => {
    // One that stands cannot.
    if (world.guest.place !== 'here' || world.guest.suspended) return;
    fired('the domain reboots');
    world.reboot();
  },
  'domain destroyed': ({ world, fired }) => {
    if (world.guest.place !== 'here') return;
    fired('the domain is destroyed');
    world.destroy();
  },
  'domid reused': ({ world, fired }) => {
    if (world.guest.place !== 'here') return;
    fired('the domain is destroyed and its domid given to another');
    world.reuse();
  },
  'two xthrottles': (scene) => {
    scene.fired('another xthrottle takes the domain up');
    scene.rival = new SimXthrottle(scene.world, 'the other xthrottle');
    scene.rival.steerAlone(scene.rng.between(500, 6000));
  },
  'disk full': (scene) => {
    scene.fired('the disk is full');
    during(
      scene,
      scene.rng.between(100, 10_000),
      () => {
        scene.world.disk.full = true;
      },
      () => {
        scene.world.disk.full = false;
      },
    );
  },
  'disk unreadable': (scene) => {
    const how = scene.rng.pick(['EIO', 'EMFILE'] as const);
    scene.fired(`${how} from the disk`);
    during(
      scene,
      scene.rng.between(50, 4000),
      () => {
        scene.world.disk.broken = how;
      },
      () => {
        scene.world.disk.broken = undefined;
      },
    );
  },
  'journal corrupt': ({ world, rng, fired }) => {
    const path = `${STATE}/cap-${UUID}.json`;
    if (world.disk.spoil(path, rng.pick(SPOILT))) fired('the journal is spoilt');
  },
  SIGTERM: signal('SIGTERM'),
  SIGINT: signal('SIGINT'),
  SIGKILL: killXthrottle,
  'SIGKILL inside a change': killAtDoing,
  'xthrottle stopped': stop(({ xthrottle }) => (xthrottle.process.alive ? xthrottle.process : undefined), 'xthrottle'),
  'SIGKILL to all': ({ world, xthrottle, fired }) => {
    fired('SIGKILL to xthrottle, its guard and the relay');
    xthrottle.guard?.end();
    xthrottle.process.end();
    world.migration?.relay?.end();
  },
  'guard killed': ({ xthrottle, fired }) => {
    if (xthrottle.guard?.alive !== true) return;
    fired('SIGKILL to the guard');
    xthrottle.guard.end();
  },
  'admin sets the cap': ({ world, rng, fired }) => {
    if (world.guest.place !== 'here') return;
    const cap = rng.pick([0, 33, 57, 71]);
    fired(`an admin sets the cap to ${cap}`);
    world.adminSets(cap);
  },
} as const satisfies Record<string, Strike>;

export type FaultKind = keyof typeof FAULTS;
export const FAULT_KINDS = Object.keys(FAULTS) as readonly FaultKind[];

const MOMENTS: readonly Moment[] = ['lowered', 'round-1', 'suspend-asked', 'suspend-heard', 'suspended'];

/** The faults of one run: mostly one, up to three; at any time, or just after a moment that matters. */
export function drawFaults(rng: Rng, kinds: readonly FaultKind[], spanMs: number): readonly Fault[] {
  const count = rng.pick([1, 1, 1, 2, 2, 3]);
  return Array.from({ length: count }, () => ({
    kind: rng.pick(kinds),
    at: rng.chance(0.5)
      ? { ms: rng.between(0, spanMs) }
      : { moment: rng.pick(MOMENTS), laterMs: rng.chance(0.5) ? rng.between(0, 60) : rng.between(0, 1000) },
  }));
}

export function schedule(fault: Fault, strike: () => void, world: World): void {
  const { at } = fault;
  if ('ms' in at) world.time.after(at.ms, undefined, strike);
  else world.when(at.moment, () => world.time.after(at.laterMs, undefined, strike));
}

/** The same on Xen as it is, where no cap is ever lowered. */
export const onStock = (fault: Fault): Fault =>
  'moment' in fault.at && fault.at.moment === 'lowered' ? { ...fault, at: { moment: 'round-1', laterMs: fault.at.laterMs } } : fault;
