import { createPublicKey } from 'node:crypto'
import { colonHex, equalBytes } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { signatureScheme } from '../../keys/algorithms.ts'
import { isSignedBy, type PublicKey, readPublicKey, verifySignature } from '../../keys/public-key.ts'
import { SpiffeId } from '../../spiffe/spiffe-id.ts'
import {
  type Certificate,
  type GeneralName,
  isSelfIssued,
  isValidAt,
  readCertificate,
  type Tbs,
  urisOf,
} from '../../x509/certificate.ts'
import { readCsrDer } from '../../x509/csr.ts'
import { readLineage } from '../../x509/lineage.ts'
import { lint } from '../../x509/lint.ts'
import { OID } from '../../x509/oids.ts'
import type { ProfileName } from '../../x509/profiles.ts'
import { readAgain, readCsrAgain } from '../../x509/second-reader.ts'
import { endInWords, momentInWords } from '../moments.ts'
import type { Finding } from './finding.ts'

/** @throws CaError `invalid_argument`: not a certificate */
export function inspectCertificate(der: Uint8Array, now: Date): Finding {
  const certificate = readCertificate(der)
  const { tbs } = certificate
  const { subject, issuer } = readAgain(der)
  const [uri] = urisOf(tbs)
  const { text: key, problems } = inspectKey(tbs.publicKey)
  const constraints = tbs.basicConstraints
  const role = !constraints?.ca
    ? 'leaf'
    : `CA${isSelfIssued(tbs) ? ', self-signed' : ''}${constraints.pathLength === undefined ? '' : `, at most ${constraints.pathLength} CAs below it`}`
  const facts: [string, string][] = [
    ['role', role],
    ['subject', subject || '(empty)'],
    ['issuer', issuer],
    ['serial', colonHex(tbs.serial)],
    ['key', key],
    ['signed with', signatureScheme(certificate.signatureAlgorithm)?.label ?? 'an algorithm that is not accepted here'],
    [
      'valid',
      `from ${momentInWords(tbs.notBefore, now)} until ${momentInWords(tbs.notAfter, now)} (${endInWords(tbs.notAfter, now)})`,
    ],
  ]
  const others = tbs.alternativeNames.filter((name) => name.value !== uri).map(nameText)
  if (others.length > 0) facts.push(['names', others.join(', ')])
  problems.push(...timeProblems(tbs, now), ...ruleProblems(tbs, uri))
  const lineage = tbs.extensions.get(OID.lineage)
  if (lineage) facts.push(...lineageFacts(lineage.value, now, problems))
  return { kind: 'certificate', title: uri ?? subject, facts, problems }
}

/** @throws CaError `bad_csr`: not a CSR */
export function inspectCsr(der: Uint8Array): Finding {
  const csr = readCsrDer(der)
  const { text: key, key: publicKey, problems } = inspectKey(csr.publicKey)
  const scheme = signatureScheme(csr.signatureAlgorithm)
  if (!scheme) problems.push('it is signed with an algorithm that is not accepted here')
  else if (publicKey && !verifySignature(publicKey, csr.signatureAlgorithm, csr.signed, csr.signature))
    problems.push('its own signature does not verify')
  const { subject, names, ca } = readCsrAgain(der)
  const asks = [subject && `the subject ${subject}`, ...names.map(asOpenSsl), ca && 'to be a CA'].filter(Boolean)
  return {
    kind: 'certificate request',
    title: 'certificate signing request',
    facts: [
      ['key', key],
      ['signed with', scheme?.label ?? 'an algorithm that is not accepted here'],
      [
        'asks for',
        asks.length > 0 ? `${asks.join(', ')} (Alcazar uses the key alone)` : 'nothing but a certificate for its key',
      ],
    ],
    problems,
  }
}

/** What several certificates of one file are to each other. */
export function inspectChain(ders: readonly Uint8Array[]): Finding {
  const chain = ders.map(readCertificate)
  const problems: string[] = []
  chain.slice(0, -1).forEach((certificate, index) => {
    const next = chain[index + 1] as Certificate
    if (bothRoots(certificate, next)) return
    if (!equalBytes(certificate.tbs.issuer, next.tbs.subject))
      problems.push(`number ${index + 1} was not issued by number ${index + 2}, which follows it`)
    else if (!signedBy(certificate, next))
      problems.push(`number ${index + 1} names number ${index + 2} as its issuer but was not signed by its key`)
  })
  const roots = chain.filter(({ tbs }) => isSelfIssued(tbs)).length
  const says =
    roots === chain.length
      ? `${roots} roots, each by itself`
      : problems.length > 0
        ? 'the certificates do not follow from each other'
        : `each was issued by the next${roots === 0 ? '; the root is not in this file' : ''}`
  return { kind: 'chain', title: `chain of ${chain.length}`, facts: [['order', says]], problems }
}

const bothRoots = (a: Certificate, b: Certificate): boolean => isSelfIssued(a.tbs) && isSelfIssued(b.tbs)

function signedBy(certificate: Certificate, issuer: Certificate): boolean {
  try {
    return isSignedBy(certificate, readPublicKey(issuer.tbs.publicKey))
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}

/** The key in words, and why it would not be certified. */
export function inspectKey(spki: Uint8Array): {
  readonly text: string
  readonly key: PublicKey | undefined
  readonly problems: string[]
} {
  try {
    const key = readPublicKey(spki)
    const { modulusLength } = key.handle.asymmetricKeyDetails ?? {}
    return { text: modulusLength === undefined ? key.algorithm.label : `RSA ${modulusLength}`, key, problems: [] }
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    return { text: kindOf(spki), key: undefined, problems: [error.message] }
  }
}

/** A key that is not accepted, as far as anybody knows it. */
function kindOf(spki: Uint8Array): string {
  try {
    const { asymmetricKeyType: type = '', asymmetricKeyDetails: details } = createPublicKey({
      key: Buffer.from(spki),
      format: 'der',
      type: 'spki',
    })
    return [type.toUpperCase(), details?.modulusLength ?? details?.namedCurve].filter(Boolean).join(' ')
  } catch {
    return 'not readable'
  }
}

function timeProblems(tbs: Tbs, now: Date): string[] {
  if (isValidAt(tbs, now)) return []
  return [
    now < tbs.notBefore
      ? `it is not valid yet: it begins ${relativeInWords(tbs.notBefore, now)}`
      : `it ${endInWords(tbs.notAfter, now)}`,
  ]
}

/** Rules of the profile it seems to be of. Certificates of other makers may differ from ours without being wrong, so only SPIFFE's own are held against them. */
function ruleProblems(tbs: Tbs, uri: string | undefined): string[] {
  if (uri === undefined || !uri.startsWith('spiffe://')) return []
  const profile: ProfileName = tbs.basicConstraints?.ca ? 'issuing' : 'svid'
  const problems = lint(tbs, profile).filter((rule) => rule.includes('X509-SVID'))
  if (profile === 'svid')
    try {
      SpiffeId.parse(uri)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      problems.push(error.message)
    }
  return problems
}

function lineageFacts(value: Uint8Array, now: Date, problems: string[]): [string, string][] {
  try {
    const { podName, renewableUntil } = readLineage(value)
    return [
      ['pod', podName],
      [
        'renewable',
        `by itself until ${momentInWords(renewableUntil, now)} (${relativeInWords(renewableUntil, now)}); then a token is needed`,
      ],
    ]
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    problems.push(error.message)
    return []
  }
}

/** The second reader has words of its own for kinds of names. */
const asOpenSsl = (name: string): string =>
  name.replace(/^[a-z]+(?=:)/, (kind) => (kind === 'url' ? 'URI' : kind.toUpperCase()))

function nameText(name: GeneralName): string {
  switch (name.kind) {
    case 'ip':
      return `IP:${ipText(name.value)}`
    case 'other':
      return 'a name of another kind'
    default:
      return `${name.kind.toUpperCase()}:${name.value}`
  }
}

function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return new URL(
    `http://[${[0, 2, 4, 6, 8, 10, 12, 14].map((at) => (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16)).join(':')}]`,
  ).hostname.slice(1, -1)
}
