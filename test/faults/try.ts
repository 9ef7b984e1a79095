import { World } from './world.ts';
import { SimXthrottle } from './xthrottle.ts';

const w = new World(
  {
    guest: { pages: 16000, hotPages: 5000, pagesPerSecond: 20000, vcpus: 1 },
    linkPagesPerSecond: 10000,
    capOriginal: 0,
    mode: 'watch',
    onMiss: 'abort',
    targetMs: 400,
    peek: true,
    controller: 'working-set',
  },
  1,
);
const x = new SimXthrottle(w);
x.start();
if (w.setting.mode === 'watch')
  w.time.after(500, undefined, () => {
    w.migrate();
  });
await w.time.run(60_000, () => (w.setting.mode === 'watch' ? x.controlled === 'over' : x.closed));
for (const { atMs, record: r } of x.records)
  if (r.type === 'observation') console.log(atMs.toFixed(0), JSON.stringify(r.observation));
  else if (r.type === 'decision' && r.decision.action !== 'hold') console.log(atMs.toFixed(0), JSON.stringify(r.decision));
  else if (r.type === 'summary') console.log(JSON.stringify(r));
