import { describe, expect, test } from 'vitest'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import { DAY } from '../../src/core/duration.ts'
import { Latest } from '../../src/core/latest.ts'
import { readinessCheck } from '../../src/service/readiness.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'

async function aServer(change: Partial<Parameters<typeof readinessCheck>[0]> = {}) {
  const issuer = await anIssuer()
  const active = new Latest<typeof issuer.active>()
  active.set(issuer.active)
  return {
    ...issuer,
    latest: active,
    readiness: readinessCheck({ active, obstacles: () => undefined, ...issuer.making, ...change }),
  }
}

test('ready is who can sign now, so that it verifies in the published bundle', async () => {
  const { readiness } = await aServer()
  expect(await readiness()).toEqual({ ready: true })
})

describe('not ready', () => {
  test('is who has nothing to sign with', async () => {
    const { readiness } = await aServer({ active: new Latest() })
    expect(await readiness()).toEqual({ ready: false, why: 'no authority can sign yet' })
  })

  test('is who names an obstacle, in its words', async () => {
    const { readiness } = await aServer({ obstacles: () => 'the ledger can’t be written' })
    expect(await readiness()).toEqual({ ready: false, why: 'the ledger can’t be written' })
  })

  test('is who has an authority that has ended', async () => {
    const { readiness, clock } = await aServer()
    await clock.advance(30 * DAY)
    expect(await readiness()).toEqual({ ready: false, why: 'the issuing authority has ended' })
  })

  test('is who has an authority that is not valid yet', async () => {
    const { readiness, clock } = await aServer()
    clock.jump(-DAY)
    expect(await readiness()).toMatchObject({ ready: false, why: expect.stringContaining('would not verify') })
  })

  test('is whose key began to lie', async () => {
    const { readiness, latest, issuing, activeWith } = await aServer()
    latest.set(activeWith({ publicKey: issuing.key.publicKey, sign: async () => Buffer.alloc(70, 1) }))
    expect(await readiness()).toEqual({
      ready: false,
      why: 'a signature made now would not verify: a signature of ours does not verify',
    })
  })

  test('is whose key is gone', async () => {
    const { readiness, latest, issuing, activeWith } = await aServer()
    latest.set(
      activeWith({
        publicKey: issuing.key.publicKey,
        sign: async () => {
          throw new Error('the token was pulled out')
        },
      }),
    )
    expect(await readiness()).toMatchObject({ ready: false, why: expect.stringContaining('pulled out') })
  })

  test('is whose authority does not lead into the published bundle', async () => {
    const { readiness, latest, issuing } = await aServer()
    const stranger = await odd('stranger', 'itself')
    const authority = issuingOf(issuing)
    latest.set(activeAuthority(aSet([rootOf(stranger), authority]), authority, issuing.key))
    expect(await readiness()).toMatchObject({ ready: false, why: expect.stringContaining('none of the 1 roots') })
  })

  test('is who would sign past its own end: from its last second on', async () => {
    const { readiness, clock, issuing } = await aServer()
    const left = issuing.certificate.tbs.notAfter.getTime() - clock.now().getTime()
    clock.jump(left - 1)
    expect(await readiness()).toEqual({ ready: true })
    clock.jump(1)
    await clock.advance(2000)
    expect(await readiness()).toEqual({ ready: false, why: 'the issuing authority has ended' })
  })

  test('is whose plugged-in CA has ended, whatever its issuing authority and root say', async () => {
    const { readiness, latest, root, clock } = await aServer()
    const late = { notAfter: new Date('2038-01-01T00:00:00Z') }
    const ca = await odd('ca', root, { notAfter: new Date('2030-02-01T00:00:00Z') })
    const immortal = await odd('immortal', ca, { pathLength: 0, ...late })
    const authority = issuingOf(immortal, { intermediates: [ca.certificate] })
    latest.set(activeAuthority(aSet([rootOf(root), authority]), authority, immortal.key))
    expect(await readiness()).toEqual({ ready: true })
    clock.jump(32 * DAY)
    await clock.advance(2000)
    expect(await readiness()).toEqual({
      ready: false,
      why: 'a signature made now would not verify: certificate 3 of the chain ended at 2030-02-01T00:00:00.000Z',
    })
  })

  test('is whose plugged-in root, which signs leaves itself, has ended', async () => {
    const { readiness, latest, clock } = await aServer()
    const root = await odd('root', 'itself', { notAfter: new Date('2030-02-01T00:00:00Z') })
    const authority = issuingOf(root, { key: 'plugged-in' })
    latest.set(activeAuthority(aSet([rootOf(root), authority]), authority, root.key))
    expect(await readiness()).toEqual({ ready: true })
    clock.jump(32 * DAY)
    await clock.advance(2000)
    expect(await readiness()).toEqual({ ready: false, why: 'the issuing authority has ended' })
  })

  test('is whose root has ended, whatever its issuing authority says', async () => {
    const { readiness, latest, root, clock } = await aServer()
    const immortal = await odd('immortal', root, { pathLength: 0, notAfter: new Date('2060-01-01T00:00:00Z') })
    const authority = issuingOf(immortal)
    latest.set(activeAuthority(aSet([rootOf(root), authority]), authority, immortal.key))
    clock.jump(4000 * DAY)
    expect(await readiness()).toMatchObject({ ready: false, why: expect.stringContaining('the root ended at') })
  })
})

describe('an answer', () => {
  test('that nothing is in the way is no older than the question', async () => {
    let ending = false
    const { readiness } = await aServer({ obstacles: () => (ending ? 'shutting down' : undefined) })
    expect(await readiness()).toEqual({ ready: true })
    ending = true
    expect(await readiness()).toEqual({ ready: false, why: 'shutting down' })
  })

  const counted = async () => {
    let asked = 0
    const { active } = await anIssuer()
    const latest = new Latest<typeof active>()
    latest.set(active)
    const get = latest.get.bind(latest)
    latest.get = () => {
      asked++
      return get()
    }
    const server = await aServer({ active: latest })
    return { ...server, asked: () => asked }
  }

  test('is good for two seconds: a signature has its price', async () => {
    const { readiness, clock, asked } = await counted()
    await readiness()
    await clock.advance(1999)
    await readiness()
    expect(asked()).toBe(1)
    await clock.advance(1)
    await readiness()
    expect(asked()).toBe(2)
  })

  test('is one for all who ask at the same time', async () => {
    const { readiness, asked } = await counted()
    await Promise.all([readiness(), readiness(), readiness()])
    expect(asked()).toBe(1)
  })

  test('does not go stale when the wall clock is set back', async () => {
    const { readiness, clock, asked } = await counted()
    await readiness()
    clock.jump(-60_000)
    await clock.advance(2000)
    await readiness()
    expect(asked()).toBe(2)
  })

  test('changes back when the obstacle is gone', async () => {
    let obstacle: string | undefined = 'the ledger can’t be written'
    const { readiness, clock } = await aServer({ obstacles: () => obstacle })
    expect((await readiness()).ready).toBe(false)
    obstacle = undefined
    await clock.advance(2000)
    expect((await readiness()).ready).toBe(true)
  })
})
