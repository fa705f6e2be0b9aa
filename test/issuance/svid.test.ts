import { describe, expect, test } from 'vitest'
import { type ActiveAuthority, activeAuthority } from '../../src/authority/active-authority.ts'
import { verifyPath } from '../../src/authority/path.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { issueSvid, prepareSvid } from '../../src/issuance/svid.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { isSignedBy, type PublicKey } from '../../src/keys/public-key.ts'
import type { Entitlement } from '../../src/policy/issuance-policy.ts'
import { serviceAccountId } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { readCertificate, type Tbs, urisOf } from '../../src/x509/certificate.ts'
import { readLineage } from '../../src/x509/lineage.ts'
import { lint } from '../../src/x509/lint.ts'
import { authorityName } from '../../src/x509/name.ts'
import { KEY_USAGE, OID } from '../../src/x509/oids.ts'
import { readPem } from '../../src/x509/pem.ts'
import { aCaller, anEntitlement, anIssuer, lineage } from '../_support/an-issuer.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'

const aKey = (algorithm = 'ecdsa-p256') => PrivateKey.generate(keyAlgorithm(algorithm))

async function issued(
  issuer: Awaited<ReturnType<typeof anIssuer>>,
  { ttlMs = 24 * HOUR, caller = aCaller(), algorithm = 'ecdsa-p256' } = {},
) {
  const { publicKey } = await aKey(algorithm)
  const prepared = prepareSvid(caller, anEntitlement(ttlMs), publicKey, issuer.active, issuer.clock, issuer.random)
  const svid = await issueSvid(prepared)
  return { svid, certificate: readCertificate(svid.der), publicKey }
}

describe('in two steps', () => {
  test('refuses a second use of a prepared SVID', async () => {
    const { active, clock, random } = await anIssuer()
    const { publicKey } = await aKey()
    const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, active, clock, random)
    await issueSvid(prepared)
    await expect(issueSvid(prepared)).rejects.toMatchObject({
      code: 'wrong_state',
      message: 'this prepared SVID was already issued',
    })
  })

  test('refuses the second of two uses at the same time', async () => {
    const { active, clock, random } = await anIssuer()
    const { publicKey } = await aKey()
    const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, active, clock, random)
    const [first, second] = await Promise.allSettled([issueSvid(prepared), issueSvid(prepared)])
    expect(first.status).toBe('fulfilled')
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'wrong_state' } })
  })

  test('refuses a second use even where the first one failed to sign', async () => {
    const { activeWith, issuing, clock, random } = await anIssuer()
    let attempts = 0
    const signer: Signer = {
      publicKey: issuing.key.publicKey,
      sign: async () => {
        attempts++
        throw new Error('the token is gone')
      },
    }
    const { publicKey } = await aKey()
    const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, activeWith(signer), clock, random)
    await expect(issueSvid(prepared)).rejects.toThrow('the token is gone')
    await expect(issueSvid(prepared)).rejects.toMatchObject({ code: 'wrong_state' })
    expect(attempts).toBe(1)
  })

  test('uses no key before it is issued', async () => {
    const { activeWith, issuing, clock, random } = await anIssuer()
    let signed = 0
    const signer: Signer = {
      publicKey: issuing.key.publicKey,
      sign: (tbs) => {
        signed++
        return issuing.key.sign(tbs)
      },
    }
    const { publicKey } = await aKey()
    const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, activeWith(signer), clock, random)
    expect(signed).toBe(0)
    await issueSvid(prepared)
    expect(signed).toBe(1)
  })

  test('signs exactly what was prepared', async () => {
    const { active, clock, random } = await anIssuer()
    const { publicKey } = await aKey()
    const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, active, clock, random)
    const { der } = await issueSvid(prepared)
    expect(Buffer.from(readCertificate(der).tbs.bytes)).toEqual(Buffer.from(prepared.tbs.bytes))
  })
})

describe('what it is', () => {
  test('leads to the root in the bundle', async () => {
    const issuer = await anIssuer()
    const { certificate } = await issued(issuer)
    const { root, issuing, clock } = issuer
    expect(verifyPath([certificate, issuing.certificate], [root.certificate], clock.now())).toBe(root.certificate)
  })

  test('names the caller and nobody else, in its only name', async () => {
    const { certificate } = await issued(await anIssuer())
    expect(certificate.tbs.alternativeNames).toEqual([{ kind: 'uri', value: 'spiffe://cluster.local/ns/shop/sa/cart' }])
    expect(urisOf(certificate.tbs)).toHaveLength(1)
  })

  test('holds the request’s key', async () => {
    const { certificate, publicKey } = await issued(await anIssuer())
    expect(Buffer.from(certificate.tbs.publicKey)).toEqual(Buffer.from(publicKey.spki))
  })

  test('obeys every rule of its profile', async () => {
    const { certificate } = await issued(await anIssuer())
    expect(lint(certificate.tbs, 'svid')).toEqual([])
  })

  test('is PEM of the same bytes', async () => {
    const { svid } = await issued(await anIssuer())
    expect(readPem(svid.pem, 10_000, 'nothing else').map(({ der }) => Buffer.from(der))).toEqual([
      Buffer.from(svid.der),
    ])
  })

  test.each([
    ['rsa-2048', [KEY_USAGE.digitalSignature, KEY_USAGE.keyEncipherment]],
    ['ecdsa-p256', [KEY_USAGE.digitalSignature]],
    ['ecdsa-p384', [KEY_USAGE.digitalSignature]],
    ['ed25519', [KEY_USAGE.digitalSignature]],
  ])('a key of %s has the usages %j: only RSA enciphers keys', async (algorithm, usages) => {
    const { certificate } = await issued(await anIssuer(), { algorithm })
    expect([...(certificate.tbs.keyUsage ?? [])]).toEqual(usages)
  })

  test('names its issuer’s key as the issuer’s certificate names it', async () => {
    const issuer = await anIssuer()
    const { certificate } = await issued(issuer)
    expect(certificate.tbs.authorityKeyId).toEqual(issuer.issuing.certificate.tbs.subjectKeyId)
    expect(certificate.tbs.issuer).toEqual(issuer.issuing.certificate.tbs.subject)
  })

  test('carries the caller’s lineage, unchanged and not critical', async () => {
    const { certificate } = await issued(await anIssuer())
    const extension = certificate.tbs.extensions.get(OID.lineage)
    expect(extension?.critical).toBe(false)
    expect(readLineage(extension?.value ?? new Uint8Array())).toEqual(lineage)
  })

  test('carries no lineage for a caller who has none', async () => {
    const { certificate } = await issued(await anIssuer(), { caller: aCaller({ lineage: undefined }) })
    expect(certificate.tbs.extensions.has(OID.lineage)).toBe(false)
  })

  test('has a serial of 16 bytes, positive, of which no two are the same', async () => {
    const issuer = await anIssuer()
    const { publicKey } = await aKey()
    const serials = Array.from({ length: 500 }, () => {
      const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, issuer.active, issuer.clock, issuer.random)
      return prepared.tbs.serial
    })
    expect(new Set(serials).size).toBe(500)
    expect(serials.filter((serial) => !/^[4-7][0-9a-f]{31}$/.test(serial))).toEqual([])
  })
})

describe('when it is valid', () => {
  test('begins two minutes ago, for clocks that are behind', async () => {
    const issuer = await anIssuer()
    await issuer.clock.advance(HOUR)
    const { certificate } = await issued(issuer)
    expect(certificate.tbs.notBefore).toEqual(plus(issuer.clock.now(), -2 * MINUTE))
  })

  test('ends the lifetime from now', async () => {
    const issuer = await anIssuer()
    const { certificate } = await issued(issuer, { ttlMs: HOUR })
    expect(certificate.tbs.notAfter).toEqual(plus(issuer.clock.now(), HOUR))
  })

  test('does not begin before its issuer', async () => {
    const issuer = await anIssuer()
    const late = await odd('late', issuer.root, { pathLength: 0, notBefore: plus(issuer.clock.now(), -30 * SECOND) })
    const authority = issuingOf(late)
    const active = activeAuthority(aSet([rootOf(issuer.root), authority]), authority, late.key)
    const { publicKey } = await aKey()
    const { tbs } = prepareSvid(aCaller(), anEntitlement(), publicKey, active, issuer.clock, issuer.random)
    expect(tbs.notBefore).toEqual(late.certificate.tbs.notBefore)
  })

  test('is capped to the end of its issuer', async () => {
    const issuer = await anIssuer()
    const { certificate } = await issued(issuer, { ttlMs: 90 * DAY })
    expect(certificate.tbs.notAfter).toEqual(issuer.issuing.certificate.tbs.notAfter)
  })

  test('has whole seconds where the clock stands between two', async () => {
    const issuer = await anIssuer()
    await issuer.clock.advance(HOUR + 999)
    const { certificate } = await issued(issuer, { ttlMs: 1500 })
    const now = plus(issuer.clock.now(), -999)
    expect(certificate.tbs.notBefore).toEqual(plus(now, -2 * MINUTE))
    // A second and a half that was asked for is not cut to one.
    expect(certificate.tbs.notAfter).toEqual(plus(now, 2 * SECOND))
  })

  test.each([
    ['has ended', 30 * DAY + SECOND],
    ['is in its last second, which no leaf could outlast', 30 * DAY],
    ['is not valid yet', -10 * MINUTE],
  ])('is not prepared where the issuer %s', async (_what, offset) => {
    const { active, clock, random } = await anIssuer()
    clock.jump(offset)
    const { publicKey } = await aKey()
    expect(() => prepareSvid(aCaller(), anEntitlement(), publicKey, active, clock, random)).toThrow(
      expect.objectContaining({ code: 'not_ready', message: 'no issuing authority is valid now' }),
    )
  })

  test('is prepared a second before the issuer ends, for that second', async () => {
    const issuer = await anIssuer()
    issuer.clock.jump(30 * DAY - SECOND)
    const { certificate } = await issued(issuer)
    expect(certificate.tbs.notAfter).toEqual(issuer.issuing.certificate.tbs.notAfter)
  })
})

describe('what must never be signed', async () => {
  test('an identity that breaks the SPIFFE rules, if policy ever made one', async () => {
    const { active, clock, random } = await anIssuer()
    const { publicKey } = await aKey()
    const id = { uri: 'spiffe://cluster.local/ns/shop/sa/%63art' } as ReturnType<typeof anEntitlement>['id']
    expect(() => prepareSvid(aCaller(), { id, ttlMs: HOUR }, publicKey, active, clock, random)).toThrow(
      expect.objectContaining({ code: 'internal', message: 'what was built breaks a rule, so it was not signed' }),
    )
  })

  /** Says one thing when the certificate is built, and another when what was built is held against the request. */
  const wavering = <T extends object, K extends keyof T>(whole: T, name: K, later: T[K]): T => {
    let reads = 0
    return Object.defineProperty({ ...whole }, name, { get: () => (reads++ === 0 ? whole[name] : later) })
  }
  const withCertificate = (active: ActiveAuthority, tbs: (sound: Tbs) => Partial<Tbs>): ActiveAuthority => {
    const { certificate } = active.authority
    const other = { ...certificate.tbs, ...tbs(certificate.tbs) }
    return { ...active, authority: { ...active.authority, certificate: wavering(certificate, 'tbs', other) } }
  }
  const { publicKey: someKey } = await aKey()
  type Asked = { entitlement: Entitlement; key: PublicKey; active: ActiveAuthority }
  const differences: readonly (readonly [what: string, change: (asked: Asked) => Partial<Asked>])[] = [
    [
      'it names another identity than the caller’s',
      ({ entitlement }) => ({
        entitlement: wavering(
          entitlement,
          'id',
          serviceAccountId(TrustDomain.parse('cluster.local'), { namespace: 'shop', name: 'till' }),
        ),
      }),
    ],
    ['it holds another key than the request’s', ({ key }) => ({ key: wavering(key, 'spki', someKey.spki) })],
    [
      'it names another issuer',
      ({ active }) => ({
        active: withCertificate(active, () => ({ subject: authorityName('cluster.local', 'another') })),
      }),
    ],
    [
      'it names another issuer’s key',
      ({ active }) => ({ active: wavering(active, 'keyId', new Uint8Array(active.keyId.length)) }),
    ],
    [
      'it is valid when its issuer is not',
      ({ active }) => ({ active: withCertificate(active, ({ notBefore }) => ({ notAfter: plus(notBefore, HOUR) })) }),
    ],
    [
      'it is valid when its issuer is not',
      ({ active }) => ({ active: withCertificate(active, ({ notAfter }) => ({ notBefore: plus(notAfter, -HOUR) })) }),
    ],
  ]

  test.each(differences)('what is not what was asked for: %s (case %#)', async (what, change) => {
    const issuer = await anIssuer()
    const asked = { entitlement: anEntitlement(), key: (await aKey()).publicKey, active: issuer.active }
    const { entitlement, key, active } = { ...asked, ...change(asked) }
    expect(() => prepareSvid(aCaller(), entitlement, key, active, issuer.clock, issuer.random)).toThrow(
      expect.objectContaining({
        code: 'internal',
        message: 'a certificate is not what was asked for, so it was not issued',
        cause: expect.objectContaining({ message: what }),
      }),
    )
  })

  test('with random bytes that are all zero the serial is still sound', async () => {
    const { active, clock } = await anIssuer()
    const { publicKey } = await aKey()
    const { tbs } = prepareSvid(
      aCaller(),
      anEntitlement(),
      publicKey,
      active,
      clock,
      (length) => new Uint8Array(length),
    )
    expect(tbs.serial).toBe(`40${'00'.repeat(15)}`)
  })
})

test('verifies with its issuer’s key and no other', async () => {
  const issuer = await anIssuer()
  const { certificate } = await issued(issuer)
  expect(isSignedBy(certificate, issuer.issuing.key.publicKey)).toBe(true)
  expect(isSignedBy(certificate, issuer.root.key.publicKey)).toBe(false)
})
