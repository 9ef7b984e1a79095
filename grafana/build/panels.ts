import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  LineInterpolation,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as HeatmapBuilder } from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** Whatever Prometheus the person looking has: never a fixed one. */
export const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

/** An expression and its name in the legend (or, in a table, its column). */
export type Target = readonly [expr: string, legend: string];

export interface PanelOptions {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly targets: readonly Target[];
  /** Of 24 columns. */
  readonly width: number;
  readonly height?: number;
  /** First colour below the first value, then each colour from its value up. */
  readonly thresholds?: readonly (readonly [color: string, from: number | null])[];
  readonly decimals?: number;
}

const REF_IDS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

const queries = (targets: readonly Target[], make: (query: DataqueryBuilder) => DataqueryBuilder): DataqueryBuilder[] =>
  targets.map(([expr, legend], i) =>
    make(
      new DataqueryBuilder()
        .refId(REF_IDS[i] ?? 'Z')
        .expr(expr)
        .legendFormat(legend),
    ),
  );

const steps = (thresholds: PanelOptions['thresholds']): ThresholdsConfigBuilder =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps((thresholds ?? [['green', null]]).map(([color, value]): Threshold => ({ color, value })));

/** One number, now. */
export function stat(options: PanelOptions, calc = 'lastNotNull'): StatBuilder {
  return new StatBuilder()
    .title(options.title)
    .description(options.description)
    .datasource(DATASOURCE)
    .unit(options.unit)
    .decimals(options.decimals ?? 1)
    .span(options.width)
    .height(options.height ?? 4)
    .noValue('–')
    .thresholds(steps(options.thresholds))
    .colorMode(options.thresholds === undefined ? BigValueColorMode.None : BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.Area)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs([calc]))
    .targets(queries(options.targets, (query) => query.range()));
}

export interface SeriesOptions extends PanelOptions {
  readonly bars?: boolean;
  /** Values hold until the next one: rounds, caps. */
  readonly steps?: boolean;
  readonly min?: number;
  /** Dashed lines: targets, floors and other bounds, by legend. */
  readonly bounds?: readonly string[];
}

/** Values over time. */
export function series(options: SeriesOptions): TimeseriesBuilder {
  const panel = new TimeseriesBuilder()
    .title(options.title)
    .description(options.description)
    .datasource(DATASOURCE)
    .unit(options.unit)
    .span(options.width)
    .height(options.height ?? 8)
    .min(options.min ?? 0)
    .lineWidth(options.bars ? 0 : 2)
    .fillOpacity(options.bars ? 80 : 10)
    .drawStyle(options.bars ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .lineInterpolation(options.steps ? LineInterpolation.StepAfter : LineInterpolation.Linear)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Bottom)
        .calcs(['lastNotNull', 'max']),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .targets(queries(options.targets, (query) => query.range()));
  if (options.bars) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal));
  if (options.thresholds !== undefined) {
    panel
      .thresholds(steps(options.thresholds))
      .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  }
  for (const name of options.bounds ?? []) {
    panel.overrideByName(name, [
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } },
      { id: 'custom.lineWidth', value: 1 },
      { id: 'custom.fillOpacity', value: 0 },
    ]);
  }
  return panel;
}

/** A histogram over time. */
export function heatmap(options: PanelOptions): HeatmapBuilder {
  return new HeatmapBuilder()
    .title(options.title)
    .description(options.description)
    .datasource(DATASOURCE)
    .unit(options.unit)
    .span(options.width)
    .height(options.height ?? 8)
    .targets(queries(options.targets, (query) => query.range().format(PromQueryFormat.Heatmap)));
}

export interface Column {
  readonly expr: string;
  readonly name: string;
  readonly unit?: string;
  /** Labels the value is told apart by; default: all of the table's but `result`. `null`: the expression aggregates itself. */
  readonly by?: readonly string[] | null;
  /** Only there for its labels. */
  readonly hidden?: boolean;
}

export interface TableOptions extends Omit<PanelOptions, 'unit' | 'targets' | 'thresholds'> {
  /** Label columns in their order, label → heading. */
  readonly labels: Readonly<Record<string, string>>;
  readonly columns: readonly Column[];
}

/** Without the metric's name among the labels, which would keep lines of different metrics apart. */
function columnExpr({ expr, by }: Column, labels: readonly string[]): string {
  return by === null ? expr : `max by (${(by ?? labels.filter((label) => label !== 'result')).join(', ')}) (${expr})`;
}

/** Instant values side by side, one line for each set of labels. */
export function table(options: TableOptions): TableBuilder {
  const labels = Object.keys(options.labels);
  const { columns } = options;
  // Grafana calls a lone query's value `Value`.
  const fields = columns.map((_, i) => (columns.length === 1 ? 'Value' : `Value #${REF_IDS[i]}`));
  const shown = [...labels, ...fields.filter((_, i) => columns[i]?.hidden !== true)];
  const panel = new TableBuilder()
    .title(options.title)
    .description(options.description)
    .datasource(DATASOURCE)
    .span(options.width)
    .height(options.height ?? 8)
    .targets(
      queries(
        columns.map((column) => [columnExpr(column, labels), column.name] as const),
        (query) => query.instant().format(PromQueryFormat.Table),
      ),
    )
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({ id: 'filterFieldsByName', options: { include: { names: shown } } })
    .withTransformation({
      id: 'organize',
      options: {
        indexByName: Object.fromEntries(shown.map((name, i) => [name, i])),
        renameByName: { ...options.labels, ...Object.fromEntries(fields.map((field, i) => [field, columns[i]?.name])) },
      },
    });
  for (const { name, unit } of columns) if (unit !== undefined) panel.overrideByName(name, [{ id: 'unit', value: unit }]);
  return panel;
}

type AnyPanel = StatBuilder | TimeseriesBuilder | HeatmapBuilder | TableBuilder;

export interface Row {
  readonly title: string;
  readonly panels: readonly AnyPanel[];
}

export interface DashboardOptions {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly from: string;
  readonly refresh: string;
  readonly domains: boolean;
  readonly link: { readonly title: string; readonly uid: string };
  readonly rows: readonly Row[];
}

/** A dashboard whose datasource, host and domain are variables. Panel ids are their places: stable while the order is. */
export function dashboard(options: DashboardOptions): Dashboard {
  const builder = new DashboardBuilder(options.title)
    .uid(options.uid)
    .description(options.description)
    .tags(['xthrottle', 'xen'])
    .time({ from: options.from, to: 'now' })
    .refresh(options.refresh)
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(labelVariable('instance', 'Host', 'label_values(xthrottle_build_info, instance)', true))
    .link(
      new DashboardLinkBuilder(options.link.title)
        .type(DashboardLinkType.Link)
        .url(`/d/${options.link.uid}`)
        .includeVars(true)
        .keepTime(true),
    );
  if (options.domains) {
    builder.withVariable(
      labelVariable('domain', 'Domain', 'label_values(xthrottle_migration_running{instance=~"$instance"}, domain)', false),
    );
  }
  let id = 1;
  for (const { title, panels } of options.rows) {
    builder.withRow(new RowBuilder(title).id(id++));
    for (const panel of panels) builder.withPanel(panel.id(id++));
  }
  return builder.build();
}

function labelVariable(name: string, label: string, query: string, all: boolean): QueryVariableBuilder {
  const variable = new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ query, refId: `variable-${name}` })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc);
  return all ? variable.multi(true).includeAll(true).allValue('.*').current({ text: 'All', value: '$__all', selected: true }) : variable;
}
