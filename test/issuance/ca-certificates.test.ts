import { describe, expect, test } from 'vitest'
import { verifyPath } from '../../src/authority/path.ts'
import { hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND, YEAR } from '../../src/core/duration.ts'
import { makeCross, makeIssuing, makeRoot, makeServing } from '../../src/issuance/ca-certificates.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { keyIdOf } from '../../src/keys/public-key.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { isSelfIssued, urisOf } from '../../src/x509/certificate.ts'
import { lint } from '../../src/x509/lint.ts'
import { commonNameOf } from '../../src/x509/name.ts'
import { readAgain } from '../../src/x509/second-reader.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { NOW } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { nameConstraints, odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'
import { seededRandom } from '../_support/seeded-random.ts'

const trustDomain = TrustDomain.parse('cluster.local')
const making = () => ({ clock: new FakeClock(), random: seededRandom(3) })
const aKey = (algorithm = 'ecdsa-p256') => PrivateKey.generate(keyAlgorithm(algorithm))

/** A signer of that key whose signatures are not what they should be. */
const lying = (key: PrivateKey, signature: (tbs: Uint8Array) => Promise<Uint8Array>): Signer => ({
  publicKey: key.publicKey,
  sign: signature,
})

describe('a root', () => {
  test('is self-signed, names its trust domain and its key, and has no pathLen', async () => {
    const key = await aKey()
    const root = await makeRoot(trustDomain, key, 10 * YEAR, making())
    expect(isSelfIssued(root.tbs)).toBe(true)
    expect(verifyPath([root], [root], NOW)).toBe(root)
    expect(root.tbs.basicConstraints).toEqual({ ca: true, pathLength: undefined })
    expect(urisOf(root.tbs)).toEqual(['spiffe://cluster.local'])
    const id = hex(keyIdOf(key.publicKey.spki))
    expect(readAgain(root.der).subject).toBe(`O=cluster.local, CN=root ${id.slice(0, 4)} ${id.slice(4, 8)}`)
    expect(lint(root.tbs, 'root')).toEqual([])
  })

  test('begins two minutes ago and ends its lifetime from now', async () => {
    const { tbs } = await makeRoot(trustDomain, await aKey(), 10 * YEAR, making())
    expect([tbs.notBefore, tbs.notAfter]).toEqual([plus(NOW, -2 * MINUTE), plus(NOW, 10 * YEAR)])
  })

  test('has a subject of its own: two roots never share a name', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(async () => makeRoot(trustDomain, await aKey(), 10 * YEAR, making())),
    )
    expect(commonNameOf(one?.tbs.subject as Uint8Array)).not.toBe(commonNameOf(two?.tbs.subject as Uint8Array))
  })

  test('of a trust domain too long for an O leaves it out of the name, not out of the URI', async () => {
    const long = TrustDomain.parse('a'.repeat(65))
    const root = await makeRoot(long, await aKey(), YEAR, making())
    expect(readAgain(root.der).subject).toMatch(/^CN=root /)
    expect(urisOf(root.tbs)).toEqual([long.uri])
  })
})

describe('an issuing authority', () => {
  test('leads to its root, allows nothing below it but leaves', async () => {
    const { root, issuing } = await anIssuer()
    expect(verifyPath([issuing.certificate], [root.certificate], NOW)).toBe(root.certificate)
    expect(issuing.certificate.tbs.basicConstraints).toEqual({ ca: true, pathLength: 0 })
    expect(lint(issuing.certificate.tbs, 'issuing')).toEqual([])
  })

  test('is capped to the end of its parent', async () => {
    const { issuing, root } = await anIssuer({ rootLifetimeMs: 10 * DAY, issuingLifetimeMs: 30 * DAY })
    expect(issuing.certificate.tbs.notAfter).toEqual(root.certificate.tbs.notAfter)
  })

  test('does not begin before its parent', async () => {
    const parent = await odd('young', 'itself', { notBefore: plus(NOW, -SECOND) })
    const { tbs } = await makeIssuing(
      trustDomain,
      (await aKey()).publicKey,
      { certificate: parent.certificate, signer: parent.key },
      DAY,
      making(),
    )
    expect(tbs.notBefore).toEqual(plus(NOW, -SECOND))
  })

  test('names its parent’s key as the parent’s own certificate does', async () => {
    const { root, issuing } = await anIssuer()
    expect(issuing.certificate.tbs.authorityKeyId).toEqual(root.certificate.tbs.subjectKeyId)
  })

  test('is not made under a parent that has ended', async () => {
    const parent = await odd('past', 'itself', { notAfter: plus(NOW, -DAY) })
    await expect(
      makeIssuing(
        trustDomain,
        (await aKey()).publicKey,
        { certificate: parent.certificate, signer: parent.key },
        DAY,
        making(),
      ),
    ).rejects.toMatchObject({ code: 'internal', message: 'what was built breaks a rule, so it was not signed' })
  })
})

describe('a cross-certificate', () => {
  const parentOf = ({ certificate, key }: TestCa) => ({ certificate, signer: key })
  const aNewRoot = async (lifetimeMs = 10 * YEAR): Promise<TestCa> => {
    const key = await aKey()
    return { key, certificate: await makeRoot(trustDomain, key, lifetimeMs, making()) }
  }

  test('leads what stands under the new root to the old one', async () => {
    const { root: old } = await anIssuer()
    const root = await aNewRoot()
    const cross = await makeCross(root.certificate, parentOf(old), making())
    const issuing = await makeIssuing(trustDomain, (await aKey()).publicKey, parentOf(root), DAY, making())
    expect(verifyPath([issuing, cross], [old.certificate], NOW)).toBe(old.certificate)
    expect(lint(cross.tbs, 'cross')).toEqual([])
  })

  test('is the new root’s name, key and SPIFFE ID, and allows one CA below it', async () => {
    const { root: old } = await anIssuer()
    const { certificate } = await aNewRoot()
    const { tbs } = await makeCross(certificate, parentOf(old), making())
    expect([tbs.subject, tbs.publicKey]).toEqual([certificate.tbs.subject, certificate.tbs.publicKey])
    expect(tbs.issuer).toEqual(old.certificate.tbs.subject)
    expect(urisOf(tbs)).toEqual(['spiffe://cluster.local'])
    expect(tbs.basicConstraints).toEqual({ ca: true, pathLength: 1 })
  })

  test('identifies both keys as the roots’ own certificates do, also where that is not our way to count them', async () => {
    const as = ({ key, certificate }: TestCa, subjectKeyId: Uint8Array | undefined): TestCa => ({
      key,
      certificate: { ...certificate, tbs: { ...certificate.tbs, subjectKeyId } },
    })
    const [old, root] = [await aNewRoot(), await aNewRoot()]
    const [oldId, newId] = [Buffer.alloc(20, 1), Buffer.alloc(8, 2)]
    const { tbs } = await makeCross(as(root, newId).certificate, parentOf(as(old, oldId)), making())
    expect([tbs.subjectKeyId, tbs.authorityKeyId]).toEqual([newId, oldId])
    const without = await makeCross(as(root, undefined).certificate, parentOf(as(old, undefined)), making())
    expect([without.tbs.subjectKeyId, without.tbs.authorityKeyId]).toEqual(
      [root, old].map(({ key }) => Buffer.from(keyIdOf(key.publicKey.spki))),
    )
  })

  test.each([
    ['the old root', YEAR, 10 * YEAR],
    ['the new root', 10 * YEAR, YEAR],
  ])('ends with %s where that is first', async (_which, oldLifetimeMs, newLifetimeMs) => {
    const [old, root] = [await aNewRoot(oldLifetimeMs), await aNewRoot(newLifetimeMs)]
    const { tbs } = await makeCross(root.certificate, parentOf(old), making())
    expect([tbs.notBefore, tbs.notAfter]).toEqual([plus(NOW, -2 * MINUTE), plus(NOW, YEAR)])
  })

  test.each([
    ['the old root', plus(NOW, -SECOND), plus(NOW, -DAY)],
    ['the new root', plus(NOW, -DAY), plus(NOW, -SECOND)],
  ])('does not begin before %s', async (_which, oldBegin, newBegin) => {
    const old = await odd('old', 'itself', { notBefore: oldBegin })
    const { certificate } = await aNewRoot()
    const root = { ...certificate, tbs: { ...certificate.tbs, notBefore: newBegin } }
    const { tbs } = await makeCross(root, parentOf(old), making())
    expect(tbs.notBefore).toEqual(plus(NOW, -SECOND))
  })

  test.each([
    ['pathLen 0', { pathLength: 0 }, 'the old root allows 0 CAs below it, and there are 2'],
    ['pathLen 1', { pathLength: 1 }, 'the old root allows 1 CAs below it, and there are 2'],
    ['no CA bit', { ca: false }, 'the old root is not a CA'],
    [
      'a key that may not sign certificates',
      { keyUsage: 'none' },
      'the old root may not sign certificates (key usage keyCertSign)',
    ],
    [
      'name constraints',
      { extensions: [nameConstraints] },
      'the old root has the critical extension 2.5.29.30, which is not understood here',
    ],
    [
      'an end that has passed',
      { notAfter: plus(NOW, -SECOND) },
      'the old root is valid from 2029-12-31T00:00:00.000Z to 2029-12-31T23:59:59.000Z, and now is 2030-01-01T00:00:00.000Z',
    ],
    [
      'a beginning that is still to come',
      { notBefore: plus(NOW, SECOND) },
      'the old root is valid from 2030-01-01T00:00:01.000Z to 2030-12-31T00:00:00.000Z, and now is 2030-01-01T00:00:00.000Z',
    ],
  ] as const)('is not made by an old root with %s', async (_what, oddity, why) => {
    const old = await odd('old', 'itself', oddity)
    const { certificate } = await aNewRoot()
    await expect(makeCross(certificate, parentOf(old), making())).rejects.toMatchObject({
      code: 'wrong_state',
      message: `no cross-certificate can be made: ${why}`,
    })
  })

  test.each([undefined, 2])('is made by an old root with pathLen %s', async (pathLength) => {
    const old = await odd('old', 'itself', pathLength === undefined ? {} : { pathLength })
    const root = await aNewRoot()
    const cross = await makeCross(root.certificate, parentOf(old), making())
    const issuing = await makeIssuing(trustDomain, (await aKey()).publicKey, parentOf(root), DAY, making())
    expect(verifyPath([issuing, cross], [old.certificate], NOW)).toBe(old.certificate)
  })

  test.each([
    ['pathLen 0', { pathLength: 0 }, 'the new root allows 0 CAs below it, and there are 1'],
    [
      'an end that has passed',
      { notAfter: plus(NOW, -SECOND) },
      'the new root is valid from 2029-12-31T00:00:00.000Z to 2029-12-31T23:59:59.000Z, and now is 2030-01-01T00:00:00.000Z',
    ],
    ['no SPIFFE ID', {}, 'the new root does not name its trust domain by exactly one SPIFFE ID'],
  ])('is not made for a new root with %s', async (_what, oddity, why) => {
    const { certificate } = await odd('new', 'itself', oddity)
    await expect(makeCross(certificate, parentOf(await aNewRoot()), making())).rejects.toMatchObject({
      code: 'wrong_state',
      message: `no cross-certificate can be made: ${why}`,
    })
  })

  test('is not made between roots of one name, which path building could not tell apart', async () => {
    const [old, root] = [await odd('root', 'itself'), await odd('root', 'itself')]
    await expect(makeCross(root.certificate, parentOf(old), making())).rejects.toMatchObject({
      code: 'wrong_state',
      message: 'no cross-certificate can be made: both roots have the same name; a new root needs a name of its own',
    })
  })
})

describe('our own serving certificate', () => {
  test('names how we are reached, and no identity', async () => {
    const { root, issuing, making } = await anIssuer()
    const key = await aKey()
    const certificate = await makeServing(
      ['localhost', '127.0.0.1', '::1', 'alcazar.alcazar-system.svc'],
      key.publicKey,
      { certificate: issuing.certificate, signer: issuing.key },
      DAY,
      making,
    )
    expect(certificate.tbs.alternativeNames).toEqual([
      { kind: 'dns', value: 'localhost' },
      { kind: 'ip', value: Buffer.from([127, 0, 0, 1]) },
      { kind: 'ip', value: Buffer.from([...Array(15).fill(0), 1]) },
      { kind: 'dns', value: 'alcazar.alcazar-system.svc' },
    ])
    expect(verifyPath([certificate, issuing.certificate], [root.certificate], NOW)).toBe(root.certificate)
    expect(lint(certificate.tbs, 'serving')).toEqual([])
  })

  test('is capped like every leaf', async () => {
    const { issuing, making } = await anIssuer({ issuingLifetimeMs: HOUR })
    const parent = { certificate: issuing.certificate, signer: issuing.key }
    const { tbs } = await makeServing(['localhost'], (await aKey()).publicKey, parent, DAY, making)
    expect(tbs.notAfter).toEqual(issuing.certificate.tbs.notAfter)
  })

  test('is not made for a name that is none', async () => {
    const { issuing, making } = await anIssuer()
    const parent = { certificate: issuing.certificate, signer: issuing.key }
    await expect(
      makeServing(['spiffe://cluster.local'], (await aKey()).publicKey, parent, DAY, making),
    ).rejects.toMatchObject({ code: 'invalid_argument', message: expect.stringContaining('not a DNS name') })
  })
})

describe('a signer that lies never yields a certificate', () => {
  const lies: readonly [string, (key: PrivateKey) => (tbs: Uint8Array) => Promise<Uint8Array>][] = [
    ['signs something else', (key) => () => key.sign(Buffer.from('something else'))],
    ['returns noise', () => async () => Buffer.alloc(70, 9)],
    ['returns nothing', () => async () => new Uint8Array()],
    ['signs with another key', () => async (tbs) => (await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))).sign(tbs)],
  ]

  test.each(lies)('for a root: %s', async (_what, lie) => {
    const key = await aKey()
    await expect(makeRoot(trustDomain, lying(key, lie(key)), YEAR, making())).rejects.toMatchObject({
      code: 'internal',
      message: 'a signature of ours does not verify',
    })
  })

  test.each(lies)('for an issuing authority: %s', async (_what, lie) => {
    const { root, making } = await anIssuer()
    const parent = { certificate: root.certificate, signer: lying(root.key, lie(root.key)) }
    await expect(makeIssuing(trustDomain, (await aKey()).publicKey, parent, DAY, making)).rejects.toMatchObject({
      code: 'internal',
      message: 'a signature of ours does not verify',
    })
  })

  test.each(lies)('for a cross-certificate: %s', async (_what, lie) => {
    const { root: old, making } = await anIssuer()
    const parent = { certificate: old.certificate, signer: lying(old.key, lie(old.key)) }
    const root = await makeRoot(trustDomain, await aKey(), YEAR, making)
    await expect(makeCross(root, parent, making)).rejects.toMatchObject({
      code: 'internal',
      message: 'a signature of ours does not verify',
    })
  })

  test.each(lies)('for our serving certificate: %s', async (_what, lie) => {
    const { issuing, making } = await anIssuer()
    const parent = { certificate: issuing.certificate, signer: lying(issuing.key, lie(issuing.key)) }
    await expect(makeServing(['localhost'], (await aKey()).publicKey, parent, DAY, making)).rejects.toMatchObject({
      code: 'internal',
      message: 'a signature of ours does not verify',
    })
  })

  test('throws', async () => {
    const key = await aKey()
    const gone = lying(key, async () => {
      throw new Error('the token was pulled out')
    })
    await expect(makeRoot(trustDomain, gone, YEAR, making())).rejects.toThrow('the token was pulled out')
  })
})
