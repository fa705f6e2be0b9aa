import 'reflect-metadata'
import { createHash } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
} from '@peculiar/x509'
import { describe, expect, test } from 'vitest'
import { DAY, YEAR } from '../../src/core/duration.ts'
import { childrenOf, contentOf, type Tree, treeOf } from '../_support/der-tree.ts'
import { type IssuedKind, issuedCertificates } from '../_support/issued-certificates.ts'
import { openssl, testWithOpenssl } from '../_support/openssl-command.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'

/**
 * The lists of RFC 5280 and of X509-SVID, held against what is issued by readers that are not ours: @peculiar/x509, OpenSSL and a few lines of
 * test/_support. src/x509/lint.ts has no part in it.
 */
const { ders, oldRoot, keys } = await issuedCertificates()
const KINDS = Object.keys(ders) as IssuedKind[]
const SIGNERS: readonly IssuedKind[] = ['root', 'cross', 'issuing']
const LEAVES = KINDS.filter((kind) => !SIGNERS.includes(kind))
const SVIDS = LEAVES.filter((kind) => kind !== 'serving')

const seen = (kind: IssuedKind) => new X509Certificate(Buffer.from(ders[kind]))
/** The one who signed it. */
function issuerOf(kind: IssuedKind): X509Certificate {
  if (kind === 'cross') return new X509Certificate(Buffer.from(oldRoot))
  return seen(kind === 'issuing' || kind === 'root' ? 'root' : 'issuing')
}
const texts = new Map<IssuedKind, string>()
const text = (kind: IssuedKind) => {
  const known = texts.get(kind) ?? openssl(['x509', '-inform', 'DER', '-noout', '-text'], ders[kind])
  texts.set(kind, known)
  return known
}

describe.each(KINDS)('%s:', (kind) => {
  const certificate = seen(kind)
  const fields = childrenOf(childrenOf(treeOf(ders[kind]))[0])

  test('version 3 (RFC 5280 §4.1.2.1)', () => {
    expect(childrenOf(fields[0])).toEqual([{ tag: 0x02, content: Uint8Array.of(2) }])
  })

  test('a serial number that is positive, unpredictable and has at most 20 octets (§4.1.2.2)', () => {
    const serial = contentOf(fields[1])
    expect(serial.length).toBeGreaterThanOrEqual(8)
    expect(serial.length).toBeLessThanOrEqual(20)
    expect(serial[0]).toBeLessThan(0x80)
    expect(serial.some((octet) => octet !== 0)).toBe(true)
  })

  test('the same signature algorithm inside and outside (§4.1.1.2)', () => {
    expect(childrenOf(treeOf(ders[kind]))[1]).toEqual(fields[2])
  })

  test('an issuer (§4.1.2.4)', () => {
    expect(certificate.issuer).toMatch(/^O=cluster\.local, CN=(root|issuing) [0-9a-f]{4} [0-9a-f]{4}$/)
  })

  test('a signature by the issuer’s key', async () => {
    const issuer = issuerOf(kind)
    expect(await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true })).toBe(true)
    expect(certificate.issuer).toBe(issuer.subject)
  })

  test('times within those of its issuer, two minutes back', () => {
    const issuer = issuerOf(kind)
    expect(certificate.notBefore).toEqual(new Date('2029-12-31T23:58:00Z'))
    expect(certificate.notAfter.getTime()).toBeLessThanOrEqual(issuer.notAfter.getTime())
    expect(certificate.notBefore.getTime()).toBeGreaterThanOrEqual(issuer.notBefore.getTime())
  })

  test('the authority key identifier that is its issuer’s subject key identifier, not critical (§4.2.1.1)', () => {
    const issuer = issuerOf(kind)
    const identifier = certificate.getExtension(AuthorityKeyIdentifierExtension)
    expect(identifier?.keyId).toBe(issuer.getExtension(SubjectKeyIdentifierExtension)?.keyId)
    expect(identifier?.critical).toBe(false)
  })

  test('key usage, critical (X509-SVID §4.3)', () => {
    expect(certificate.getExtension(KeyUsagesExtension)?.critical).toBe(true)
  })

  test('basic constraints, critical (§4.2.1.9)', () => {
    expect(certificate.getExtension(BasicConstraintsExtension)?.critical).toBe(true)
  })

  test('no extension twice, none unknown', () => {
    const ids = certificate.extensions.map((extension) => extension.type)
    expect(new Set(ids).size).toBe(ids.length)
    const known = ['14', '15', '17', '19', '35', '37'].map((arc) => `2.5.29.${arc}`)
    expect(ids.filter((id) => !known.includes(id))).toEqual(
      kind === 'svid with a lineage' ? ['1.3.6.1.4.1.32473.1.1'] : [],
    )
  })

  test('no object identifier with an arc of 2^28 or more, which Go refuses', () => {
    const arcs = oidsIn(treeOf(ders[kind])).flatMap((oid) => arcsOf(oid))
    expect(arcs.length).toBeGreaterThan(20)
    expect(Math.max(...arcs)).toBeLessThan(2 ** 28)
  })

  test('no default that DER leaves out (X.690 §11.5)', () => {
    const falses = leavesOf(treeOf(ders[kind])).filter((leaf) => leaf.tag === 0x01 && leaf.content[0] === 0)
    expect(falses).toEqual([])
  })
})

describe.each(SIGNERS)('%s:', (kind) => {
  const certificate = seen(kind)

  test('a subject of its own, named for its key (§4.1.2.6)', () => {
    const id = createHash('sha256').update(keyBits(kind)).digest('hex')
    const role = kind === 'issuing' ? 'issuing' : 'root'
    expect(certificate.subject).toBe(`O=cluster.local, CN=${role} ${id.slice(0, 4)} ${id.slice(4, 8)}`)
  })

  test('the CA bit (X509-SVID §4.1)', () => {
    expect(certificate.getExtension(BasicConstraintsExtension)?.ca).toBe(true)
  })

  test('key usage keyCertSign and cRLSign, no more (X509-SVID §4.3)', () => {
    expect(certificate.getExtension(KeyUsagesExtension)?.usages).toBe(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)
  })

  test('the subject key identifier of RFC 7093 method 1, not critical (§4.2.1.2)', () => {
    const identifier = certificate.getExtension(SubjectKeyIdentifierExtension)
    expect(identifier?.keyId).toBe(createHash('sha256').update(keyBits(kind)).digest('hex').slice(0, 40))
    expect(identifier?.critical).toBe(false)
  })

  test('one URI, the SPIFFE ID of the trust domain, without a path (X509-SVID §3.2)', () => {
    const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items
    expect(names?.map(({ type, value }) => [type, value])).toEqual([['url', 'spiffe://cluster.local']])
  })

  test('no extended key usage', () => {
    expect(certificate.getExtension(ExtendedKeyUsageExtension)).toBeNull()
  })
})

describe('pathLen', () => {
  test('is absent in a root', () => {
    expect(seen('root').getExtension(BasicConstraintsExtension)?.pathLength).toBeUndefined()
  })

  test('is 1 in a cross-certificate', () => {
    expect(seen('cross').getExtension(BasicConstraintsExtension)?.pathLength).toBe(1)
  })

  test('is 0 in an issuing authority', () => {
    expect(seen('issuing').getExtension(BasicConstraintsExtension)?.pathLength).toBe(0)
  })
})

test('a root is issued by itself', () => {
  expect(seen('root').issuer).toBe(seen('root').subject)
})

test('a cross-certificate has the name, key and key identifier of its root, and another issuer', () => {
  const [cross, root] = [seen('cross'), seen('root')]
  expect(cross.subject).toBe(root.subject)
  expect(cross.publicKey.equal(root.publicKey)).toBe(true)
  expect(cross.getExtension(SubjectKeyIdentifierExtension)?.keyId).toBe(
    root.getExtension(SubjectKeyIdentifierExtension)?.keyId,
  )
  expect(cross.issuer).not.toBe(root.issuer)
  expect(cross.serialNumber).not.toBe(root.serialNumber)
})

describe.each(LEAVES)('%s:', (kind) => {
  const certificate = seen(kind)

  test('an empty subject', () => {
    expect(certificate.subject).toBe('')
  })

  test('critical names, since the subject is empty (§4.2.1.6)', () => {
    expect(certificate.getExtension(SubjectAlternativeNameExtension)?.critical).toBe(true)
  })

  test('no CA bit and no pathLen (X509-SVID §4.1)', () => {
    const constraints = certificate.getExtension(BasicConstraintsExtension)
    expect([constraints?.ca, constraints?.pathLength]).toEqual([false, undefined])
  })

  test('digitalSignature, keyEncipherment for RSA keys alone, no more (X509-SVID §4.3, RFC 8813 §3)', () => {
    expect(certificate.getExtension(KeyUsagesExtension)?.usages).toBe(
      kind === 'svid for an RSA key'
        ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment
        : KeyUsageFlags.digitalSignature,
    )
  })

  test('extended key usage for servers and clients, both, not critical (X509-SVID §4.4)', () => {
    const purposes = certificate.getExtension(ExtendedKeyUsageExtension)
    expect(purposes?.usages).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(purposes?.critical).toBe(false)
  })
})

describe.each(SVIDS)('%s:', (kind) => {
  test('exactly one name, the URI of the workload (X509-SVID §2)', () => {
    const names = seen(kind).getExtension(SubjectAlternativeNameExtension)?.names.items
    expect(names?.map(({ type, value }) => [type, value])).toEqual([['url', 'spiffe://cluster.local/ns/shop/sa/cart']])
  })
})

test('a serving certificate has the names it was made for and no identity', () => {
  const names = seen('serving').getExtension(SubjectAlternativeNameExtension)?.names.items
  expect(names?.map(({ type, value }) => [type, value])).toEqual([
    ['dns', 'alcazar.example'],
    ['ip', '192.0.2.1'],
    ['ip', '2001:db8::1'],
  ])
})

test('a lineage is not critical, so that others may pass it over', () => {
  expect(seen('svid with a lineage').getExtension('1.3.6.1.4.1.32473.1.1')?.critical).toBe(false)
})

describe('OpenSSL sees', () => {
  testWithOpenssl.each(KINDS)('version 3 and the algorithm of the issuer’s key in %s', (kind) => {
    expect(text(kind)).toContain('Version: 3 (0x2)')
    expect(text(kind)).toMatch(/Signature Algorithm: ecdsa-with-SHA256/)
  })

  testWithOpenssl.each([
    ['root', 'X509v3 Basic Constraints: critical\n                CA:TRUE\n'],
    ['cross', 'X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:1\n'],
    ['issuing', 'X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n'],
    ['svid', 'X509v3 Basic Constraints: critical\n                CA:FALSE\n'],
    ['serving', 'X509v3 Basic Constraints: critical\n                CA:FALSE\n'],
    ['root', 'X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n'],
    ['cross', 'X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n'],
    ['issuing', 'X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n'],
    ['svid', 'X509v3 Key Usage: critical\n                Digital Signature\n'],
    ['svid for an RSA key', 'X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n'],
    [
      'svid',
      'X509v3 Extended Key Usage: \n                TLS Web Server Authentication, TLS Web Client Authentication\n',
    ],
    ['svid', 'X509v3 Subject Alternative Name: critical\n                URI:spiffe://cluster.local/ns/shop/sa/cart\n'],
    ['root', 'X509v3 Subject Alternative Name: \n                URI:spiffe://cluster.local\n'],
    [
      'serving',
      'X509v3 Subject Alternative Name: critical\n                DNS:alcazar.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1\n',
    ],
    ['svid', 'Subject: \n'],
  ] as const)('in %s %j', (kind, expected) => {
    expect(text(kind)).toContain(expected)
  })

  testWithOpenssl('a path from every leaf to the root', () => {
    const leaves = LEAVES.map((kind) => ders[kind])
    const now = new Date('2030-01-01T00:00:00Z')
    expect(opensslVerify(leaves, [ders.issuing], [ders.root], now)).toEqual(LEAVES.map(() => 'OK'))
  })

  testWithOpenssl('a path from every leaf through the cross-certificate to the old root', () => {
    const leaves = LEAVES.map((kind) => ders[kind])
    const now = new Date('2030-01-01T00:00:00Z')
    expect(opensslVerify(leaves, [ders.issuing, ders.cross], [oldRoot], now)).toEqual(LEAVES.map(() => 'OK'))
  })
})

describe('signed by a key of another kind,', () => {
  testWithOpenssl.each([
    ['ecdsa-p384', 'ecdsa-with-SHA384'],
    ['ecdsa-p521', 'ecdsa-with-SHA512'],
    ['rsa-2048', 'sha256WithRSAEncryption'],
    ['ed25519', 'ED25519'],
  ])('%s, everything says %s and OpenSSL finds its path', async (algorithm, name) => {
    const made = await issuedCertificates({ algorithms: { root: algorithm, issuing: algorithm } })
    for (const der of Object.values(made.ders))
      expect(openssl(['x509', '-inform', 'DER', '-noout', '-text'], der)).toContain(`Signature Algorithm: ${name}\n`)
    const now = new Date('2030-01-01T00:00:00Z')
    expect(opensslVerify([made.ders.svid], [made.ders.issuing], [made.ders.root], now)).toEqual(['OK'])
    const { issuing, cross } = made.ders
    expect(opensslVerify([made.ders.svid], [issuing, cross], [made.oldRoot], now)).toEqual(['OK'])
  })
})

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
describe('the year 2050', () => {
  const timesOf = async (now: string, rootLifetimeMs: number) => {
    const { ders: made } = await issuedCertificates({ now, rootLifetimeMs })
    return childrenOf(childrenOf(childrenOf(treeOf(made.root))[0])[4]).map((time) => [
      time.tag,
      Buffer.from(contentOf(time)).toString('latin1'),
    ])
  }

  test('is not reached by a second: UTCTime', async () => {
    expect(await timesOf('2048-12-31T23:59:59Z', YEAR)).toEqual([
      [0x17, '481231235759Z'],
      [0x17, '491231235959Z'],
    ])
  })

  test('is reached: GeneralizedTime', async () => {
    expect(await timesOf('2049-01-01T00:00:00Z', YEAR)).toEqual([
      [0x17, '481231235800Z'],
      [0x18, '20500101000000Z'],
    ])
  })

  test('is behind: both GeneralizedTime', async () => {
    expect(await timesOf('2050-01-01T00:02:00Z', 31 * DAY)).toEqual([
      [0x18, '20500101000000Z'],
      [0x18, '20500201000200Z'],
    ])
  })
})

type Leaf = Extract<Tree, { content: Uint8Array }>

/** All primitives, also those within the OCTET STRINGs of extensions. */
function leavesOf(tree: Tree): Leaf[] {
  if ('children' in tree) return tree.children.flatMap(leavesOf)
  if (tree.tag === 0x04)
    try {
      return leavesOf(treeOf(tree.content))
    } catch {
      return [tree]
    }
  return [tree]
}

const oidsIn = (tree: Tree): Uint8Array[] =>
  leavesOf(tree)
    .filter((leaf) => leaf.tag === 0x06)
    .map((leaf) => leaf.content)

function arcsOf(oid: Uint8Array): number[] {
  const arcs = [0]
  for (const octet of oid) {
    arcs[arcs.length - 1] = (arcs.at(-1) as number) * 128 + (octet & 0x7f)
    if (!(octet & 0x80)) arcs.push(0)
  }
  return arcs
}

/** The public key's bits, without what frames them: the end of the SPKI of a P-256 key. */
function keyBits(kind: IssuedKind): Uint8Array {
  return Buffer.from((kind === 'issuing' ? keys.issuing : keys.root).spki).subarray(-65)
}
