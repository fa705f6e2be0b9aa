import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { MINUTE } from '../../src/core/duration.ts'
import type { RevokedView } from '../../src/endpoints/admin/revocation-routes.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { readPem } from '../../src/x509/pem.ts'
import { aDevServer, aDirectory, TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aCsr } from '../_support/csr.ts'
import type { BareGrpcClient } from '../_support/grpc-client.ts'
import { type Identity, obtain } from '../_support/identity.ts'
import { testWithOpenssl } from '../_support/openssl-command.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { scratch } from '../_support/scratch.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

const REFUSED = { status: status.UNAUTHENTICATED, message: 'request authenticate failure' }

const issue = async (server: TestServer, account = 'cart') =>
  obtain(server.grpc(), await server.devToken('shop', account))
const renew = async (client: BareGrpcClient) => client.createCertificate({ csr: (await aCsr()).pem }, undefined)
const serialOf = ({ leaf }: Identity) => leaf.serialNumber.toLowerCase()
const revoke = (server: TestServer, identity: Identity) =>
  server.admin('POST', '/v1/revocations', { body: { serial: serialOf(identity), because: 'INC-17' } })
const revoked = async (server: TestServer, identity: Identity) => {
  const answer = await revoke(server, identity)
  expect(answer.status).toBe(200)
  return answer.json<RevokedView>().revoked
}
const lastRefusal = (server: TestServer) =>
  server.ledger().findLast((one): one is Extract<LedgerRecord, { kind: 'refused' }> => one.kind === 'refused')

/** What OpenSSL says with a CRL asked for at every link, by what the server gives out. */
async function verified(server: TestServer, identity: Identity, at = new Date()): Promise<string | undefined> {
  const answer = await server.api('GET', '/crl')
  expect(answer.status).toBe(200)
  const file = join(scratch(), 'crls.pem')
  writeFileSync(file, answer.text)
  const ders = (pem: string) => readPem(pem, 100_000, 'nothing else').map(({ der }) => der)
  const [leaf, ...above] = ders(identity.tls.cert) as [Uint8Array, ...Uint8Array[]]
  return opensslVerify([leaf], above, ders(server.roots), at, ['-crl_check_all', '-CRLfile', file])[0]
}

testWithOpenssl(
  'the file that is set has the whole set before the first certificate, and each revocation soon after',
  async () => {
    using folder = aDirectory()
    const crlFile = join(folder.path, 'ca-crl.pem')
    await using server = await TestServer.start({ dev: true, crlFile }, {})
    const [cart, till] = [await issue(server), await issue(server, 'till')]
    const ders = (pem: string) => readPem(pem, 100_000, 'nothing else').map(({ der }) => der)
    const byFile = async (identity: Identity) => {
      const [leaf, ...above] = ders(identity.tls.cert) as [Uint8Array, ...Uint8Array[]]
      const flags = ['-crl_check_all', '-CRLfile', crlFile]
      return (await opensslVerify([leaf], above, ders(server.roots), new Date(), flags))[0]
    }
    expect([await byFile(cart), await byFile(till)]).toEqual(['OK', 'OK'])
    await revoked(server, cart)
    await until('the file has it', async () => (await byFile(cart)) !== 'OK')
    expect(await byFile(cart)).toMatch(/certificate revoked/)
    expect(await byFile(till)).toBe('OK')
  },
)

describe('a certificate that is revoked', () => {
  testWithOpenssl('renews nothing at once, on no connection, and OpenSSL refuses it by the set of CRLs', async () => {
    await using server = await aDevServer()
    const [cart, till] = [await issue(server), await issue(server, 'till')]
    expect([await verified(server, cart), await verified(server, till)]).toEqual(['OK', 'OK'])
    const open = server.grpc(cart.tls)
    expect(await renew(open)).toMatchObject({ status: status.OK })

    expect(await revoked(server, cart)).toMatchObject({
      serial: serialOf(cart),
      because: 'INC-17',
      reached: 'crl',
      says: expect.stringMatching(/^on the CRL of authority [0-9a-f]{4} [0-9a-f]{4}$/),
    })
    expect(await renew(open)).toMatchObject(REFUSED)
    expect(lastRefusal(server)).toMatchObject({
      code: 'unauthenticated',
      reason: 'revoked',
      detail: `${serialOf(cart)} or its issuing authority was revoked`,
      caller: { namespace: 'shop', serviceAccount: 'cart' },
    })
    expect(await renew(server.grpc(cart.tls))).toMatchObject(REFUSED)
    const { pem } = await aCsr()
    expect((await server.api('POST', '/v1/certificates', { tls: cart.tls, body: { csr: pem } })).status).toBe(401)
    expect([await verified(server, cart), await verified(server, till)]).toEqual(['certificate revoked', 'OK'])
    expect(
      await server.metric('alcazar_svids_refused_total{endpoint="istio-ca",code="unauthenticated",reason="revoked"}'),
    ).toBe(2)

    // Another lineage of the same workload, begun by a token, is another matter.
    const again = await issue(server)
    expect(await renew(server.grpc(again.tls))).toMatchObject({ status: status.OK })
    expect(await verified(server, again)).toBe('OK')
    expect(await renew(server.grpc(till.tls))).toMatchObject({ status: status.OK })

    expect(server.ledger().findLast((one) => one.kind === 'authority')).toMatchObject({
      what: 'certificate revoked',
      detail: `${serialOf(cart)} of spiffe://cluster.local/ns/shop/sa/cart, by the admin: INC-17`,
    })
    expect(server.log.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        message: 'certificate revoked',
        serial: serialOf(cart),
        spiffeId: 'spiffe://cluster.local/ns/shop/sa/cart',
        because: 'INC-17',
      }),
    )
  })

  testWithOpenssl('stays refused after a restart, and on its CRL though the key that signed that is gone', async () => {
    using state = aDirectory()
    const clock = new SteeredClock()
    let [cart, till] = [undefined, undefined] as (Identity | undefined)[] as [Identity, Identity]
    {
      await using server = await aDevServer({ state: state.path, clock })
      ;[cart, till] = [await issue(server), await issue(server, 'till')]
      await revoked(server, cart)
    }
    await using server = await aDevServer({ state: state.path, clock })
    expect(await renew(server.grpc(cart.tls))).toMatchObject(REFUSED)
    expect(lastRefusal(server)).toMatchObject({ reason: 'revoked' })
    expect(await renew(server.grpc(till.tls))).toMatchObject({ status: status.OK })
    expect([await verified(server, cart), await verified(server, till)]).toEqual(['certificate revoked', 'OK'])
    expect((await server.admin('GET', '/v1/revocations')).json()).toMatchObject({
      revocations: [{ serial: serialOf(cart), because: 'INC-17', reached: 'crl' }],
      missingCrls: [],
    })
  })

  testWithOpenssl(
    'takes its issuing authority with it if that one’s key is gone, once all others were reissued',
    async () => {
      using state = aDirectory()
      const clock = new SteeredClock()
      let [cart, till] = [undefined, undefined] as (Identity | undefined)[] as [Identity, Identity]
      {
        await using server = await aDevServer({ state: state.path, clock })
        ;[cart, till] = [await issue(server), await issue(server, 'till')]
      }
      await using server = await aDevServer({ state: state.path, clock })
      await until(
        'the ledger was read',
        async () => (await server.admin('GET', '/v1/workloads')).json<{ complete: boolean }>().complete,
      )
      expect(await revoked(server, cart)).toMatchObject({
        reached: 'later',
        says: expect.stringMatching(
          /^on no CRL yet: the key of its issuing authority .* is gone, which goes on the CRL/,
        ),
      })
      expect(await renew(server.grpc(cart.tls))).toMatchObject(REFUSED)
      // Till stands on it, and no CRL breaks till.
      expect([await verified(server, cart), await verified(server, till)]).toEqual(['OK', 'OK'])

      const renewed = await obtain(server.grpc(till.tls), undefined)
      // Its first use says that it arrived.
      await obtain(server.grpc(renewed.tls), undefined)
      expect(await revoked(server, cart)).toMatchObject({
        reached: 'authority',
        says: expect.stringMatching(/^its issuing authority .*, whose key is gone, is on the CRL of authority/),
      })
      const told = await alcazar([
        'revoke',
        '--serial',
        serialOf(cart),
        '--because',
        'x',
        '--state-directory',
        server.state,
      ])
      expect(told.out).toMatch(
        /^[0-9a-f]+ is revoked: it renews nothing any more, holds up no rotation, and its issuing authority .{9}, whose key is gone, is on the CRL of authority .{9}\.\n/,
      )
      expect([await verified(server, cart), await verified(server, renewed)]).toEqual(['certificate revoked', 'OK'])
      // All that it signed is denied with it.
      expect(await renew(server.grpc(till.tls))).toMatchObject(REFUSED)
      expect(lastRefusal(server)).toMatchObject({ reason: 'revoked' })
      expect(await renew(server.grpc(renewed.tls))).toMatchObject({ status: status.OK })
    },
  )

  testWithOpenssl('may be one that was replaced, which the ledger alone knows', async () => {
    await using server = await aDevServer()
    const cart = await issue(server)
    const renewed = await obtain(server.grpc(cart.tls), undefined)
    await obtain(server.grpc(renewed.tls), undefined)
    expect(await revoked(server, cart)).toMatchObject({ reached: 'crl' })
    expect(await renew(server.grpc(cart.tls))).toMatchObject(REFUSED)
    expect(await verified(server, cart)).toBe('certificate revoked')
  })
})

describe('what can’t be revoked:', () => {
  test.for([
    [
      'what was not issued here',
      '4a4b4c',
      404,
      'not_found',
      /^no certificate with the whole serial number 4a4b4c was issued here since 20.*Z, when the oldest issuing authority began; look it up by its first digits with alcazar ledger show, or if its CA key was stolen take the root out with alcazar root taint$/,
    ],
    [
      'half a serial number',
      '4a4',
      400,
      'invalid_argument',
      /^serial is a whole serial number, 1 to 20 bytes of hex, as/,
    ],
    ['what is no number', 'cart', 400, 'invalid_argument', /^serial is a whole serial number/],
  ] as const)('%s', async ([, serial, code, kind, detail]) => {
    await using server = await aDevServer()
    const answer = await server.admin('POST', '/v1/revocations', { body: { serial, because: 'why not' } })
    expect([answer.status, answer.json()]).toMatchObject([code, { code: kind, detail: expect.stringMatching(detail) }])
    expect((await server.admin('GET', '/v1/revocations')).json()).toMatchObject({ revocations: [] })
  })

  test('anything without a reason, or for one that is too long for the journal', async () => {
    await using server = await aDevServer()
    const serial = serialOf(await issue(server))
    for (const [because, detail] of [
      ['', 'because is missing: why, for the ledger'],
      [
        'x'.repeat(161),
        'the journal keeps the reason of a revocation, so it has at most 160 bytes; name a ticket that has the rest',
      ],
    ]) {
      const answer = await server.admin('POST', '/v1/revocations', { body: { serial, because } })
      expect(answer.json()).toMatchObject({ code: 'invalid_argument', detail })
    }
    expect((await server.admin('GET', '/v1/revocations')).json()).toMatchObject({ revocations: [] })
  })
})

test('what a workload got before it was forgotten renews no more; a token begins again', async () => {
  const clock = new SteeredClock()
  await using server = await aDevServer({ clock })
  await until(
    'the ledger was read',
    async () => (await server.admin('GET', '/v1/workloads')).json<{ complete: boolean }>().complete,
  )
  const cart = await issue(server)
  const till = await issue(server, 'till')
  const open = server.grpc(cart.tls)
  expect(await renew(open)).toMatchObject({ status: status.OK })
  const body = { workload: 'shop/cart-dev', because: 'it is gone' }
  expect((await server.admin('POST', '/v1/workloads/forget', { body })).status).toBe(200)
  expect(await renew(open)).toMatchObject(REFUSED)
  expect(lastRefusal(server)).toMatchObject({
    reason: 'forgotten',
    detail: 'shop/cart-dev was cut off after this certificate was issued; a fresh token starts again',
  })
  expect(await renew(server.grpc(till.tls))).toMatchObject({ status: status.OK })
  await clock.leap(MINUTE)
  const again = await issue(server)
  expect(await renew(server.grpc(again.tls))).toMatchObject({ status: status.OK })
  expect(await renew(server.grpc(cart.tls))).toMatchObject(REFUSED)
})
