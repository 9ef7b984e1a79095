import type { Outcome } from '../core/record.ts';

/** Label values come from bounded vocabularies: each new value is a new time series that Prometheus keeps for weeks. */
const OTHER = 'other';

export const RESULTS: readonly Outcome[] = ['met', 'missed', 'aborted', 'failed', 'released'];
export const XL_COMMANDS: readonly string[] = [
  'sched-credit',
  'sched-credit2',
  'list',
  'migrate',
  'cpupool-list',
  'info',
  'vcpu-list',
  'domid',
  'debug-keys',
  'dmesg',
  'destroy',
];

const DOMAIN_LENGTH_MAX = 128;

/** A domain's name as a label: control characters, unassigned code points and lone surrogates become `_`, at most 128 characters. */
export function domainLabel(name: string): string {
  const clean = name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Co}]/gu, '_');
  return [...clean].slice(0, DOMAIN_LENGTH_MAX).join('') || '_';
}

export interface Vocabulary {
  /** The value itself while it is one of the vocabulary, else `other`. */
  of(value: string): string;
}

const WELL_FORMED = /^[a-z][a-z0-9-]{0,39}$/;

/**
 * A bounded vocabulary: `known`, and up to `learned` well-formed values (lower case, digits, dashes, at most 40 characters) in the order
 * in which they come, so that a user's own controller may bring its reasons, but a code with numbers in it can't flood the database.
 */
export function vocabulary(known: readonly string[], learned = 0): Vocabulary {
  const values = new Set(known);
  const sizeMax = values.size + learned;
  return {
    of(value) {
      if (values.has(value)) return value;
      if (values.size >= sizeMax || !WELL_FORMED.test(value)) return OTHER;
      values.add(value);
      return value;
    },
  };
}
