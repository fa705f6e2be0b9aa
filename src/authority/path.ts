import { equalBytes } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { isSignedBy } from '../keys/public-key.ts'
import { type Certificate, constrainedNames, isSelfIssued, isValidAt } from '../x509/certificate.ts'
import { KEY_USAGE, OID } from '../x509/oids.ts'
import { publicKeyOf } from './authority.ts'

/** What RFC 5280 §4.2 lets us see as critical: anything else would be a limit that we ignore. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.subjectAltName,
  OID.extendedKeyUsage,
])

/**
 * That `chain`, the subject first, leads to one of `roots` at `now` (RFC 5280 §6.1, without policies, which our certificates don't have, and without
 * judging names: CAs with constraints that could be for ours are refused). Gives the root it ends at.
 * @throws CaError `invalid_argument`: the first thing that is wrong
 */
export function verifyPath(chain: readonly Certificate[], roots: readonly Certificate[], now: Date): Certificate {
  const [subject] = chain
  if (!subject) throw new CaError('invalid_argument', 'an empty chain')
  for (const [index, certificate] of chain.entries()) {
    checkTimes(certificate, now, `certificate ${index + 1} of the chain`)
    checkUnderstood(certificate, `certificate ${index + 1} of the chain`)
    const issuer = chain[index + 1]
    if (issuer) {
      checkIssued(certificate, issuer, `certificate ${index + 1} of the chain`)
      checkSigner(issuer, signersAmong(chain.slice(0, index + 1)), `certificate ${index + 2} of the chain`)
    }
  }
  const last = chain.at(-1) as Certificate
  const itself = roots.find((root) => equalBytes(root.der, last.der))
  if (itself) return itself
  const reasons: string[] = []
  for (const root of roots) {
    try {
      checkIssued(last, root, 'the end of the chain')
      checkTimes(root, now, 'the root')
      checkSigner(root, signersAmong(chain), 'the root')
      return root
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      reasons.push(error.message)
    }
  }
  throw new CaError(
    'invalid_argument',
    `the chain leads to none of the ${roots.length} roots: ${reasons[0] ?? 'there are none'}`,
  )
}

/** `verifyPath` as a question. */
export function leadsTo(chain: readonly Certificate[], roots: readonly Certificate[], now: Date): boolean {
  try {
    verifyPath(chain, roots, now)
    return true
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}

/** How many of these count against a pathLen above them: CA certificates, but for self-issued ones (RFC 5280 §4.2.1.9). */
function signersAmong(certificates: readonly Certificate[]): number {
  return certificates.filter(({ tbs }) => tbs.basicConstraints?.ca === true && !isSelfIssued(tbs)).length
}

/** `certificate` names `issuer` and was signed by its key. @throws CaError `invalid_argument` */
export function checkIssued(certificate: Certificate, issuer: Certificate, what: string): void {
  if (!equalBytes(certificate.tbs.issuer, issuer.tbs.subject))
    throw new CaError('invalid_argument', `${what} was issued by another name`)
  const wanted = certificate.tbs.authorityKeyId
  const found = issuer.tbs.subjectKeyId
  if (wanted && found && !equalBytes(wanted, found))
    throw new CaError('invalid_argument', `${what} was issued by another key of the same name`)
  if (!isSignedBy(certificate, publicKeyOf(issuer)))
    throw new CaError('invalid_argument', `${what} was not signed by the key it should be`)
}

/** May sign certificates that have `below` CA certificates between them and the leaf. @throws CaError `invalid_argument` */
export function checkSigner(certificate: Certificate, below: number, what: string): void {
  const constraints = certificate.tbs.basicConstraints
  if (!constraints?.ca) throw new CaError('invalid_argument', `${what} is not a CA`)
  if (certificate.tbs.keyUsage?.has(KEY_USAGE.keyCertSign) !== true)
    throw new CaError('invalid_argument', `${what} may not sign certificates (key usage keyCertSign)`)
  if (constraints.pathLength !== undefined && below > constraints.pathLength)
    throw new CaError(
      'invalid_argument',
      `${what} allows ${constraints.pathLength} CAs below it, and there are ${below}`,
    )
  checkUnderstood(certificate, what)
  checkPurposes(certificate, what)
}

/**
 * That what TLS clients and servers hold a CA to, critical or not, leaves room for SVIDs: Go, Windows and Envoy take the extended key usages of a CA for what may stand below
 * it, and every verifier applies name constraints. Those for DNS names, addresses and mail, as company CAs have them, say nothing of a URI.
 */
function checkPurposes({ tbs }: Certificate, what: string): void {
  const uses = tbs.extendedKeyUsage
  const isForTls = uses?.includes(OID.serverAuth) && uses.includes(OID.clientAuth)
  if (uses && !isForTls && !uses.includes(OID.anyExtendedKeyUsage))
    throw new CaError(
      'invalid_argument',
      `${what} is for other uses than TLS (extended key usage ${uses.join(', ')}); it names both serverAuth and clientAuth, or none`,
    )
  if (constrainedNames(tbs).some((kind) => kind === 'uri' || kind === 'other'))
    throw new CaError(
      'invalid_argument',
      `${what} has name constraints for URIs or for names of a kind that is not judged here; they may be for DNS names, IP addresses and mail addresses alone`,
    )
}

/** RFC 5280 §4.2: a certificate with a critical extension that we don't know is refused, also where it signs nothing. */
function checkUnderstood(certificate: Certificate, what: string): void {
  for (const [id, { critical }] of certificate.tbs.extensions)
    if (critical && !UNDERSTOOD.has(id))
      throw new CaError('invalid_argument', `${what} has the critical extension ${id}, which is not understood here`)
}

function checkTimes(certificate: Certificate, now: Date, what: string): void {
  const { notBefore, notAfter } = certificate.tbs
  if (isValidAt(certificate.tbs, now)) return
  throw new CaError(
    'invalid_argument',
    now < notBefore
      ? `${what} is not valid before ${notBefore.toISOString()}`
      : `${what} ended at ${notAfter.toISOString()}`,
  )
}
