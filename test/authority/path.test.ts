import { beforeAll, describe, expect, test } from 'vitest'
import { checkIssued, leadsTo, verifyPath } from '../../src/authority/path.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { isSignedBy } from '../../src/keys/public-key.ts'
import { type Certificate, readCertificate, writeCertificate } from '../../src/x509/certificate.ts'
import { contextTag, octetString, sequence, tlv } from '../../src/x509/der.ts'
import { KEY_USAGE, OID } from '../../src/x509/oids.ts'
import { NOW } from '../_support/authority-sets.ts'
import { criticalExtension, nameConstraints, odd, softNameConstraints, softUses } from '../_support/odd-certificates.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

type Case = {
  readonly what: string
  /** The subject first. */
  readonly chain: readonly TestCa[]
  readonly roots: readonly TestCa[]
  readonly at?: Date
  /** What our check says; nothing when it finds the way. */
  readonly refused?: string
  /** Whether OpenSSL finds it, where the two differ, and why they do. */
  readonly openssl?: { readonly finds: boolean; readonly because: string }
}

const cases: Case[] = []
const LEAF = { ca: false, keyUsage: [KEY_USAGE.digitalSignature] }
/** id-kp-codeSigning */
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'
const unknown = criticalExtension('1.3.6.1.4.1.32473.99', octetString())

beforeAll(async () => {
  const root = await odd('root', 'itself')
  const other = await odd('other root', 'itself')
  const between = await odd('between', root)
  const issuing = await odd('issuing', between, { pathLength: 0 })
  const leaf = await odd('leaf', issuing, LEAF)
  const whole = [leaf, issuing, between]
  const add = (what: string, chain: readonly TestCa[], roots: readonly TestCa[], rest: Partial<Case> = {}) =>
    cases.push({ what, chain, roots, ...rest })

  add('a whole chain', whole, [root])
  add('a whole chain under one of two roots', whole, [other, root])
  add('a chain that ends with the root itself', [...whole, root], [root])
  add('a root alone', [root], [root])
  add('a leaf right under the root', [await odd('direct', root, LEAF)], [root])
  add('no roots', whole, [], { refused: 'none of the 0 roots: there are none' })
  add('another root', whole, [other], { refused: 'the end of the chain was issued by another name' })
  add('a chain whose intermediate is missing', [leaf, issuing], [root], { refused: 'was issued by another name' })
  add('a chain without its issuing authority', [leaf, between], [root], {
    refused: 'certificate 1 of the chain was issued by another name',
  })
  add('the wrong order', [leaf, between, issuing], [root], {
    refused: 'certificate 1 of the chain was issued by another name',
    openssl: { finds: true, because: 'it orders what it is given; ours is read as TLS 1.2 §7.4.2 sends it' },
  })
  add('a stranger in between', [leaf, issuing, other, between], [root], {
    refused: 'certificate 2 of the chain was issued by another name',
    openssl: { finds: true, because: 'it leaves out what it does not need' },
  })

  const notAfter = plus(NOW, DAY)
  const ending = await odd('ending', between, { pathLength: 0, notAfter })
  const underEnding = [await odd('leaf', ending, LEAF), ending, between]
  add('an issuing authority a second before its last', underEnding, [root], { at: plus(notAfter, -1) })
  add('an issuing authority in its last second', underEnding, [root], {
    at: plus(notAfter, SECOND - 1),
    openssl: { finds: false, because: 'it counts notAfter as past, which RFC 5280 §4.1.2.5 includes' },
  })
  add('an issuing authority that ended a second ago', underEnding, [root], {
    at: plus(notAfter, SECOND),
    refused: `certificate 2 of the chain ended at ${notAfter.toISOString()}`,
  })
  const notBefore = plus(NOW, DAY)
  const coming = await odd('coming', between, { pathLength: 0, notBefore })
  const underComing = [await odd('leaf', coming, LEAF), coming, between]
  add('an issuing authority in its first second', underComing, [root], { at: notBefore })
  add('an issuing authority that is not valid yet', underComing, [root], {
    at: plus(notBefore, -1),
    refused: `certificate 2 of the chain is not valid before ${notBefore.toISOString()}`,
  })
  const ended = await odd('ended leaf', issuing, { ...LEAF, notAfter: plus(NOW, -DAY) })
  add('a leaf that has ended', [ended, issuing, between], [root], { refused: 'certificate 1 of the chain ended at' })
  const oldRoot = await odd('old root', 'itself', { notAfter: plus(NOW, -DAY) })
  add('a root that has ended', [await odd('leaf', oldRoot, LEAF)], [oldRoot], { refused: 'the root ended at' })

  const narrow = await odd('narrow', root, { pathLength: 0 })
  const below = await odd('below', narrow)
  add('a CA below one that allows none', [await odd('leaf', below, LEAF), below, narrow], [root], {
    refused: 'certificate 3 of the chain allows 0 CAs below it, and there are 1',
  })
  const one = await odd('one', 'itself', { pathLength: 1 })
  const two = await odd('two', one)
  const three = await odd('three', two)
  add('one CA below a root that allows one', [await odd('leaf', two, LEAF), two], [one])
  add('two CAs below a root that allows one', [await odd('leaf', three, LEAF), three, two], [one], {
    refused: 'the root allows 1 CAs below it, and there are 2',
  })

  // RFC 5280 §4.2.1.9: self-issued certificates, as a CA makes them for its next key, don't count.
  const rolling = await odd('rolling', 'itself', { pathLength: 1 })
  const next = await odd('rolling', rolling)
  const underNext = await odd('issuing', next, { pathLength: 0 })
  const selfIssued = [await odd('leaf', underNext, LEAF), underNext, next]
  add('a self-issued CA between, which does not count', selfIssued, [rolling])
  const tight = await odd('tight', 'itself', { pathLength: 0 })
  const tightNext = await odd('tight', tight)
  const underTight = await odd('issuing', tightNext, { pathLength: 0 })
  add(
    'a CA that counts below a self-issued one',
    [await odd('leaf', underTight, LEAF), underTight, tightNext],
    [tight],
    {
      refused: 'the root allows 0 CAs below it, and there are 1',
    },
  )

  const noCa = await odd('no CA', root, { ca: false })
  add('an issuer that is not a CA', [await odd('leaf', noCa, LEAF), noCa], [root], {
    refused: 'certificate 2 of the chain is not a CA',
  })
  const noSign = await odd('no certificates', root, { keyUsage: [KEY_USAGE.digitalSignature, KEY_USAGE.cRLSign] })
  add('an issuer without keyCertSign', [await odd('leaf', noSign, LEAF), noSign], [root], {
    refused: 'certificate 2 of the chain may not sign certificates (key usage keyCertSign)',
  })
  const anyUse = await odd('any use', root, { keyUsage: 'none' })
  add('an issuer without any key usage', [await odd('leaf', anyUse, LEAF), anyUse], [root], {
    refused: 'may not sign certificates',
    openssl: { finds: true, because: 'RFC 5280 §4.2.1.3 wants CAs to have it, §6.1.4 (n) lets a verifier do without' },
  })
  const rootNoSign = await odd('root no sign', 'itself', { keyUsage: [KEY_USAGE.digitalSignature] })
  add('a root without keyCertSign', [await odd('leaf', rootNoSign, LEAF)], [rootNoSign], {
    refused: 'the root may not sign certificates',
  })
  const limited = await odd('limited', root, { extensions: [unknown] })
  add('an issuer with a critical extension that nobody knows', [await odd('leaf', limited, LEAF), limited], [root], {
    refused: 'certificate 2 of the chain has the critical extension 1.3.6.1.4.1.32473.99, which is not understood here',
  })
  const constrained = await odd('constrained', root, { extensions: [nameConstraints] })
  add(
    'an issuer with name constraints, which we do not check',
    [await odd('leaf', constrained, LEAF), constrained],
    [root],
    {
      refused: 'the critical extension 2.5.29.30',
      openssl: { finds: true, because: 'it checks them, and this leaf has no name that they forbid' },
    },
  )
  const uses = { finds: true, because: 'it looks at them only where it is told a purpose' }
  for (const [list, refused] of [
    [[OID.serverAuth, OID.clientAuth], undefined],
    [[CODE_SIGNING, OID.anyExtendedKeyUsage], undefined],
    [
      [CODE_SIGNING],
      `certificate 2 of the chain is for other uses than TLS (extended key usage ${CODE_SIGNING}); it names both serverAuth and clientAuth, or none`,
    ],
    [[OID.serverAuth], 'certificate 2 of the chain is for other uses than TLS'],
    [[OID.clientAuth], 'certificate 2 of the chain is for other uses than TLS'],
  ] as const) {
    const used = await odd('used', root, { extensions: [softUses(...list)] })
    const name = `an issuer with the extended key usages ${list.join(', ')}`
    add(name, [await odd('leaf', used, LEAF), used], [root], refused === undefined ? {} : { refused, openssl: uses })
  }
  const unusable = await odd('root for code', 'itself', { extensions: [softUses(CODE_SIGNING)] })
  add('a root for other uses', [await odd('leaf', unusable, LEAF)], [unusable], {
    refused: 'the root is for other uses than TLS',
    openssl: uses,
  })
  const text = (tag: number, value: string) => tlv(contextTag(tag, 'primitive'), Buffer.from(value, 'latin1'))
  for (const [kind, list, base, refused] of [
    ['DNS names', 'permitted', text(2, '.example'), false],
    ['addresses', 'excluded', tlv(contextTag(7, 'primitive'), Buffer.alloc(8)), false],
    ['mail addresses', 'permitted', text(1, 'example.org'), false],
    ['URIs', 'permitted', text(6, 'other.example'), true],
    ['URIs', 'excluded', text(6, 'cluster.local'), true],
    ['directory names', 'permitted', tlv(contextTag(4, 'constructed'), sequence()), true],
  ] as const) {
    const bound = await odd('bound', root, { extensions: [softNameConstraints(list, base)] })
    add(
      `an issuer with name constraints that are not critical: ${list} ${kind}`,
      [await odd('leaf', bound, LEAF), bound],
      [root],
      {
        ...(refused && {
          refused:
            'certificate 2 of the chain has name constraints for URIs or for names of a kind that is not judged here',
          openssl: { finds: true, because: 'this leaf has no name that they forbid' },
        }),
      },
    )
  }
  add(
    'a leaf that names another key of its issuer',
    [await odd('leaf', issuing, { ...LEAF, authorityKeyId: Buffer.alloc(20, 7) }), issuing, between],
    [root],
    { refused: 'certificate 1 of the chain was issued by another key of the same name' },
  )
  add(
    'a leaf that names no key',
    [await odd('leaf', issuing, { ...LEAF, authorityKeyId: 'none' }), issuing, between],
    [root],
  )
  add(
    'a leaf whose signature is broken',
    [await odd('leaf', issuing, { ...LEAF, breakSignature: true }), issuing, between],
    [root],
    { refused: 'certificate 1 of the chain was not signed by the key it should be' },
  )
  const forged = await odd('between', root, { signedBy: other.key, key: between.key })
  add('an intermediate signed by another key than it names', [leaf, issuing, forged], [root], {
    refused: 'the end of the chain was not signed by the key it should be',
  })
  const namesake = await odd('root', 'itself')
  add('a root of the same name with another key', whole, [namesake], {
    refused: 'the end of the chain was issued by another key of the same name',
  })
  add('two roots of the same name, the right one second', whole, [namesake, root])

  // The new root's key under the old root, as it stands above issuing authorities while a root is replaced.
  const cross = await odd('other root', root, { key: other.key, pathLength: 1 })
  const underOther = await odd('issuing', other, { pathLength: 0 })
  const crossed = [await odd('leaf', underOther, LEAF), underOther]
  add('a cross-signed chain with the old root', [...crossed, cross], [root])
  add('a cross-signed chain with both roots', [...crossed, cross], [root, other])
  add('a cross-signed chain with the new root, without the cross-certificate', crossed, [other])
  add('a cross-signed chain with the new root alone', [...crossed, cross], [other], {
    refused: 'none of the 1 roots',
    openssl: { finds: true, because: 'it stops at the first root; our chains go out with the roots they lead to' },
  })
  add('a root that is not self-signed', whole.slice(0, 2), [between], {
    openssl: { finds: false, because: 'without -partial_chain it trusts self-signed roots alone' },
  })
})

const ders = (all: readonly TestCa[]): Uint8Array[] => all.map(({ certificate }) => certificate.der)
const certificates = (all: readonly TestCa[]): Certificate[] => all.map(({ certificate }) => certificate)

function ours({ chain, roots, at = NOW }: Case): string {
  try {
    verifyPath(certificates(chain), certificates(roots), at)
    return 'OK'
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument') return error.message
    throw error
  }
}

test('finds the way where there is one, and says the first thing that is wrong where there is none', () => {
  const wrong = cases.filter((one) => {
    const said = ours(one)
    return one.refused === undefined ? said !== 'OK' : !said.includes(one.refused)
  })
  expect(wrong.map((one) => `${one.what}: ${ours(one)}`)).toEqual([])
})

test('agrees with OpenSSL, but where it is known why not', () => {
  const differing = cases.flatMap(({ what, chain, roots, at = NOW, refused, openssl }) => {
    const [leaf, ...above] = ders(chain)
    const [said = ''] = opensslVerify([leaf as Uint8Array], above, ders(roots), at)
    const finds = openssl ? openssl.finds : refused === undefined
    return (said === 'OK') === finds ? [] : [`${what}: OpenSSL says ${said}`]
  })
  expect(differing).toEqual([])
})

test('refuses a subject, too, that has a critical extension which nobody knows', async () => {
  // RFC 5280 §4.2: a system must reject any certificate with one, not only those of issuers.
  const root = await odd('root', 'itself')
  const subject = await odd('subject', root, { extensions: [unknown] })
  expect(opensslVerify(ders([subject]), [], ders([root]), NOW)).toEqual(['unhandled critical extension'])
  expect(() => verifyPath([subject.certificate], [root.certificate], NOW)).toThrow(
    expect.objectContaining({
      code: 'invalid_argument',
      message: expect.stringContaining('1.3.6.1.4.1.32473.99'),
    }),
  )
})

test('gives the root it ended at', async () => {
  const [a, b] = [await odd('a', 'itself'), await odd('b', 'itself')]
  const leaf = await odd('leaf', b, LEAF)
  expect(verifyPath([leaf.certificate], certificates([a, b]), NOW)).toBe(b.certificate)
})

test('refuses an empty chain', () => {
  expect(() => verifyPath([], [], NOW)).toThrow(
    expect.objectContaining({ code: 'invalid_argument', message: 'an empty chain' }),
  )
})

describe('as a question', () => {
  test('says yes and no', async () => {
    const [a, b] = [await odd('a', 'itself'), await odd('b', 'itself')]
    const leaf = await odd('leaf', b, LEAF)
    expect(leadsTo([leaf.certificate], [b.certificate], NOW)).toBe(true)
    expect(leadsTo([leaf.certificate], [a.certificate], NOW)).toBe(false)
  })

  test('is no answer for what is not a certificate’s fault', async () => {
    const { certificate } = await odd('a', 'itself')
    const broken = { ...certificate, tbs: { ...certificate.tbs, notBefore: undefined as unknown as Date } }
    expect(() => leadsTo([broken], [certificate], NOW)).toThrow(TypeError)
  })
})

describe('a signature', () => {
  test('counts only under the algorithm that is signed along with the rest', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p384'))
    const { certificate } = await odd('a', 'itself', { key })
    const other = keyAlgorithm('ecdsa-p256').signatureAlgorithm
    const der = writeCertificate(certificate.tbs.bytes, other, certificate.signature)
    expect(isSignedBy(certificate, key.publicKey)).toBe(true)
    expect(isSignedBy(readCertificate(der), key.publicKey)).toBe(false)
  })

  test('of SHA-1 counts for nothing', async () => {
    const { certificate, key } = await odd('a', 'itself')
    // ecdsa-with-SHA1
    const sha1 = Buffer.from('300906072a8648ce3d0401', 'hex')
    expect(
      isSignedBy(
        { ...certificate, signatureAlgorithm: sha1, tbs: { ...certificate.tbs, signatureAlgorithm: sha1 } },
        key.publicKey,
      ),
    ).toBe(false)
  })

  test('of an issuer whose key is not taken here is refused with the reason', async () => {
    const { certificate } = await odd('a', 'itself')
    const spki = Buffer.from('302a300506032b656e032100'.padEnd(88, '9'), 'hex') // X25519 can't sign
    const issuer = { ...certificate, tbs: { ...certificate.tbs, publicKey: spki } }
    expect(() => checkIssued(certificate, issuer, 'it')).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('x25519') }),
    )
  })

  test('needs no key identifiers to be found', async () => {
    const root = await odd('root', 'itself')
    const leaf = await odd('leaf', root, { ...LEAF, authorityKeyId: 'none' })
    const { extensions } = root.certificate.tbs
    expect(extensions.has(OID.subjectKeyIdentifier)).toBe(true)
    expect(() => checkIssued(leaf.certificate, root.certificate, 'it')).not.toThrow()
  })
})
