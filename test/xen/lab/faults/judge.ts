import type { Cell } from './cells.ts';
import type { Facts } from './run-cell.ts';

/** Where the guest is, in a few words. */
export function placeOf({ found, domidBefore }: Facts): string {
  const [first, second] = found.running;
  if (second !== undefined) return 'RUNS TWICE';
  if (first === undefined)
    return found.others.length === 0 ? 'GONE' : found.others.some(({ state }) => state.includes('s')) ? 'STANDS' : 'DOES NOT RUN';
  if (!found.beats) return 'RUNS, SILENT';
  return first.domid === domidBefore ? 'stays' : first.name.includes('--') ? `moved, as ${first.name}` : 'moved';
}

/** What was lost: nothing is the aim. The same for xthrottle and for stock Xen, of which less is asked: nothing is said there. */
export function lostIn(cell: Cell, facts: Facts): readonly string[] {
  const { found, after } = facts;
  const lost: string[] = [];
  const place = placeOf(facts);
  if (place !== 'stays' && place !== 'moved') lost.push(`the guest ${place.toLowerCase()}`);
  if (found.memory !== 'ok') lost.push(found.memory === 'BAD' ? 'MEMORY DAMAGED' : 'memory not verified');
  if (found.running.length === 1 && found.cap !== facts.ownCap) lost.push(`cap ${found.cap ?? 'unknown'} instead of ${facts.ownCap}`);
  if (facts.logDirty === 'on' && !facts.saidLogDirty) lost.push('log-dirty on, unsaid');
  if (facts.logDirtyAfterRestore === 'on') lost.push('log-dirty on after restore');
  if (facts.leftover && !facts.saidLeftover) lost.push('--incoming left, unsaid');
  if (facts.next === 'fails') lost.push('the next migration fails');
  if (facts.next === 'works after destroying what was left') lost.push('the next migration fails until --incoming is destroyed');
  if (after !== undefined && after.memory === 'BAD') lost.push('MEMORY DAMAGED in the next migration');
  if (after !== undefined && (after.running.length !== 1 || !after.beats))
    lost.push('after the next migration the guest does not run once');
  if (after?.running.length === 1 && after.cap !== facts.ownCap) lost.push(`after the next migration cap ${after.cap ?? 'unknown'}`);
  if (facts.injected.timedOut === true) lost.push('did not end');
  if (facts.injected.hanging.length > 0) lost.push(`still there a minute later: ${facts.injected.hanging.join(', ')}`);
  if (!cell.stock && facts.journal > 0) lost.push(`${facts.journal} journal entries left`);
  return lost;
}

/** True when the fault did not strike, so that the cell shows nothing. */
export const isVoid = (cell: Cell, { injected }: Facts): boolean => cell.deed !== 'leftover' && injected.hit.length === 0;
