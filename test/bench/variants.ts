import { controllers } from '../../controllers/registry.ts';
import type { Controller, Preference, Profile } from '../../src/core/index.ts';
import type { Mechanism } from '../../src/sim/mechanism.ts';

/** One row of the benchmark: a controller and how it is used. */
export interface Variant {
  readonly name: string;
  readonly controller: string;
  readonly profile: Profile;
  readonly peek: boolean;
  readonly prefer?: Preference;
  /** Also measured by `--quick`. */
  readonly quick: boolean;
  readonly options?: Readonly<Record<string, number>>;
  readonly mechanism?: Mechanism;
}

export const OURS = 'working-set';
export const QEMU = 'auto-converge';

const known = (name: string): boolean => controllers.some((c) => c.name === name);
const plain = (controller: string, more: Partial<Variant> = {}): Variant => ({
  name: controller,
  controller,
  profile: 'steep',
  peek: true,
  quick: true,
  ...more,
});

const OWN: readonly Variant[] = [
  plain(OURS, { profile: 'progressive' }),
  plain(OURS, { name: `${OURS} steep`, quick: false }),
  plain(OURS, { name: `${OURS} gradual`, profile: 'gradual', quick: false }),
  ...(['network', 'speed', 'safety'] as const).map((prefer) =>
    plain(OURS, { name: `${OURS} ${prefer}`, profile: 'progressive', prefer, quick: false }),
  ),
  plain(OURS, { name: `${OURS} no peek`, profile: 'progressive', peek: false }),
  plain(OURS, { name: `${OURS} steep, no peek`, peek: false, quick: false }),
];

/** Baselines are measured against the free planner: none of them promises a slew limit. */
export const variants: readonly Variant[] = [
  ...OWN.filter((v) => known(v.controller)),
  ...controllers.filter((c) => c.name !== OURS).map((c: Controller) => plain(c.name)),
  plain(QEMU, { name: `${QEMU} periodic`, options: { periodic: 1 }, quick: false }),
  plain('step-down', { name: 'step-down no peek', peek: false, quick: false }),
  plain(QEMU, { name: `${QEMU} no peek`, peek: false, quick: false }),
  plain('none', { name: 'post-copy (model)', mechanism: 'post-copy' }),
  plain('none', { name: 'hybrid (model)', mechanism: 'hybrid' }),
];
