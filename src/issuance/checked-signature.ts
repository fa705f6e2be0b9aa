import { equalBytes } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { Signer } from '../keys/private-key.ts'
import { verifySignature } from '../keys/public-key.ts'
import {
  type Certificate,
  readTbs,
  type Signed,
  splitSigned,
  type Tbs,
  type TbsFields,
  writeCertificate,
  writeTbs,
} from '../x509/certificate.ts'
import { lint } from '../x509/lint.ts'
import type { ProfileName } from '../x509/profiles.ts'

/**
 * What is about to be signed, checked against the rules of its profile.
 * @throws CaError `internal`: it breaks one
 */
export function checkedTbs(fields: TbsFields, profile: ProfileName): Tbs {
  const tbs = readTbs(writeTbs(fields))
  const faults = lint(tbs, profile)
  if (faults.length > 0)
    throw new CaError('internal', 'what was built breaks a rule, so it was not signed', {
      cause: new Error(faults.join('; ')),
    })
  return tbs
}

/**
 * Signs exactly these bytes, and distrusts the result: it is taken apart again and must hold the same bytes, so that all that was checked of them
 * holds for it too, and nothing else but the signature and its algorithm.
 * @throws CaError `internal`
 */
export function signChecked(tbs: Tbs, signer: Signer): Promise<Certificate> {
  return signDistrusted(tbs, signer, CERTIFICATE)
}

/** How one kind of signed thing is put together of its three parts. */
export type Form = {
  readonly what: string
  readonly write: (tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array) => Uint8Array
}

const CERTIFICATE: Form = { what: 'certificate', write: writeCertificate }

type Signable = { readonly bytes: Uint8Array; readonly signatureAlgorithm: Uint8Array }
type Made<T> = Omit<Signed, 'tbs'> & { readonly der: Uint8Array; readonly tbs: T }

async function signDistrusted<T extends Signable>(tbs: T, signer: Signer, { what, write }: Form): Promise<Made<T>> {
  const { signatureAlgorithm } = signer.publicKey.algorithm
  const signature = await signer.sign(tbs.bytes)
  const der = write(tbs.bytes, signatureAlgorithm, signature)
  const again = splitSigned(der, what)
  if (
    !equalBytes(again.tbs, tbs.bytes) ||
    !equalBytes(again.signatureAlgorithm, tbs.signatureAlgorithm) ||
    !equalBytes(again.signature, signature)
  )
    throw new CaError('internal', `a ${what} came out other than it was prepared`)
  return { der, tbs, signatureAlgorithm, signature }
}

/**
 * The same, and the signature is verified. A leaf's is not, for its price: each authority proves that its signatures verify before it signs for
 * anybody and again at every readiness probe (prove-signing.ts), and a leaf with a bad one would fail at its first use.
 * @throws CaError `internal`
 */
export async function signVerified<T extends Signable>(tbs: T, signer: Signer, form = CERTIFICATE): Promise<Made<T>> {
  const made = await signDistrusted(tbs, signer, form)
  if (!verifySignature(signer.publicKey, made.signatureAlgorithm, tbs.bytes, made.signature))
    throw new CaError('internal', 'a signature of ours does not verify')
  return made
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. 16 random ones with the top bit clear and the next set, so none is short. */
export function serialNumber(random: RandomBytes): Uint8Array {
  const serial = Uint8Array.from(random(16))
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40
  return serial
}
