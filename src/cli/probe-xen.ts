import { assetPath } from '../assets.ts';
import { XthrottleError } from '../core/errors.ts';
import type { GoalOptions } from '../core/options.ts';
import { runFirstOf } from '../core/run-first.ts';
import type { Ms } from '../core/units.ts';
import { capLatencies } from '../xen/cap-actuator.ts';
import { preflight } from '../xen/domain.ts';
import { openXenctrl, runningXenVersion } from '../xen/libxenctrl.ts';
import { loadPair, loadRate } from '../xen/pair-store.ts';
import { probeDomain } from '../xen/probe.ts';
import { findPolicy } from '../xen/relay/policy-channel.ts';
import { assertTslice } from '../xen/tslice.ts';
import { createXl } from '../xen/xl.ts';
import type { Watched } from './run-probe.ts';

export interface WatchOptions {
  readonly wanted: string;
  readonly durationMs: Ms;
  readonly signal: AbortSignal;
  readonly options: GoalOptions;
  readonly destination: string | undefined;
  /** What migrations would run with; undefined: the pool's own. */
  readonly tsliceMs: Ms | undefined;
  readonly say: (text: string) => void;
}

/** Live rounds before stock libxenguest suspends. */
const STOCK_ROUNDS = 5;

/** Watches one domain of this host. Throws XthrottleError when that cannot begin. */
export async function watchXenDomain({
  wanted,
  durationMs,
  signal,
  options,
  destination,
  tsliceMs: asked,
  say,
}: WatchOptions): Promise<Watched> {
  const xl = createXl();
  const domain = await preflight(wanted, xl);
  if (asked !== undefined) await assertTslice(asked, domain, xl);
  const opened = await openXenctrl();
  if ('reason' in opened) {
    throw new XthrottleError('noXl', `a probe looks through libxenctrl, and that cannot be used: ${opened.reason}`, {
      hint: 'xthrottle doctor',
    });
  }
  const rate = destination === undefined ? undefined : await loadRate(destination);
  const { facts, scheduler, xlCallMs, type } = domain;
  const tsliceMs = asked ?? domain.tsliceMs;
  try {
    const probed = await probeDomain({ domain: facts, xenctrl: opened.xc, durationMs, signal, note: say });
    const fast = opened.xc.getCap(facts.domid, scheduler) !== undefined;
    const policy = 'preload' in findPolicy(runningXenVersion(), assetPath('src/xen/relay/policy.so'));
    const { released } = probed;
    const notes = [
      ...(released.result === 'off' ? [] : [released.text]),
      ...(probed.ended === 'domain' ? ['the domain went away, or Xen stopped answering: what was seen until then counts'] : []),
      ...(type === 'hvm' ? ['what the device model of an HVM guest writes for it is not counted'] : []),
      ...(policy ? [] : ['without the policy object there are five rounds, as stock Xen has them']),
    ];
    if (released.result === 'failed') say(`LOG-DIRTY IS STILL ON: ${released.text}\n  → xthrottle restore`);
    return {
      looks: probed.looks,
      lookShare: probed.lookShare,
      domain: facts,
      capabilities: {
        peek: true,
        policy,
        ...(policy ? {} : { roundsMax: STOCK_ROUNDS }),
        actuator: scheduler !== 'other',
        ...capLatencies(fast, xlCallMs),
        scheduler,
        tsliceMs,
        runFirstMs: runFirstOf(true, facts, tsliceMs),
      },
      options,
      pair: await loadPair(destination ?? ''),
      ...(rate === undefined ? {} : { rate }),
      notes,
      ...(released.result === 'failed' && probed.ended !== 'domain' ? { exit: 'capNotRestored' as const } : {}),
    };
  } finally {
    opened.xc.close();
  }
}
