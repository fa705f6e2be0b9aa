import { type Authority, type AuthoritySet, type AuthorityState, activeIssuing } from '../authority/authority.ts'
import { hex, shortId } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { DAY, relativeInWords } from '../core/duration.ts'
import { authorityIdOf } from '../keys/public-key.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { Events } from './events.ts'

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
      id: authorityIdOf(certificate.tbs.publicKey),
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

export type EndWarningParts = {
  readonly set: () => AuthoritySet
  readonly events: Events
  readonly clock: Clock
}

/** Warns before anything ends that this process does not renew itself: once for each threshold and start of the process. */
export class EndWarnings {
  readonly #parts: EndWarningParts
  /** Of what was warned of, by certificate, the lowest threshold. */
  #told: ReadonlyMap<string, number> = new Map()

  constructor(parts: EndWarningParts) {
    this.#parts = parts
  }

  /** Gives in words what ends first of what is watched: issuing authorities made here end sooner, and are replaced in time. */
  check(): string {
    const { set, events, clock } = this.#parts
    const now = clock.now()
    const watched = authorityEnds(set()).filter(
      ({ role, state, renewedHere }) => !renewedHere && (role !== 'issuing' || state === 'active'),
    )
    // What is gone is forgotten.
    const told = new Map<string, number>()
    for (const one of watched) {
      const key = hex(one.certificate.der)
      const before = this.#told.get(key) ?? Number.POSITIVE_INFINITY
      const left = remainingMs(one, now)
      const crossed = Math.min(...warningsOf(one.certificate).filter((threshold) => left <= threshold))
      told.set(key, Math.min(before, crossed))
      if (crossed < before)
        events.authorityEndsSoon(one, { leftMs: left, isUrgent: crossed <= lastWarning(one.certificate) })
    }
    this.#told = told
    const [first] = watched.toSorted((a, b) => remainingMs(a, now) - remainingMs(b, now))
    if (!first) return 'there is nothing that could end'
    const { notAfter } = first.certificate.tbs
    const of = watched.every(({ role }) => role === 'root') ? 'of the roots' : 'of the roots and the CAs not made here'
    return `${of}, ${first.role} ${shortId(first.id)} ${notAfter <= now ? 'ended' : 'ends first,'} ${relativeInWords(notAfter, now)}`
  }
}

const lastWarning = (certificate: Certificate): number => warningsOf(certificate).at(-2) as number
