import { describe, expect, test } from 'vitest'
import type { Credentials } from '../../src/attestation/attest.ts'
import { HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import { type AskRenewalParts, askingRenewals } from '../../src/service/ask-renewal.ts'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, withCertificate, withToken } from '../_support/attested.ts'
import { aRequest } from '../_support/requests.ts'

type Ca = Awaited<ReturnType<typeof aCa>>

const context = { requestId: 'request-r', endpoint: 'admin' as const, peer: '127.0.0.1:40000' }
const ask = (ca: Ca, credentials: Credentials, signal = NEVER) => ca.askRenewal({ context, credentials }, signal)
const issued = async (ca: Ca, credentials: Credentials = withToken(ca.podToken()), ttlSeconds = 0) =>
  (await ca.issueSvid(await aRequest(credentials, { ttlSeconds }), NEVER)).svid
/** The use case over the parts of a CA, with some of them replaced. */
const asking = (ca: Ca, parts: Partial<AskRenewalParts>) =>
  askingRenewals({ ...ca, suggest: ca.suggest, windowMs: HOUR, ...parts })

describe('who asks with a certificate', () => {
  test('hears what it heard when that was issued, again and again', async () => {
    const ca = await aCa()
    const answer = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    for (let round = 0; round < 3; round++) {
      expect((await ask(ca, withCertificate(answer.svid.der))).at).toEqual(answer.renewAt)
      await ca.clock.advance(HOUR)
    }
  })

  test('hears another time as soon as a new root waits in the bundle, and as soon as it signs', async () => {
    const ca = await aCa()
    const before = withCertificate((await issued(ca)).der)
    await ca.clock.advance(HOUR)
    await ca.keeper.roots.prepare({ by: 'admin', because: 'a test' })
    const prepared = ca.clock.now()
    const within = async (credentials: Credentials, since: Date) => {
      const { start, at, end } = await ask(ca, credentials)
      for (const moment of [start, at, end]) {
        expect(moment.getTime()).toBeGreaterThanOrEqual(since.getTime())
        expect(moment.getTime()).toBeLessThanOrEqual(since.getTime() + HOUR)
      }
    }
    await within(before, prepared)
    const next = withCertificate((await issued(ca, before)).der)
    expect((await ask(ca, next)).at.getTime()).toBeGreaterThan(ca.clock.now().getTime() + 10 * HOUR)
    const root = ca.keeper.set.authorities.find(({ state }) => state === 'prepared')?.id
    await ca.clock.advance(HOUR)
    await ca.keeper.roots.activate(root, { by: 'admin', because: 'a test' }, undefined)
    await within(next, ca.clock.now())
  })

  test('is told to ask again six times a window, and when its renewal is due if that is sooner', async () => {
    const ca = await aCa()
    const day = withCertificate((await issued(ca)).der)
    expect((await ask(ca, day)).askAgainMs).toBe(10 * MINUTE)
    const brief = withCertificate((await issued(ca, undefined, 10 * 60)).der)
    const { at, askAgainMs } = await ask(ca, brief)
    expect(askAgainMs).toBe(at.getTime() - ca.clock.now().getTime())
    expect(askAgainMs).toBeLessThan(6 * MINUTE)
    await ca.clock.advance(9 * MINUTE)
    expect(await ask(ca, brief)).toMatchObject({ at: ca.clock.now(), askAgainMs: SECOND })
  })

  test('has shown it: the ledger says so once, and the one before it counts no more', async () => {
    const ca = await aCa()
    const first = await issued(ca)
    const second = await issued(ca, withCertificate(first.der))
    const serial = second.prepared.tbs.serial
    for (let round = 0; round < 2; round++) await ask(ca, withCertificate(second.der))
    expect(ca.ledger.of('shown').filter((record) => record.serial === serial)).toEqual([
      { kind: 'shown', at: ca.clock.now().toISOString(), requestId: 'request-r', serial },
    ])
    expect(ca.inventory.find(serial)?.proven).toBe(true)
    expect(ca.inventory.find(first.prepared.tbs.serial)).toBeUndefined()
  })

  test('gets nothing issued', async () => {
    const ca = await aCa()
    const { der } = await issued(ca)
    const before = ca.ledger.records.length
    await ask(ca, withCertificate(der))
    expect(ca.ledger.records.slice(before).map(({ kind }) => kind)).toEqual(['shown'])
    expect(ca.events.told.filter(({ event }) => event === 'svidRequested')).toHaveLength(1)
  })

  test('that was replaced by one that is in use is told so', async () => {
    const ca = await aCa()
    const first = await issued(ca)
    const second = await issued(ca, withCertificate(first.der))
    // A newer one that nobody has used replaces nothing: its answer may have been lost.
    expect((await ask(ca, withCertificate(first.der))).at.getTime()).toBeGreaterThan(ca.clock.now().getTime())
    await ask(ca, withCertificate(second.der))
    await expect(ask(ca, withCertificate(first.der))).rejects.toMatchObject({
      code: 'not_found',
      message: 'a newer certificate that replaced this one is in use; ask with that one',
    })
  })

  test('is put off while the ledger is still being read', async () => {
    const ca = await aCa()
    const { der } = await issued(ca)
    const question = { context, credentials: withCertificate(der) }
    await expect(asking(ca, { inventory: new Inventory() })(question, NEVER)).rejects.toMatchObject({
      code: 'not_ready',
      message: 'the ledger is still being read for what is alive; ask again',
    })
  })

  test('hears nothing when that it was shown can’t be recorded', async () => {
    const ca = await aCa()
    const { der } = await issued(ca)
    ca.ledger.full = true
    await expect(ask(ca, withCertificate(der))).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(ca.inventory.find([...ca.ledger.of('issued')][0]?.serial ?? '')?.proven).toBe(false)
  })
})

describe('who is not who it must be', () => {
  test.each<[string, string, (ca: Ca, der: Uint8Array) => Promise<Credentials>]>([
    [
      'nothing to show',
      'no_credential',
      async () => ({ ...withCertificate(new Uint8Array()), clientCertificate: undefined }),
    ],
    ['a token that is none', 'malformed_token', async () => withToken('none')],
    [
      'a bad token beside a good certificate',
      'malformed_token',
      async (_, der) => ({ ...withCertificate(der), authorization: ['Bearer none'] }),
    ],
    [
      'a certificate whose pod is gone',
      'pod_gone',
      async (ca, der) => {
        ca.cluster.pods.clear()
        return withCertificate(der)
      },
    ],
    [
      'a certificate that has ended',
      'expired',
      async (ca, der) => {
        await ca.clock.advance(25 * HOUR)
        return withCertificate(der)
      },
    ],
    [
      'a certificate of a compromised root',
      'unknown_issuer',
      async (ca, der) => {
        const root = ca.keeper.set.authorities.find(({ role }) => role === 'root')?.id ?? ''
        await ca.keeper.roots.taint(root, { by: 'admin', because: 'stolen' }, HOUR, undefined)
        return withCertificate(der)
      },
    ],
  ])('%s: is refused as for a certificate, and why is in the ledger', async (_, reason, credentials) => {
    const ca = await aCa()
    const { der } = await issued(ca)
    const shown = await credentials(ca, der)
    await expect(ask(ca, shown)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: 'request authenticate failure',
    })
    expect(ca.ledger.records.at(-1)).toMatchObject({
      kind: 'refused',
      requestId: 'request-r',
      code: 'unauthenticated',
      reason,
    })
    expect(ca.events.told.at(-1)).toMatchObject({ event: 'svidRefused', args: [context, { reason }] })
  })

  test('a refusal that can’t be recorded is not answered as one', async () => {
    const ca = await aCa()
    ca.ledger.full = true
    await expect(ask(ca, withToken('none'))).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(ca.events.told.at(-1)).toMatchObject({ event: 'svidRefused' })
  })

  test('a token alone is told to bring the certificate', async () => {
    const ca = await aCa()
    await expect(ask(ca, withToken(ca.podToken()))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'ask with the certificate that is to be renewed, by mutual TLS and no token',
    })
    expect(ca.ledger.of('refused')).toEqual([])
  })

  test('who gave up is refused nothing', async () => {
    const ca = await aCa()
    const gone = new AbortController()
    const attest = () => {
      gone.abort(new Error('gone'))
      return Promise.reject(new CaError('unauthenticated', 'request authenticate failure'))
    }
    const question = { context, credentials: withToken('any') }
    await expect(asking(ca, { attest })(question, gone.signal)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the caller gave up',
    })
    expect(ca.ledger.of('refused')).toEqual([])
  })
})
