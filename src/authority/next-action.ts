import { plus } from '../core/clock.ts'
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
  if (!active) return { kind: 'renew-issuing', because: 'there is no issuing authority' }
  // A key in memory ends with its process.
  if (active.id !== holding)
    return { kind: 'renew-issuing', because: 'the key of the last issuing authority ended with its process' }
  const renewal = renewalOf(active)
  if (now < renewal) return { kind: 'wait', until: renewal }
  if (!endsLater(set, active, now, policy)) return { kind: 'wait', until: plus(active.certificate.tbs.notAfter, 1000) }
  return { kind: 'renew-issuing', because: 'less than a sixth of its life is left' }
}

/** When an authority's successor is due. */
export function renewalOf(authority: Authority): Date {
  const { notBefore, notAfter } = authority.certificate.tbs
  const life = notAfter.getTime() - notBefore.getTime()
  return new Date(notAfter.getTime() - life * RENEW_AT_REMAINING)
}

/** A successor under the same root is worth making: the root doesn't cap it to the same end. */
function endsLater(set: AuthoritySet, active: Authority, now: Date, policy: RotationPolicy): boolean {
  const root = activeRoot(set)
  if (!root) return false
  const end = Math.min(plus(now, policy.issuingLifetimeMs).getTime(), root.certificate.tbs.notAfter.getTime())
  return end > active.certificate.tbs.notAfter.getTime()
}
