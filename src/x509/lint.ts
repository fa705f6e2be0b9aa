import { equalBytes } from '../core/bytes.ts'
import { type Tbs, urisOf } from './certificate.ts'
import { childrenOf, oid, readDer, sequence, TAG, tlv } from './der.ts'
import { EMPTY_NAME } from './name.ts'
import { KEY_USAGE, OID } from './oids.ts'
import type { ProfileName } from './profiles.ts'

type Rule = {
  /** What a certificate that breaks it is told, with the clause it breaks. */
  readonly says: string
  readonly profiles: readonly ProfileName[]
  readonly holds: (tbs: Tbs) => boolean
}

const ALL: readonly ProfileName[] = ['svid', 'serving', 'issuing', 'root', 'cross']
const LEAVES: readonly ProfileName[] = ['svid', 'serving']
const SIGNERS: readonly ProfileName[] = ['issuing', 'root', 'cross']

const KNOWN: ReadonlySet<string> = new Set(Object.values(OID))
const LATEST = new Date('9999-12-31T23:59:59Z')

/** Every rule a certificate of ours obeys, in one list. What breaks one is not signed. */
export const RULES: readonly Rule[] = [
  { says: 'version is 3 (RFC 5280 §4.1.2.1)', profiles: ALL, holds: (tbs) => tbs.version === 3 },
  {
    says: 'the serial number is positive and has 8 to 20 bytes (RFC 5280 §4.1.2.2)',
    profiles: ALL,
    holds: (tbs) =>
      tbs.serial.length >= 16 &&
      tbs.serial.length <= 40 &&
      Number.parseInt(tbs.serial.slice(0, 2), 16) < 0x80 &&
      !/^0*$/.test(tbs.serial),
  },
  {
    says: 'notBefore is not after notAfter (RFC 5280 §4.1.2.5)',
    profiles: ALL,
    holds: (tbs) => tbs.notBefore <= tbs.notAfter && tbs.notAfter < LATEST,
  },
  {
    says: 'the issuer is named (RFC 5280 §4.1.2.4)',
    profiles: ALL,
    holds: (tbs) => !equalBytes(tbs.issuer, EMPTY_NAME),
  },
  { says: 'a leaf has an empty subject', profiles: LEAVES, holds: (tbs) => equalBytes(tbs.subject, EMPTY_NAME) },
  {
    says: 'a signer has a subject (RFC 5280 §4.1.2.6)',
    profiles: SIGNERS,
    holds: (tbs) => !equalBytes(tbs.subject, EMPTY_NAME),
  },
  { says: 'a root is self-issued', profiles: ['root'], holds: (tbs) => equalBytes(tbs.subject, tbs.issuer) },
  {
    says: 'an issuing authority is not self-issued',
    profiles: ['issuing'],
    holds: (tbs) => !equalBytes(tbs.subject, tbs.issuer),
  },
  {
    says: 'a cross-certificate is not self-issued',
    profiles: ['cross'],
    holds: (tbs) => !equalBytes(tbs.subject, tbs.issuer),
  },
  {
    says: 'no extension is there that nobody here knows',
    profiles: ALL,
    holds: (tbs) => [...tbs.extensions.keys()].every((id) => KNOWN.has(id)),
  },
  {
    says: 'our lineage extension is not critical',
    profiles: ALL,
    holds: (tbs) => !tbs.extensions.get(OID.lineage)?.critical,
  },
  {
    says: 'only an SVID has a lineage',
    profiles: ['serving', 'issuing', 'root', 'cross'],
    holds: (tbs) => !tbs.extensions.has(OID.lineage),
  },
  {
    says: 'basic constraints are critical (RFC 5280 §4.2.1.9)',
    profiles: ALL,
    holds: (tbs) => tbs.extensions.get(OID.basicConstraints)?.critical === true,
  },
  {
    says: 'a leaf is not a CA (X509-SVID §4.1)',
    profiles: LEAVES,
    holds: (tbs) => tbs.basicConstraints?.ca === false && tbs.basicConstraints?.pathLength === undefined,
  },
  {
    says: 'a signer is a CA (X509-SVID §4.1)',
    profiles: SIGNERS,
    holds: (tbs) => tbs.basicConstraints?.ca === true,
  },
  {
    says: 'a root has no pathLen',
    profiles: ['root'],
    holds: (tbs) => tbs.basicConstraints?.pathLength === undefined,
  },
  {
    says: 'an issuing authority has pathLen 0',
    profiles: ['issuing'],
    holds: (tbs) => tbs.basicConstraints?.pathLength === 0,
  },
  {
    says: 'a cross-certificate has pathLen 1',
    profiles: ['cross'],
    holds: (tbs) => tbs.basicConstraints?.pathLength === 1,
  },
  {
    says: 'key usage is critical (X509-SVID §4.3)',
    profiles: ALL,
    holds: (tbs) => tbs.extensions.get(OID.keyUsage)?.critical === true,
  },
  {
    says: 'a leaf’s key signs and may encipher keys; nothing else (X509-SVID §4.3)',
    profiles: LEAVES,
    holds: (tbs) => {
      const usage = tbs.keyUsage
      return (
        usage?.has(KEY_USAGE.digitalSignature) === true && usage.size === (usage.has(KEY_USAGE.keyEncipherment) ? 2 : 1)
      )
    },
  },
  {
    says: 'a key that is not RSA enciphers no keys (RFC 8813 §3)',
    profiles: LEAVES,
    holds: (tbs) => !tbs.keyUsage?.has(KEY_USAGE.keyEncipherment) || isRsa(tbs.publicKey),
  },
  {
    says: 'a signer’s key signs certificates and CRLs, nothing else (X509-SVID §4.3)',
    profiles: SIGNERS,
    holds: (tbs) => {
      const usage = tbs.keyUsage
      return usage?.size === 2 && usage.has(KEY_USAGE.keyCertSign) && usage.has(KEY_USAGE.cRLSign)
    },
  },
  {
    says: 'a leaf is for servers and clients, both (X509-SVID §4.4)',
    profiles: LEAVES,
    holds: (tbs) => tbs.extendedKeyUsage?.join() === `${OID.serverAuth},${OID.clientAuth}`,
  },
  {
    says: 'a signer has no extended key usage',
    profiles: SIGNERS,
    holds: (tbs) => !tbs.extensions.has(OID.extendedKeyUsage),
  },
  {
    says: 'the issuer’s key is identified (RFC 5280 §4.2.1.1)',
    profiles: ALL,
    holds: (tbs) => (tbs.authorityKeyId?.length ?? 0) > 0,
  },
  {
    says: 'the authority key identifier is not critical (RFC 5280 §4.2.1.1)',
    profiles: ALL,
    holds: (tbs) => !tbs.extensions.get(OID.authorityKeyIdentifier)?.critical,
  },
  {
    says: 'a signer’s key is identified, not critically (RFC 5280 §4.2.1.2)',
    profiles: SIGNERS,
    holds: (tbs) => (tbs.subjectKeyId?.length ?? 0) > 0 && !tbs.extensions.get(OID.subjectKeyIdentifier)?.critical,
  },
  {
    says: 'names are critical where the subject is empty (RFC 5280 §4.2.1.6, X509-SVID §2)',
    profiles: LEAVES,
    holds: (tbs) => tbs.extensions.get(OID.subjectAltName)?.critical === true,
  },
  {
    says: 'an SVID has one name, a URI (X509-SVID §2)',
    profiles: ['svid'],
    holds: (tbs) => tbs.alternativeNames.length === 1 && urisOf(tbs).length === 1,
  },
  {
    says: 'a serving certificate has names and no URI',
    profiles: ['serving'],
    holds: (tbs) => tbs.alternativeNames.length > 0 && urisOf(tbs).length === 0,
  },
  {
    says: 'an SVID’s URI is a SPIFFE ID with a path (X509-SVID §2)',
    profiles: ['svid'],
    holds: (tbs) => /^spiffe:\/\/[a-z0-9._-]+\/[a-zA-Z0-9._/-]+$/.test(urisOf(tbs)[0] ?? ''),
  },
  {
    says: 'a signer has one URI, the SPIFFE ID of its trust domain without a path (X509-SVID §3.2)',
    profiles: SIGNERS,
    holds: (tbs) => tbs.alternativeNames.length === 1 && /^spiffe:\/\/[a-z0-9._-]{1,255}$/.test(urisOf(tbs)[0] ?? ''),
  },
]

/** rsaEncryption, parameters NULL (RFC 3279 §2.3.1). */
const RSA = sequence(oid('1.2.840.113549.1.1.1'), tlv(TAG.null))

function isRsa(publicKey: Uint8Array): boolean {
  const [algorithm] = childrenOf(readDer(publicKey, TAG.sequence))
  return algorithm !== undefined && equalBytes(algorithm.bytes, RSA)
}

const rulesOf = (profile: ProfileName) => RULES.filter(({ profiles }) => profiles.includes(profile))
const BY_PROFILE = {
  svid: rulesOf('svid'),
  serving: rulesOf('serving'),
  issuing: rulesOf('issuing'),
  root: rulesOf('root'),
  cross: rulesOf('cross'),
}

/** What is wrong with a certificate as one of that profile; empty if nothing. */
export function lint(tbs: Tbs, profile: ProfileName): string[] {
  const broken: string[] = []
  for (const rule of BY_PROFILE[profile]) if (!rule.holds(tbs)) broken.push(rule.says)
  return broken
}
