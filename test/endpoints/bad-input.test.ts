import { createHmac } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { badCsrs } from '../_support/bad-csrs.ts'
import { aCsr } from '../_support/csr.ts'
import type { FakePod } from '../_support/fake-api-server.ts'
import type { BareGrpcClient } from '../_support/grpc-client.ts'
import { aGreedyCsr } from '../_support/openssl-ca.ts'
import { TokenSigner } from '../_support/tokens.ts'
import { until } from '../_support/until.ts'

let cluster: TestCluster
let server: TestServer
let client: BareGrpcClient
let cart: FakePod

beforeAll(async () => {
  cluster = await TestCluster.start()
  cart = cluster.pod('shop', 'cart')
  server = await aPluggedServer({ cluster: cluster.settings() })
  client = server.grpc()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await cluster[Symbol.asyncDispose]()
})
/** Whatever it was sent: it goes on. */
afterEach(async () => {
  expect(await ask.gRPC((await aCsr()).pem, cluster.tokenOf(cart))).toMatchObject({ code: 'ok' })
})

/** What a caller is told, in the words of either protocol. */
type Told = { readonly code: string; readonly message: string; readonly requestId: unknown }

/** gRPC names no code of ours: its status and its words must be those of the other protocol’s code. */
const CODES: Readonly<Record<number, string>> = {
  [status.OK]: 'ok',
  [status.INVALID_ARGUMENT]: 'bad_csr',
  [status.UNAUTHENTICATED]: 'unauthenticated',
}

const ask = {
  async gRPC(csr: string, token?: string | string[]): Promise<Told> {
    const { status: code, message, headers } = await client.createCertificate({ csr }, token)
    return { code: CODES[code] ?? `status ${code}`, message, requestId: headers['x-request-id'] }
  },

  async JSON(csr: string, token?: string | string[]): Promise<Told> {
    const tokens = token === undefined ? [] : [token].flat().map((one) => `Bearer ${one}`)
    const answer = await server.api('POST', '/v1/certificates', {
      body: { csr },
      ...(tokens.length > 0 && { headers: { authorization: tokens } }),
    })
    const requestId = answer.headers['x-request-id']
    if (answer.status === 200) return { code: 'ok', message: '', requestId }
    expect(answer.headers['content-type']).toBe('application/problem+json')
    const { code, detail, ...problem } = answer.json<Record<string, string>>()
    expect(problem).toMatchObject({ type: 'about:blank', status: answer.status, requestId })
    expect(answer.status).toBe(code === 'unauthenticated' ? 401 : 400)
    return { code: String(code), message: String(detail), requestId }
  },
}
const PROTOCOLS = ['gRPC', 'JSON'] as const

/** What the log says about a request. */
const logged = ({ requestId }: Told) =>
  server.log.map((line) => JSON.parse(line) as Record<string, unknown>).find((line) => line.requestId === requestId)

const bad = await badCsrs()

describe.for(PROTOCOLS)('by %s, a CSR is refused that is', (protocol) => {
  test.for(bad)('%s', async ([, csr, says]) => {
    const told = await ask[protocol](csr, cluster.tokenOf(cart))
    expect(told).toMatchObject({ code: 'bad_csr', message: expect.stringMatching(says) })
    expect(logged(told)).toMatchObject({ message: 'refused', code: 'bad_csr', detail: expect.stringMatching(says) })
  })

  test('greedy, no: but it gets nothing it asks for', async () => {
    expect(await ask[protocol](aGreedyCsr(), cluster.tokenOf(cart))).toMatchObject({ code: 'ok' })
    expect(server.ledger().at(-1)).toMatchObject({ kind: 'issued', id: 'spiffe://cluster.local/ns/shop/sa/cart' })
  })
})

const base64 = (text: string) => Buffer.from(text).toString('base64url')
const seconds = () => Math.floor(Date.now() / 1000)
const claims = () =>
  JSON.parse(Buffer.from(cluster.tokenOf(cart).split('.')[1] ?? '', 'base64url').toString()) as object
const headed = (header: Record<string, unknown>) => cluster.signer.signed(claims(), header)
const forged = (alg: string, signature: (signed: string) => string) => {
  const signed = `${base64(JSON.stringify({ alg, kid: cluster.signer.kid }))}.${base64(JSON.stringify(claims()))}`
  return `${signed}.${signature(signed)}`
}
const stranger = new TokenSigner({ alg: 'ES256' })

/** What is wrong with it, the token, and what the log calls it. */
type BadToken = readonly [what: string, token: () => string | string[] | undefined, reason: string, detail: RegExp]

const tokens: readonly BadToken[] = [
  ['missing', () => undefined, 'no_credential', /neither a token nor a client certificate/],
  [
    'two in one header',
    () => `${cluster.tokenOf(cart)}, Bearer ${cluster.tokenOf(cart)}`,
    'two_credentials',
    /list of tokens/,
  ],
  ['two in one list', () => `${cluster.tokenOf(cart)},${cluster.tokenOf(cart)}`, 'two_credentials', /list of tokens/],
  ['of one part', () => 'token', 'malformed_token', /not three parts/],
  ['of four parts', () => `${cluster.tokenOf(cart)}.x`, 'malformed_token', /not three parts/],
  ['not base64', () => `${cluster.tokenOf(cart)}=`, 'malformed_token', /not base64url/],
  ['not JSON', () => cluster.signer.signed('sub=cart'), 'malformed_token', /not JSON/],
  [
    'more than 16 KiB',
    () => cluster.tokenOf(cart, { padding: 'x'.repeat(16 * 1024) }),
    'malformed_token',
    /at most 16384/,
  ],
  ['signed with nothing (none)', () => forged('none', () => 'x'), 'malformed_token', /signed with "none"/],
  [
    'signed with the public key (HS256)',
    () =>
      forged('HS256', (signed) =>
        createHmac('sha256', JSON.stringify(cluster.signer.jwks.keys[0])).update(signed).digest('base64url'),
      ),
    'malformed_token',
    /signed with "HS256"/,
  ],
  ['said to be signed with another algorithm', () => headed({ alg: 'RS256' }), 'unknown_key', /RS256/],
  ['signed by a key that nobody knows', () => headed({ kid: 'nobody' }), 'unknown_key', /nobody/],
  ['without a key id', () => headed({ kid: undefined }), 'malformed_token', /without a key id/],
  ['signed by somebody else', () => stranger.signed(claims()), 'bad_signature', /does not verify/],
  ['of another issuer', () => cluster.tokenOf(cart, { iss: 'https://example.org' }), 'wrong_issuer', /example\.org/],
  ['for another audience', () => cluster.tokenOf(cart, { aud: ['vault'] }), 'wrong_audience', /vault/],
  ['for no audience', () => cluster.tokenOf(cart, { aud: undefined }), 'wrong_audience', /audience none/],
  ['for a list in a list', () => cluster.tokenOf(cart, { aud: [['istio-ca']] }), 'wrong_audience', /istio-ca/],
  ['expired', () => cluster.tokenOf(cart, { exp: seconds() - 61 }), 'expired', /^expired at /],
  ['from the future', () => cluster.tokenOf(cart, { nbf: seconds() + 70 }), 'not_yet_valid', /nbf is .* in the future/],
  [
    'issued in the future',
    () => cluster.tokenOf(cart, { iat: seconds() + 70 }),
    'not_yet_valid',
    /iat is .* in the future/,
  ],
  [
    'with a claim twice',
    () => {
      const text = JSON.stringify(claims())
      const header = JSON.stringify({ alg: 'ES256', kid: cluster.signer.kid })
      return cluster.signer.signedText(header, `{"sub":"system:serviceaccount:shop:till",${text.slice(1)}`)
    },
    'malformed_token',
    /a key twice/,
  ],
  ['with jku', () => headed({ jku: 'https://keys.invalid' }), 'malformed_token', /header field "jku"/],
  ['with x5u', () => headed({ x5u: 'https://keys.invalid' }), 'malformed_token', /header field "x5u"/],
  ['with jwk', () => headed({ jwk: stranger.jwks.keys[0] }), 'malformed_token', /header field "jwk"/],
  ['with crit', () => headed({ crit: ['exp'] }), 'malformed_token', /header field "crit"/],
  ['without an end', () => cluster.tokenOf(cart, { exp: undefined }), 'no_expiry', /without an end/],
  [
    'of an old service-account secret',
    () =>
      cluster.signer.signed({
        iss: 'kubernetes/serviceaccount',
        'kubernetes.io/serviceaccount/namespace': 'shop',
        'kubernetes.io/serviceaccount/service-account.name': 'cart',
        sub: 'system:serviceaccount:shop:cart',
      }),
    'not_a_service_account',
    /do not name the subject/,
  ],
  ['of a user', () => cluster.tokenOf(cart, { sub: 'admin' }), 'not_a_service_account', /subject "admin"/],
  [
    'of an account that its claims contradict',
    () => cluster.tokenOf(cart, { sub: 'system:serviceaccount:shop:till' }),
    'not_a_service_account',
    /do not name the subject/,
  ],
  [
    'of a pod that never was',
    () => cluster.tokenOf({ ...cart, name: 'ghost', uid: 'ghost' }),
    'token_review',
    /the pod is gone/,
  ],
]

const OPAQUE = { code: 'unauthenticated', message: 'request authenticate failure' }

describe.for(PROTOCOLS)('by %s, a token is refused in one wording, and the log knows better:', (protocol) => {
  test.for(tokens)('%s', async ([, make, reason, detail]) => {
    const token = make()
    const told = await ask[protocol]((await aCsr()).pem, token)
    expect(told).toMatchObject(OPAQUE)
    expect(logged(told)).toMatchObject({ message: 'refused', reason, detail: expect.stringMatching(detail) })
  })

  test('of a pod that was deleted', async () => {
    const pod = cluster.pod('shop', 'till', { name: `till-${protocol.toLowerCase()}` })
    const token = cluster.tokenOf(pod)
    const { pem } = await aCsr()
    expect(await ask[protocol](pem, token)).toMatchObject({ code: 'ok' })
    cluster.api.removePod(pod.uid)
    await until('a refusal', async () => (await ask[protocol](pem, token)).code !== 'ok')
    const told = await ask[protocol](pem, token)
    expect(told).toMatchObject(OPAQUE)
    expect(logged(told)).toMatchObject({ detail: expect.stringContaining('gone') })
  })

  test('of an account that was deleted', async () => {
    const namespace = `of-${protocol.toLowerCase()}`
    const pod = cluster.pod(namespace, 'brief')
    const token = cluster.tokenOf(pod)
    const { pem } = await aCsr()
    expect(await ask[protocol](pem, token)).toMatchObject({ code: 'ok' })
    cluster.api.removeAccount({ namespace, name: 'brief', uid: '' })
    cluster.api.removePod(pod.uid)
    await until('a refusal', async () => (await ask[protocol](pem, token)).code !== 'ok')
    expect(await ask[protocol](pem, token)).toMatchObject(OPAQUE)
  })
})

test('by JSON, two authorization headers are refused, whichever is good', async () => {
  const { pem } = await aCsr()
  const good = cluster.tokenOf(cart)
  for (const pair of [
    [good, good],
    ['a.b.c', good],
    [good, 'a.b.c'],
  ]) {
    const told = await ask.JSON(pem, pair)
    expect(told).toMatchObject(OPAQUE)
    expect(logged(told)).toMatchObject({ reason: 'two_credentials', detail: '2 authorization headers' })
  }
})

test('by JSON, another scheme than Bearer is refused, and the right one named', async () => {
  const token = cluster.tokenOf(cart)
  const { pem: csr } = await aCsr()
  const answer = await server.api('POST', '/v1/certificates', {
    body: { csr },
    headers: { authorization: `Basic ${Buffer.from(token).toString('base64')}` },
  })
  expect(answer).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } })
})

test('no token is in the log or the ledger, good or bad', async () => {
  const token = cluster.tokenOf(cart)
  const expired = cluster.tokenOf(cart, { exp: seconds() - 3600 })
  const { pem } = await aCsr()
  for (const protocol of PROTOCOLS) for (const one of [token, expired]) await ask[protocol](pem, one)
  const written = server.log.join('') + JSON.stringify(server.ledger())
  for (const one of [token, expired])
    for (const part of one.split('.').slice(1)) expect(written).not.toContain(part.slice(0, 20))
})
