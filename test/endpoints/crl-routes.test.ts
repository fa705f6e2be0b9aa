import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { crlRoutes } from '../../src/endpoints/admin/crl-routes.ts'
import { httpApplication } from '../../src/endpoints/admin/http.ts'
import { OPENAPI } from '../../src/endpoints/admin/openapi.ts'
import { publicRoutes } from '../../src/endpoints/admin/routes.ts'
import { InFlight, METHODS } from '../../src/endpoints/edge.ts'
import { makeCrl } from '../../src/issuance/crl.ts'
import { readCrl } from '../../src/x509/crl.ts'
import { crlPem, readPem } from '../../src/x509/pem.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'
import { seededRandom } from '../_support/seeded-random.ts'

type Held = { readonly id: string; readonly der: Uint8Array }

let server: Server
let origin: string
let both: readonly Held[]
let crls: readonly Held[]
let missing: readonly string[] = []

beforeAll(async () => {
  const { root, issuing, making } = await anIssuer()
  both = await Promise.all(
    [root, issuing].map(async ({ key, certificate }, index) => {
      const content = { entries: [], number: BigInt(index), nextUpdate: 'with its authority' } as const
      const { der } = await makeCrl({ certificate, signer: key }, content, making)
      return { id: Buffer.from(certificate.tbs.subjectKeyId ?? []).toString('hex'), der }
    }),
  )
  crls = both
  server = createServer(
    httpApplication({
      routes: crlRoutes(() => ({ crls, missing })),
      inFlight: new InFlight({ issuing: 1, light: 10 }, recordedEvents()),
      events: recordedEvents(),
      clock: new FakeClock(),
      random: seededRandom(1),
      connectionOf: () => undefined,
    }),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const get = async (path: string, accept = '*/*', method = 'GET') => {
  const answer = await fetch(`${origin}${path}`, { method, headers: { accept } })
  const bytes = Buffer.from(await answer.arrayBuffer())
  return { status: answer.status, type: answer.headers.get('content-type'), headers: answer.headers, bytes }
}
const problemOf = ({ bytes }: { bytes: Buffer }) => JSON.parse(bytes.toString('utf8')) as Record<string, unknown>

describe('GET /crl/<authority id>', () => {
  test('gives the authority’s CRL as DER (RFC 2585 §4.2)', async () => {
    for (const { id, der } of both) {
      const answer = await get(`/crl/${id}`)
      expect(answer).toMatchObject({ status: 200, type: 'application/pkix-crl', bytes: Buffer.from(der) })
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(readCrl(answer.bytes).tbs.number).toBe(BigInt(both.findIndex((one) => one.id === id)))
    }
  })

  test.for([
    ['when the query says so', '?format=pem', 'application/pkix-crl'],
    ['when the caller accepts nothing else', '', 'application/x-pem-file'],
  ] as const)('gives it as PEM %s', async ([, query, accept]) => {
    const [one] = both as [Held]
    const answer = await get(`/crl/${one.id}${query}`, accept)
    expect(answer).toMatchObject({ status: 200, type: 'application/x-pem-file', bytes: Buffer.from(crlPem(one.der)) })
  })

  test.for([
    ['ff'.repeat(20), 'ff'.repeat(20)],
    ['..%2fx', '../x'],
    ['x%22%0a', 'x"\n'],
    ['y'.repeat(100), 'y'.repeat(64)],
  ] as const)('of %s, which is no authority, is not found', async ([path, shown]) => {
    const answer = await get(`/crl/${path}`)
    expect(answer).toMatchObject({ status: 404, type: 'application/problem+json' })
    expect(problemOf(answer)).toMatchObject({
      code: 'not_found',
      detail: `no CRL of an authority ${JSON.stringify(shown)}; ids have 40 hex digits, and /v1/status names them`,
    })
  })

  test('with a damaged escape is refused', async () => {
    const answer = await get('/crl/%zz')
    expect(answer.status).toBe(400)
    expect(problemOf(answer)).toMatchObject({ code: 'invalid_argument', detail: 'the request can’t be read' })
  })
})

describe('GET /crl', () => {
  test('gives every CRL as PEM', async () => {
    const answer = await get('/crl')
    expect(answer).toMatchObject({ status: 200, type: 'application/x-pem-file' })
    expect(readPem(answer.bytes.toString('utf8'), 65_536, 'nothing else')).toEqual(
      both.map(({ der }) => ({ label: 'X509 CRL', der: Buffer.from(der) })),
    )
  })

  test('is all or nothing: where one is missing it says which', async () => {
    missing = ['ab'.repeat(20), 'cd'.repeat(20)]
    try {
      const answer = await get('/crl')
      expect(answer.status).toBe(503)
      expect(problemOf(answer)).toMatchObject({
        code: 'not_ready',
        detail: `the set is not whole: there is no CRL of ${missing.join(', ')}; where such a CA is not kept here, take its CRL from whoever keeps it, and the others from /crl/<authority id>`,
      })
      expect((await get(`/crl/${both[0]?.id}`)).status).toBe(200)
    } finally {
      missing = []
    }
  })

  test('is not found where there is none: an empty answer could be taken for nothing revoked', async () => {
    crls = []
    try {
      const answer = await get('/crl')
      expect(answer.status).toBe(404)
      expect(problemOf(answer)).toMatchObject({
        code: 'not_found',
        detail: 'this trust domain has no CRLs; /v1/status says who signs',
      })
    } finally {
      crls = both
    }
  })
})

test.for([
  ['/crl', '/crl takes GET'],
  ['/crl/00', '/crl/00 takes GET'],
] as const)('POST %s is told what it takes', async ([path, detail]) => {
  const answer = await get(path, '*/*', 'POST')
  expect([answer.status, answer.headers.get('allow'), problemOf(answer).detail]).toEqual([405, 'GET', detail])
})

test.for(['/crl/00/11', '/crls', '/v1/crl'])('nothing is served at %s', async (path) => {
  expect(problemOf(await get(path, '*/*', 'POST')).detail).toBe(`nothing is served at ${path}`)
})

test('the OpenAPI document says how they answer', async () => {
  const [one] = both as [Held]
  for (const [path, real] of [
    ['/crl', '/crl'],
    ['/crl/{id}', `/crl/${one.id}`],
  ] as const) {
    const { responses } = OPENAPI.paths[path].get
    const types = ['*/*', 'application/x-pem-file'].map(async (accept) => (await get(real, accept)).type)
    expect(new Set(await Promise.all(types)), path).toEqual(new Set(Object.keys(responses[200].content)))
  }
  expect(both.every(({ id }) => new RegExp(OPENAPI.paths['/crl/{id}'].get.parameters[0].schema.pattern).test(id))).toBe(
    true,
  )
})

test('are among the public routes where CRLs are signed, and only there', () => {
  const unused = () => Promise.reject(new Error('not asked'))
  const bundle = () => {
    throw new Error('not asked')
  }
  const names = (more: object) =>
    publicRoutes({ issueSvid: unused, askRenewal: unused, bundle, status: unused, ...more }).map(
      ({ method, path }) => `${method} ${path}`,
    )
  expect(names({ crls: () => crls }).filter((name) => !names({}).includes(name))).toEqual(['GET /crl', 'GET /crl/:id'])
  for (const name of names({ crls: () => crls })) expect(METHODS.get(name), name).toBeDefined()
})
