import { CaError } from '../core/errors.ts'
import { REFUSALS } from './refusals.ts'

/** A trust domain name (SPIFFE-ID §2.1), for example `cluster.local`. It exists only if it is right. */
export class TrustDomain {
  readonly name: string
  private constructor(name: string) {
    this.name = name
    Object.freeze(this)
  }

  /**
   * Takes the bare name, not a `spiffe://` URI. At most 255 bytes of `a-z 0-9 . - _`; nothing is lower-cased or otherwise mended.
   * @throws CaError `invalid_argument`
   */
  static parse(name: string): TrustDomain {
    if (name.length === 0) throw new CaError('invalid_argument', REFUSALS.trustDomainMissing)
    if (name.length > 255) throw new CaError('invalid_argument', REFUSALS.trustDomainTooLong)
    for (let at = 0; at < name.length; at++)
      if (!isTrustDomainCharacter(name.charCodeAt(at)))
        throw new CaError('invalid_argument', REFUSALS.trustDomainCharacter)
    return new TrustDomain(name)
  }

  equals(other: TrustDomain): boolean {
    return this.name === other.name
  }

  /** The path-less SPIFFE ID that signing certificates carry (X509-SVID §3.2). */
  get uri(): string {
    return `spiffe://${this.name}`
  }

  toString(): string {
    return this.name
  }
}

function isTrustDomainCharacter(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 48 && c <= 57) || c === 46 || c === 45 || c === 95
}
