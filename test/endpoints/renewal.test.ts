import { readFileSync } from 'node:fs'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { IstioCertificateRequest } from '../../src/gen/istio/ca.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { aDirectory, aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import type { FakePod } from '../_support/fake-api-server.ts'
import { type BareGrpcClient, CREATE_CERTIFICATE, framed, type GrpcAnswer } from '../_support/grpc-client.ts'
import { FLAG, FRAME, frame, grpcHeaders, RawHttp2 } from '../_support/http2-frames.ts'
import { forged, type Identity, obtain } from '../_support/identity.ts'
import { aRoot, type TestCa, writeCacerts } from '../_support/plugged-ca.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { selfSignedServer } from '../_support/tls.ts'
import { podClaims } from '../_support/tokens.ts'
import { until } from '../_support/until.ts'

const REFUSED = { status: status.UNAUTHENTICATED, message: 'request authenticate failure' }

let cluster: TestCluster
let server: TestServer
let clock: SteeredClock
let root: TestCa
let pod: FakePod
let cart: Identity

beforeAll(async () => {
  cluster = await TestCluster.start()
  root = await aRoot()
})
afterAll(() => cluster[Symbol.asyncDispose]())
beforeEach(async () => {
  for (const uid of [...cluster.api.pods.keys()]) cluster.api.removePod(uid)
  pod = cluster.pod('shop', 'cart')
  clock = new SteeredClock()
  server = await aPluggedServer({
    cluster: cluster.settings(),
    cacerts: (directory) => writeCacerts(directory, root, [root], [root]),
    clock,
  })
  cart = await obtain(server.grpc(), cluster.tokenOf(pod))
})
afterEach(() => server[Symbol.asyncDispose]())

const renew = async (client: BareGrpcClient, token?: string): Promise<GrpcAnswer> =>
  client.createCertificate({ csr: (await aCsr()).pem }, token)

const lastRecord = <K extends LedgerRecord['kind']>(kind: K) =>
  server.ledger().findLast((record): record is Extract<LedgerRecord, { kind: K }> => record.kind === kind)

describe('a client certificate issued here', () => {
  test('renews itself, again and again on one connection', async () => {
    const client = server.grpc(cart.tls)
    for (let round = 0; round < 3; round++) {
      const renewed = await obtain(client, undefined)
      expect(renewed.leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
      expect(renewed.leaf.serialNumber).not.toBe(cart.leaf.serialNumber)
    }
    expect(lastRecord('intent')?.caller).toEqual({
      namespace: 'shop',
      serviceAccount: 'cart',
      method: 'client-certificate',
      pod: pod.name,
      podUid: pod.uid,
    })
  })

  test('renews itself by what the last renewal gave, on a new connection each time', async () => {
    let identity = cart
    for (let round = 0; round < 3; round++) identity = await obtain(server.grpc(identity.tls), undefined)
    expect(identity.leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/cart')
  })

  test('renews itself through the HTTPS API', async () => {
    const { pem } = await aCsr()
    const answer = await server.api('POST', '/v1/certificates', { tls: cart.tls, body: { csr: pem } })
    expect(answer.status).toBe(200)
    expect(answer.json()).toMatchObject({ spiffeId: 'spiffe://cluster.local/ns/shop/sa/cart' })
  })

  test('counts without the certificates above it: the issuer is known by its key', async () => {
    const alone = cart.tls.cert.slice(0, cart.tls.cert.indexOf('-----END CERTIFICATE-----\n') + 26)
    expect(await renew(server.grpc({ ...cart.tls, cert: alone }))).toMatchObject({ status: status.OK })
  })

  test('is refused as soon as its pod is gone, though the connection has renewed before', async () => {
    const client = server.grpc(cart.tls)
    expect(await renew(client)).toMatchObject({ status: status.OK })
    cluster.api.removePod(pod.uid)
    await until('a refusal', async () => (await renew(client)).status !== status.OK)
    expect(await renew(client)).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'pod_gone' })
  })

  test('is refused when another pod took the name', async () => {
    const client = server.grpc(cart.tls)
    cluster.api.removePod(pod.uid)
    cluster.pod('shop', 'cart', { uid: 'a-later-pod' })
    await until('a refusal', async () => (await renew(client)).status !== status.OK)
    expect(lastRecord('refused')).toMatchObject({ reason: 'pod_gone' })
  })

  test('is refused when its service account was deleted and made again', async () => {
    const client = server.grpc(cart.tls)
    cluster.api.addAccount({ namespace: 'shop', name: 'cart', uid: 'another-account' })
    await until('a refusal', async () => (await renew(client)).status !== status.OK)
    expect(await renew(client)).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'service_account_gone' })
  })

  test('is refused when it expires during the connection', async () => {
    const brief = await obtain(server.grpc(), cluster.tokenOf(pod), { validityDuration: 60n })
    const client = server.grpc(brief.tls)
    expect(await renew(client)).toMatchObject({ status: status.OK })
    await clock.leap(61 * SECOND)
    expect(await renew(client)).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'expired' })
  })

  test('is refused when it came expired', async () => {
    const brief = await obtain(server.grpc(), cluster.tokenOf(pod), { validityDuration: 60n })
    await clock.leap(61 * SECOND)
    expect(await renew(server.grpc(brief.tls))).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'expired' })
  })

  test('is refused 48 hours after the last token, however often it was renewed and however long it is good', async () => {
    const first = await obtain(server.grpc(), cluster.tokenOf(pod), { validityDuration: 72n * 3600n })
    const renewed = await obtain(server.grpc(first.tls), undefined, { validityDuration: 72n * 3600n })
    await clock.leap(48 * HOUR + SECOND)
    // The server's own certificate lives in its time, not in this client's.
    expect(await renew(server.grpc({ ...renewed.tls, rejectUnauthorized: false }))).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'lineage_ended' })
  })

  test('issued to nobody’s pod does not renew itself', async () => {
    const { issuer } = cluster.signer
    const unbound = cluster.signer.signed(
      podClaims({
        issuer,
        namespace: 'shop',
        serviceAccount: 'cart',
        accountUid: 'uid-of-account-shop-cart',
        now: new Date(),
      }),
    )
    const identity = await obtain(server.grpc(), unbound)
    expect(await renew(server.grpc(identity.tls))).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'no_lineage' })
  })
})

describe('a client certificate not issued here is refused:', () => {
  test('a self-signed one with the same name', async () => {
    const { key, cert } = selfSignedServer('spiffe')
    expect(await renew(server.grpc({ key, cert }))).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'unknown_issuer' })
  })

  test('one that is ours in every name and number, signed by another CA', async () => {
    const [own, other] = [(await aCsr()).key, (await aCsr()).key]
    const { tls } = await forged(cart, own, other)
    expect(await renew(server.grpc(tls))).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({
      reason: 'unknown_issuer',
      detail: expect.stringContaining('was not signed by its key'),
    })
  })

  test('one that is ours in every name and number, signed by itself', async () => {
    const own = (await aCsr()).key
    const { tls } = await forged(cart, own, own)
    expect(await renew(server.grpc(tls))).toMatchObject(REFUSED)
  })

  test('one signed by the root of the bundle instead of an issuing authority', async () => {
    const own = (await aCsr()).key
    const { tls } = await forged(cart, own, root.key)
    expect(await renew(server.grpc(tls))).toMatchObject(REFUSED)
    expect(lastRecord('refused')).toMatchObject({ reason: 'unknown_issuer' })
  })

  test('a CA’s certificate: the root’s own', async () => {
    using directory = aDirectory()
    await writeCacerts(directory.path, root, [root], [root])
    const key = readFileSync(`${directory.path}/ca-key.pem`, 'utf8')
    const cert = readFileSync(`${directory.path}/ca-cert.pem`, 'utf8')
    expect(await renew(server.grpc({ key, cert }))).toMatchObject(REFUSED)
  })
})

describe('with a token beside the client certificate the token decides:', () => {
  test('another account’s token gets that account’s identity', async () => {
    const other = cluster.tokenOf(cluster.pod('shop', 'till'))
    const { leaf } = await obtain(server.grpc(cart.tls), other)
    expect(leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/till')
  })

  test('a bad token is not made good by the certificate', async () => {
    expect(await renew(server.grpc(cart.tls), 'a.b.c')).toMatchObject(REFUSED)
  })

  test.for(['Bearer ', 'Bearer a.b.c ', ' Bearer a.b.c'])(
    'a token header that begins or ends with a space, %j, is no token, and is not passed over',
    async (value) => {
      const { pem: csr } = await aCsr()
      const message = IstioCertificateRequest.encode({ csr, validityDuration: 0n, metadata: undefined }).finish()
      using raw = await RawHttp2.connect(server.running.ca, { ...server.trust, ...cart.tls })
      const headers = grpcHeaders(CREATE_CERTIFICATE, [['authorization', value]])
      raw.send(frame(FRAME.headers, FLAG.endHeaders, 1, headers), frame(FRAME.data, FLAG.endStream, 1, framed(message)))
      await until('an answer', () => raw.received.some((one) => one.stream === 1 && one.flags & FLAG.endStream))
      expect(lastRecord('refused')).toMatchObject({ code: 'unauthenticated' })
      expect(lastRecord('issued')?.serial).toBe(cart.leaf.serialNumber.toLowerCase())
    },
  )

  test('a good token is not spoilt by a strange certificate', async () => {
    const { key, cert } = selfSignedServer('stranger')
    expect(await renew(server.grpc({ key, cert }), cluster.tokenOf(pod))).toMatchObject({ status: status.OK })
  })
})

describe('a connection', () => {
  test.for(['h2', 'http/1.1'])(
    'over %s ends after 30 minutes, with a client certificate or without',
    async (protocol) => {
      const open = [rawConnection(protocol, {}), rawConnection(protocol, cart.tls)]
      const sockets = await Promise.all(open)
      await clock.leap(29 * MINUTE)
      await new Promise((done) => setTimeout(done, 300))
      expect(sockets.map((socket) => socket.destroyed)).toEqual([false, false])
      await clock.leap(MINUTE + SECOND)
      await until('both closed', () => sockets.every((socket) => socket.destroyed || socket.readableEnded))
    },
  )
})

/** A connection that has been answered on: only then has the server seen the whole handshake. */
function rawConnection(protocol: string, tls: ConnectionOptions): Promise<TLSSocket> {
  const { host, port } = server.running.ca
  const greeting =
    protocol === 'h2'
      ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'
      : 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n'
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ...server.trust, ...tls, ALPNProtocols: [protocol] }, () =>
      socket.write(greeting),
    )
    socket.on('error', reject)
    socket.on('data', () => resolve(socket))
  })
}
