import { type Stamped, tableOf } from '../results.ts';
import { type Cell, cells, twinId } from './cells.ts';
import { isVoid, lostIn, placeOf } from './judge.ts';
import type { Facts } from './run-cell.ts';

type Result = Stamped<Facts>;

/** One line of a cell for a terminal. */
export function lineOf(cell: Cell, facts: Facts): string {
  const { lost, text } = told(cell, facts);
  return `${lost ? 'LOST' : 'ok  '} ${cell.id}: ${text}`;
}

function told(cell: Cell, facts: Facts): { readonly lost: boolean; readonly text: string } {
  const losses = lostIn(cell, facts);
  const { injected, next, logDirty, logDirtyAfterRestore } = facts;
  const parts = [
    isVoid(cell, facts) ? 'nobody there to strike' : '',
    `guest ${placeOf(facts)}`,
    ...(facts.found.running.length === 1 ? [`memory ${facts.found.memory}`, `cap ${facts.found.cap ?? '?'}`] : []),
    logDirty === 'on'
      ? `log-dirty on${facts.saidLogDirty ? `, said${logDirtyAfterRestore === 'off' ? ', turned off as told' : ''}` : ''}`
      : '',
    facts.leftover ? `--incoming left${facts.saidLeftover ? ', said' : ''}` : '',
    cell.stock || injected.signal !== null ? '' : `exit ${injected.code}`,
    next === 'works' ? 'next migration works' : `next: ${next}`,
  ];
  const text = parts.filter((part) => part !== '').join(', ');
  return { lost: losses.length > 0, text: losses.length === 0 ? text : `${text}. **${losses.join('; ')}**` };
}

/** Of all that was run, by whichever commit: each says its own where they differ. */
export function markdownOf(results: readonly Result[]): string {
  const byId = new Map(results.map((result) => [result.id, result]));
  const ours = cells.filter(({ stock }) => !stock);
  const shown = ours.filter((cell) => byId.has(cell.id) || byId.has(twinId(cell)));
  const commits = [...new Set(results.map(({ commit }) => commit))];
  const done = results.filter(({ id }) => !id.startsWith('stock: '));
  const text = (cell: Cell | undefined): string => {
    const result = cell === undefined ? undefined : byId.get(cell.id);
    if (cell === undefined || result === undefined) return '';
    return `${told(cell, result).text}${commits.length > 1 ? ` (${result.commit})` : ''}`;
  };
  const rows = shown.map((cell) => [cell.id, text(cell), text(cells.find(({ id }) => id === twinId(cell)))]);
  const lost = (stock: boolean): number =>
    cells.filter((cell) => {
      const result = byId.get(cell.id);
      return cell.stock === stock && result !== undefined && lostIn(cell, result).length > 0;
    }).length;
  return [
    `${done.length} of ${ours.length} cells under xthrottle, ${results.length - done.length} beside it on stock Xen (commit ${commits.join(', ')}). Something was lost under xthrottle in ${lost(false)}, on stock Xen in ${lost(true)}.`,
    '',
    tableOf([['fault', 'xthrottle', 'stock Xen'], ...rows]),
  ].join('\n');
}
