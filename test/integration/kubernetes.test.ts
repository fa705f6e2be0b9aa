import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MINUTE, SECOND } from '../../src/core/duration.ts'
import { systemRandom } from '../../src/core/random.ts'
import { KubernetesApi } from '../../src/kubernetes/api.ts'
import { discoverTokenIssuer, KubernetesCluster } from '../../src/kubernetes/cluster.ts'
import { PodMirror } from '../../src/kubernetes/cluster-mirror.ts'
import { connectKubeconfig, connectMounted } from '../../src/kubernetes/connect.ts'
import { ListWatch } from '../../src/kubernetes/list-watch.ts'
import { readSecret } from '../../src/kubernetes/secrets.ts'
import { readPem } from '../../src/x509/pem.ts'
import { aPluggedServer, type TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { NEVER } from '../_support/attested.ts'
import { aWrappingKey, keyPemOf, pemOf as pemsOf } from '../_support/ca-directories.ts'
import { clusterContract } from '../_support/cluster-contract.ts'
import { aCsr } from '../_support/csr.ts'
import type { GrpcAnswer } from '../_support/grpc-client.ts'
import { type Identity, obtain } from '../_support/identity.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { anIntermediate, aRoot } from '../_support/plugged-ca.ts'
import { RealCluster } from '../_support/real-cluster.ts'
import { recordedEvents } from '../_support/recorded-events.ts'
import { scratch } from '../_support/scratch.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

const assets = process.env.KUBEBUILDER_ASSETS
// On a laptop without Kubernetes these tests are skipped; in CI that would be a hole nobody sees.
if (!assets && process.env.CI)
  test('KUBEBUILDER_ASSETS names a folder with kube-apiserver and etcd: CI runs everything', () =>
    expect.fail('it is not set'))

const UNAUTHENTICATED = { status: 16, message: 'request authenticate failure' }
const UNAVAILABLE = 14

/** Begins its first watch at a version that the API server has forgotten. */
class LaggingApi extends KubernetesApi {
  lists = 0
  watches = 0

  override get(path: string, query: Record<string, string>, signal: AbortSignal) {
    if (query.continue === undefined) this.lists++
    return super.get(path, query, signal)
  }

  override lines(path: string, query: Record<string, string>, silenceMs: number, signal: AbortSignal) {
    const from = this.watches++ === 0 ? { resourceVersion: '1' } : {}
    return super.lines(path, { ...query, ...from }, silenceMs, signal)
  }
}

describe.skipIf(!assets)('with a real kube-apiserver and etcd (KUBEBUILDER_ASSETS)', () => {
  let cluster: RealCluster
  beforeAll(async () => {
    cluster = await RealCluster.start(assets as string)
    for (const namespace of ['shop', 'bank', 'istio-system']) await cluster.addNamespace(namespace)
    for (const account of ['cart', 'till', 'stock', 'brief']) await cluster.addAccount('shop', account)
    await cluster.addAccount('bank', 'teller')
    await cluster.addAccount('istio-system', 'ztunnel')
  })
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
  })

  const pod = async (name: string, account = 'cart', node?: string) => {
    const one = { namespace: 'shop', name, account, ...(node && { node }) }
    return { ...one, uid: await cluster.addPod(one) }
  }
  const serving = async (settings: Record<string, string> = {}, clock = new SteeredClock()) => ({
    clock,
    server: await aPluggedServer({ cluster: await cluster.settings(), settings, clock }),
  })
  const ask = async (server: TestServer, token?: string, impersonate?: string): Promise<GrpcAnswer> => {
    const { pem } = await aCsr()
    const metadata = impersonate === undefined ? undefined : { ImpersonatedIdentity: impersonate }
    return server.grpc().createCertificate({ csr: pem, ...(metadata && { metadata }) }, token)
  }
  /** By client certificate alone. */
  const renew = async (server: TestServer, { tls }: Identity) =>
    server.grpc(tls).createCertificate({ csr: (await aCsr()).pem })
  const uriOf = ({ response }: GrpcAnswer) => new X509Certificate(response?.certChain[0] ?? '').subjectAltName
  const reasonOf = (server: TestServer) => server.ledger().findLast((record) => record.kind === 'refused')?.reason
  /** A token that the API server has reviewed before passes its TokenReview for ten seconds more; these have not been. */
  const refusedSoon = (what: string, attempt: () => Promise<GrpcAnswer>) =>
    until(what, async () => (await attempt()).status === UNAUTHENTICATED.status, 12_000)

  describe('the Secret of istio’s CA', () => {
    const secret = async (name: string, type: string, data: Record<string, string>) =>
      cluster.server.create('/api/v1/namespaces/istio-system/secrets', {
        metadata: { name },
        type,
        data: Object.fromEntries(
          Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
        ),
      })
    const imported = (state: string) => {
      const from = ['--from', 'istio', '--kubeconfig', cluster.server.kubeconfig]
      return alcazar(['import', ...from, '--state-directory', state, '--wrapping-key-file', aWrappingKey()])
    }

    test('is taken over: what istiod made for itself, and before that what was plugged in', async () => {
      expect(await imported(scratch())).toMatchObject({
        exit: 5,
        err: expect.stringContaining('neither a Secret cacerts'),
      })
      const root = await aRoot()
      const made = {
        'ca-cert.pem': pemsOf(root),
        'ca-key.pem': await keyPemOf(root),
        'cert-chain.pem': '',
        'root-cert.pem': '',
      }
      await secret('istio-ca-secret', 'istio.io/ca-root', made)
      const first = await imported(scratch())
      expect([first.exit, first.err]).toEqual([0, ''])
      expect(first.out).toContain('Secret istio-system/istio-ca-secret')
      const ca = await anIntermediate(root)
      const data = { 'tls.crt': pemsOf(ca, root), 'tls.key': await keyPemOf(ca), 'ca.crt': pemsOf(root) }
      await secret('cacerts', 'kubernetes.io/tls', data)
      const second = await imported(scratch())
      expect([second.exit, second.err]).toEqual([0, ''])
      expect(second.out).toContain('kubectl delete secret -n istio-system cacerts')
    })

    test('is not read by the account of a server, which may not', async () => {
      const settings = await cluster.settings()
      const [server, caFile, tokenFile] = ['', 'Ca', 'Token'].map((end) =>
        String(settings[`attestation.apiServer${end}`]),
      )
      const api = connectMounted(
        { server: server as string, caFile: caFile as string, tokenFile: tokenFile as string },
        new SteeredClock(),
      )
      await expect(readSecret(api, { namespace: 'istio-system', name: 'cacerts' }, NEVER)).rejects.toMatchObject({
        code: 'permission_denied',
        message: expect.stringContaining('they need the verb get on it'),
      })
    })
  })

  describe('a token that the API server minted', () => {
    let server: TestServer
    let clock: SteeredClock
    beforeAll(async () => {
      ;({ server, clock } = await serving())
    })
    afterAll(() => server?.[Symbol.asyncDispose]())

    test('bound to a pod gets a certificate that OpenSSL verifies and that renews itself by mTLS', async () => {
      const token = await cluster.podToken(await pod('first'))
      const answer = await ask(server, token)
      expect(uriOf(answer)).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
      const chain = (answer.response?.certChain ?? []).map((text) =>
        readPem(text, 1e6, 'nothing else').map(({ der }) => der),
      )
      const [leaf = [], ...rest] = chain
      expect(opensslVerify(leaf, rest.slice(0, -1).flat(), rest.at(-1) ?? [], new Date())).toEqual(['OK'])

      const held = await obtain(server.grpc(), token)
      const renewed = await renew(server, held)
      expect(uriOf(renewed)).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
    })

    test('bound to nothing gets a certificate, and that never renews itself', async () => {
      const token = await cluster.server.mintToken('shop', 'cart', { audiences: ['istio-ca'] })
      const held = await obtain(server.grpc(), token)
      expect(held.leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
      expect(await renew(server, held)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('no_lineage')
    })

    test('bound to a Secret gets a certificate, until the Secret is gone', async () => {
      const secret = await cluster.server.create('/api/v1/namespaces/shop/secrets', { metadata: { name: 'pass' } })
      const bound = () =>
        cluster.server.mintToken('shop', 'cart', {
          audiences: ['istio-ca'],
          boundTo: { kind: 'Secret', ...secret.metadata },
        })
      const fresh = await bound()
      expect((await ask(server, await bound())).status).toBe(0)
      await cluster.server.remove('/api/v1/namespaces/shop/secrets/pass')
      expect(await ask(server, fresh)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('token_review')
    })

    test('bound to a Node gets a certificate', async () => {
      const node = await cluster.server.create('/api/v1/nodes', { metadata: { name: 'bound-node' } })
      const token = await cluster.server.mintToken('shop', 'cart', {
        audiences: ['istio-ca'],
        boundTo: { kind: 'Node', ...node.metadata },
      })
      expect((await ask(server, token)).status).toBe(0)
    })

    test.each([
      ['another audience', ['vault']],
      ['the API server itself', undefined],
    ])('for %s is refused', async (_what, audiences) => {
      const token = await cluster.server.mintToken('shop', 'cart', audiences && { audiences })
      expect(await ask(server, token)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('wrong_audience')
    })

    test('and changed afterwards is refused', async () => {
      const token = await cluster.server.mintToken('shop', 'cart', { audiences: ['istio-ca'] })
      const [head, , signature] = token.split('.')
      const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
      const forged = Buffer.from(claims.replaceAll('cart', 'till')).toString('base64url')
      expect(await ask(server, `${head}.${forged}.${signature}`)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('bad_signature')
    })

    test('beside another one is refused, whichever of them is good', async () => {
      const token = await cluster.server.mintToken('shop', 'cart', { audiences: ['istio-ca'] })
      expect(await ask(server, `${token}, Bearer ${token}`)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('two_credentials')
    })

    test('of ten minutes is taken a minute past its end, as clocks differ, and not longer', async () => {
      const token = await cluster.podToken(await pod('brief', 'brief'), { expirationSeconds: 600 })
      const begun = Date.now()
      await clock.leap(10 * MINUTE + 30 * SECOND)
      expect((await ask(server, token)).status).toBe(0)
      await clock.leap(31 * SECOND - (Date.now() - begun) + 1 * SECOND)
      expect(await ask(server, token)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('expired')
    })
  })

  describe('an identity ends', () => {
    let server: TestServer
    beforeAll(async () => {
      ;({ server } = await serving())
    })
    afterAll(() => server?.[Symbol.asyncDispose]())

    test('with its pod: neither the token nor the certificate gets another one', async () => {
      const doomed = await pod('doomed', 'till')
      const token = await cluster.podToken(doomed)
      const held = await obtain(server.grpc(), token)
      expect((await renew(server, held)).status).toBe(0)
      await cluster.removePod('shop', 'doomed')
      await refusedSoon('the token to be refused', () => ask(server, token))
      expect(reasonOf(server)).toBe('token_review')
      expect(await renew(server, held)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('pod_gone')
      // A pod of the same name is somebody else.
      await pod('doomed', 'till')
      expect(await renew(server, held)).toMatchObject(UNAUTHENTICATED)
      expect(await ask(server, token)).toMatchObject(UNAUTHENTICATED)
    })

    test('not while its pod shuts down', async () => {
      const leaving = await pod('leaving', 'till', 'some-node')
      const token = await cluster.podToken(leaving)
      const held = await obtain(server.grpc(), token)
      await cluster.beginDeleting('shop', 'leaving')
      expect((await ask(server, token)).status).toBe(0)
      expect((await renew(server, held)).status).toBe(0)
    })

    test('with its account, also when one of the same name is made anew', async () => {
      const token = await cluster.podToken(await pod('stock-0', 'stock'))
      const unbound = await cluster.server.mintToken('shop', 'stock', { audiences: ['istio-ca'] })
      const held = await obtain(server.grpc(), token)
      await cluster.removeAccount('shop', 'stock')
      await cluster.addAccount('shop', 'stock')
      await refusedSoon('the token to be refused', () => ask(server, token))
      await refusedSoon('the unbound token to be refused', () => ask(server, unbound))
      expect(reasonOf(server)).toBe('token_review')
      expect(await renew(server, held)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('service_account_gone')
      // The new account’s own tokens are good.
      const fresh = await cluster.server.mintToken('shop', 'stock', { audiences: ['istio-ca'] })
      expect((await ask(server, fresh)).status).toBe(0)
    })
  })

  describe('authentication: token-review', () => {
    test('takes what the API server takes, and refuses what it refuses', async () => {
      const { server } = await serving({ 'attestation.authentication': 'token-review' })
      await using _server = server
      const reviewed = await pod('reviewed')
      const [token, other] = [await cluster.podToken(reviewed), await cluster.podToken(reviewed)]
      expect((await ask(server, token)).status).toBe(0)
      await cluster.removePod('shop', 'reviewed')
      expect(await ask(server, other)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('token_review')
    })
  })

  describe('a node’s proxy, as ztunnel asks', () => {
    const CART = 'spiffe://cluster.local/ns/shop/sa/cart'
    const IMPERSONATION = { status: 16, message: 'request impersonation authentication failure' }
    let server: TestServer
    let token: string
    beforeAll(async () => {
      for (const name of ['node-a', 'node-b']) await cluster.server.create('/api/v1/nodes', { metadata: { name } })
      ;({ server } = await serving({ 'attestation.trustedNodeAccounts': 'istio-system/ztunnel' }))
      const proxy = { namespace: 'istio-system', name: 'ztunnel-a', account: 'ztunnel', node: 'node-a' }
      token = await cluster.podToken({ ...proxy, uid: await cluster.addPod(proxy) })
    })
    afterAll(() => server?.[Symbol.asyncDispose]())

    test('gets the certificates of the pods on its node, until the last of them has ended', async () => {
      await pod('near-0', 'cart', 'node-a')
      const answer = await ask(server, token, CART)
      expect(uriOf(answer)).toBe(`URI:${CART}`)
      const intent = server.ledger().findLast((record) => record.kind === 'intent')
      expect(intent?.caller).toMatchObject({ method: 'impersonation', onBehalfBy: 'istio-system/ztunnel' })

      await cluster.endPod('shop', 'near-0')
      await refusedSoon('the identity to be refused', () => ask(server, token, CART))
    })

    test('gets none of a pod on another node', async () => {
      await cluster.addPod({ namespace: 'bank', name: 'far-0', account: 'teller', node: 'node-b' })
      expect(await ask(server, token, 'spiffe://cluster.local/ns/bank/sa/teller')).toMatchObject(IMPERSONATION)
      expect(reasonOf(server)).toBe('impersonation')
    })

    test('gets none when it is not the admin’s to trust', async () => {
      const stranger = await cluster.podToken(await pod('near-1', 'cart', 'node-a'))
      expect(await ask(server, stranger, CART)).toMatchObject(IMPERSONATION)
    })

    test('gets none by its client certificate', async () => {
      const held = await obtain(server.grpc(), token)
      const { pem } = await aCsr()
      const asked = { csr: pem, metadata: { ImpersonatedIdentity: CART } }
      expect(await server.grpc(held.tls).createCertificate(asked)).toMatchObject(IMPERSONATION)
    })
  })

  describe('the account of deploy/rbac.yaml', () => {
    test('may do what it must and nothing more', async () => {
      const { token } = await cluster.mountedAccount()
      const tries: [allowed: boolean, method: string, path: string, body?: object][] = [
        [true, 'GET', '/api/v1/pods?limit=1'],
        [true, 'GET', '/api/v1/serviceaccounts?limit=1'],
        [true, 'GET', '/api/v1/namespaces/shop/serviceaccounts/cart'],
        [true, 'GET', '/.well-known/openid-configuration'],
        [true, 'GET', '/openid/v1/jwks'],
        [
          true,
          'POST',
          '/apis/authentication.k8s.io/v1/tokenreviews',
          { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', spec: { token: 'x' } },
        ],
        [false, 'GET', '/api/v1/secrets'],
        [false, 'GET', '/api/v1/namespaces/alcazar-system/secrets'],
        [false, 'GET', '/api/v1/configmaps'],
        [false, 'GET', '/api/v1/nodes'],
        [false, 'DELETE', '/api/v1/namespaces/shop/pods/first'],
        [false, 'POST', '/api/v1/namespaces/shop/pods', { metadata: { name: 'x' } }],
        [false, 'POST', '/api/v1/namespaces/shop/serviceaccounts/cart/token', {}],
        [false, 'POST', '/api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'x' } }],
        [false, 'GET', '/metrics'],
      ]
      const seen = await Promise.all(
        tries.map(async ([, method, path, body]) => {
          const { status } = await cluster.server.askAs(token, method, path, body)
          return [status !== 403, method, path]
        }),
      )
      expect(seen).toEqual(tries.map(([allowed, method, path]) => [allowed, method, path]))
    })

    test('is enough for a server: no lookup of it ever failed', async () => {
      const { server } = await serving()
      await using _server = server
      await until('both watches', async () => (await server.metric('alcazar_watch_silence_seconds')) >= 0)
      expect((await ask(server, await cluster.podToken(await pod('enough')))).status).toBe(0)
      expect(server.log.filter((line) => /"level":"(warn|error)"/.test(line))).toEqual([])
    })
  })

  clusterContract('a real API server, seen with the account of deploy/rbac.yaml', async () => {
    const namespace = 'contract'
    await cluster.addNamespace(namespace)
    const clock = new SteeredClock()
    const account = await cluster.mountedAccount()
    const stop = new AbortController()
    const kubernetes = new KubernetesCluster({
      api: connectMounted(account, clock),
      clock,
      random: systemRandom,
      events: recordedEvents(),
    })
    const running = kubernetes.run(stop.signal)
    return {
      cluster: kubernetes.cluster,
      namespace,
      addAccount: (name) => cluster.addAccount(namespace, name),
      removeAccount: (name) => cluster.removeAccount(namespace, name),
      addPod: (one) => cluster.addPod({ namespace, ...one }),
      endPod: (name) => cluster.endPod(namespace, name),
      beginDeleting: (name) => cluster.beginDeleting(namespace, name),
      removePod: (name) => cluster.removePod(namespace, name),
      tokenOf: (name) => cluster.server.mintToken(namespace, name, { audiences: ['istio-ca'] }),
      [Symbol.asyncDispose]: async () => {
        stop.abort()
        await running
      },
    }
  })

  test('the cluster’s token issuer is discovered, with the key of every token', async () => {
    const api = connectMounted(await cluster.mountedAccount(), new SteeredClock())
    const { issuer, jwks } = await discoverTokenIssuer(api)(NEVER)
    expect(issuer).toBe('https://kubernetes.default.svc.cluster.local')
    const token = await cluster.server.mintToken('shop', 'cart')
    const { kid } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
    expect(JSON.parse(jwks).keys).toContainEqual(expect.objectContaining({ kid, kty: 'RSA', alg: 'RS256', use: 'sig' }))
  })

  test('more pods than a page holds are listed whole, by a kubeconfig’s account too', async () => {
    const count = 600
    await cluster.addNamespace('crowd')
    await cluster.addAccount('crowd', 'one')
    const uids: string[] = []
    const names = Array.from({ length: count }, (_, n) => `p-${n}`).values()
    const make = async () => {
      for (const name of names) uids.push(await cluster.addPod({ namespace: 'crowd', name, account: 'one' }))
    }
    await Promise.all(Array.from({ length: 16 }, make))
    const clock = new SteeredClock()
    const stop = new AbortController()
    const api = await connectKubeconfig(cluster.server.kubeconfig, clock)
    const kubernetes = new KubernetesCluster({ api, clock, random: systemRandom, events: recordedEvents() })
    const { watch } = kubernetes.cluster
    const running = kubernetes.run(stop.signal)
    try {
      await until('the first lists', () => watch.silence() < Number.POSITIVE_INFINITY, 20_000)
      expect(uids.filter((uid) => watch.pod(uid) === undefined)).toEqual([])
    } finally {
      stop.abort()
      await running
    }
  })

  // The last of all: it ends the API server that the others ask, for a while. One test goes on where the one before it ended.
  describe('an outage of the API server', { shuffle: false }, () => {
    let server: TestServer
    let clock: SteeredClock
    let held: Identity
    const tokens = { ofPod: '', ofUnseen: '', ofNothing: '', ofSecret: '' }
    const silence = () => server.metric('alcazar_watch_silence_seconds')
    beforeAll(async () => {
      ;({ server, clock } = await serving())
      tokens.ofPod = await cluster.podToken(await pod('steady'))
      tokens.ofUnseen = await cluster.podToken(await pod('unseen'))
      const asked = { audiences: ['istio-ca'] }
      tokens.ofNothing = await cluster.server.mintToken('shop', 'cart', asked)
      const { metadata } = await cluster.server.create('/api/v1/namespaces/shop/secrets', {
        metadata: { name: 'held' },
      })
      const boundTo = { kind: 'Secret', name: metadata.name, uid: metadata.uid } as const
      tokens.ofSecret = await cluster.server.mintToken('shop', 'cart', { ...asked, boundTo })
      held = await obtain(server.grpc(), tokens.ofPod)
      await until('both watches', async () => (await silence()) < 60)
      await cluster.server.killApiServer()
    })
    afterAll(() => server?.[Symbol.asyncDispose]())

    test('is not noticed while the watch was heard of within a minute', async () => {
      expect((await ask(server, tokens.ofPod)).status).toBe(0)
      expect((await ask(server, tokens.ofNothing)).status).toBe(0)
      expect((await renew(server, held)).status).toBe(0)
    })

    test('leaves unknown what only the API server knows: that is no refusal', async () => {
      expect(await ask(server, tokens.ofSecret)).toMatchObject({ status: UNAVAILABLE })
    })

    test('is bridged for ten minutes by what the watch saw last, with the keys there were', async () => {
      await clock.leap(8 * MINUTE)
      expect((await ask(server, tokens.ofPod)).status).toBe(0)
      expect((await renew(server, held)).status).toBe(0)
    })

    test('is not bridged for longer', async () => {
      await clock.leap(2 * MINUTE)
      expect(await ask(server, tokens.ofPod)).toMatchObject({ status: UNAVAILABLE })
      expect(await renew(server, held)).toMatchObject({ status: UNAVAILABLE })
    })

    test('is over when the API server is back: with a new signing key, and without a pod that went unseen', async () => {
      await cluster.server.rotateSigningKey()
      await cluster.server.startApiServer()
      await cluster.removePod('shop', 'unseen')
      expect((await ask(server, tokens.ofPod)).status).toBe(0)
      expect((await ask(server, tokens.ofSecret)).status).toBe(0)
      // The longest pause of the watches, and jitter.
      await clock.leap(45 * SECOND)
      await until('both watches', async () => (await silence()) < 5)
      const signedAnew = await cluster.podToken(await pod('steady-1'))
      expect((await ask(server, signedAnew)).status).toBe(0)
      expect((await ask(server, tokens.ofPod)).status).toBe(0)
      expect(await ask(server, tokens.ofUnseen)).toMatchObject(UNAUTHENTICATED)
      expect(reasonOf(server)).toBe('token_review')
    })

    test('makes the API server forget the versions before it: a watch from one of them (410 Gone) lists again, and goes on', async () => {
      const clock = new SteeredClock()
      const { caFile, token } = await cluster.mountedAccount()
      const ca = readFileSync(caFile, 'utf8')
      const headers = { authorization: `Bearer ${token}` }
      const api = new LaggingApi(cluster.server.url, async () => ({ tls: { ca }, headers }), clock)
      const mirror = new PodMirror()
      const told: unknown[] = []
      const watch = new ListWatch({
        api,
        path: '/api/v1/pods',
        mirror,
        clock,
        random: systemRandom,
        told: (outcome) => told.push(outcome),
      })
      const stop = new AbortController()
      const running = watch.run(stop.signal)
      try {
        await until('the second watch', () => api.watches === 2)
        const { uid } = await pod('after-410')
        await until('a new pod to be watched', () => mirror.get(uid) !== undefined)
        expect(api.lists).toBe(2)
        expect(told).toEqual(['ok', 'ok'])
      } finally {
        stop.abort()
        await running
      }
    })
  })
})
