import { earlier, later, plus } from '../core/clock.ts'
import { type Authority, type AuthoritySet, activeIssuing, activeRoot } from './authority.ts'

export type RotationPolicy = {
  /** How long an issuing authority lives, unless its root ends sooner. */
  readonly issuingLifetimeMs: number
}

/** What the rotator does next; it only obeys. */
export type Action =
  | { readonly kind: 'renew-issuing'; readonly because: string }
  | { readonly kind: 'wait'; readonly until: Date }

/** An issuing authority is replaced before a sixth of its life is left. */
const RENEW_AT_REMAINING = 1 / 6

/**
 * @param holding the id of the issuing authority whose key this process holds, if it does
 */
export function nextAction(set: AuthoritySet, holding: string | undefined, now: Date, policy: RotationPolicy): Action {
  const active = activeIssuing(set)
  if (!active) return { kind: 'renew-issuing', because: 'there was no issuing authority' }
  // A key in memory ends with its process.
  if (active.id !== holding)
    return { kind: 'renew-issuing', because: 'the key of the last issuing authority ended with its process' }
  const { notBefore, notAfter } = active.certificate.tbs
  const above = windowAbove(set, active)
  if (!above) return { kind: 'wait', until: plus(notAfter, 1000) }
  if (now < notBefore && above.begin <= now)
    return { kind: 'renew-issuing', because: 'the clock was set back to before it' }
  const renewal = renewalOf(active)
  if (now < renewal) return { kind: 'wait', until: renewal }
  // A successor is worth making: nothing above caps it to the same end.
  if (earlier(plus(now, policy.issuingLifetimeMs), above.end) > notAfter)
    return { kind: 'renew-issuing', because: 'less than a sixth of its life is left' }
  return { kind: 'wait', until: plus(notAfter, 1000) }
}

/** When an authority's successor is due. */
export function renewalOf(authority: Authority): Date {
  const { notBefore, notAfter } = authority.certificate.tbs
  const life = notAfter.getTime() - notBefore.getTime()
  return new Date(notAfter.getTime() - life * RENEW_AT_REMAINING)
}

/** When all that stands above an issuing authority is valid; nothing if there is no root. */
function windowAbove(set: AuthoritySet, { intermediates }: Authority): { begin: Date; end: Date } | undefined {
  const root = activeRoot(set)?.certificate
  if (!root) return undefined
  const { notBefore, notAfter } = root.tbs
  return intermediates.reduce(
    ({ begin, end }, { tbs }) => ({ begin: later(begin, tbs.notBefore), end: earlier(end, tbs.notAfter) }),
    { begin: notBefore, end: notAfter },
  )
}
