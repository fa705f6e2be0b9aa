import type { Caller } from '../attestation/caller.ts'
import type { ActiveAuthority } from '../authority/active-authority.ts'
import { equalBytes } from '../core/bytes.ts'
import { type Clock, earlier, later, plus, wholeSecond } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { Entitlement } from '../policy/issuance-policy.ts'
import { type Tbs, urisOf } from '../x509/certificate.ts'
import { EMPTY_NAME } from '../x509/name.ts'
import { certificatePem } from '../x509/pem.ts'
import { BACKDATE_MS, svidExtensions } from '../x509/profiles.ts'
import { checkedTbs, serialNumber, signChecked } from './checked-signature.ts'

/** A checked certificate that is not signed yet. Only `prepareSvid` makes one; only `issueSvid` redeems it, and only once. */
class PreparedSvid {
  readonly tbs: Tbs
  readonly authority: ActiveAuthority
  readonly entitlement: Entitlement
  #redeemed = false

  constructor(tbs: Tbs, authority: ActiveAuthority, entitlement: Entitlement) {
    this.tbs = tbs
    this.authority = authority
    this.entitlement = entitlement
  }

  redeem(): void {
    if (this.#redeemed) throw new CaError('wrong_state', 'this prepared SVID was already issued')
    this.#redeemed = true
  }
}

// The class itself stays here: nobody else can construct what `issueSvid` takes.
export type { PreparedSvid }

export type IssuedSvid = { readonly der: Uint8Array; readonly pem: string; readonly prepared: PreparedSvid }

/**
 * Builds the certificate `caller` is entitled to and checks it as it will be signed: its rules, its window within the signer's, the
 * name it will carry. Of the request it holds the public key and nothing else. The window is capped to the authority's end, so it
 * may be shorter than asked for.
 * @throws CaError `not_ready`: the authority has ended · `internal`: what was built breaks a rule of ours
 */
export function prepareSvid(
  caller: Caller,
  entitlement: Entitlement,
  key: PublicKey,
  authority: ActiveAuthority,
  clock: Clock,
  random: RandomBytes,
): PreparedSvid {
  const now = wholeSecond(clock.now())
  const signer = authority.authority.certificate.tbs
  if (now < signer.notBefore || now >= signer.notAfter)
    throw new CaError('not_ready', 'no issuing authority is valid now')
  const tbs = checkedTbs(
    {
      serial: serialNumber(random),
      signatureAlgorithm: authority.signer.publicKey.algorithm.signatureAlgorithm,
      issuer: signer.subject,
      notBefore: later(plus(now, -BACKDATE_MS), signer.notBefore),
      notAfter: earlier(plus(now, Math.ceil(entitlement.ttlMs / SECOND) * SECOND), signer.notAfter),
      subject: EMPTY_NAME,
      publicKey: key.spki,
      extensions: svidExtensions({
        uri: entitlement.id.uri,
        authorityKeyId: authority.keyId,
        rsa: key.algorithm.family === 'rsa',
        lineage: caller.lineage,
      }),
    },
    'svid',
  )
  checkRequested(tbs, entitlement, key.spki, authority)
  return new PreparedSvid(tbs, authority, entitlement)
}

/**
 * Signs what was prepared. What comes back is taken apart again and must be what was checked against the request, byte for byte.
 * @throws CaError `wrong_state`: issued before · `internal`: the result is not what was prepared
 */
export async function issueSvid(prepared: PreparedSvid): Promise<IssuedSvid> {
  prepared.redeem()
  const { der } = await signChecked(prepared.tbs, prepared.authority.signer)
  return { der, pem: certificatePem(der), prepared }
}

/** That what will be signed is what was asked for. */
function checkRequested(tbs: Tbs, entitlement: Entitlement, publicKey: Uint8Array, authority: ActiveAuthority): void {
  const signer = authority.authority.certificate.tbs
  const faults: string[] = []
  if (urisOf(tbs)[0] !== entitlement.id.uri) faults.push('it names another identity than the caller’s')
  if (!equalBytes(tbs.publicKey, publicKey)) faults.push('it holds another key than the request’s')
  if (!equalBytes(tbs.issuer, signer.subject)) faults.push('it names another issuer')
  if (!equalBytes(tbs.authorityKeyId ?? new Uint8Array(), authority.keyId)) faults.push('it names another issuer’s key')
  if (tbs.notAfter > signer.notAfter || tbs.notBefore < signer.notBefore)
    faults.push('it is valid when its issuer is not')
  if (faults.length > 0)
    throw new CaError('internal', 'a certificate is not what was asked for, so it was not issued', {
      cause: new Error(faults.join('; ')),
    })
}
