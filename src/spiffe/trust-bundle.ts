import { sha256Hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { TrustDomain } from './trust-domain.ts'

/**
 * What a relying party trusts for one trust domain: its root certificates, each as DER. Frozen; a change is another bundle with
 * a greater `sequence` (SPIFFE Trust Domain and Bundle §4.1.1).
 */
export class TrustBundle {
  readonly trustDomain: TrustDomain
  readonly sequence: number
  readonly roots: readonly Uint8Array[]
  /** SHA-256 over the roots in order, hex: two bundles with the same digest say the same. */
  readonly digest: string

  constructor(trustDomain: TrustDomain, sequence: number, roots: readonly Uint8Array[]) {
    if (!Number.isSafeInteger(sequence) || sequence < 1)
      throw new CaError('internal', 'a bundle’s sequence is a positive integer')
    this.trustDomain = trustDomain
    this.sequence = sequence
    this.roots = Object.freeze([...roots])
    this.digest = sha256Hex(Buffer.concat(roots))
    Object.freeze(this)
  }

  /**
   * The SPIFFE bundle document (a JWKS): one key a root, with `use` x509-svid, no `kid`, and exactly one certificate in `x5c`.
   * @param jwkOf the public key of a certificate as a JWK (`kty` and its members)
   * @param refreshHintSeconds how often to ask again
   */
  toJwks(jwkOf: (root: Uint8Array) => object, refreshHintSeconds: number): object {
    return {
      spiffe_sequence: this.sequence,
      spiffe_refresh_hint: refreshHintSeconds,
      keys: this.roots.map((root) => ({
        ...jwkOf(root),
        use: 'x509-svid',
        x5c: [Buffer.from(root).toString('base64')],
      })),
    }
  }
}
