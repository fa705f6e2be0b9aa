import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Revocation } from '../../src/authority/authority.ts'
import { withoutEndedRevocations, withRevocation } from '../../src/authority/revocations.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, YEAR } from '../../src/core/duration.ts'
import { CRL_REASONS, type CrlReason, readCrl, writeCrl, writeTbsCrl } from '../../src/x509/crl.ts'
import { authorityName } from '../../src/x509/name.ts'
import { crlPem, readOnePem } from '../../src/x509/pem.ts'
import { NOW } from '../_support/authority-sets.ts'

/** 1970 to 2149: both kinds of time. */
const second = fc.integer({ min: 0, max: (180 * YEAR) / 1000 }).map((seconds) => new Date(seconds * 1000))

/** Positive and below 2^159, with the zero that keeps it positive. */
const serial = fc.bigInt({ min: 1n, max: 2n ** 159n - 1n }).map((value) => {
  const digits = value.toString(16)
  const whole = digits.length % 2 ? `0${digits}` : digits
  return Number.parseInt(whole.slice(0, 2), 16) < 0x80 ? whole : `00${whole}`
})

const entry = fc.record({
  serial,
  revokedAt: second,
  reason: fc.option(fc.constantFrom(...(Object.keys(CRL_REASONS) as CrlReason[])), { nil: undefined }),
})

const fields = fc.record({
  signatureAlgorithm: fc.constant(Buffer.from('300a06082a8648ce3d040302', 'hex')),
  issuer: fc.tuple(fc.string(), fc.string()).map(([o, cn]) => authorityName(o, cn)),
  thisUpdate: second,
  nextUpdate: second,
  entries: fc.uniqueArray(entry, { selector: (one) => one.serial, maxLength: 50 }),
  authorityKeyId: fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  number: fc.bigInt({ min: 0n, max: 2n ** 159n - 1n }),
})

test('whatever a CRL says is read back, by way of DER and PEM', () => {
  fc.assert(
    fc.property(fields, fc.uint8Array({ maxLength: 200 }), (said, bits) => {
      const tbs = writeTbsCrl(said)
      const crl = readCrl(readOnePem(crlPem(writeCrl(tbs, said.signatureAlgorithm, bits)), ['X509 CRL'], 65_536))
      const { bytes, extensions, ...understood } = crl.tbs
      expect({ ...understood, issuer: Buffer.from(understood.issuer) }).toEqual({
        ...said,
        issuer: Buffer.from(said.issuer),
      })
      expect(Buffer.from(bytes)).toEqual(Buffer.from(tbs))
      expect(extensions.size).toBe(2)
      expect(Buffer.from(crl.signature)).toEqual(Buffer.from(bits))
    }),
    { numRuns: 300 },
  )
})

test('what is read is written again as it was: there is one encoding of everything', () => {
  fc.assert(
    fc.property(fields, fc.nat(), fc.integer({ min: 1, max: 255 }), (said, position, flip) => {
      const der = Buffer.from(writeCrl(writeTbsCrl(said), said.signatureAlgorithm, Uint8Array.of(1, 2)))
      const at = position % der.length
      der[at] = (der[at] as number) ^ flip
      try {
        const { tbs, signatureAlgorithm, signature } = readCrl(der)
        // What is passed over is not written again.
        if (tbs.extensions.size !== 2) return
        expect(Buffer.from(writeCrl(tbs.bytes, signatureAlgorithm, signature))).toEqual(der)
        if ([...tbs.extensions.values()].some(({ critical }) => critical)) return
        const again = Buffer.from(writeTbsCrl(tbs))
        const unknownInEntries = again.length < tbs.bytes.length
        if (!unknownInEntries) expect(again).toEqual(Buffer.from(tbs.bytes))
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_argument' })
      }
    }),
    { numRuns: 3000 },
  )
})

test('revoking in any order, any number of times, gives each certificate once, and pruning keeps exactly the living', () => {
  const revocation: fc.Arbitrary<Revocation> = fc.record({
    serial: fc.constantFrom('01', '02', '00ff'),
    issuer: fc.constantFrom('aa', 'bb'),
    at: second,
    until: fc.integer({ min: -5, max: 5 }).map((days) => plus(NOW, days * DAY)),
    because: fc.string(),
  })
  fc.assert(
    fc.property(fc.array(revocation, { maxLength: 30 }), (all) => {
      const keyOf = (one: Revocation) => `${one.issuer} ${one.serial}`
      const list = all.reduce<readonly Revocation[]>(withRevocation, [])
      expect(list).toEqual([...Map.groupBy(all, keyOf).values()].map(([first]) => first))
      const kept = withoutEndedRevocations(list, NOW, () => false)
      expect(kept).toEqual(list.filter(({ until }) => until >= NOW))
    }),
  )
})
