import { earlier, later, plus, wholeSecond } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { keyIdOf } from '../keys/public-key.ts'
import {
  type Crl,
  type CrlEntry,
  readTbsCrl,
  type TbsCrl,
  type TbsCrlFields,
  writeCrl,
  writeTbsCrl,
} from '../x509/crl.ts'
import { lintCrl } from '../x509/crl-lint.ts'
import { KEY_USAGE } from '../x509/oids.ts'
import { BACKDATE_MS } from '../x509/profiles.ts'
import type { Making, Parent } from './ca-certificates.ts'
import { type Form, signVerified } from './checked-signature.ts'

const CRL: Form = { what: 'CRL', write: writeCrl }

/** What a CRL is to say. */
export type CrlContent = {
  /** Serial numbers as certificates have them, none twice; times of whole seconds. */
  readonly entries: readonly CrlEntry[]
  /** Greater than that of every CRL the authority signed before (RFC 5280 §5.2.3). */
  readonly number: bigint
  /** Never later than the authority's own end. */
  readonly nextUpdate: Date | 'with its authority'
}

/**
 * A CRL of `parent` that stands in the place of all it signed before. Dated back like certificates, so that verifiers whose clocks are behind
 * take it at once.
 * @throws CaError `wrong_state`: its certificate does not let it sign CRLs · `not_ready`: it has ended · `invalid_argument`: more than 100,000
 * entries, or what is no serial number · `internal`: what was built breaks a rule, or the signature does not verify
 */
export async function makeCrl(
  parent: Parent,
  { entries, number, nextUpdate }: CrlContent,
  { clock }: Pick<Making, 'clock'>,
): Promise<Crl> {
  const { certificate, signer } = parent
  const { tbs: issuer } = certificate
  if (issuer.keyUsage?.has(KEY_USAGE.cRLSign) !== true)
    throw new CaError(
      'wrong_state',
      'the CA’s certificate does not let it sign CRLs; plug in one whose key usage has cRLSign, or taint it instead of revoking serials',
    )
  const now = wholeSecond(clock.now())
  if (now < issuer.notBefore || now >= issuer.notAfter)
    throw new CaError('not_ready', 'the authority whose CRL this would be is not valid now')
  const tbs = checkedTbsCrl(
    {
      signatureAlgorithm: signer.publicKey.algorithm.signatureAlgorithm,
      issuer: issuer.subject,
      thisUpdate: later(plus(now, -BACKDATE_MS), issuer.notBefore),
      nextUpdate:
        nextUpdate === 'with its authority' ? issuer.notAfter : earlier(wholeSecond(nextUpdate), issuer.notAfter),
      entries,
      authorityKeyId: issuer.subjectKeyId ?? keyIdOf(issuer.publicKey),
      number,
    },
    parent,
  )
  return signVerified(tbs, signer, CRL)
}

/** What is about to be signed, read again and compared with what was asked for. */
function checkedTbsCrl(fields: TbsCrlFields, { certificate }: Parent): TbsCrl {
  const tbs = readTbsCrl(writeTbsCrl(fields))
  const faults = lintCrl(tbs, certificate.tbs)
  if (tbs.number !== fields.number) faults.push('it has another number than it was given')
  if (!sameEntries(tbs.entries, fields.entries)) faults.push('it revokes other certificates than it was given')
  if (faults.length > 0)
    throw new CaError('internal', 'the CRL that was built breaks a rule, so it was not signed', {
      cause: new Error(faults.join('; ')),
    })
  return tbs
}

function sameEntries(found: readonly CrlEntry[], wanted: readonly CrlEntry[]): boolean {
  return (
    found.length === wanted.length &&
    wanted.every(({ serial, revokedAt, reason }, index) => {
      const entry = found[index]
      return entry?.serial === serial && entry.revokedAt.getTime() === revokedAt.getTime() && entry.reason === reason
    })
  )
}
