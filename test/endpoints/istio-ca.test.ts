import { X509Certificate } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DAY, HOUR, SECOND } from '../../src/core/duration.ts'
import { aDevServer, aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import type { FakePod } from '../_support/fake-api-server.ts'
import type { BareGrpcClient, GrpcAnswer } from '../_support/grpc-client.ts'
import { HeldReviews } from '../_support/held-reviews.ts'
import { LibraryClient } from '../_support/library-client.ts'
import { aGreedyCsr, aRootForLeavesOnly } from '../_support/openssl-ca.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { anIntermediate, aRoot, writeCacerts } from '../_support/plugged-ca.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

const MAX_TTL = 90n * 24n * 3600n

let cluster: TestCluster
let cart: FakePod
let ztunnel: FakePod

beforeAll(async () => {
  cluster = await TestCluster.start()
  cart = cluster.pod('shop', 'cart')
  ztunnel = cluster.pod('istio-system', 'ztunnel')
  cluster.pod('shop', 'elsewhere', { node: 'node-2' })
})
afterAll(() => cluster[Symbol.asyncDispose]())

const certificatesIn = (pem: string) =>
  pem.split(/(?<=-----END CERTIFICATE-----\n)/).map((one) => new X509Certificate(one))
const leafOf = ({ response }: GrpcAnswer) => new X509Certificate(response?.certChain[0] ?? '')
const identityOf = (answer: GrpcAnswer) => leafOf(answer).subjectAltName
const lifetimeOf = (answer: GrpcAnswer) => leafOf(answer).validToDate.getTime() - Date.now()

describe('the chain it answers with', () => {
  /** Leaf, what stands between, all roots: as istio's agent and ztunnel read it. */
  async function chainFrom(server: TestServer, token: string): Promise<readonly string[]> {
    const { response } = await server.grpc().createCertificate({ csr: (await aCsr()).pem }, token)
    const chain = response?.certChain ?? []
    const roots = certificatesIn(chain.at(-1) ?? '')
    const [leaf, ...between] = chain.slice(0, -1).map((one) => new X509Certificate(one))
    const der = (certificates: X509Certificate[]) => certificates.map((one) => one.raw)
    expect(opensslVerify([leaf?.raw as Buffer], der(between), der(roots), new Date())).toEqual(['OK'])
    return chain
  }

  const onePem = /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n$/

  test('is leaf, issuing authority and root under a root that signs issuing authorities', async () => {
    await using server = await aDevServer()
    const chain = await chainFrom(server, await server.devToken())
    expect(chain).toHaveLength(3)
    for (const one of chain) expect(one).toMatch(onePem)
  })

  test('ends with all roots in one element, and has every other element to itself', async () => {
    const [root, older] = [await aRoot(), await aRoot()]
    await using server = await aPluggedServer({
      cluster: cluster.settings(),
      cacerts: (directory) => writeCacerts(directory, root, [root], [root, older]),
    })
    const chain = await chainFrom(server, cluster.tokenOf(cart))
    expect(chain).toHaveLength(3)
    for (const one of chain.slice(0, -1)) expect(one).toMatch(onePem)
    expect(certificatesIn(chain.at(-1) as string)).toHaveLength(2)
  })

  test('holds the intermediate that signs leaves itself', async () => {
    const root = await aRoot()
    const intermediate = await anIntermediate(root)
    await using server = await aPluggedServer({
      cluster: cluster.settings(),
      cacerts: (directory) => writeCacerts(directory, intermediate, [intermediate, root], [root]),
    })
    const chain = await chainFrom(server, cluster.tokenOf(cart))
    expect(chain.slice(1).map((one) => new X509Certificate(one).raw)).toEqual([
      Buffer.from(intermediate.certificate.der),
      Buffer.from(root.certificate.der),
    ])
  })

  test('is leaf and root, two elements, where a self-signed root signs leaves itself', async () => {
    await using server = await aPluggedServer({ cluster: cluster.settings(), cacerts: aRootForLeavesOnly })
    expect(server.roots, 'the bundle it publishes').toMatch(onePem)
    const chain = await chainFrom(server, cluster.tokenOf(cart))
    expect(chain).toHaveLength(2)
    for (const one of chain) expect(one).toMatch(onePem)
  })
})

describe('a request', () => {
  let server: TestServer
  let client: BareGrpcClient
  let library: LibraryClient

  beforeAll(async () => {
    server = await aPluggedServer({
      cluster: cluster.settings(),
      settings: { 'attestation.trustedNodeAccounts': 'istio-system/ztunnel' },
    })
    client = server.grpc()
    library = new LibraryClient(server.running.ca, server.roots)
  })
  afterAll(async () => {
    library.library.close()
    await server[Symbol.asyncDispose]()
  })

  const ask = async (
    request: { csr?: string; validityDuration?: bigint; metadata?: Record<string, unknown> } = {},
    token: string | string[] | undefined = cluster.tokenOf(cart),
  ) => client.createCertificate({ csr: (await aCsr()).pem, ...request }, token)

  test('by grpc-js, with what istio’s agent sends beside it, is answered', async () => {
    const { certChain } = await library.createCertificate(
      { csr: (await aCsr()).pem, validityDuration: 86400n, metadata: { CertSigner: '' } },
      { authorization: `Bearer ${cluster.tokenOf(cart)}`, ClusterID: 'Kubernetes', 'x-ca-header': 'any' },
    )
    expect(new X509Certificate(certChain[0] ?? '').subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
  })

  test('by a client that offers no certificate and no token is refused in istiod’s words', async () => {
    const call = library.createCertificate({ csr: (await aCsr()).pem }, {})
    await expect(call).rejects.toMatchObject({
      code: status.UNAUTHENTICATED,
      details: 'request authenticate failure',
    })
  })

  test('ignores CertSigner, empty or not', async () => {
    for (const CertSigner of ['', 'clusterissuers.example.com/mine'])
      expect(identityOf(await ask({ metadata: { CertSigner } }))).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
  })

  test('gets its key certified and nothing else it asks for in the CSR', async () => {
    const leaf = leafOf(await ask({ csr: aGreedyCsr() }))
    expect(leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
    expect(leaf.subject).toBeFalsy()
    expect(leaf.ca).toBe(false)
  })

  test.for(['ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'ed25519'])('with a key of kind %s is answered', async (kind) => {
    const { key, pem } = await aCsr(kind)
    const leaf = leafOf(await ask({ csr: pem }))
    expect(leaf.publicKey.export({ format: 'der', type: 'spki' })).toEqual(Buffer.from(key.publicKey.spki))
  })

  test('with an ML-DSA key is refused while that is experimental', async () => {
    const answer = await ask({ csr: (await aCsr('ml-dsa-44')).pem })
    expect(answer).toMatchObject({ status: status.INVALID_ARGUMENT })
    expect(answer.message).toMatch(/--experimental/)
  })

  describe('asks for a lifetime', () => {
    test.for([0n, -1n, -(2n ** 63n)])('of %d s and gets the default of a day', async (validityDuration) => {
      const left = lifetimeOf(await ask({ validityDuration }))
      expect(left).toBeLessThanOrEqual(24 * HOUR)
      expect(left).toBeGreaterThan(24 * HOUR - 10 * SECOND)
    })

    test('and gets it', async () => {
      const left = lifetimeOf(await ask({ validityDuration: 3600n }))
      expect(left).toBeLessThanOrEqual(HOUR)
      expect(left).toBeGreaterThan(HOUR - 10 * SECOND)
    })

    test('of the maximum and gets what its issuer has left', async () => {
      const answer = await ask({ validityDuration: MAX_TTL })
      const [, issuer] = answer.response?.certChain ?? []
      expect(leafOf(answer).validTo).toBe(new X509Certificate(issuer ?? '').validTo)
      expect(lifetimeOf(answer)).toBeGreaterThan(29 * DAY)
    })

    test.for([MAX_TTL + 1n, 2n ** 62n, 2n ** 63n - 1n])('of %d s, over the maximum, and is refused', async (asked) => {
      const answer = await ask({ validityDuration: asked })
      expect(answer).toMatchObject({ status: status.INVALID_ARGUMENT })
      expect(answer.message).toMatch(
        /was asked for; at most 90 days \(svid\.maxTtl\), and 0 means 24 h \(svid\.defaultTtl\)$/,
      )
    })
  })

  describe('names another identity', () => {
    const spiffe = (account: string) => `spiffe://cluster.local/ns/shop/sa/${account}`
    const impersonate = (ImpersonatedIdentity: unknown, pod = ztunnel) =>
      ask({ metadata: { ImpersonatedIdentity } }, cluster.tokenOf(pod))

    test('of a pod on the asking proxy’s node and gets it', async () => {
      expect(identityOf(await impersonate(spiffe('cart')))).toBe(`URI:${spiffe('cart')}`)
    })

    test.for(['', null])('as %j, which is none, and gets its own', async (none) => {
      expect(identityOf(await impersonate(none))).toBe('URI:spiffe://cluster.local/ns/istio-system/sa/ztunnel')
    })

    test('under another key and gets its own', async () => {
      const answer = await ask({ metadata: { impersonatedidentity: spiffe('cart') } }, cluster.tokenOf(ztunnel))
      expect(identityOf(answer)).toBe('URI:spiffe://cluster.local/ns/istio-system/sa/ztunnel')
    })

    test.for([
      ['that runs on another node', spiffe('elsewhere')],
      ['that nobody runs as', spiffe('nobody')],
      ['of another trust domain', 'spiffe://example.org/ns/shop/sa/cart'],
      ['that is not a SPIFFE ID', 'cart'],
      ['as a number', 7],
      ['as true', true],
      ['as a list', [spiffe('cart')]],
      ['as a structure', { id: spiffe('cart') }],
    ] as const)('%s and is refused in one wording', async ([, identity]) => {
      expect(await impersonate(identity)).toMatchObject({
        status: status.UNAUTHENTICATED,
        message: 'request impersonation authentication failure',
      })
    })

    test('though it is no trusted node account and is refused in the same wording', async () => {
      expect(await impersonate(spiffe('cart'), cart)).toMatchObject({
        status: status.UNAUTHENTICATED,
        message: 'request impersonation authentication failure',
      })
    })
  })

  describe('with a credential that does not count', () => {
    const refused = { status: status.UNAUTHENTICATED, message: 'request authenticate failure' }
    const hourAgo = Math.floor(Date.now() / 1000) - 3600

    const bad: readonly (readonly [what: string, token: () => string])[] = [
      ['malformed', () => 'a.b.c'],
      ['of no parts', () => 'token'],
      ['of more than 16 KiB', () => cluster.tokenOf(cart, { padding: 'x'.repeat(16 * 1024) })],
      ['expired', () => cluster.tokenOf(cart, { exp: hourAgo })],
      ['from the future', () => cluster.tokenOf(cart, { nbf: hourAgo + 2 * 3600 })],
      ['for another audience', () => cluster.tokenOf(cart, { aud: ['vault'] })],
      ['of another issuer', () => cluster.tokenOf(cart, { iss: 'https://example.org' })],
      ['without an end', () => cluster.tokenOf(cart, { exp: undefined })],
      ['of a pod that never was', () => cluster.tokenOf({ ...cart, name: 'ghost', uid: 'ghost' })],
      ['changed after it was signed', () => cluster.tokenOf(cart).replace(/.{4}$/, 'AAAA')],
    ]
    test.for(bad)('a token %s: the refusal does not say why', async ([, token]) => {
      expect(await ask({}, token())).toMatchObject(refused)
    })

    test('a header with two tokens: neither is taken', async () => {
      expect(await ask({}, `${cluster.tokenOf(cart)}, Bearer ${cluster.tokenOf(cart)}`)).toMatchObject(refused)
    })

    test('is judged before its CSR is read', async () => {
      expect(await ask({ csr: 'no CSR' }, 'a.b.c')).toMatchObject(refused)
    })

    test('and leaves its reason in the ledger before the answer', async () => {
      const { headers } = await ask({}, cluster.tokenOf(cart, { aud: ['vault'] }))
      const requestId = headers['x-request-id']
      expect(server.ledger().find((record) => 'requestId' in record && record.requestId === requestId)).toMatchObject({
        kind: 'refused',
        code: 'unauthenticated',
        reason: 'wrong_audience',
        detail: expect.stringContaining('vault'),
      })
    })
  })
})

describe('a server that has to ask the API server about every token', () => {
  let held: HeldReviews
  let server: TestServer
  const clock = new SteeredClock()

  beforeAll(async () => {
    held = await HeldReviews.start(cluster.api)
    server = await aPluggedServer({
      cluster: cluster.settings(held),
      settings: { 'limits.requests': '2', 'attestation.authentication': 'token-review' },
      clock,
    })
  })
  afterAll(async () => {
    held.release()
    await server[Symbol.asyncDispose]()
    await held[Symbol.asyncDispose]()
  })

  beforeEach(async () => {
    // What one test did to the API server's reputation is over.
    await clock.leap(5 * SECOND)
    held.hold()
  })
  afterEach(() => held.release())

  const ask = async (client = server.grpc()) =>
    client.createCertificate({ csr: (await aCsr()).pem }, cluster.tokenOf(cart))

  test('turns the third of two away at once, with the time to come again, and serves the two', async () => {
    const two = [ask(), ask()]
    await until('two requests in flight', () => held.waiting === 2)
    const third = await ask()
    expect(third).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
      message: '2 requests are being served already; try again in 1 s',
      headers: { 'grpc-retry-pushback-ms': '1000' },
    })
    held.release()
    expect((await Promise.all(two)).map((answer) => answer.status)).toEqual([0, 0])
    expect((await ask()).status).toBe(0)
  })

  test('tells grpc-js about overload in metadata', async () => {
    const two = [ask(), ask()]
    await until('two requests in flight', () => held.waiting === 2)
    using library = new LibraryClient(server.running.ca, server.roots)
    const error = await library
      .createCertificate({ csr: (await aCsr()).pem }, { authorization: `Bearer ${cluster.tokenOf(cart)}` })
      .catch((thrown: { code: number; metadata: { get: (name: string) => unknown[] } }) => thrown)
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED })
    expect('metadata' in error ? error.metadata.get('grpc-retry-pushback-ms') : []).toEqual(['1000'])
    held.release()
    await Promise.all(two)
  })

  test('goes on serving health and bundle while certificates are all it has no place for', async () => {
    const two = [ask(), ask()]
    await until('two requests in flight', () => held.waiting === 2)
    expect((await server.api('GET', '/v1/bundle')).status).toBe(200)
    held.release()
    await Promise.all(two)
  })

  test('gives up after 15 s and says so', async () => {
    const answer = ask()
    await until('a request in flight', () => held.waiting === 1)
    await clock.leap(16 * SECOND)
    expect(await answer).toMatchObject({ status: status.DEADLINE_EXCEEDED, message: 'not done within 15 s' })
    held.release()
  })

  /** Two callers hang up while the API server thinks about their tokens. */
  async function twoGiveUp(): Promise<void> {
    const clients = [server.grpc(), server.grpc()]
    const calls = clients.map((client) => ask(client).catch(() => 'gone'))
    await until('two requests in flight', () => held.waiting === 2)
    for (const client of clients) client.close()
    expect(await Promise.all(calls)).toEqual(['gone', 'gone'])
    await until('their places are free', async () => (await server.metric('alcazar_requests_in_flight')) === 0)
    held.release()
  }

  test('issues nothing for who gave up waiting', async () => {
    const before = server.ledger().length
    await twoGiveUp()
    expect(server.ledger().slice(before)).toEqual([])
  })

  test('serves others at once after callers gave up waiting', async () => {
    await twoGiveUp()
    expect(await ask()).toMatchObject({ status: status.OK })
  })

  test('is unavailable, not refusing, while the API server fails', async () => {
    held.release()
    cluster.api.failWith = 500
    try {
      expect(await ask()).toMatchObject({
        status: status.UNAVAILABLE,
        message: 'the cluster can’t be asked now; try again later',
      })
    } finally {
      cluster.api.failWith = undefined
    }
  })
})
