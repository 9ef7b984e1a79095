import type { Setting } from './world.ts';

/** A guest that needs throttling on this link, and gets it: what the faults then disturb. */
const busy: Setting = {
  guest: { pages: 8000, hotPages: 4500, pagesPerSecond: 16_000, vcpus: 1 },
  linkPagesPerSecond: 8000,
  capOriginal: 0,
  mode: 'watch',
  onMiss: 'abort',
  targetMs: 400,
  peek: true,
  controller: 'step-down',
};
/** No cap within the floor makes it converge. */
const hopeless = { ...busy, targetMs: 150 };

const KINDS: readonly Setting[] = [
  busy,
  { ...busy, capOriginal: 60 },
  { ...busy, peek: false },
  { ...busy, onMiss: 'proceed' },
  { ...busy, scheduler: 'credit2' },
  { ...busy, scheduler: 'credit2', capOriginal: 60, peek: false, controller: 'working-set' },
  { ...busy, guest: { ...busy.guest, hotPages: 3000, vcpus: 2 }, capOriginal: 150 },
  { ...busy, controller: 'proportional', guest: { ...busy.guest, hotPages: 3000 } },
  { ...busy, controller: 'working-set', guest: { ...busy.guest, pagesPerSecond: 8000 } },
  { ...busy, controller: 'working-set', capOriginal: 60 },
  { ...busy, tsliceMs: 5 },
  { ...busy, tsliceMs: 5, capOriginal: 60, peek: false, controller: 'proportional' },
  { ...busy, policy: true },
  { ...busy, policy: true, controller: 'working-set', capOriginal: 60 },
  { ...busy, policy: true, controller: 'wild' },
  { ...busy, controller: 'wild' },
  { ...busy, controller: 'wild', capOriginal: 60, onMiss: 'proceed' },
  hopeless,
  { ...hopeless, onMiss: 'proceed' },
];

/** Each as the sidecar has it and as the wrapped job. */
export const SETTINGS: readonly Setting[] = KINDS.flatMap((setting) => [setting, { ...setting, mode: 'migrate' as const }]);
