import { X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { connect } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AUTHORITY_STATES, type Authority } from '../../src/authority/authority.ts'
import { HOUR } from '../../src/core/duration.ts'
import { OPENAPI } from '../../src/endpoints/admin/openapi.ts'
import { MAX_MESSAGE_BYTES, METHODS } from '../../src/endpoints/edge.ts'
import { KEY_PLACES } from '../../src/service/seen.ts'
import { MAX_CSR_BYTES } from '../../src/x509/csr.ts'
import { aDevServer, aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { HeldReviews } from '../_support/held-reviews.ts'
import type { HttpCallOptions, HttpResult } from '../_support/http-client.ts'
import { obtain, pemOf } from '../_support/identity.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { selfSignedServer } from '../_support/tls.ts'
import { until } from '../_support/until.ts'

let server: TestServer
let token: string
let csr: string

beforeAll(async () => {
  server = await aDevServer()
  token = await server.devToken()
  csr = (await aCsr()).pem
})
afterAll(() => server[Symbol.asyncDispose]())

const bearer = () => ({ authorization: `Bearer ${token}` })
const post = (body: HttpCallOptions['body'], headers: Record<string, string> = {}) =>
  server.api('POST', '/v1/certificates', { ...(body !== undefined && { body }), headers: { ...bearer(), ...headers } })

/** A problem as RFC 9457 has it, the same in header and body. */
function problemOf({ status, headers, json }: HttpResult) {
  expect(headers['content-type']).toBe('application/problem+json')
  expect(headers['cache-control']).toBe('no-store')
  const problem = json<Record<string, unknown>>()
  expect(Object.keys(problem).toSorted()).toEqual([...OPENAPI.components.schemas.Problem.required].toSorted())
  expect(problem).toMatchObject({ status, requestId: headers['x-request-id'] })
  return problem
}

describe('POST /v1/certificates', () => {
  test('gives a chain that verifies, and says what is in it', async () => {
    const { key, pem } = await aCsr()
    const answer = await post({ csr: pem })
    expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/json; charset=utf-8' } })
    const body = answer.json<Record<string, string>>()
    const [leaf, ...between] = certificatesIn(body.certificateChain)
    const roots = certificatesIn(body.trustBundle)
    const der = (list: readonly X509Certificate[]) => list.map((one) => one.raw)
    expect(opensslVerify(der([leaf as X509Certificate]), der(between), der(roots), new Date())).toEqual(['OK'])
    expect(leaf?.publicKey.export({ format: 'der', type: 'spki' })).toEqual(Buffer.from(key.publicKey.spki))
    expect(body).toMatchObject({
      spiffeId: 'spiffe://cluster.local/ns/shop/sa/cart',
      serial: leaf?.serialNumber.toLowerCase(),
      notBefore: leaf?.validFromDate.toISOString(),
      notAfter: leaf?.validToDate.toISOString(),
    })
    expect(leaf?.subjectAltName).toBe(`URI:${body.spiffeId}`)
  })

  test.for([
    [undefined, 86_400],
    [0, 86_400],
    [-1, 86_400],
    [600, 600],
  ] as const)('asked for %s seconds gives %d', async ([ttlSeconds, seconds]) => {
    const body = (await post({ csr, ttlSeconds })).json<{ notAfter: string }>()
    const left = (new Date(body.notAfter).getTime() - Date.now()) / 1000
    expect(left).toBeLessThanOrEqual(seconds)
    expect(left).toBeGreaterThan(seconds - 10)
  })

  const wrong: readonly (readonly [what: string, body: HttpCallOptions['body'], says: RegExp, status?: number])[] = [
    ['nothing', undefined, /as application\/json/, 415],
    ['an empty body', '', /not JSON/],
    ['no JSON', '{"csr":', /not JSON/],
    ['JSON and more', '{"csr":""}{}', /not JSON/],
    ['a list', [], /a JSON object/],
    ['a text', '"csr"', /a JSON object/],
    ['null', 'null', /a JSON object/],
    ['no CSR', {}, /csr is missing/],
    ['a number for a CSR', { csr: 7 }, /csr is missing: a PEM/],
    ['null for a CSR', { csr: null }, /csr is missing: a PEM/],
    ['a list of CSRs', { csr: ['x'] }, /csr is missing: a PEM/],
    ['a text for a lifetime', { csr: 'x', ttlSeconds: '60' }, /ttlSeconds is a whole number/],
    ['half a second', { csr: 'x', ttlSeconds: 0.5 }, /ttlSeconds is a whole number/],
    ['null for a lifetime', { csr: 'x', ttlSeconds: null }, /ttlSeconds is a whole number/],
    ['a lifetime beyond all numbers', '{"csr":"x","ttlSeconds":1e999}', /ttlSeconds is a whole number/],
    ['a lifetime beyond the exact ones', '{"csr":"x","ttlSeconds":9007199254740993}', /ttlSeconds is a whole number/],
    ['a field nobody knows', { csr: 'x', ttl: 60 }, /unknown field "ttl"; there are csr, ttlSeconds/],
    ['a field every object has', '{"csr":"x","__proto__":{"ttlSeconds":1}}', /unknown field "__proto__"/],
    ['a field twice', '{"csr":"x","csr":"y"}', /a key twice/],
    ['JSON nested too deep', `{"csr":${'['.repeat(20)}${']'.repeat(20)}}`, /nested deeper than 16/],
    [
      'JSON nested far too deep',
      `{"csr":${'['.repeat(40_000)}${']'.repeat(40_000)}}`,
      /nested deeper than 16|not JSON/,
    ],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), /a JSON object/],
    [
      'a byte too many',
      JSON.stringify({ csr: '' }).padEnd(MAX_MESSAGE_BYTES + 1),
      /too large; at most 98304 bytes/,
      413,
    ],
  ]

  test.for(wrong)('with %s is refused, and told what would do', async ([, body, says, status = 400]) => {
    const answer = await post(body)
    expect(problemOf(answer)).toMatchObject({
      status,
      code: 'invalid_argument',
      detail: expect.stringMatching(says),
    })
    // What is too large is turned away before anybody knows who asks.
    if (status !== 413) expect(server.ledger().at(-1)).toMatchObject({ kind: 'refused', code: 'invalid_argument' })
  })

  test('with a body of the largest size is served', async () => {
    expect((await post(JSON.stringify({ csr }).padEnd(MAX_MESSAGE_BYTES))).status).toBe(200)
  })

  test('with a lifetime over the maximum is refused, and told the maximum', async () => {
    const answer = await post({ csr, ttlSeconds: 91 * 86_400 })
    expect(problemOf(answer)).toMatchObject({ status: 400, detail: expect.stringMatching(/at most 90 days/) })
  })

  test.for(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'text/json', ''])(
    'with content type %j is refused, and told the right one',
    async (type) => {
      const answer = await post(JSON.stringify({ csr }), { 'content-type': type })
      expect(problemOf(answer)).toMatchObject({ status: 415, detail: 'send the body as application/json' })
    },
  )

  test.for(['application/json', 'application/json; charset=utf-8', 'Application/JSON'])(
    'with content type %j is served',
    async (type) => {
      expect((await post(JSON.stringify({ csr }), { 'content-type': type })).status).toBe(200)
    },
  )

  test('with a compressed body is refused before it is unpacked', async () => {
    const answer = await post(gzipSync(JSON.stringify({ csr }).padEnd(50 * 1024 * 1024)), {
      'content-encoding': 'gzip',
    })
    expect(problemOf(answer)).toMatchObject({ status: 415, detail: 'a compressed body; send it plain' })
  })

  test('with a body in pieces that becomes too large is refused', async () => {
    const pieces = `${(17_000).toString(16)}\r\n${'x'.repeat(17_000)}\r\n`.repeat(6)
    const head = 'POST /v1/certificates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
    expect(await raw(`${head}${pieces}0\r\n\r\n`)).toMatch(/^HTTP\/1.1 413 (.|\s)*at most 98304 bytes/)
  })

  test('with a body that says it is larger than it may be is refused before it comes', async () => {
    const said = await raw('POST /v1/certificates HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n')
    expect(said).toMatch(/^HTTP\/1.1 413 (.|\s)*the body is too large; at most 98304 bytes/)
  })
})

describe('GET /v1/renewal', () => {
  test('tells who shows a certificate when to renew it, and when to ask again', async () => {
    const { key, pem } = await aCsr()
    const issued = (await post({ csr: pem })).json<Record<'certificateChain' | 'renewAt', string>>()
    const tls = { key: await pemOf(key), cert: issued.certificateChain }
    const answer = await server.api('GET', '/v1/renewal', { tls })
    expect(answer).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store', 'retry-after': '600' } })
    const { suggestedWindow, renewAt } = answer.json<{
      suggestedWindow: Record<'start' | 'end', string>
      renewAt: string
    }>()
    expect(renewAt).toBe(issued.renewAt)
    const inHours = (text: string) => (Date.parse(text) - Date.now()) / HOUR
    expect(inHours(suggestedWindow.start)).toBeCloseTo(10.8, 1)
    expect(inHours(suggestedWindow.end)).toBeCloseTo(13.2, 1)
  })

  test('refuses whoever shows none, or a token, and says of each refusal what the document says', async () => {
    const described = OPENAPI.paths['/v1/renewal'].get.responses
    const before = server.ledger().length
    const nobody = await server.api('GET', '/v1/renewal')
    const stranger = await server.api('GET', '/v1/renewal', { tls: selfSignedServer('stranger') })
    for (const answer of [nobody, stranger]) {
      expect(problemOf(answer)).toMatchObject({
        status: 401,
        code: 'unauthenticated',
        detail: 'request authenticate failure',
      })
      expect(answer.headers['www-authenticate']).toBe('Bearer')
    }
    expect(
      server
        .ledger()
        .slice(before)
        .map((record) => ('reason' in record ? record.reason : record.kind)),
    ).toEqual(['no_credential', 'unknown_issuer'])
    const byToken = await server.api('GET', '/v1/renewal', { headers: bearer() })
    expect(problemOf(byToken)).toMatchObject({ status: 400, code: 'invalid_argument' })
    const first = await obtain(server.grpc(), token)
    const second = await obtain(server.grpc(first.tls), undefined)
    await server.api('GET', '/v1/renewal', { tls: second.tls })
    const replaced = await server.api('GET', '/v1/renewal', { tls: first.tls })
    expect(problemOf(replaced)).toMatchObject({ status: 404, code: 'not_found' })
    for (const { status, json } of [nobody, byToken, replaced])
      expect(faults(json(), resolve(described[status as 404].content['application/problem+json'].schema))).toEqual([])
  })
})

describe('GET /v1/bundle', () => {
  test('gives the roots as a SPIFFE bundle', async () => {
    const answer = await server.api('GET', '/v1/bundle')
    const [root] = certificatesIn(server.roots)
    const { keys, ...bundle } = answer.json<{ keys: Record<string, unknown>[] }>()
    expect(bundle).toEqual({ spiffe_sequence: expect.any(Number), spiffe_refresh_hint: 300 })
    expect(keys).toEqual([
      { ...root?.publicKey.export({ format: 'jwk' }), use: 'x509-svid', x5c: [root?.raw.toString('base64')] },
    ])
  })

  test.for([
    ['when the query says so', '/v1/bundle?format=pem', '*/*'],
    ['when the caller accepts nothing else', '/v1/bundle', 'application/x-pem-file'],
  ] as const)('gives them as PEM %s', async ([, path, accept]) => {
    const answer = await server.api('GET', path, { headers: { accept } })
    expect(answer).toMatchObject({ text: server.roots, headers: { 'content-type': 'application/x-pem-file' } })
  })
})

describe('GET /v1/status', () => {
  test('says who can sign until when, and not what runs here', async () => {
    const { authorities, ...status } = (await server.api('GET', '/v1/status')).json<{ authorities: object[] }>()
    expect(status).toEqual({ trustDomain: 'cluster.local', ready: true, bundleSequence: expect.any(Number) })
    expect(authorities.map((one) => ('role' in one ? one.role : undefined)).toSorted()).toEqual(['issuing', 'root'])
  })
})

describe('what is not served is told so:', () => {
  test.for([
    ['GET', '/v1/certificates', '/v1/certificates takes POST'],
    ['DELETE', '/v1/certificates', '/v1/certificates takes POST'],
    ['POST', '/v1/status', '/v1/status takes GET'],
    ['PATCH', '/v1/bundle', '/v1/bundle takes GET'],
    ['GET', '/', 'nothing is served at /'],
    ['GET', '/v1/certificate', 'nothing is served at /v1/certificate'],
    ['GET', '/metrics', 'nothing is served at /metrics'],
    ['GET', '/healthz', 'nothing is served at /healthz'],
    ['GET', '/%', /nothing is served|can’t be read/],
    ['GET', 'http://x:99999/v1/bundle', 'the request’s target is no URL'],
    ['GET', 'http://[/v1/bundle', 'the request’s target is no URL'],
    ['GET', `/${'x'.repeat(10_000)}`, /^nothing is served at \/x{199}$/],
  ] as const)('$0 $1', async ([method, path, says]) => {
    const answer = await server.api(method, path)
    const problem = problemOf(answer)
    expect(problem.detail).toEqual(typeof says === 'string' ? says : expect.stringMatching(says))
    const [, takes] = / takes (.*)$/.exec(String(problem.detail)) ?? []
    expect([answer.headers.allow, takes ? [405] : [400, 404]]).toEqual([
      takes,
      expect.arrayContaining([problem.status]),
    ])
  })

  test.for([
    ['no HTTP', '\0\0\0\0\r\n\r\n'],
    ['a request line without end', `GET /${'x'.repeat(40_000)}`],
    ['headers of 40 KB', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`],
    ['two lengths', 'POST /v1/certificates HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a line folded', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n'],
    ['no host', 'GET /v1/status HTTP/1.1\r\n\r\n'],
    ['HTTP/2 without TLS’s leave', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ] as const)('%s, and the connection ends', async ([, bytes]) => {
    const said = await raw(bytes)
    expect(said).not.toMatch(/^HTTP\/1.1 200/)
  })
})

describe('the admin’s verbs', () => {
  test('are on a unix socket that is its owner’s alone, in a directory that is, too', () => {
    const { adminSocket } = server.running
    expect(statSync(adminSocket).isSocket()).toBe(true)
    expect(statSync(adminSocket).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(adminSocket)).mode & 0o077).toBe(0)
  })

  test.for([
    '/v1/server',
    '/v1/dev/tokens',
    '/V1/Server',
    '/v1/server/',
    '//v1/server',
    '/v1/./server',
    '/v1/dev/../server',
  ])('are nowhere else: %s', async (path) => {
    for (const method of ['GET', 'POST']) {
      const body = method === 'POST' && { body: { namespace: 'shop', serviceAccount: 'cart' } }
      expect((await server.api(method, path, { ...body, headers: bearer() })).status, `${method} by TLS`).toBe(404)
      expect((await server.health(path, method)).status, `${method} at the health port`).toBe(404)
    }
  })

  test('leave no room for others on their socket', async () => {
    for (const name of METHODS.keys()) {
      const [method = '', path = ''] = name.split(' ')
      if (METHODS.get(name)?.auth === 'local' || path === '') continue
      expect((await server.admin(method, path)).status, name).toBe(404)
    }
  })

  test('describe the server', async () => {
    const answer = (await server.admin('GET', '/v1/server')).json()
    const { ca } = server.running
    expect(answer).toMatchObject({
      caAddress: `${ca.host}:${ca.port}`,
      trustBundle: server.roots,
      status: { ready: true, version: '0.0.0-test', mode: 'dev' },
    })
  })

  test.for([
    [{ namespace: 'shop' }, /are texts/],
    [{ namespace: 'shop', serviceAccount: 7 }, /are texts/],
    [{ namespace: 'shop', serviceAccount: 'Cart' }, /no name of Kubernetes/],
    [{ namespace: 'shop/x', serviceAccount: 'cart' }, /./],
    [{ namespace: 'shop', serviceAccount: 'cart', audience: 'vault' }, /unknown field "audience"/],
  ] as const)('refuse a token for %j', async ([body, says]) => {
    const problem = problemOf(await server.admin('POST', '/v1/dev/tokens', { body }))
    expect(problem).toMatchObject({ status: 400, detail: expect.stringMatching(says) })
  })

  test('issue no tokens outside dev mode', async () => {
    await using cluster = await TestCluster.start()
    await using plugged = await aPluggedServer({ cluster: cluster.settings() })
    const body = { namespace: 'shop', serviceAccount: 'cart' }
    expect((await plugged.admin('POST', '/v1/dev/tokens', { body })).status).toBe(404)
    expect((await plugged.admin('GET', '/v1/server')).json()).toMatchObject({ status: { mode: 'plugged-in' } })
  })
})

describe('a server that is busy or cut off', () => {
  test('says when to come again', async () => {
    await using cluster = await TestCluster.start()
    await using held = await HeldReviews.start(cluster.api)
    await using busy = await aPluggedServer({
      cluster: cluster.settings(held),
      settings: { 'limits.requests': '1', 'attestation.authentication': 'token-review' },
    })
    const headers = { authorization: `Bearer ${cluster.tokenOf(cluster.pod())}` }
    const ask = () => busy.api('POST', '/v1/certificates', { body: { csr }, headers })
    const first = ask()
    await until('a request in flight', () => held.waiting === 1)
    const second = await ask()
    expect(second.headers['retry-after']).toBe('1')
    expect(problemOf(second)).toMatchObject({ status: 429, code: 'rate_limited' })
    held.release()
    expect((await first).status).toBe(200)
    cluster.api.failWith = 500
    const third = await ask()
    expect(third.headers['retry-after']).toBe('1')
    expect(problemOf(third)).toMatchObject({ status: 503, code: 'dependency_unavailable' })
    for (const answer of [second, third]) describedRefusal(answer)
  })
})

describe('the OpenAPI document', () => {
  type Operation = {
    readonly requestBody?: unknown
    readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, { schema?: object }>> }>>
  }
  const operations = Object.entries(OPENAPI.paths).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, Operation>).map(
      ([method, operation]) => [`${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`, operation] as const,
    ),
  )

  test('is served as it is', async () => {
    expect((await server.api('GET', '/v1/openapi.json')).json()).toEqual(JSON.parse(JSON.stringify(OPENAPI)))
  })

  test('names every route of the TLS port and no other', () => {
    const routes = [...METHODS].filter(([name, rule]) => name.includes(' ') && rule.auth !== 'local')
    expect(operations.map(([name]) => name).toSorted()).toEqual(routes.map(([name]) => name).toSorted())
  })

  // CRLs are served where they are signed; test/endpoints/crl-routes.test.ts holds the document against those.
  const always = operations.filter(([name]) => !name.startsWith('GET /crl'))

  test.for(always)('says of %s how it answers', async ([name, { responses }]) => {
    const [method = '', path = ''] = name.split(' ')
    const { tls } = await obtain(server.grpc(), token)
    const good = method === 'POST' ? await post({ csr }) : await server.api(method, path, { tls })
    expect(good.status).toBe(200)
    const [type = ''] = String(good.headers['content-type']).split(';')
    const schema = resolve(responses[200]?.content[type]?.schema)
    expect(schema, `a schema for ${type}`).toBeDefined()
    expect(faults(good.json(), schema)).toEqual([])
  })

  test('says of every refusal of a certificate how it looks', async () => {
    const refusals = [
      await post({}),
      await server.api('POST', '/v1/certificates', { body: { csr } }),
      await post(''.padEnd(MAX_MESSAGE_BYTES + 1)),
      await post('{}', { 'content-type': 'text/plain' }),
    ]
    for (const answer of refusals) describedRefusal(answer)
    // Of a server that is busy or cut off, above.
    const others = [429, 503]
    expect([...refusals.map(({ status }) => status), ...others]).toEqual(
      Object.keys(OPENAPI.paths['/v1/certificates'].post.responses)
        .map(Number)
        .filter((status) => status !== 200),
    )
  })

  test('names every state, role and place of a key that an authority can have', () => {
    const { state, role, key } = OPENAPI.components.schemas.Status.properties.authorities.items.properties
    expect(state.enum).toEqual(AUTHORITY_STATES)
    expect(role.enum).toEqual(Object.keys({ root: true, issuing: true } satisfies Record<Authority['role'], true>))
    expect(key.enum).toEqual(KEY_PLACES)
  })

  test('asks for the fields that the server takes, as long as it takes them, and no other', async () => {
    const { schema } = OPENAPI.paths['/v1/certificates'].post.requestBody.content['application/json']
    expect(schema.properties.csr.maxLength).toBe(MAX_CSR_BYTES)
    const problem = problemOf(await post({ other: 1 }))
    expect(problem.detail).toBe(`unknown field "other"; there are ${Object.keys(schema.properties).join(', ')}`)
  })
})

/** That the document says of `POST /v1/certificates` that it answers so. */
function describedRefusal({ status, json }: HttpResult): void {
  const { responses } = OPENAPI.paths['/v1/certificates'].post
  const described = responses[status as 400] as (typeof responses)['400'] | undefined
  const schema = resolve(described?.content['application/problem+json'].schema)
  expect(schema, `a schema for ${status}`).toBeDefined()
  expect(faults(json(), schema)).toEqual([])
}

type Schema = {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
}

function resolve(schema: Schema | undefined): Schema | undefined {
  const name = schema?.$ref?.split('/').at(-1)
  return name === undefined ? schema : (OPENAPI.components.schemas as Record<string, Schema>)[name]
}

/** As much of JSON Schema as the document uses; a field that it does not name is a fault, too. */
function faults(value: unknown, schema: Schema | undefined, at = ''): string[] {
  const { type, enum: values, required = [], properties, items } = resolve(schema) ?? {}
  const actual = Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value
  if (type !== undefined && type !== actual) return [`${at} is ${actual}, not ${type}`]
  if (values && !values.includes(value)) return [`${at} is ${String(value)}`]
  if (Array.isArray(value)) return value.flatMap((one, index) => faults(one, items, `${at}/${index}`))
  if (typeof value !== 'object' || value === null || !properties) return []
  const fields = value as Record<string, unknown>
  return [
    ...required.filter((name) => !(name in fields)).map((name) => `${at}/${name} is missing`),
    ...Object.entries(fields).flatMap(([name, field]) =>
      name in properties ? faults(field, properties[name], `${at}/${name}`) : [`${at}/${name} is not described`],
    ),
  ]
}

const certificatesIn = (pem = '') =>
  pem.split(/(?<=-----END CERTIFICATE-----\n)/).map((one) => new X509Certificate(one))

/** What comes back for these bytes, until the server hangs up. */
function raw(bytes: string): Promise<string> {
  return new Promise((done) => {
    const socket = connect({ ...server.running.ca, ...server.trust }, () => socket.write(bytes))
    let said = ''
    socket.on('data', (part: Buffer) => {
      said += part.toString('latin1')
      if (said.includes('\r\n\r\n')) socket.end()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => done(said))
  })
}
