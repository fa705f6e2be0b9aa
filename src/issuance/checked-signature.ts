import { equalBytes } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { Signer } from '../keys/private-key.ts'
import { verifySignature } from '../keys/public-key.ts'
import {
  type Certificate,
  readCertificate,
  readTbs,
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
 * Signs exactly these bytes, and distrusts the result: it is parsed again, must hold the same bytes, and its signature must verify.
 * @throws CaError `internal`
 */
export async function signChecked(tbs: Tbs, signer: Signer): Promise<Certificate> {
  const { signatureAlgorithm } = signer.publicKey.algorithm
  const certificate = readCertificate(writeCertificate(tbs.bytes, signatureAlgorithm, await signer.sign(tbs.bytes)))
  if (!equalBytes(certificate.tbs.bytes, tbs.bytes))
    throw new CaError('internal', 'a certificate came out other than it was prepared')
  if (!verifySignature(signer.publicKey, certificate.signatureAlgorithm, tbs.bytes, certificate.signature))
    throw new CaError('internal', 'a signature of ours does not verify')
  return certificate
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. 16 random ones with the top bit clear and the next set, so none is short. */
export function serialNumber(random: RandomBytes): Uint8Array {
  const serial = Uint8Array.from(random(16))
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40
  return serial
}
