import { DAY } from '../core/duration.ts'
import type { Certificate } from '../x509/certificate.ts'
import { type Authority, type AuthoritySet, type AuthorityState, activeIssuing, idOf } from './authority.ts'

/** A CA certificate on which something stands: when it ends, that does. */
export type AuthorityEnd = {
  /** intermediate: stands between the issuing authority that signs and its root; a plugged-in CA is one. */
  readonly role: 'root' | 'issuing' | 'intermediate'
  /** An intermediate has the state of the issuing authority under it. */
  readonly state: Exclude<AuthorityState, 'revoked'>
  readonly id: string
  readonly certificate: Certificate
  /** Its successor is made here, in time and without anybody. */
  readonly renewedHere: boolean
}

/** More than this many are not shown: a server that restarts every minute leaves an old issuing authority behind each time. */
const MAX_SHOWN = 100

/**
 * Every root in the bundle, every issuing authority that is not revoked, and what stands above the one that signs. Roots and what signs come first,
 * then old issuing authorities, the newest first, up to a hundred in all.
 */
export function authorityEnds(set: AuthoritySet): readonly AuthorityEnd[] {
  const alive = set.authorities.filter(
    (one): one is Authority & { state: AuthorityEnd['state'] } => one.state !== 'revoked',
  )
  const signs = activeIssuing(set)
  const own = alive.map(
    ({ role, state, id, certificate, key }): AuthorityEnd => ({
      role,
      state,
      id,
      certificate,
      renewedHere: role === 'issuing' && key === 'memory',
    }),
  )
  const above = (signs?.intermediates ?? []).map(
    (certificate): AuthorityEnd => ({
      role: 'intermediate',
      state: 'active',
      id: idOf(certificate),
      certificate,
      renewedHere: false,
    }),
  )
  const isOld = ({ role, state }: AuthorityEnd) => role === 'issuing' && state !== 'active'
  const old = own
    .filter(isOld)
    .sort((a, b) => b.certificate.tbs.notAfter.getTime() - a.certificate.tbs.notAfter.getTime())
  return [...own.filter((one) => !isOld(one)), ...above, ...old].slice(0, MAX_SHOWN)
}

export function remainingMs({ certificate }: AuthorityEnd, now: Date): number {
  return certificate.tbs.notAfter.getTime() - now.getTime()
}

/** A life of at least this long is warned of by days. */
const LONG_MS = 60 * DAY
const LONG_WARNINGS = [30 * DAY, 14 * DAY, 7 * DAY, DAY]
/** A shorter one by fractions of it: whoever renews at two thirds or three quarters of a life is done before the first. */
const SHORT_WARNINGS = [1 / 4, 1 / 8, 1 / 16, 1 / 64]

/** What may be left of it when it is warned of, the longest first; 0 is its end. */
export function warningsOf({ tbs }: Certificate): readonly number[] {
  const life = tbs.notAfter.getTime() - tbs.notBefore.getTime()
  return [...(life >= LONG_MS ? LONG_WARNINGS : SHORT_WARNINGS.map((part) => part * life)), 0]
}
