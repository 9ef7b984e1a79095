import { substitute } from '../../grafana/promql.ts';
import type { Prometheus } from '../prometheus-server.ts';

/** What we read of a panel's JSON. */
export interface PanelJson {
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string; readonly refId?: string }[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly decimals?: number;
      readonly thresholds?: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] };
      readonly custom?: { readonly drawStyle?: string; readonly lineInterpolation?: string };
    };
    readonly overrides: readonly {
      readonly matcher: { readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
  };
  readonly options?: { readonly colorMode?: string };
  readonly transformations?: readonly { readonly id: string; readonly options: unknown }[];
}

export interface When {
  readonly start: number;
  readonly end: number;
  /** The variable's choice. */
  readonly domain: string;
}

type Point = readonly [seconds: number, value: number];
interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly legend: string;
  readonly bound: boolean;
  readonly points: readonly Point[];
}
interface Table {
  readonly columns: readonly string[];
  readonly units: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}
export interface Drawable {
  readonly panel: Pick<PanelJson, 'type' | 'title' | 'gridPos' | 'fieldConfig' | 'options'>;
  readonly start: number;
  readonly end: number;
  readonly series: readonly Series[];
  readonly table?: Table;
}

const STEP = 0.25;

/** What Prometheus answers to each panel's expressions over that time. */
export async function drawable(panels: readonly PanelJson[], prometheus: Prometheus, when: When): Promise<readonly Drawable[]> {
  const drawn: Drawable[] = [];
  for (const panel of panels) {
    const { type, title, gridPos, fieldConfig, options } = panel;
    const base = {
      panel: { type, title, gridPos, ...(fieldConfig === undefined ? {} : { fieldConfig }), ...(options === undefined ? {} : { options }) },
    };
    const { start, end } = when;
    if (type === 'table') drawn.push({ ...base, start, end, series: [], table: await tableOf(panel, prometheus, when) });
    else drawn.push({ ...base, start, end, series: await seriesOf(panel, prometheus, when) });
  }
  return drawn;
}

const variables = ({ start, end, domain }: When) => ({
  $__rate_interval: '2s',
  $__range: `${Math.ceil(end - start)}s`,
  $__interval: '1s',
  $instance: '.*',
  $domain: domain,
});

async function seriesOf(panel: PanelJson, prometheus: Prometheus, when: When): Promise<readonly Series[]> {
  const bounds = new Set(
    panel.fieldConfig?.overrides.filter((o) => o.properties.some((p) => p.id === 'custom.lineStyle')).map((o) => o.matcher.options),
  );
  const found: Series[] = [];
  for (const { expr, legendFormat = '' } of panel.targets ?? []) {
    const query = new URLSearchParams({
      query: substitute(expr, variables(when)),
      start: `${when.start}`,
      end: `${when.end}`,
      step: `${STEP}`,
    });
    const { result } = await prometheus.api<{
      result: readonly { metric: Readonly<Record<string, string>>; values: readonly [number, string][] }[];
    }>(`query_range?${query}`);
    for (const { metric: labels, values } of result) {
      const legend = legendFormat.replace(/\{\{(\w+)\}\}/g, (_, name: string) => labels[name] ?? '');
      const points = values.map(([at, value]): Point => [at, Number(value)]).filter(([, value]) => Number.isFinite(value));
      found.push({ labels, legend, bound: bounds.has(legend), points });
    }
  }
  return found;
}

interface Organize {
  readonly indexByName: Readonly<Record<string, number>>;
  readonly renameByName: Readonly<Record<string, string>>;
}

/** Grafana's merge of several instant queries: rows of the same domain and host become one; then its choice, order and names of columns. */
async function tableOf(panel: PanelJson, prometheus: Prometheus, when: When): Promise<Table> {
  const targets = panel.targets ?? [];
  const rows = new Map<string, Record<string, string | number>>();
  for (const { expr, refId } of targets) {
    const answers = await prometheus.query(substitute(expr, variables(when)));
    for (const { metric, value } of answers) {
      const key =
        'domain' in metric
          ? `${metric['domain']} ${metric['instance']}`
          : targets.length > 1
            ? (metric['instance'] ?? '')
            : JSON.stringify(metric);
      rows.set(key, { ...rows.get(key), ...metric, [targets.length > 1 ? `Value #${refId}` : 'Value']: Number(value[1]) });
    }
  }
  const organize = panel.transformations?.find(({ id }) => id === 'organize')?.options as Organize;
  const names = Object.entries(organize.indexByName)
    .sort((a, b) => a[1] - b[1])
    .map(([name]) => name);
  const columns = names.map((name) => organize.renameByName[name] ?? name);
  const unitOf = (column: string): string => {
    const own = panel.fieldConfig?.overrides
      .find(({ matcher }) => matcher.options === column)
      ?.properties.find(({ id }) => id === 'unit')?.value;
    return typeof own === 'string' ? own : 'none';
  };
  return { columns, units: columns.map(unitOf), rows: [...rows.values()].map((row) => names.map((name) => row[name] ?? null)) };
}
