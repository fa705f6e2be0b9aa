import type { AuthoritySet } from '../authority/authority.ts'
import { authorityEnds, remainingMs, warningsOf } from '../authority/authority-ends.ts'
import { hex, shortId } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { relativeInWords } from '../core/duration.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { Events } from './events.ts'

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
