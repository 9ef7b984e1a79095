import { parser } from '@prometheus-io/lezer-promql';

/** Grafana's variables, as some person's choice. */
const VARIABLES: Readonly<Record<string, string>> = {
  $__rate_interval: '1m',
  $__range: '1h',
  $__interval: '15s',
  $instance: '.*',
  $domain: '.*',
};

export function substitute(expr: string, variables = VARIABLES): string {
  return expr.replace(/\$\w+/g, (name) => {
    const value = variables[name];
    if (value === undefined) throw new Error(`unknown variable ${name} in ${expr}`);
    return value;
  });
}

interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
}

export interface Parsed {
  /** What the parser could not read. */
  readonly errors: readonly string[];
  readonly selectors: readonly Selector[];
  /** Labels of `by`, `without`, `on`, `ignoring`. */
  readonly grouping: readonly string[];
}

export function parsePromql(expr: string): Parsed {
  const errors: string[] = [];
  const selectors: { metric: string; labels: string[] }[] = [];
  const grouping: string[] = [];
  parser.parse(expr).iterate({
    enter(node) {
      const text = expr.slice(node.from, node.to);
      if (node.type.isError) errors.push(`at ${node.from}: ${JSON.stringify(expr.slice(Math.max(0, node.from - 10), node.to + 10))}`);
      if (node.name === 'VectorSelector') selectors.push({ metric: '', labels: [] });
      const selector = selectors.at(-1);
      if (node.name === 'Identifier' && selector !== undefined && node.node.parent?.name === 'VectorSelector') selector.metric = text;
      if (node.name === 'LabelName' && node.node.parent?.name === 'GroupingLabels') grouping.push(text);
      else if (node.name === 'LabelName') selector?.labels.push(text);
    },
  });
  return { errors, selectors, grouping };
}
