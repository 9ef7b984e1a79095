/** The one table of exit codes; help, README and tests read it. */
export const EXIT_CODES = {
  ok: { code: 0, text: 'done; a migration met its target' },
  unexpected: { code: 1, text: 'an unexpected error' },
  usage: { code: 2, text: 'bad options or input; nothing was changed' },
  missed: { code: 3, text: 'migrated, but the target downtime was missed' },
  aborted: { code: 4, text: 'aborted by xthrottle; the guest runs on, untouched, on this host' },
  migrationFailed: { code: 5, text: 'the migration itself failed' },
  noDomain: { code: 6, text: 'no such domain, or it cannot be migrated' },
  noCap: { code: 7, text: "the domain's scheduler has no cap, or refused it" },
  noXl: { code: 8, text: 'xl, its save helper or the hypervisor is missing or denied' },
  capNotRestored: { code: 9, text: 'THE CAP WAS NOT RESTORED: see the message for the command that does it' },
  warned: { code: 10, text: 'doctor: there are warnings; probe: the target would not be met' },
  unfit: { code: 11, text: 'doctor: something would make migrations fail or miss' },
  interrupted: { code: 130, text: 'ended by SIGINT; the cap is back' },
  terminated: { code: 143, text: 'ended by SIGTERM; the cap is back' },
} as const;

export type ExitName = keyof typeof EXIT_CODES;

/**
 * A failure that a person can do something about: what was expected and got is the message, what to do is the hint.
 * Broken invariants are plain Errors and crash.
 */
export class XthrottleError extends Error {
  readonly exit: ExitName;
  readonly hint: string | undefined;

  constructor(exit: ExitName, message: string, options: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'XthrottleError';
    this.exit = exit;
    this.hint = options.hint;
  }
}

/** The text of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
