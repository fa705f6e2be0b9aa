import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import {
  AUTHORITY_STATES,
  type Authority,
  type Forgotten,
  KEY_HOMES,
  ORIGINS,
  type Revocation,
  type Rotation,
  type Taint,
} from '../../src/authority/authority.ts'
import { printJournal, readJournal } from '../../src/authority/journal.ts'
import { makeCrl } from '../../src/issuance/crl.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { Crl } from '../../src/x509/crl.ts'
import { aSet, NOW, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

let pool: readonly TestCa[]
let crls: readonly Crl[]

beforeAll(async () => {
  const root = await odd('root', 'itself')
  const entries = [{ serial: '4a', revokedAt: NOW, reason: undefined }]
  const content = { number: 7n, nextUpdate: 'with its authority' } as const
  crls = await Promise.all(
    [entries, []].map((listed) =>
      makeCrl(
        { certificate: root.certificate, signer: root.key },
        { ...content, entries: listed },
        { clock: new FakeClock() },
      ),
    ),
  )
  pool = [root, await odd('one', root), await odd('two', root, { pathLength: 0 }), await odd('three', 'itself')]
})

const date = () => fc.date({ min: new Date('1970-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
const id = () => fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 40, maxLength: 40 })
const text = () => fc.string({ unit: 'grapheme', maxLength: 60 })
const maybe = <T>(what: fc.Arbitrary<T>) => fc.option(what, { nil: undefined })

const taint = (): fc.Arbitrary<Taint> => fc.record({ at: date(), because: text(), leavesAt: date() })
const rotation = (): fc.Arbitrary<Rotation> =>
  fc.record({ to: maybe(id()), since: date(), by: fc.constantFrom('admin', 'clock'), because: text() })
const revocation = (): fc.Arbitrary<Revocation> =>
  fc.record({
    serial: fc.bigInt({ min: 0x10n, max: 2n ** 150n }).map((number) => `4a${number.toString(16).padStart(38, '0')}`),
    issuer: id(),
    at: date(),
    until: date(),
    because: text(),
  })
const forgotten = (): fc.Arbitrary<Forgotten> => fc.record({ workload: text(), at: date(), until: date() })

const authority = (): fc.Arbitrary<Authority> =>
  fc
    .record({
      taint: maybe(taint()),
      root: maybe(id()),
      cross: fc.array(fc.record({ by: id(), certificate: fc.constantFrom(...pool).map((ca) => ca.certificate) }), {
        maxLength: 3,
      }),
      bundledSince: fc.integer({ min: 1, max: 1000 }),
      ca: fc.constantFrom(...pool),
      role: fc.constantFrom('root' as const, 'issuing' as const),
      state: fc.constantFrom(...AUTHORITY_STATES),
      key: fc.constantFrom(...KEY_HOMES),
      createdAt: date(),
      intermediates: fc.array(fc.constantFrom(...pool), { maxLength: 3 }),
      online: maybe(
        fc.record({
          certificate: fc.constantFrom(...pool).map((ca) => ca.certificate),
          intermediates: fc.array(
            fc.constantFrom(...pool).map((ca) => ca.certificate),
            { maxLength: 3 },
          ),
          key: fc.constantFrom(...KEY_HOMES),
        }),
      ),
      wasInTheClear: fc.boolean(),
    })
    .map(({ ca, intermediates, root, cross, bundledSince, online, wasInTheClear, ...rest }) =>
      rootOf(ca, {
        ...rest,
        // Each role has its own.
        ...(rest.role === 'root' ? { cross, bundledSince, online, wasInTheClear } : { root, bundledSince: 0 }),
        intermediates: intermediates.map(({ certificate }) => certificate),
      }),
    )

const trustDomain = fc
  .string({ unit: fc.constantFrom(...'abcz09.-_'), minLength: 1, maxLength: 255 })
  .map((name) => TrustDomain.parse(name))

test('whatever set is written is read back, field by field and byte by byte', () => {
  fc.assert(
    fc.property(
      fc.record({
        revision: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        bundleSequence: fc.integer({ min: 1000, max: Number.MAX_SAFE_INTEGER }),
        origin: fc.constantFrom(...ORIGINS),
        trustDomain,
        exportDisabled: fc.boolean(),
        othersUntil: maybe(date()),
        request: maybe(fc.record({ id: id(), key: fc.constantFrom(...KEY_HOMES) })),
        authorities: fc.array(authority(), { maxLength: 5 }),
        rotation: maybe(rotation()),
        forgotten: fc.array(forgotten(), { maxLength: 3 }),
        revocations: fc.array(revocation(), { maxLength: 3 }),
        crls: fc.array(fc.record({ id: id(), crl: fc.constantFrom(...crls) }), { maxLength: 3 }),
      }),
      ({ revision, authorities, ...rest }) => {
        const set = aSet(authorities, rest)
        const text = printJournal(revision, set)
        const again = readJournal(text)
        expect(again.revision).toBe(revision)
        expect(again.set.trustDomain.name).toBe(set.trustDomain.name)
        expect([again.set.origin, again.set.bundleSequence]).toEqual([set.origin, set.bundleSequence])
        expect([again.set.exportDisabled, again.set.othersUntil]).toEqual([set.exportDisabled, set.othersUntil])
        expect(again.set.request).toEqual(set.request)
        expect([again.set.rotation, again.set.forgotten]).toEqual([set.rotation, set.forgotten])
        expect(again.set.revocations).toEqual(set.revocations)
        expect(again.set.crls).toEqual(set.crls)
        expect(again.set.authorities.map(plain)).toEqual(authorities.map(plain))
        expect(printJournal(revision, again.set)).toBe(text)
      },
    ),
  )
})

const plain = ({ certificate, publicKey, intermediates, cross, online, ...rest }: Authority) => ({
  ...rest,
  online: online && {
    certificate: Buffer.from(online.certificate.der).toString('hex'),
    intermediates: online.intermediates.map(({ der }) => Buffer.from(der).toString('hex')),
    key: online.key,
  },
  certificate: Buffer.from(certificate.der).toString('hex'),
  publicKey: Buffer.from(publicKey.spki).toString('hex'),
  intermediates: intermediates.map(({ der }) => Buffer.from(der).toString('hex')),
  cross: cross.map(({ by, certificate: { der } }) => [by, Buffer.from(der).toString('hex')]),
})
