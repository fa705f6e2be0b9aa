import { inspect } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { DAY } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import type { Events } from '../../src/service/events.ts'
import { telemetry } from '../../src/telemetry/events.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, withCertificate, withToken } from '../_support/attested.ts'
import { aCsr } from '../_support/csr.ts'
import { aRequest, csrOf } from '../_support/requests.ts'
import { secretsOf } from '../_support/secrets.ts'
import { TokenSigner } from '../_support/tokens.ts'

/** Everything that a run of good and bad requests left behind, as text, and what must not be in it. */
let written: { ledger: string; json: string; text: string; metrics: string; answers: string; events: string }
let tokens: string[]
let keys: PrivateKey[]

beforeAll(async () => {
  const ca = await aCa({ trustedNodeAccounts: [{ namespace: 'istio-system', name: 'ztunnel' }] })
  tokens = []
  keys = [ca.store.key as PrivateKey, ca.keeper.active.get()?.signer as PrivateKey]
  const answers: string[] = []
  const attempt = async (...request: Parameters<typeof aRequest>) => {
    const [{ authorization }] = request
    tokens.push(...authorization.map((header) => header.replace(/^\S+ /, '')))
    const answer = await ca.issueSvid(await aRequest(...request), NEVER).catch((error: unknown) => error)
    answers.push(answer instanceof CaError ? `${answer.code} ${answer.message}` : '')
    return answer
  }
  const aKeyAndCsr = async (algorithm?: string) => {
    const { key, pem } = await aCsr(algorithm)
    keys.push(key)
    return pem
  }

  const good = ca.podToken()
  for (const algorithm of ['ecdsa-p256', 'rsa-2048', 'ed25519'])
    await attempt(withToken(good), { csrPem: await aKeyAndCsr(algorithm) })
  const issued = await attempt(withToken(good), { csrPem: await aKeyAndCsr() })
  const { svid } = issued as Awaited<ReturnType<typeof ca.issueSvid>>
  await attempt(withCertificate(svid.der))
  await attempt(withToken(ca.podToken('istio-system', 'ztunnel'), 'spiffe://cluster.local/ns/shop/sa/cart'))

  const stranger = new TokenSigner({ kid: 'another-key' })
  const [head, body, signature] = good.split('.') as [string, string, string]
  for (const token of [
    `${head}.${body}.${signature.slice(0, -4)}AAAA`,
    `${head}.${body}`,
    `${head}..${signature}`,
    stranger.signed({ sub: 'system:serviceaccount:shop:cart' }),
    ca.podToken('shop', 'cart', { aud: 'vault' }),
    ca.podToken('shop', 'cart', { exp: 1 }),
    ca.podToken('shop', 'cart', { iss: 'https://elsewhere.example' }),
    ca.podToken('shop', 'cart', { sub: 'system:node:node-1' }),
    ca.podToken('shop', 'cart', { 'kubernetes.io': { namespace: 'other' } }),
    'opaque-bearer-secret-0123456789abcdef',
    'x'.repeat(20_000),
  ])
    await attempt(withToken(token))
  await attempt({
    authorization: [`Bearer ${good}`, `Bearer ${good}`],
    clientCertificate: undefined,
    impersonatedIdentity: undefined,
  })
  await attempt({
    authorization: [`Basic ${good}`],
    clientCertificate: undefined,
    impersonatedIdentity: undefined,
  })
  await attempt(withToken(good, `spiffe://cluster.local/ns/shop/sa/${'z'.repeat(300)}`))

  // A client that sends its private key instead of its CSR, or beside it.
  const careless = (await aCsr()).key
  keys.push(careless)
  let pem = ''
  await careless.store(async (bytes) => {
    pem = Buffer.from(bytes).toString('latin1')
  })
  await attempt(withToken(good), { csrPem: pem })
  await attempt(withToken(good), { csrPem: (await csrOf(careless)) + pem })
  await attempt(withToken(pem))
  await attempt(withToken(good), { csrPem: await csrOf(keys[0] as PrivateKey) })
  await attempt(withCertificate(Buffer.from(pem)))
  ca.cluster.down = true
  ca.cluster.pods.clear()
  await attempt(withToken(good))
  ca.cluster.down = false
  await ca.clock.advance(25 * DAY)
  await ca.keeper.tick()
  keys.push(ca.keeper.active.get()?.signer as PrivateKey)

  const lines: { json: string[]; text: string[] } = { json: [], text: [] }
  const metrics = new Metrics(ca.clock)
  for (const format of ['json', 'text'] as const) {
    const log = createLog({ level: 'debug', format, write: (line) => lines[format].push(line), clock: ca.clock })
    const events = telemetry(log, metrics)
    for (const { event, args } of ca.events.told) (events[event] as (...args: unknown[]) => void)(...args)
  }
  const told: (keyof Events)[] = ['svidIssued', 'svidRefused', 'authorityActivated', 'bundlePublished']
  expect(told.filter((name) => !ca.events.told.some(({ event }) => event === name))).toEqual([])
  expect(ca.ledger.of('issued').length).toBe(6)
  expect(ca.ledger.of('refused').length).toBe(20)
  written = {
    ledger: ca.ledger.records.map((record) => JSON.stringify(record)).join('\n'),
    json: lines.json.join(''),
    text: lines.text.join(''),
    metrics: (await metrics.text()).body,
    answers: answers.join('\n'),
    events: inspect(ca.events.told, { depth: Number.POSITIVE_INFINITY, maxStringLength: null, maxArrayLength: null }),
  }
})

const PLACES = ['ledger', 'json', 'text', 'metrics', 'answers', 'events'] as const

describe('after many good and bad requests', () => {
  test.each(PLACES)('no token is in the %s, nor a signature of one', (place) => {
    // A signature is what makes a token worth having; the rest names who was refused, and some of it is meant to be told.
    const secrets = tokens
      .flatMap((token) => [token, token.split('.')[2] ?? ''])
      .filter((secret) => secret.length >= 16)
    expect(secrets.length).toBeGreaterThan(20)
    expect(secrets.filter((secret) => written[place].includes(secret))).toEqual([])
  })

  test.each(PLACES)('no private key is in the %s', async (place) => {
    const secrets = (await Promise.all(keys.map(secretsOf))).flat()
    expect(secrets.length).toBeGreaterThan(50)
    expect(secrets.filter((secret) => written[place].includes(secret))).toEqual([])
    expect(/BEGIN [A-Z ]*PRIVATE KEY/.test(written[place])).toBe(false)
  })

  test.each(['ledger', 'json', 'text', 'metrics', 'answers'] as const)('no PEM is in the %s', (place) => {
    expect(/-----(BEGIN|END)|MII[A-Za-z0-9+/]{20}/.exec(written[place])).toBeNull()
  })

  test('this test would see a key if there were one', async () => {
    const [key] = keys as [PrivateKey]
    let pem = ''
    await key.store(async (bytes) => {
      pem = Buffer.from(bytes).toString('latin1')
    })
    const oneLine = pem.replaceAll(/-----.*-----|\n/g, '')
    expect((await secretsOf(key)).some((secret) => oneLine.includes(secret))).toBe(true)
  })
})
