type Koffi = typeof import('koffi').default;

/**
 * - `resumed`.
 * - `untold`: the domain runs, but xenstored could not be told: it may not notice when the domain is suspended or shut down next.
 * - a reason: nothing was changed.
 */
export type ResumeCall = 'resumed' | 'untold' | { readonly reason: string };

/** Since Xen 4.15. */
const LIBXENSTORE = 'libxenstore.so.4';
const TELLS = 3;

/**
 * A suspended domain goes on where it stands, as xl lets it when its migration fails (libxl__domain_resume with suspend_cancel, without a
 * device model): its suspend hypercall returns 1, "cancelled", and xenstored forgets that it was shut down. `xch` is an open handle of
 * libxenctrl. libxenguest refuses (EINVAL, on x86) a domain that is not suspended, though not in one step with the resume. Both libraries are loaded only here: it is rarely needed. Throws
 * as koffi does where one of them is missing.
 */
export function resumeCall(koffi: Koffi, libxenguest: string, xch: unknown, domid: number): ResumeCall {
  const guest = koffi.load(libxenguest);
  const store = koffi.load(LIBXENSTORE);
  const resume = guest.func('int xc_domain_resume(void *xch, uint32_t domid, int fast)');
  const open = store.func('void *xs_open(unsigned long flags)');
  const close = store.func('void xs_close(void *xsh)');
  const tell = store.func('bool xs_resume_domain(void *xsh, unsigned int domid)');
  // First: a domain that runs, and of which xenstored does not know, is worse than one that stands a moment longer.
  const xsh: unknown = open(0);
  if (xsh === null) return { reason: 'xenstored does not answer' };
  try {
    if (Number(resume(xch, domid, 1)) !== 0) return { reason: `Xen refused (errno ${koffi.errno()})` };
    for (let n = 1; n <= TELLS; n++) if (tell(xsh, domid) === true) return 'resumed';
    return 'untold';
  } finally {
    close(xsh);
  }
}
