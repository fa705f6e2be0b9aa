import { isIPv4, isIPv6 } from 'node:net'
import { MINUTE } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { boolean, contextTag, namedBits, octetString, oid, sequence, TAG, tlv } from './der.ts'
import { type Lineage, writeLineage } from './lineage.ts'
import { KEY_USAGE, OID } from './oids.ts'

/** The five shapes of certificate that Alcazar issues. Each has its golden file in test/golden and its rules in lint.ts. */
export type ProfileName = 'svid' | 'serving' | 'issuing' | 'root' | 'cross'

/** How far back notBefore lies, for clients whose clocks are behind ours; as istiod. */
export const BACKDATE_MS = 2 * MINUTE

/**
 * An X.509-SVID (X509-SVID §2): its one URI names the workload. keyEncipherment only for RSA keys, as RFC 8813 §3 wants; the
 * subject is always empty, so the names are critical (RFC 5280 §4.2.1.6).
 */
export function svidExtensions(svid: {
  uri: string
  authorityKeyId: Uint8Array
  rsa: boolean
  lineage: Lineage | undefined
}): Uint8Array[] {
  const extensions = [
    ...leafExtensions(svid.authorityKeyId, svid.rsa),
    critical(OID.subjectAltName, sequence(uriName(svid.uri))),
  ]
  if (svid.lineage) extensions.push(extension(OID.lineage, writeLineage(svid.lineage)))
  return extensions
}

/** Our own TLS server certificate: the names by which clients reach us, and no identity that anyone could act under. */
export function servingExtensions(serving: {
  names: readonly string[]
  authorityKeyId: Uint8Array
  rsa: boolean
}): Uint8Array[] {
  return [
    ...leafExtensions(serving.authorityKeyId, serving.rsa),
    critical(OID.subjectAltName, sequence(...serving.names.map(serverName))),
  ]
}

/** An issuing authority: a path-less SPIFFE ID (X509-SVID §3.2), nothing below it but leaves. */
export function issuingExtensions(issuing: {
  uri: string
  keyId: Uint8Array
  authorityKeyId: Uint8Array
}): Uint8Array[] {
  return [
    critical(OID.basicConstraints, sequence(boolean(true), tlv(TAG.integer, Uint8Array.of(0)))),
    ...signerExtensions(issuing),
  ]
}

/** A root: no pathLen, so that a cross-certificate may stand above its issuing authorities. */
export function rootExtensions(root: { uri: string; keyId: Uint8Array }): Uint8Array[] {
  return [
    critical(OID.basicConstraints, sequence(boolean(true))),
    ...signerExtensions({ ...root, authorityKeyId: root.keyId }),
  ]
}

/** A root's key certified by another root: below it one issuing authority, and the leaves of that one. */
export function crossExtensions(cross: { uri: string; keyId: Uint8Array; authorityKeyId: Uint8Array }): Uint8Array[] {
  return [
    critical(OID.basicConstraints, sequence(boolean(true), tlv(TAG.integer, Uint8Array.of(1)))),
    ...signerExtensions(cross),
  ]
}

/** What a CA under somebody else's root asks for: to sign issuing authorities, and nothing below those but leaves. */
export function requestedCaExtensions(ca: { uri: string; keyId: Uint8Array }): Uint8Array[] {
  return [
    critical(OID.basicConstraints, sequence(boolean(true), tlv(TAG.integer, Uint8Array.of(1)))),
    SIGNER_KEY_USAGE,
    extension(OID.subjectKeyIdentifier, octetString(ca.keyId)),
    extension(OID.subjectAltName, sequence(uriName(ca.uri))),
  ]
}

function leafExtensions(authorityKeyId: Uint8Array, rsa: boolean): Uint8Array[] {
  return [
    rsa ? DIGITAL_SIGNATURE_AND_KEY_ENCIPHERMENT : DIGITAL_SIGNATURE,
    SERVER_AND_CLIENT,
    NOT_A_CA,
    authorityKeyIdentifier(authorityKeyId),
  ]
}

function signerExtensions(signer: { uri: string; keyId: Uint8Array; authorityKeyId: Uint8Array }): Uint8Array[] {
  return [
    SIGNER_KEY_USAGE,
    extension(OID.subjectKeyIdentifier, octetString(signer.keyId)),
    authorityKeyIdentifier(signer.authorityKeyId),
    extension(OID.subjectAltName, sequence(uriName(signer.uri))),
  ]
}

/** RFC 5280 §4.2.1.1: by key identifier alone, not critical. */
export function authorityKeyIdentifier(keyId: Uint8Array): Uint8Array {
  return extension(OID.authorityKeyIdentifier, sequence(tlv(contextTag(0, 'primitive'), keyId)))
}

function uriName(uri: string): Uint8Array {
  return tlv(contextTag(6, 'primitive'), Buffer.from(uri, 'latin1'))
}

function serverName(name: string): Uint8Array {
  checkServerName(name)
  if (isIPv4(name)) return tlv(contextTag(7, 'primitive'), Uint8Array.from(name.split('.').map(Number)))
  if (isIPv6(name)) return tlv(contextTag(7, 'primitive'), ipv6Bytes(name))
  return tlv(contextTag(2, 'primitive'), Buffer.from(name, 'latin1'))
}

/** RFC 1034 §3.5, with the underscores that are in use, and a wildcard in front (RFC 6125 §6.4.3). */
const DNS_NAME = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i

/** That a name can stand in our own certificate. @throws CaError `invalid_argument` */
export function checkServerName(name: string): void {
  // A zone (fe80::1%eth0) means nothing to another machine.
  if (isIPv4(name) || (isIPv6(name) && !name.includes('%'))) return
  if (name.length > 253 || !DNS_NAME.test(name))
    throw new CaError(
      'invalid_argument',
      `not a DNS name or IP address: ${JSON.stringify(name.slice(0, 300))}; write for example alcazar.example.org, *.example.org, 10.0.0.1 or ::1`,
    )
}

function ipv6Bytes(address: string): Uint8Array {
  // The URL parser writes an address in full canonical form, with any IPv4 tail as hex.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)))
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}

/** Identifiers as DER, made once. */
const ENCODED: ReadonlyMap<string, Uint8Array> = new Map(Object.values(OID).map((id) => [id, oid(id)]))
const CRITICAL = boolean(true)

function extension(id: string, value: Uint8Array): Uint8Array {
  return sequence(ENCODED.get(id) as Uint8Array, octetString(value))
}

function critical(id: string, value: Uint8Array): Uint8Array {
  return sequence(ENCODED.get(id) as Uint8Array, CRITICAL, octetString(value))
}

const DIGITAL_SIGNATURE = critical(OID.keyUsage, namedBits(KEY_USAGE.digitalSignature))
const DIGITAL_SIGNATURE_AND_KEY_ENCIPHERMENT = critical(
  OID.keyUsage,
  namedBits(KEY_USAGE.digitalSignature, KEY_USAGE.keyEncipherment),
)
const SIGNER_KEY_USAGE = critical(OID.keyUsage, namedBits(KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign))
const SERVER_AND_CLIENT = extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth)))
const NOT_A_CA = critical(OID.basicConstraints, sequence())
