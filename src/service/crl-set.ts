import { type Clock, loop } from '../core/clock.ts'
import { MINUTE, SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { crlPem } from '../x509/pem.ts'
import type { Events } from './events.ts'

/** The CRLs there are, each with its authority’s id, and the ids of the authorities whose CRLs there should be besides. */
export type CrlSet = {
  readonly crls: readonly { readonly id: string; readonly der: Uint8Array }[]
  readonly missing: readonly string[]
}

/** As they are now. */
export type Crls = () => CrlSet

/**
 * The whole set, PEM: who checks revocation (Envoy among them) refuses every peer for want of one CRL, so it is all or none.
 * @throws CaError `not_ready`: some are missing · `not_found`: there are none at all, which is not the same as nothing revoked
 */
export function crlSetPem(crls: Crls): string {
  const { crls: all, missing } = crls()
  if (missing.length > 0)
    throw new CaError(
      'not_ready',
      `the set is not whole: there is no CRL of ${missing.join(', ')}; where such a CA is not kept here, take its CRL from whoever keeps it, and the others from /crl/<authority id>`,
    )
  if (all.length === 0) throw new CaError('not_found', 'this trust domain has no CRLs; /v1/status says who signs')
  return all.map(({ der }) => crlPem(der)).join('')
}

const LOOK_EVERY_MS = 2 * SECOND
/** What keeps the file from being what it should be is told this often. */
const TELL_EVERY_MS = 10 * MINUTE

export type HandingCrls = {
  readonly crls: Crls
  /** Replaces what was handed on before as a whole. @throws whatever kept it from that */
  readonly write: (pem: string) => Promise<void>
  /** Whether what was handed on is still there: somebody may have taken it away. */
  readonly isThere: () => Promise<boolean>
  readonly events: Events
  readonly clock: Clock
}

/**
 * Hands the whole set on once before this resolves, and `run` then whenever it changed or is gone until the signal. While the set is not whole, or can't be
 * written, what was handed on before stays: that is told, and tried again.
 */
export async function handingCrls({
  crls,
  write,
  isThere,
  events,
  clock,
}: HandingCrls): Promise<{ readonly run: (signal: AbortSignal) => Promise<void> }> {
  let handed: string | undefined
  let toldAt: number | undefined
  const hand = async () => {
    try {
      const pem = crlSetPem(crls)
      if (pem !== handed || !(await isThere())) await write(pem)
      handed = pem
      toldAt = undefined
    } catch (error) {
      if (toldAt !== undefined && clock.elapsed() - toldAt < TELL_EVERY_MS) return
      toldAt = clock.elapsed()
      events.crlsNotHanded(error)
    }
  }
  await hand()
  return { run: (signal) => loop(clock, signal, () => LOOK_EVERY_MS, hand) }
}
