import { beforeAll, describe, expect, test } from 'vitest'
import type { Authority, Revocation } from '../../src/authority/authority.ts'
import {
  crlEntries,
  crlSet,
  denials,
  denyList,
  MAX_REVOCATIONS,
  missingCrls,
  reachOf,
  withoutEndedRevocations,
  withRevocation,
} from '../../src/authority/revocations.ts'
import { hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, MINUTE } from '../../src/core/duration.ts'
import { type CrlContent, makeCrl } from '../../src/issuance/crl.ts'
import { keyIdOf } from '../../src/keys/public-key.ts'
import { KEY_USAGE } from '../../src/x509/oids.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

const ISSUER = 'ab'.repeat(20)
const aRevocation = (change: Partial<Revocation> = {}): Revocation => ({
  serial: '4a',
  issuer: ISSUER,
  at: NOW,
  until: plus(NOW, DAY),
  because: 'its pod was broken into',
  ...change,
})
const idOf = ({ key }: TestCa) => hex(keyIdOf(key.publicKey.spki))

describe('revoking', () => {
  test('adds to the list and leaves the old one as it was', () => {
    const before = Object.freeze([aRevocation()])
    expect(withRevocation(before, aRevocation({ serial: '4b' }))).toEqual([
      aRevocation(),
      aRevocation({ serial: '4b' }),
    ])
  })

  test('twice is the same as once, and the first reason stays', () => {
    const once = withRevocation([], aRevocation())
    expect(withRevocation(once, aRevocation({ because: 'another', at: plus(NOW, MINUTE) }))).toBe(once)
  })

  test('the same serial of another authority is another certificate', () => {
    expect(withRevocation([aRevocation()], aRevocation({ issuer: 'cd'.repeat(20) }))).toHaveLength(2)
  })

  test.each([
    '',
    '4',
    '4A',
    '4a:4b',
    '0x4a',
    ' 4a',
    '4a\n',
    '00',
    '0001',
    '007f',
    '80',
    'ff00',
    `4a${'00'.repeat(20)}`,
  ])('%j is refused: it is no serial number', (serial) => {
    expect(() => withRevocation([], aRevocation({ serial }))).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `${JSON.stringify(serial)} is no serial number; it is 1 to 20 bytes of lower-case hex, as the ledger has it`,
      }),
    )
  })

  test.each(['01', '7f', '0080', '00ff', '0100', `7f${'ff'.repeat(19)}`, `00${'ff'.repeat(19)}`])(
    '%s is taken',
    (serial) => {
      expect(withRevocation([], aRevocation({ serial }))).toHaveLength(1)
    },
  )

  test('ends where the journal has no room for more, and what is on the list can still be revoked again', () => {
    const full = Array.from({ length: MAX_REVOCATIONS }, (_, n) => aRevocation({ serial: (0x100000 + n).toString(16) }))
    expect(() => withRevocation(full, aRevocation())).toThrow(
      expect.objectContaining({
        code: 'wrong_state',
        message: `2000 certificates are revoked already, as many as the journal holds; the first of them ends at ${plus(NOW, DAY).toISOString()} and makes room; replace what signed so many that are not trusted, with alcazar root taint`,
      }),
    )
    expect(withRevocation(full, aRevocation({ serial: '100000' }))).toBe(full)
  })
})

describe('pruning', () => {
  const revocations = [aRevocation(), aRevocation({ serial: '4b', until: plus(NOW, 2 * DAY) })]

  test('drops what has ended for everybody, clocks two minutes behind included', () => {
    expect(withoutEndedRevocations(revocations, plus(NOW, DAY + 2 * MINUTE), () => false)).toBe(revocations)
    expect(withoutEndedRevocations(revocations, plus(NOW, DAY + 2 * MINUTE + 1), () => false)).toEqual([revocations[1]])
  })

  test('keeps what has ended for as long as it is owed a CRL', () => {
    const isOwed = ({ serial }: Revocation) => serial === '4b'
    expect(withoutEndedRevocations(revocations, plus(NOW, 3 * DAY), isOwed)).toEqual([revocations[1]])
    expect(withoutEndedRevocations(revocations, plus(NOW, 3 * DAY), () => true)).toBe(revocations)
  })

  test('changes nothing where nothing has ended', () => {
    expect(withoutEndedRevocations(revocations, NOW, () => false)).toBe(revocations)
  })
})

test('the deny list knows exactly the certificates that were revoked', () => {
  const isDenied = denyList([aRevocation(), aRevocation({ serial: '4b', issuer: 'cd'.repeat(20) })])
  expect([isDenied(ISSUER, '4a'), isDenied('cd'.repeat(20), '4b')]).toEqual([true, true])
  expect([isDenied(ISSUER, '4b'), isDenied('cd'.repeat(20), '4a'), isDenied(ISSUER, '')]).toEqual([false, false, false])
})

test('a CRL lists the serials of its own authority, in order, at whole seconds', () => {
  const revocations = [
    aRevocation({ serial: '4b', at: plus(NOW, 999) }),
    aRevocation({ serial: '4c', issuer: 'cd'.repeat(20) }),
    aRevocation({ serial: '4a' }),
  ]
  expect(crlEntries(revocations, ISSUER)).toEqual([
    { serial: '4a', revokedAt: NOW, reason: undefined },
    { serial: '4b', revokedAt: NOW, reason: undefined },
  ])
})

describe('with a root, an issuing authority that signs and one whose key is gone', () => {
  let root: TestCa
  let signing: TestCa
  let gone: TestCa
  let held: ReadonlySet<string>
  const holds = (id: string) => held.has(id)
  const set = (...more: Authority[]) =>
    aSet([rootOf(root), issuingOf(signing), issuingOf(gone, { state: 'old' }), ...more])

  beforeAll(async () => {
    root = await odd('root', 'itself')
    signing = await odd('signing', root, { pathLength: 0 })
    gone = await odd('gone', root, { pathLength: 0, notAfter: plus(NOW, DAY) })
    held = new Set([idOf(root), idOf(signing)])
  })

  describe('a revocation', () => {
    const reach = (issuer: string, of = set(), keys = holds) => reachOf(aRevocation({ issuer }), of, keys)

    test('goes on the CRL of the authority that signed it, while its key is there', () => {
      expect(reach(idOf(signing))).toEqual({ kind: 'own CRL' })
    })

    test('puts the issuing authority itself on its root’s CRL where that key is gone', () => {
      expect(reach(idOf(gone))).toEqual({
        kind: 'revoke authority',
        revocation: {
          serial: gone.certificate.tbs.serial,
          issuer: idOf(root),
          at: NOW,
          until: plus(NOW, DAY),
          because: 'its key is gone, and 4a, which it signed, was revoked',
        },
      })
    })

    test('finds the root among others by its key, not by its name', async () => {
      const namesake = await odd('root', 'itself')
      const of = aSet([rootOf(namesake), rootOf(root), issuingOf(gone)])
      const all = new Set([idOf(namesake), idOf(root)])
      expect(reach(idOf(gone), of, (id) => all.has(id))).toMatchObject({ revocation: { issuer: idOf(root) } })
    })

    test('goes to the plugged-in CA between issuing authority and root, where there is one', async () => {
      const plugged = await odd('plugged', root, { pathLength: 1 })
      const below = await odd('below', plugged, { pathLength: 0 })
      const of = set(issuingOf(below, { state: 'old', intermediates: [plugged.certificate] }))
      expect(reach(idOf(below), of, (id) => id === idOf(plugged))).toMatchObject({
        revocation: { issuer: idOf(plugged), serial: below.certificate.tbs.serial },
      })
    })

    test.each<[string, () => ReturnType<typeof reach>, string]>([
      ['its issuing authority is not known', () => reach(ISSUER), 'its issuing authority is not in the journal'],
      [
        'a root is said to have signed it, whose key is elsewhere',
        () => reach(idOf(root), set(), () => false),
        'its issuing authority is not in the journal',
      ],
      [
        'its issuing authority is revoked',
        () => reach(idOf(gone), aSet([rootOf(root), issuingOf(gone, { state: 'revoked' })])),
        'its issuing authority is revoked, and with it all that it signed',
      ],
      [
        'the root is gone from the journal',
        () => reach(idOf(gone), aSet([issuingOf(gone)])),
        'the root of its issuing authority is in no bundle any more',
      ],
      [
        'the root is revoked',
        () => reach(idOf(gone), aSet([rootOf(root, { state: 'revoked' }), issuingOf(gone)])),
        'the root of its issuing authority is in no bundle any more',
      ],
      [
        'the root’s key is elsewhere',
        () => reach(idOf(gone), set(), () => false),
        'what signed its issuing authority can’t sign a CRL here',
      ],
    ])('only keeps from renewal where %s', (_, ask, because) => {
      expect(ask()).toEqual({ kind: 'renewal alone', because })
    })
  })

  describe('the CRLs there must be', () => {
    const wantedOf = (of = set(), revocations: readonly Revocation[] = [], now = NOW) =>
      crlSet(of, revocations, holds, now).map(({ id, signedHere, entries }) => ({
        id,
        signedHere,
        serials: entries.map(({ serial }) => serial),
      }))

    test('are those of every root and every issuing authority, with what each revoked', () => {
      const revocations = [
        aRevocation({ issuer: idOf(signing) }),
        aRevocation({ issuer: idOf(root), serial: gone.certificate.tbs.serial }),
      ]
      expect(wantedOf(set(), revocations)).toEqual([
        { id: idOf(root), signedHere: true, serials: [gone.certificate.tbs.serial] },
        { id: idOf(signing), signedHere: true, serials: ['4a'] },
        { id: idOf(gone), signedHere: false, serials: [] },
      ])
    })

    test('are of prepared, old and tainted ones, too, and of none that was revoked', async () => {
      const others = await Promise.all(
        (['prepared', 'old', 'tainted', 'revoked'] as const).map(async (state) =>
          rootOf(await odd(state, 'itself'), { state }),
        ),
      )
      expect(wantedOf(aSet(others)).map(({ id }) => id)).toEqual(others.slice(0, 3).map(({ id }) => id))
    })

    test('are of none that has ended, and of each to its last second', () => {
      const ids = (now: Date) => wantedOf(set(), [], now).map(({ id }) => id)
      expect(ids(plus(NOW, DAY + 999))).toContain(idOf(gone))
      expect(ids(plus(NOW, DAY + 1000))).not.toContain(idOf(gone))
    })

    test('are of what stands between an issuing authority and its root, once for all below it', async () => {
      const plugged = await odd('plugged', root, { pathLength: 1 })
      const intermediates = [plugged.certificate]
      const below = [await odd('one', plugged), await odd('two', plugged)].map((ca) => issuingOf(ca, { intermediates }))
      expect(wantedOf(aSet([rootOf(root), ...below]))).toEqual([
        { id: idOf(root), signedHere: true, serials: [] },
        { id: below[0]?.id, signedHere: false, serials: [] },
        { id: idOf(plugged), signedHere: false, serials: [] },
        { id: below[1]?.id, signedHere: false, serials: [] },
      ])
    })

    test('are one for the same key under the same name, and two under two names', async () => {
      const cross = await odd('signing', root, { key: signing.key, pathLength: 1 })
      const renamed = await odd('renamed', root, { key: signing.key })
      const ids = (other: TestCa) => wantedOf(set(issuingOf(other))).map(({ id }) => id)
      expect(ids(cross).filter((id) => id === idOf(signing))).toHaveLength(1)
      expect(ids(renamed).filter((id) => id === idOf(signing))).toHaveLength(2)
    })

    test('can’t be signed by a CA that may not, though its key is here', async () => {
      const ca = await odd('plugged', root, { key: signing.key, keyUsage: [KEY_USAGE.keyCertSign] })
      expect(wantedOf(aSet([issuingOf(ca)]))).toMatchObject([{ signedHere: false }])
    })
  })

  describe('of the CRLs there must be,', () => {
    const crlOf = (ca: TestCa, change: Partial<CrlContent> = {}, now = NOW) =>
      makeCrl(
        { certificate: ca.certificate, signer: ca.key },
        { entries: [], number: 1n, nextUpdate: 'with its authority', ...change },
        { clock: new FakeClock(now.toISOString()) },
      )
    const all = async () => [await crlOf(root), await crlOf(signing), await crlOf(gone)]
    const missing = (crls: Awaited<ReturnType<typeof all>>, revocations: readonly Revocation[] = [], now = NOW) =>
      missingCrls(crlSet(set(), revocations, holds, now), crls, now).map(({ id }) => id)

    test('none is missing when each authority signed one', async () => {
      expect(missing(await all())).toEqual([])
      expect(missing([])).toEqual([idOf(root), idOf(signing), idOf(gone)])
      expect(missing((await all()).slice(1))).toEqual([idOf(root)])
    })

    test('one that does not say all that was revoked is missing, where it can be signed here', async () => {
      const revocations = [signing, gone].map((ca) => aRevocation({ issuer: idOf(ca) }))
      expect(missing(await all(), revocations)).toEqual([idOf(signing)])
      const current = await crlOf(signing, { entries: crlEntries(revocations, idOf(signing)), number: 2n })
      expect(missing([...(await all()), current], revocations)).toEqual([])
    })

    test('one that still lists what was pruned is missing', async () => {
      const entries = crlEntries([aRevocation({ issuer: idOf(signing) })], idOf(signing))
      expect(missing([await crlOf(root), await crlOf(signing, { entries }), await crlOf(gone)])).toEqual([
        idOf(signing),
      ])
      const other = entries.map((entry) => ({ ...entry, serial: '4b' }))
      const crls = [await crlOf(root), await crlOf(signing, { entries: other }), await crlOf(gone)]
      expect(missing(crls, [aRevocation({ issuer: idOf(signing) })])).toEqual([idOf(signing)])
    })

    test('one that has ended, or is from the future, is missing', async () => {
      const [first, , third] = await all()
      const crls = [first, await crlOf(signing, { nextUpdate: plus(NOW, MINUTE) }), third] as Awaited<
        ReturnType<typeof all>
      >
      expect(missing(crls, [], plus(NOW, MINUTE - 1))).toEqual([])
      expect(missing(crls, [], plus(NOW, MINUTE))).toEqual([idOf(signing)])
      const future = await crlOf(signing, {}, plus(NOW, 3 * MINUTE))
      expect(missing([first, future, third] as typeof crls, [], plus(NOW, MINUTE - 1))).toEqual([idOf(signing)])
      expect(missing([first, future, third] as typeof crls, [], plus(NOW, MINUTE))).toEqual([])
    })

    test('one of another name or another key is not the one', async () => {
      const namesake = await odd('signing', root)
      const renamed = await odd('renamed', root, { key: signing.key })
      expect(missing([await crlOf(root), await crlOf(namesake), await crlOf(renamed), await crlOf(gone)])).toEqual([
        idOf(signing),
      ])
    })
  })
})

describe('what the journal denies', async () => {
  const root = await odd('root', 'itself')
  const issuing = await odd('issuing', root)
  const other = await odd('other', root)
  const authorities = [
    rootOf(root),
    issuingOf(issuing, { root: idOf(root), state: 'old' }),
    issuingOf(other, { root: idOf(root) }),
  ]
  const later = plus(issuing.certificate.tbs.notBefore, DAY)
  const certificate = (change: object = {}) => ({ serial: '4a', notBefore: later, workload: 'shop/cart-0', ...change })

  test('is a certificate of that issuer and serial number', () => {
    const { isRevoked, takenBack } = denials(
      aSet(authorities, { revocations: [aRevocation({ issuer: idOf(issuing) })] }),
    )
    expect([isRevoked(idOf(issuing), '4a'), isRevoked(idOf(issuing), '4b'), isRevoked(idOf(other), '4a')]).toEqual([
      true,
      false,
      false,
    ])
    expect(takenBack(idOf(issuing), certificate())).toBe('revoked')
    expect(takenBack(idOf(issuing), certificate({ serial: '4b' }))).toBeUndefined()
  })

  test('is everything that an issuing authority signed which is on the list itself', () => {
    const { serial } = issuing.certificate.tbs
    const revocations = [aRevocation({ issuer: idOf(root), serial })]
    const { isRevoked, takenBack } = denials(aSet(authorities, { revocations }))
    expect([isRevoked(idOf(issuing), '4b'), isRevoked(idOf(other), '4b'), isRevoked(idOf(root), serial)]).toEqual([
      true,
      false,
      true,
    ])
    expect(takenBack(idOf(issuing), certificate())).toBe('revoked')
    // The same number by another issuer is another certificate.
    const elsewhere = denials(aSet(authorities, { revocations: [aRevocation({ serial })] }))
    expect(elsewhere.isRevoked(idOf(issuing), '4b')).toBe(false)
  })

  test('is what a workload got up to the moment at which it was cut off, two minutes of dating back aside', () => {
    const at = plus(later, 2 * MINUTE)
    const forgotten = [{ workload: 'shop/cart-0', at, until: plus(at, DAY) }]
    const { takenBack } = denials(aSet(authorities, { forgotten }))
    expect(takenBack(idOf(issuing), certificate())).toBe('forgotten')
    expect(takenBack(idOf(issuing), certificate({ notBefore: plus(later, 1000) }))).toBeUndefined()
    expect(takenBack(idOf(issuing), certificate({ workload: 'shop/cart-1' }))).toBeUndefined()
  })

  test('counts a certificate that begins with its issuer as issued then, for it was dated back by less', () => {
    const { notBefore } = issuing.certificate.tbs
    const at = plus(notBefore, MINUTE)
    const { takenBack } = denials(
      aSet(authorities, { forgotten: [{ workload: 'shop/cart-0', at, until: plus(at, DAY) }] }),
    )
    expect(takenBack(idOf(issuing), certificate({ notBefore }))).toBe('forgotten')
    expect(takenBack(idOf(issuing), certificate({ notBefore: plus(notBefore, 1000) }))).toBeUndefined()
  })

  test('names the revocation before the cut', () => {
    const forgotten = [{ workload: 'shop/cart-0', at: plus(later, DAY), until: plus(later, DAY) }]
    const revocations = [aRevocation({ issuer: idOf(issuing) })]
    expect(denials(aSet(authorities, { forgotten, revocations })).takenBack(idOf(issuing), certificate())).toBe(
      'revoked',
    )
  })
})

test('a reason that the journal has no room for is refused', () => {
  expect(withRevocation([], aRevocation({ because: 'x'.repeat(160) }))).toHaveLength(1)
  for (const because of ['x'.repeat(161), '’'.repeat(54), '\n'.repeat(81)])
    expect(() => withRevocation([], aRevocation({ because }))).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message:
          'the journal keeps the reason of a revocation, so it has at most 160 bytes; name a ticket that has the rest',
      }),
    )
})
