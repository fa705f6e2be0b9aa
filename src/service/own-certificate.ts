import type { ActiveAuthority } from '../authority/active-authority.ts'
import { equalBytes } from '../core/bytes.ts'
import { loop } from '../core/clock.ts'
import { DAY, MINUTE } from '../core/duration.ts'
import type { Latest } from '../core/latest.ts'
import { type Making, makeServing } from '../issuance/ca-certificates.ts'
import { keyAlgorithm } from '../keys/algorithms.ts'
import { PrivateKey } from '../keys/private-key.ts'
import type { PublicKey } from '../keys/public-key.ts'
import { certificatePem } from '../x509/pem.ts'
import type { Events } from './events.ts'

/** Makes a key and its chain what the listener answers with from the next handshake on. */
export type Install = (key: PrivateKey, chainPem: string) => void

export type OwnCertificateParts = Making & {
  /** What signs it. */
  readonly serving: Latest<ActiveAuthority>
  readonly names: readonly string[]
  readonly install: Install
  readonly events: Events
}

const LIFETIME_MS = DAY

/** Our own TLS server certificate: made under the authority that `Serving` chooses, renewed in place at half of its life. */
export class OwnCertificate {
  readonly #parts: OwnCertificateParts
  #current: { readonly under: ActiveAuthority; readonly renewAt: Date; readonly key: PublicKey } | undefined

  #turn = Promise.resolve()

  constructor(parts: OwnCertificateParts) {
    this.#parts = parts
  }

  /** Whether it is our server's own key. */
  isOurs(key: PublicKey): boolean {
    return this.#current !== undefined && equalBytes(this.#current.key.spki, key.spki)
  }

  /** Looks every minute whether it is due, and at once when the authority changes, until the signal. */
  run(signal: AbortSignal): Promise<void> {
    this.#parts.serving.follow(() => void this.renewIfDue())
    return loop(
      this.#parts.clock,
      signal,
      () => MINUTE,
      () => this.renewIfDue(),
    )
  }

  /** A failure is told as an event; the certificate that is there goes on. One at a time. */
  renewIfDue(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#renewIfDue())
    return this.#turn
  }

  async #renewIfDue(): Promise<void> {
    const { serving, clock, events } = this.#parts
    const authority = serving.get()
    if (!authority) return
    const { under, renewAt } = this.#current ?? {}
    if (under === authority && renewAt && clock.now() < renewAt) return
    try {
      await this.#renew(authority)
    } catch (error) {
      events.rotationFailed(error)
    }
  }

  async #renew(authority: ActiveAuthority): Promise<void> {
    const { names, install, events } = this.#parts
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const certificate = await makeServing(
      names,
      key.publicKey,
      { certificate: authority.authority.certificate, signer: authority.signer },
      LIFETIME_MS,
      this.#parts,
    )
    const { notBefore, notAfter } = certificate.tbs
    install(key, [certificatePem(certificate.der), ...authority.chainPem].join(''))
    this.#current = {
      under: authority,
      renewAt: new Date((notBefore.getTime() + notAfter.getTime()) / 2),
      key: key.publicKey,
    }
    events.servingCertificateRenewed(names, notAfter)
  }
}
