import { beforeAll, describe, expect, test } from 'vitest'
import { CaError } from '../../src/core/errors.ts'
import { makeCrl } from '../../src/issuance/crl.ts'
import { type Crls, crlSetPem, handingCrls } from '../../src/service/crl-set.ts'
import { crlPem } from '../../src/x509/pem.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'

type Held = ReturnType<Crls>['crls'][number]
let numbered: readonly Held[]

beforeAll(async () => {
  const { issuing, making } = await anIssuer()
  const of = { certificate: issuing.certificate, signer: issuing.key }
  numbered = await Promise.all(
    [1n, 2n, 3n].map(async (number) => {
      const { der } = await makeCrl(of, { entries: [], number, nextUpdate: 'with its authority' }, making)
      return { id: 'ab'.repeat(20), der }
    }),
  )
})

const at = (index: number) => numbered[index] as Held
const pemOf = (...held: Held[]) => held.map(({ der }) => crlPem(der)).join('')

test('the set is whole, or it is refused', () => {
  expect(crlSetPem(() => ({ crls: [at(0), at(1)], missing: [] }))).toBe(pemOf(at(0), at(1)))
  const refused = (crls: readonly Held[], missing: readonly string[]) => {
    try {
      crlSetPem(() => ({ crls, missing }))
    } catch (error) {
      return error
    }
    return undefined
  }
  expect(refused([at(0)], ['cd'])).toMatchObject({
    code: 'not_ready',
    message: expect.stringMatching(/^the set is not whole: there is no CRL of cd; /),
  })
  expect(refused([], [])).toMatchObject({ code: 'not_found', message: expect.stringContaining('has no CRLs') })
})

describe('the set that is handed on', () => {
  async function handing(first: ReturnType<Crls>) {
    const clock = new FakeClock()
    const events = recordedEvents()
    const stop = new AbortController()
    const world = { now: first, written: [] as string[], full: false, gone: false }
    const write = async (pem: string) => {
      if (world.full) throw new CaError('dependency_unavailable', 'no room is left for it')
      world.written.push(pem)
      world.gone = false
    }
    const isThere = async () => !world.gone
    const { run } = await handingCrls({ crls: () => world.now, write, isThere, events, clock })
    const ended = run(stop.signal)
    const later = async (ms: number) => clock.advance(ms)
    const told = () => events.told.filter(({ event }) => event === 'crlsNotHanded').length
    return Object.assign(world, {
      later,
      told,
      end: async () => {
        stop.abort()
        await ended
      },
    })
  }

  test('is there before anybody is served, and again within two seconds of a change, and else is left alone', async () => {
    const world = await handing({ crls: [at(0)], missing: [] })
    expect(world.written).toEqual([pemOf(at(0))])
    await world.later(60_000)
    expect(world.written).toHaveLength(1)
    world.now = { crls: [at(0), at(1)], missing: [] }
    await world.later(2_000)
    expect(world.written).toEqual([pemOf(at(0)), pemOf(at(0), at(1))])
    expect(world.told()).toBe(0)
    await world.end()
  })

  test('stays what it was while it is not whole, which is told at first and every ten minutes', async () => {
    const world = await handing({ crls: [at(0)], missing: [] })
    world.now = { crls: [at(1)], missing: ['cd'.repeat(20)] }
    await world.later(2_000)
    await world.later(300_000)
    expect([world.written, world.told()]).toEqual([[pemOf(at(0))], 1])
    await world.later(300_000)
    expect(world.told()).toBe(2)
    world.now = { crls: [at(1), at(2)], missing: [] }
    await world.later(2_000)
    expect(world.written.at(-1)).toBe(pemOf(at(1), at(2)))
    await world.end()
  })

  test('is told of anew where it was whole meanwhile, as it was before', async () => {
    const whole = { crls: [at(0)], missing: [] }
    const world = await handing(whole)
    for (const times of [1, 2]) {
      world.now = { crls: [], missing: ['cd'.repeat(20)] }
      await world.later(4_000)
      expect(world.told()).toBe(times)
      world.now = whole
      await world.later(2_000)
    }
    expect(world.written).toEqual([pemOf(at(0))])
    await world.end()
  })

  test('is written again when there is room again', async () => {
    const world = await handing({ crls: [], missing: [] })
    expect(world.told()).toBe(1)
    world.full = true
    world.now = { crls: [at(0)], missing: [] }
    await world.later(10_000)
    world.full = false
    await world.later(2_000)
    expect([world.written, world.told()]).toEqual([[pemOf(at(0))], 1])
    await world.end()
  })

  test('is written again when somebody took it away', async () => {
    const world = await handing({ crls: [at(0)], missing: [] })
    world.gone = true
    await world.later(2_000)
    await world.later(60_000)
    expect([world.written, world.told()]).toEqual([[pemOf(at(0)), pemOf(at(0))], 0])
    await world.end()
  })
})
