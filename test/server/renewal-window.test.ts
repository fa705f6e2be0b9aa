import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import type { RotationView } from '../../src/service/rotation-view.ts'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { pemOf } from '../_support/identity.ts'
import { SteeredClock } from '../_support/steered-clock.ts'

const WORKLOADS = 9
const WINDOW = 12 * MINUTE

/** Keeps a certificate of an hour fresh by what it hears: it asks as often as it is told to, and renews when it is told to. */
class Listener {
  readonly renewals: number[] = []
  readonly #server: TestServer
  readonly #clock: SteeredClock
  /** All of one answer. */
  #held = { key: '', cert: '', ca: '' }
  #asksAt = 0

  constructor(server: TestServer, clock: SteeredClock) {
    this.#server = server
    this.#clock = clock
    this.#held.ca = server.roots
  }

  get issuer(): string {
    return new X509Certificate(this.#held.cert).issuer
  }

  /** By its token at first, then by what it holds. */
  async renew(token?: string): Promise<void> {
    const { key, pem } = await aCsr()
    const answer = await this.#server.api('POST', '/v1/certificates', {
      tls: this.#held,
      body: { csr: pem, ttlSeconds: HOUR / SECOND },
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    })
    expect(answer.status).toBe(200)
    const issued = answer.json<{ certificateChain: string; trustBundle: string }>()
    this.#held = { key: await pemOf(key), cert: issued.certificateChain, ca: issued.trustBundle }
  }

  /** What is due now. */
  async live(): Promise<void> {
    while (this.#clock.now().getTime() >= this.#asksAt) {
      const answer = await this.#server.api('GET', '/v1/renewal', { tls: this.#held })
      expect(answer.status).toBe(200)
      const now = this.#clock.now().getTime()
      this.#asksAt = now + Number(answer.headers['retry-after']) * SECOND
      if (now < Date.parse(answer.json<{ renewAt: string }>().renewAt)) return
      await this.renew()
      this.renewals.push(now)
      // With the new one, which alone replaces the one before.
      this.#asksAt = now
    }
  }
}

test('who hears when to renew moves to a new root within two windows, the soonest to end first and never all at once', async () => {
  // The clients live in real time, to which the server comes up.
  const clock = new SteeredClock({ aheadMs: -HOUR })
  await using server = await aDevServer({ clock, settings: { 'root.renewalWindow': `${WINDOW / MINUTE}m` } })
  const listeners: Listener[] = []
  for (let index = 0; index < WORKLOADS; index++) {
    const one = new Listener(server, clock)
    await one.renew(await server.devToken('shop', `cart-${index}`))
    listeners.push(one)
    await clock.leap(160 * SECOND)
  }
  for (const one of listeners) await one.live()
  expect(listeners.flatMap(({ renewals }) => renewals)).toEqual([])

  const began = clock.now().getTime()
  const rotate = await server.admin('POST', '/v1/rotation', { body: { because: 'a test' } })
  let view = rotate.json<RotationView>()
  expect(view).toMatchObject({ phase: 'distribute', live: WORKLOADS, ready: 0 })
  // By the ends of their certificates alone the first of the two gates would open then.
  expect(Date.parse(view.gate?.until ?? '') - began).toBeGreaterThan(HOUR - 3 * MINUTE)
  let moved = 0
  while (view.phase !== 'none') {
    await clock.leap(20 * SECOND)
    for (const one of listeners) await one.live()
    view = (await server.admin('GET', '/v1/rotation')).json<RotationView>()
    if (view.phase === 'renew' && moved === 0) moved = clock.now().getTime()
    // With what passes here from one look at the gates to the next.
    expect(clock.now().getTime() - began).toBeLessThan(2 * WINDOW + 4 * MINUTE)
  }

  expect(new Set(listeners.map(({ issuer }) => issuer)).size).toBe(1)
  const renewed = (wave: number, since: number) =>
    listeners.map(({ renewals }) => ((renewals[wave] as number) - since) / WINDOW)
  const due = renewed(0, began)
  expect(Math.max(...due.slice(0, WORKLOADS / 3))).toBeLessThan(Math.min(...due.slice(-WORKLOADS / 3)))
  const busiest = Math.max(
    ...Map.groupBy(due, (at) => Math.floor(at * 6))
      .values()
      .map((all) => all.length),
  )
  expect(busiest).toBeLessThanOrEqual(5)
  // They had renewed minutes ago, so all are near the end of this one.
  const again = renewed(1, moved)
  expect(Math.max(...again) - Math.min(...again)).toBeGreaterThan(0.1)
  expect(Math.max(...again)).toBeLessThan(1.05)
})
