import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { fleetDashboard } from './fleet.ts';
import { metricsTable } from './metrics-table.ts';
import { migrationDashboard } from './migration.ts';
import { ruleGroups } from './rules.ts';
import { rulesYaml } from './yaml.ts';

const json = (dashboard: Dashboard): string => `${JSON.stringify(dashboard, null, 2)}\n`;

/** Every generated file: path under grafana/ → content. */
export const generated = (): Readonly<Record<string, string>> => ({
  'dashboards/xthrottle-migration.json': json(migrationDashboard()),
  'dashboards/xthrottle-fleet.json': json(fleetDashboard()),
  'rules/xthrottle.rules.yml': rulesYaml(ruleGroups()),
  'METRICS.md': metricsTable(),
});
