import { between } from '../../src/core/estimate.ts';
import { type Capabilities, type DomainFacts, ms, pages, UNCAPPED } from '../../src/core/index.ts';
import { type GoalOptions, goalFor } from '../../src/core/options.ts';

export const domainFacts = (patch: Partial<DomainFacts> = {}): DomainFacts => ({
  name: 'vm1',
  domid: 7,
  uuid: 'd926f8f0-ce70-4649-b2c4-b6a282664892',
  vcpus: 1,
  activeVcpus: 1,
  populatedPages: pages(32_768),
  capOriginal: UNCAPPED,
  ...patch,
});

export const capabilities = (patch: Partial<Capabilities> = {}): Capabilities => ({
  peek: true,
  policy: false,
  roundsMax: 5,
  actuator: true,
  actuatorLatencyMs: ms(15),
  liftLatencyMs: ms(1),
  scheduler: 'credit',
  tsliceMs: ms(30),
  runFirstMs: ms(15),
  ...patch,
});

export const goal = (options: Partial<GoalOptions> = {}, domain: Partial<DomainFacts> = {}, able: Partial<Capabilities> = {}) =>
  goalFor({ targetDowntimeMs: ms(200), ...options }, domainFacts(domain), capabilities(able), {
    overheadMs: between(ms(20), ms(50), ms(90)),
    suspendLatencyMs: between(ms(5), ms(15), ms(40)),
  });
