import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { assetPath } from '../assets.ts';
import { messageOf, XthrottleError } from '../core/errors.ts';
import { type Scenario, type ScenarioInput, ScenarioSchema } from './scenario.ts';

const folder = (): string => assetPath('src/sim/scenarios');
const SHOWN_PROBLEMS = 8;

/** The scenarios that come with xthrottle, in alphabetical order. */
export const scenarioNames = (): readonly string[] =>
  readdirSync(folder())
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort();

/** A scenario as it is used, from what a file says. Throws XthrottleError('usage') naming every field that is wrong. */
function parseScenario(input: unknown, source: string): Scenario & { readonly name: string } {
  const parsed = ScenarioSchema.safeParse(input);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || '(top level)'}: ${issue.message}`);
    const more = problems.length > SHOWN_PROBLEMS ? [`and ${problems.length - SHOWN_PROBLEMS} more`] : [];
    throw new XthrottleError('usage', `${source} is not a scenario:\n  ${[...problems.slice(0, SHOWN_PROBLEMS), ...more].join('\n  ')}`, {
      hint: 'mend these fields; `xthrottle simulate --schema` prints what a scenario may hold',
      cause: parsed.error,
    });
  }
  return { ...parsed.data, name: parsed.data.name ?? basename(source, '.json') };
}

/** The same from a literal, for tests and generated scenarios. */
export const scenarioOf = (input: ScenarioInput, name = 'scenario'): NamedScenario => parseScenario(input, name);

/** A scenario by the name of a shipped one, or by the path of a file. Throws XthrottleError('usage'). */
export function loadScenario(nameOrPath: string): NamedScenario {
  const shipped = /^[a-z0-9-]+$/.test(nameOrPath);
  const path = shipped ? join(folder(), `${nameOrPath}.json`) : nameOrPath;
  return parseScenario(readJson(path, nameOrPath, shipped), nameOrPath);
}

export type NamedScenario = Scenario & { readonly name: string };

function readJson(path: string, asked: string, shipped: boolean): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new XthrottleError(
      'usage',
      shipped ? `there is no scenario "${asked}"` : `cannot read the scenario ${asked}: ${messageOf(cause)}`,
      {
        hint: `give one of ${scenarioNames().join(', ')}, or the path of a JSON file (with a / or a . in it)`,
        cause,
      },
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new XthrottleError('usage', `the scenario ${asked} is not JSON: ${messageOf(cause)}`, {
      hint: 'a scenario is one JSON object; the shipped ones are examples',
      cause,
    });
  }
}
