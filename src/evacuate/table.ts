import { showBytes, showMs, showPagesBytes, showSeconds } from '../view/human.ts';
import { columnsOf, filled, safeText } from '../view/text.ts';
import { type Entry, type Evacuation, inOrder, lanesOf, outlineOf } from './plan.ts';
import { finishTimes, predict } from './predict.ts';

/** Rows under a heading, each column as wide as its widest cell; the last one is not clipped. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => columnsOf(row[at] ?? ''))));
  return rows.map((row) =>
    row
      .map((cell, at) => (at === row.length - 1 ? cell : filled(cell, widths[at] as number)))
      .join('  ')
      .trimEnd(),
  );
}

const NAME_COLUMNS = 32;
const nameOf = ({ candidate }: Entry): string =>
  filled(safeText(candidate.name), Math.min(NAME_COLUMNS, columnsOf(safeText(candidate.name))));

/** What is planned: who leaves when, and what is expected of each. */
export interface PlannedRow {
  readonly uuid: string;
  readonly name: string;
  readonly memoryBytes: number;
  readonly dirtyPagesPerSecond: number | null;
  readonly predictedSeconds: number;
  readonly predictedDowntimeMs: number | null;
  /** From now. */
  readonly doneAfterSeconds: number;
}

export function plannedRows(evacuation: Evacuation): readonly PlannedRow[] {
  const outline = outlineOf(evacuation);
  const entries = inOrder(evacuation);
  const predictions = entries.map(({ candidate }) => predict(candidate, outline));
  // Streams that share a link that one of them fills take as long as one after the other.
  const finish = finishTimes(
    predictions.map(({ timeMs }) => timeMs),
    lanesOf({ ...evacuation, options: { ...evacuation.options, ...(evacuation.streamRate === undefined ? { parallel: 1 } : {}) } }),
  );
  return entries.map(({ candidate }, i) => ({
    uuid: candidate.uuid,
    name: candidate.name,
    memoryBytes: candidate.memoryPages * 4096,
    dirtyPagesPerSecond: candidate.dirty?.pagesPerSecond ?? null,
    predictedSeconds: (predictions[i]?.timeMs ?? 0) / 1000,
    predictedDowntimeMs: predictions[i]?.downtimeMs ?? null,
    doneAfterSeconds: (finish[i] ?? 0) / 1000,
  }));
}

export function planLines(evacuation: Evacuation): readonly string[] {
  const rows = plannedRows(evacuation);
  const left = evacuation.entries.filter(({ status }) => status === 'left');
  const table = columns([
    ['guest', 'memory', 'dirties', 'time', 'downtime', 'done after'],
    ...rows.map((row, i) => [
      nameOf(inOrder(evacuation)[i] as Entry),
      showBytes(row.memoryBytes),
      row.dirtyPagesPerSecond === null ? '?' : `${showPagesBytes(row.dirtyPagesPerSecond)}/s`,
      showSeconds(row.predictedSeconds),
      row.predictedDowntimeMs === null ? '?' : showMs(row.predictedDowntimeMs),
      showSeconds(row.doneAfterSeconds),
    ]),
  ]);
  return [
    ...(rows.length === 0 ? ['no guest is to leave'] : table),
    ...(left.length === 0 ? [] : ['', 'stays here:', ...columns(left.map((entry) => [`  ${nameOf(entry)}`, safeText(entry.why ?? '')]))]),
  ];
}

/** How long what is left will take. */
export const secondsLeft = (evacuation: Evacuation): number => Math.max(0, ...plannedRows(evacuation).map((row) => row.doneAfterSeconds));

/** How it ended: moved, and left and why. */
export function resultLines(evacuation: Evacuation): readonly string[] {
  const rows = evacuation.entries.map((entry) => {
    const last = entry.attempts.at(-1);
    const how =
      entry.status === 'moved'
        ? last?.metTarget === false
          ? 'moved, target missed'
          : 'moved'
        : entry.status === 'left'
          ? 'LEFT HERE'
          : 'not begun';
    const why = entry.status === 'moved' ? '' : safeText(entry.why ?? '');
    return [
      nameOf(entry),
      how,
      String(entry.attempts.length),
      showMs(last?.downtimeMs),
      showSeconds(last === undefined ? undefined : entry.attempts.reduce((sum, { seconds }) => sum + seconds, 0)),
      why,
    ];
  });
  const count = (status: Entry['status']): number => evacuation.entries.filter((entry) => entry.status === status).length;
  const waiting = count('waiting') + count('running');
  return [
    ...columns([['guest', '', 'tries', 'downtime', 'time', rows.some((row) => row.at(-1) !== '') ? 'why' : ''], ...rows]),
    `${count('moved')} moved, ${count('left')} left here${waiting === 0 ? '' : `, ${waiting} not moved yet`}`,
  ];
}
