import { describe, expect, test } from 'vitest'
import { type Attest, attestation } from '../../src/attestation/attest.ts'
import { TokenKeys } from '../../src/attestation/token-keys.ts'
import { HOUR, MINUTE } from '../../src/core/duration.ts'
import { asObject, parseStrictJson } from '../../src/core/json.ts'
import { DevCluster } from '../../src/service/dev-cluster.ts'
import { readCertificate } from '../../src/x509/certificate.ts'
import { OID } from '../../src/x509/oids.ts'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, opaque, refusal, withCertificate, withToken } from '../_support/attested.ts'
import { aRequest } from '../_support/requests.ts'

/** A CA whose tokens come from dev mode, as on a laptop. */
async function aDevServer() {
  const ca = await aCa()
  const dev = await DevCluster.start(ca.trustDomain, 'istio-ca', ca.clock)
  const keys = new TokenKeys(dev.tokenIssuer, ca.clock, NEVER)
  await keys.refresh()
  const attestWith = (authentication: 'local' | 'token-review'): Attest =>
    attestation({
      trustDomain: ca.trustDomain,
      keys,
      issuers: ca.keeper,
      cluster: dev.cluster,
      policy: { ...ca.tokenPolicy, authentication },
      trustedNodeAccounts: [],
      clock: ca.clock,
    })
  const attest = attestWith('local')
  return { ...ca, dev, attest, attestWith, issueSvid: ca.issuingBehind(attest) }
}

const cart = { namespace: 'shop', name: 'cart' }

describe('a token of dev mode', () => {
  test('passes the same attestation as a cluster’s', async () => {
    const { dev, attest } = await aDevServer()
    const caller = await attest(withToken(await dev.issueToken(cart)), NEVER)
    expect(caller).toMatchObject({ account: cart, method: 'service-account-token', pod: { name: 'cart-dev' } })
  })

  test('passes where every token is put to the API server', async () => {
    const { dev, attestWith } = await aDevServer()
    await expect(attestWith('token-review')(withToken(await dev.issueToken(cart)), NEVER)).resolves.toMatchObject({
      account: cart,
    })
  })

  test('has the shape of a projected token: bound to a pod, for one audience, for an hour', async () => {
    const { dev, clock } = await aDevServer()
    const [, body = ''] = (await dev.issueToken(cart)).split('.')
    const claims = asObject(parseStrictJson(Buffer.from(body, 'base64url').toString('utf8')))
    const now = clock.now().getTime() / 1000
    expect(claims).toMatchObject({
      aud: ['istio-ca'],
      iat: now,
      nbf: now,
      exp: now + 3600,
      iss: 'https://alcazar-dev.invalid',
      sub: 'system:serviceaccount:shop:cart',
    })
    expect(claims?.['kubernetes.io']).toMatchObject({ namespace: 'shop', pod: { name: 'cart-dev' } })
  })

  test('is good for an hour and the leeway, no longer', async () => {
    const { dev, attest, clock } = await aDevServer()
    const token = await dev.issueToken(cart)
    await clock.advance(HOUR + MINUTE - 1)
    await expect(attest(withToken(token), NEVER)).resolves.toBeDefined()
    await clock.advance(1)
    expect(await refusal(attest(withToken(token), NEVER))).toMatchObject(opaque('expired'))
  })

  test('ends with the server that made it', async () => {
    const [before, after] = [await aDevServer(), await aDevServer()]
    const token = await before.dev.issueToken(cart)
    expect(await refusal(after.attest(withToken(token), NEVER))).toMatchObject(opaque('bad_signature'))
  })

  test('of another server is not reviewed as good', async () => {
    const [before, after] = [await aDevServer(), await aDevServer()]
    const review = await after.dev.cluster.reader.reviewToken(await before.dev.issueToken(cart), ['istio-ca'], NEVER)
    expect(review).toEqual({ authenticated: false, error: 'dev mode did not make this token' })
  })
})

describe('renewal by certificate', () => {
  test('works in dev mode, for as long as the lineage', async () => {
    const { dev, issueSvid, clock } = await aDevServer()
    const first = await issueSvid(await aRequest(withToken(await dev.issueToken(cart))), NEVER)
    await clock.advance(20 * HOUR)
    const second = await issueSvid(await aRequest(withCertificate(first.svid.der)), NEVER)
    const lineage = (der: Uint8Array) => readCertificate(der).tbs.extensions.get(OID.lineage)?.value
    expect(lineage(second.svid.der)).toEqual(lineage(first.svid.der))
    await clock.advance(20 * HOUR)
    const third = await issueSvid(await aRequest(withCertificate(second.svid.der)), NEVER)
    await clock.advance(9 * HOUR)
    expect(await refusal(issueSvid(await aRequest(withCertificate(third.svid.der)), NEVER))).toMatchObject(
      opaque('lineage_ended'),
    )
  })
})

describe('the pod of dev mode', () => {
  test('exists as long as anybody asks, and is always the same', async () => {
    const { reader } = (await aDevServer()).dev.cluster
    const [one, two] = [
      await reader.readPod('shop', 'cart-dev', NEVER),
      await reader.readPod('shop', 'cart-dev', NEVER),
    ]
    expect(one).toEqual(two)
    expect(one).toMatchObject({ serviceAccount: 'cart', ended: false, deletion: undefined })
  })

  test('is another one in another namespace', async () => {
    const { reader } = (await aDevServer()).dev.cluster
    const uid = async (namespace: string) => (await reader.readPod(namespace, 'cart-dev', NEVER))?.uid
    expect(await uid('shop')).not.toBe(await uid('bank'))
  })

  test('is none under a name that dev mode gives to nobody', async () => {
    const { reader } = (await aDevServer()).dev.cluster
    expect(await reader.readPod('shop', 'cart', NEVER)).toBeUndefined()
  })

  test('runs on no node, so no proxy may ask on its behalf', async () => {
    const { dev } = await aDevServer()
    expect(await dev.cluster.reader.podsOn('dev', 'shop', NEVER)).toEqual([])
    expect(dev.cluster.watch.runsOn('dev', cart)).toBe(false)
  })
})

describe('no token is made', () => {
  test.each([
    ['a name with upper-case letters', 'shop', 'Cart'],
    ['a name with a slash', 'shop', 'cart/admin'],
    ['an empty name', 'shop', ''],
    ['a namespace with a dot', 'shop.eu', 'cart'],
    ['a namespace of 64 characters', 'n'.repeat(64), 'cart'],
    ['a name that begins with a dash', 'shop', '-cart'],
    ['a name that leaves no room for its pod’s', 'shop', 'c'.repeat(250)],
    ['a name with an empty label', 'shop', 'cart..v1'],
    ['a name with a label that ends with a dash', 'shop', 'cart-.v1'],
  ])('for %s', async (_what, namespace, name) => {
    const { dev } = await aDevServer()
    await expect(dev.issueToken({ namespace, name })).rejects.toMatchObject({ code: 'invalid_argument' })
  })
})
