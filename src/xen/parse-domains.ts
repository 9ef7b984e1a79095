import { XthrottleError } from '../core/errors.ts';

/** What `xl list -l` (JSON: names are quoted, so safe whatever they hold) says of a domain. */
export interface DomainConfig {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly type: 'pv' | 'pvh' | 'hvm' | 'unknown';
  readonly vcpusMax: number;
  /** Other domains' devices are served from it. */
  readonly isDriver?: boolean;
  /** Memory the domain is to have now; follows xl mem-set. */
  readonly targetKib: number;
  readonly videoKib: number;
  /** Xen's word: credit, credit2, rtds, null, arinc653. */
  readonly scheduler: string;
  /** Xen's number, 0 for none; undefined where the scheduler has no cap. */
  readonly cap?: number;
}

type Fields = Readonly<Record<string, unknown>>;

const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const whole = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const UUID_NIL = '00000000-0000-0000-0000-000000000000';
export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value);

/** All domains in `xl list -l`'s output, Domain-0 included. Throws XthrottleError when it is not the JSON that xl writes. */
export function parseDomains(output: string): readonly DomainConfig[] {
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch (cause) {
    throw new XthrottleError('unexpected', 'xl list -l did not answer with JSON', {
      hint: 'XTHROTTLE_XL must name the xl of the running Xen',
      cause,
    });
  }
  return (Array.isArray(value) ? value : [value]).flatMap((entry: unknown) => domainOf(fields(entry)));
}

function domainOf(entry: Fields): readonly DomainConfig[] {
  const config = fields(entry['config']);
  const [create, build] = [fields(config['c_info']), fields(config['b_info'])];
  const sched = fields(build['sched_params']);
  const domid = whole(entry['domid']);
  // xl gives Domain-0 none here.
  const uuid = domid === 0 ? (create['uuid'] ?? UUID_NIL) : create['uuid'];
  if (domid === undefined || !isUuid(uuid)) return [];
  const type = text(create['type']);
  const cap = whole(sched['cap']);
  return [
    {
      domid,
      name: text(create['name']),
      uuid,
      type: type === 'pv' || type === 'pvh' || type === 'hvm' ? type : 'unknown',
      vcpusMax: Math.max(1, whole(build['max_vcpus']) ?? 1),
      ...(create['driver_domain'] === 'True' ? { isDriver: true } : {}),
      targetKib: whole(build['target_memkb']) ?? whole(build['max_memkb']) ?? 0,
      videoKib: whole(build['video_memkb']) ?? 0,
      scheduler: text(sched['sched']) || 'unknown',
      ...(cap === undefined ? {} : { cap }),
    },
  ];
}
