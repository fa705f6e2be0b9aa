import fc from 'fast-check'
import { expect, test } from 'vitest'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, MINUTE, SECOND, YEAR } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { makeIssuing, makeServing } from '../../src/issuance/ca-certificates.ts'
import { prepareSvid } from '../../src/issuance/svid.ts'
import { isValidAt, type Tbs } from '../../src/x509/certificate.ts'
import { aCaller, anEntitlement, anIssuer } from '../_support/an-issuer.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { odd } from '../_support/odd-certificates.ts'
import { seededRandom } from '../_support/seeded-random.ts'

const seconds = (min: number, max: number) =>
  fc.integer({ min: Math.floor(min / SECOND), max: Math.floor(max / SECOND) }).map((count) => count * SECOND)

/** A signer's window around 2030, a moment near one of its ends or anywhere, and a lifetime. */
const cases = fc
  .record({
    begins: seconds(-2 * YEAR, 0),
    lasts: seconds(SECOND, 3 * YEAR),
    at: fc.oneof(
      fc.record({ from: fc.constant('begin' as const), by: fc.integer({ min: -5 * MINUTE, max: 5 * MINUTE }) }),
      fc.record({ from: fc.constant('end' as const), by: fc.integer({ min: -5 * MINUTE, max: 5 * MINUTE }) }),
      fc.record({ from: fc.constant('begin' as const), by: fc.integer({ min: 0, max: 3 * YEAR }) }),
    ),
    ttlMs: fc.oneof(fc.integer({ min: 1, max: 5 * SECOND }), fc.integer({ min: 1, max: 90 * DAY })),
  })
  .map(({ begins, lasts, at, ttlMs }) => {
    const notBefore = plus(NOW, begins)
    const notAfter = plus(notBefore, lasts)
    return { notBefore, notAfter, now: plus(at.from === 'begin' ? notBefore : notAfter, at.by), ttlMs }
  })

/** What must hold of anything signed, whatever the clock says and whatever was asked for. */
function expectWithin(tbs: Tbs, signer: Tbs, now: Date, ttlMs: number): void {
  expect(tbs.notAfter.getTime()).toBeLessThanOrEqual(signer.notAfter.getTime())
  expect(tbs.notBefore.getTime()).toBeGreaterThanOrEqual(signer.notBefore.getTime())
  expect(now.getTime() - tbs.notBefore.getTime()).toBeLessThan(2 * MINUTE + SECOND)
  expect(tbs.notAfter.getTime()).toBeLessThan(now.getTime() + ttlMs + SECOND)
  expect([tbs.notBefore.getTime() % 1000, tbs.notAfter.getTime() % 1000]).toEqual([0, 0])
  expect(isValidAt(tbs, now)).toBe(true)
}

test('no SVID outlives its issuer, whatever the clock says and whatever is asked for', async () => {
  const { root, issuing } = await anIssuer()
  await fc.assert(
    fc.asyncProperty(cases, async ({ notBefore, notAfter, now, ttlMs }) => {
      const signer = await odd('signer', root, { key: issuing.key, pathLength: 0, notBefore, notAfter })
      const authority = issuingOf(signer)
      const active = activeAuthority(aSet([rootOf(root), authority]), authority, signer.key)
      const clock = new FakeClock(now.toISOString())
      const prepare = () =>
        prepareSvid(aCaller(), anEntitlement(ttlMs), issuing.key.publicKey, active, clock, seededRandom(1))
      if (now < notBefore || now >= notAfter) expect(prepare).toThrow(expect.objectContaining({ code: 'not_ready' }))
      else expectWithin(prepare().tbs, signer.certificate.tbs, now, ttlMs)
    }),
    { numRuns: 300 },
  )
})

test('no CA certificate and no serving certificate outlives its parent', async () => {
  const { root, issuing, trustDomain } = await anIssuer()
  await fc.assert(
    fc.asyncProperty(cases, async ({ notBefore, notAfter, now, ttlMs }) => {
      const { key, certificate } = await odd('parent', root, { key: issuing.key, notBefore, notAfter })
      const parent = { certificate, signer: key }
      const making = { clock: new FakeClock(now.toISOString()), random: seededRandom(1) }
      const lifetimeMs = Math.ceil(ttlMs / SECOND) * SECOND
      for (const make of [
        () => makeIssuing(trustDomain, key.publicKey, parent, lifetimeMs, making),
        () => makeServing(['localhost'], key.publicKey, parent, lifetimeMs, making),
      ]) {
        const made = await make().catch((error: unknown) => error)
        if (made instanceof CaError) expect(now < notBefore || now >= notAfter).toBe(true)
        else {
          const { tbs } = made as Awaited<ReturnType<typeof makeIssuing>>
          expect(tbs.notAfter.getTime()).toBeLessThanOrEqual(notAfter.getTime())
          expect(tbs.notBefore.getTime()).toBeGreaterThanOrEqual(notBefore.getTime())
        }
      }
    }),
    { numRuns: 100 },
  )
})
