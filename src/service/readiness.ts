import type { ActiveAuthority } from '../authority/active-authority.ts'
import type { Clock } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { asCaError, causesOf } from '../core/errors.ts'
import type { Latest } from '../core/latest.ts'
import type { Making } from '../issuance/ca-certificates.ts'
import { proveSigning } from '../issuance/prove-signing.ts'
import { readCertificate } from '../x509/certificate.ts'

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly why: string }

export type ReadinessParts = Making & {
  readonly active: Latest<ActiveAuthority>
  /** What keeps this process from issuing, apart from its keys; nothing if nothing does. */
  readonly obstacles: () => string | undefined
}

/** A probe more often than this gets the last answer: anyone who reaches the port can probe, and a signature costs. */
const FRESH_FOR_MS = 2 * SECOND

/** Ready means: can sign now, and the result verifies in the published bundle (invariant 10). So it signs, and verifies. */
export function readinessCheck(parts: ReadinessParts): () => Promise<Readiness> {
  const { clock } = parts
  let last: { readonly at: number; readonly answer: Promise<Readiness> } | undefined
  return () => {
    const why = parts.obstacles()
    if (why !== undefined) return Promise.resolve({ ready: false, why })
    if (!last || clock.elapsed() - last.at >= FRESH_FOR_MS) last = { at: clock.elapsed(), answer: check(parts) }
    return last.answer
  }
}

async function check(parts: ReadinessParts): Promise<Readiness> {
  const active = parts.active.get()
  if (!active) return { ready: false, why: 'no authority can sign yet' }
  try {
    if (!isWithin(active, parts.clock)) return { ready: false, why: 'the issuing authority has ended' }
    const { certificate, intermediates } = active.authority
    await proveSigning(
      { certificate, signer: active.signer },
      intermediates,
      active.bundle.roots.map(readCertificate),
      parts,
    )
    return { ready: true }
  } catch (error) {
    return { ready: false, why: `a signature made now would not verify: ${causesOf(asCaError(error))}` }
  }
}

function isWithin(active: ActiveAuthority, clock: Clock): boolean {
  return clock.now() < active.authority.certificate.tbs.notAfter
}
