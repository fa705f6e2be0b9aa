import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MINUTE } from '../../src/core/duration.ts'
import type { StatusView } from '../../src/endpoints/admin/authority-routes.ts'
import { certificatePem } from '../../src/x509/pem.ts'
import { aDevServer, aDirectory, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { FRAME, RawHttp2 } from '../_support/http2-frames.ts'
import { type Identity, obtain } from '../_support/identity.ts'
import { aRoot } from '../_support/plugged-ca.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { handshake, sClient } from '../_support/tls-probe.ts'
import { until } from '../_support/until.ts'

let server: TestServer
let identity: Identity

beforeAll(async () => {
  server = await aDevServer({ settings: { serverNames: 'localhost,127.0.0.1,::1,ca.example' } })
  identity = await obtain(server.grpc(), await server.devToken())
})
afterAll(() => server[Symbol.asyncDispose]())

const shake = (options: ConnectionOptions = {}, request?: string) =>
  handshake(server.running.ca, { ...server.trust, ...options }, request)
const failure = (options: ConnectionOptions) =>
  shake(options).then(
    ({ protocol, cipher }) => `connected with ${protocol} ${cipher}`,
    (error: NodeJS.ErrnoException) => error.code,
  )
const atVersion = (version: 'TLSv1.2' | 'TLSv1.3') => ({ minVersion: version, maxVersion: version })
const GET_STATUS = 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n'

describe('the protocol version', () => {
  test.for(['TLSv1.2', 'TLSv1.3'] as const)('%s is spoken', async (version) => {
    expect((await shake(atVersion(version))).protocol).toBe(version)
  })

  test.for(['TLSv1', 'TLSv1.1'] as const)('%s is not', async (version) => {
    const old = { minVersion: version, maxVersion: version, ciphers: 'ALL@SECLEVEL=0' }
    expect(await failure(old)).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
  })

  test('TLS 1.1 from OpenSSL is answered with the alert for it', async () => {
    const said = await sClient(server.running.ca, ['-tls1_1', '-cipher', 'ALL@SECLEVEL=0'])
    expect(said).toMatch(/alert protocol version/)
  })
})

describe('the key exchange', () => {
  test.for([
    ['X25519MLKEM768', 'X25519MLKEM768'],
    ['X25519', 'X25519'],
    ['P-256', 'prime256v1'],
    ['P-384', 'secp384r1'],
  ] as const)('with %s is taken', async ([group, name]) => {
    expect((await shake({ ecdhCurve: group, ...atVersion('TLSv1.3') })).group).toBe(name)
  })

  test('holds against quantum computers too, where the client leads with that', async () => {
    expect((await shake({ ecdhCurve: 'X25519MLKEM768:X25519:P-256' })).group).toBe('X25519MLKEM768')
  })

  // Before TLS 1.3 a client that can't P-256 can't check our certificate either.
  test.for(['X25519:P-256', 'P-256'])('with %s is taken in TLS 1.2', async (groups) => {
    expect((await shake({ ecdhCurve: groups, ...atVersion('TLSv1.2') })).protocol).toBe('TLSv1.2')
  })

  test.for(['P-521', 'X448', 'ffdhe2048', 'ffdhe3072', 'SecP256r1MLKEM768', 'MLKEM768'])(
    'with nothing but %s is refused',
    async (group) => {
      expect(await failure({ ecdhCurve: group, ...atVersion('TLSv1.3') })).toMatch(/ALERT_HANDSHAKE_FAILURE/)
    },
  )

  test.for(['P-521', 'X448', 'ffdhe2048'])('with nothing but %s is refused to OpenSSL, too', async (group) => {
    const said = await sClient(server.running.ca, ['-groups', group])
    expect(said).toMatch(/alert handshake failure/)
    expect(said).toMatch(/^no peer certificate available$/m)
  })
})

describe('the cipher', () => {
  test.for(['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305'])(
    '%s is taken in TLS 1.2',
    async (cipher) => {
      expect((await shake({ ciphers: cipher, ...atVersion('TLSv1.2') })).cipher).toBe(cipher)
    },
  )

  test.for([
    'ECDHE-ECDSA-AES128-SHA256',
    'ECDHE-ECDSA-AES256-SHA',
    'ECDHE-ECDSA-AES128-CCM',
    'AES128-GCM-SHA256',
    'DHE-RSA-AES128-GCM-SHA256',
    'AECDH-AES128-SHA@SECLEVEL=0',
  ])('%s is refused', async (cipher) => {
    expect(await failure({ ciphers: cipher, ...atVersion('TLSv1.2') })).toMatch(/ALERT_HANDSHAKE_FAILURE/)
  })

  test.for(['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'])(
    '%s is taken in TLS 1.3',
    async (cipher) => {
      expect((await shake({ ciphers: cipher, ...atVersion('TLSv1.3') })).cipher).toBe(cipher)
    },
  )

  test('TLS_AES_128_CCM_SHA256 is refused', async () => {
    expect(await failure({ ciphers: 'TLS_AES_128_CCM_SHA256', ...atVersion('TLSv1.3') })).toMatch(
      /ALERT_HANDSHAKE_FAILURE/,
    )
  })
})

describe('a session', () => {
  const kinds = (['TLSv1.2', 'TLSv1.3'] as const).flatMap((version) =>
    [false, true].map((certified) => [version, certified ? 'with' : 'without', certified] as const),
  )

  test.for(kinds)('of %s %s a client certificate is never resumed', async ([version, , certified]) => {
    const options = { ...atVersion(version), ...(certified && identity.tls) }
    const first = await shake(options, GET_STATUS)
    const again = await shake({ ...options, ...(first.session && { session: first.session }) }, GET_STATUS)
    expect(again.reused).toBe(false)
  })

  test.for(['-tls1_2', '-tls1_3'])('that OpenSSL kept (%s) is never resumed', async (version) => {
    using directory = aDirectory()
    const file = join(directory.path, 'session')
    const first = await sClient(server.running.ca, [version, '-sess_out', file, '-ign_eof'], closing())
    expect(first).toMatch(/^New, /m)
    const again = await sClient(server.running.ca, [version, '-sess_in', file, '-ign_eof'], closing())
    expect(again).not.toMatch(/^Reused, /m)
  })

  test('is a new one each time OpenSSL reconnects', async () => {
    const said = await sClient(server.running.ca, ['-tls1_2', '-reconnect'])
    expect(said.match(/^New, TLSv1.2/gm)?.length).toBe(6)
    expect(said).not.toMatch(/^Reused, /m)
  })

  test('is not renegotiated', async () => {
    const socket = connect({ ...server.running.ca, ...server.trust, ...atVersion('TLSv1.2') })
    await once(socket, 'secureConnect')
    socket.on('error', () => undefined)
    const outcome = await new Promise((resolve) => {
      socket.once('close', () => resolve('closed'))
      socket.renegotiate({}, (error) => resolve(error === null ? 'renegotiated' : 'refused'))
    })
    expect(outcome).not.toBe('renegotiated')
    socket.destroy()
  })

  const closing = () => 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
})

describe('the request for a client certificate', () => {
  test.for(['-tls1_2', '-tls1_3'])('names no CA (%s), so that no client hides what it has', async (version) => {
    const said = await sClient(server.running.ca, [version])
    expect(said).toMatch(/^No client certificate CA names sent$/m)
    expect(said).toMatch(/^Requested Signature Algorithms: /m)
  })

  test('may be left unanswered', async () => {
    expect((await server.api('GET', '/v1/status')).status).toBe(200)
  })
})

describe('the application protocol', () => {
  test('of clients that offer h2 alone is gRPC', async () => {
    using raw = await RawHttp2.connect(server.running.ca, server.trust)
    await until('settings', () => raw.of(FRAME.settings).length > 0)
  })

  test.for([
    ['http/1.1 alone', ['http/1.1'], 'http/1.1'],
    ['h2 and http/1.1', ['h2', 'http/1.1'], 'http/1.1'],
    ['http/1.1 and h2', ['http/1.1', 'h2'], 'http/1.1'],
    ['nothing', undefined, false],
  ] as const)('of clients that offer %s is HTTP/1.1', async ([, offered, agreed]) => {
    const { alpn } = await shake(offered ? { ALPNProtocols: [...offered] } : {}, GET_STATUS)
    expect(alpn).toBe(agreed)
  })

  test('of clients that offer h2 and something strange is gRPC', async () => {
    expect((await shake({ ALPNProtocols: ['spdy/3', 'h2'] })).alpn).toBe('h2')
  })

  test('of clients that offer nothing we speak is none: they are told so', async () => {
    expect(await failure({ ALPNProtocols: ['spdy/3', 'h2c'] })).toBe('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
  })
})

describe('our own certificate', () => {
  test('is the same whatever name is asked for, or none', async () => {
    const lenient = { checkServerIdentity: () => undefined }
    const shakes = [
      await shake({ servername: '' }),
      await shake({ servername: 'localhost' }),
      await shake({ servername: 'other.example', ...lenient }),
      await shake({ servername: `${'a.'.repeat(100)}example`, ...lenient }),
    ]
    expect(new Set(shakes.map(({ certificate }) => certificate.toString('hex')))).toHaveProperty('size', 1)
  })

  test('carries the names that are set and no other, in a critical extension because it has no subject', async () => {
    const certificate = new X509Certificate((await shake()).certificate)
    expect(certificate.subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:ca.example',
    )
    expect(certificate.subject).toBeFalsy()
  })

  test('is good for TLS servers, for a day at most, and no CA', async () => {
    const certificate = new X509Certificate((await shake()).certificate)
    expect(certificate.keyUsage).toContain('1.3.6.1.5.5.7.3.1')
    expect(certificate.ca).toBe(false)
    expect(certificate.validToDate.getTime() - Date.now()).toBeLessThanOrEqual(24 * 60 * MINUTE)
  })

  test('comes with what stands between it and the root, and without the root', async () => {
    const said = await sClient(server.running.ca, ['-showcerts'])
    const sent = said.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
    const [leaf, issuing, ...more] = sent.map((pem) => new X509Certificate(pem))
    expect(more).toEqual([])
    expect(leaf?.checkIssued(issuing as X509Certificate)).toBe(true)
    expect(issuing?.checkIssued(new X509Certificate(server.roots))).toBe(true)
  })

  test('is verified by OpenSSL, by name and address', async () => {
    using directory = aDirectory()
    const roots = join(directory.path, 'roots.pem')
    writeFileSync(roots, server.roots)
    for (const check of [
      ['-verify_hostname', 'ca.example'],
      ['-verify_ip', '::1'],
    ])
      expect(await sClient(server.running.ca, ['-CAfile', roots, '-verify_return_error', ...check])).toMatch(
        /^Verification: OK$/m,
      )
  })

  test.for(['-tls1_2', '-tls1_3'])(
    'that OpenSSL does not believe (%s) is noticed: by whom, and why',
    async (version) => {
      using directory = aDirectory()
      const file = join(directory.path, 'other-root.pem')
      writeFileSync(file, certificatePem((await aRoot()).certificate.der))
      const counter = 'alcazar_serving_certificate_refused_total{alert="unknown CA"}'
      const before = await server.metric(counter)
      await sClient(server.running.ca, [version, '-CAfile', file, '-verify_return_error'])
      await until('the alert is counted', async () => (await server.metric(counter)) === before + 1)
      const { refusing } = (await server.admin('GET', '/v1/authorities')).json<StatusView>()
      expect(refusing).toMatchObject([{ address: '127.0.0.1', alert: 'unknown CA' }])
      expect(server.log.filter((line) => line.includes('a client refused our certificate'))).toHaveLength(1)
    },
  )

  test('is not said to be refused where a client leaves without a word, or for something else', async () => {
    const counts = async () => (await server.health('/metrics')).text.match(/^alcazar_serving_certificate_refused.*$/gm)
    const before = await counts()
    const closed = await server.metric('alcazar_connections_closed_total{why="handshake"}')
    await failure({ ca: certificatePem((await aRoot()).certificate.der) })
    await failure({ ciphers: 'ECDHE-RSA-AES128-SHA', maxVersion: 'TLSv1.2' })
    await until(
      'both are closed',
      async () => (await server.metric('alcazar_connections_closed_total{why="handshake"}')) >= closed + 2,
    )
    expect(await counts()).toEqual(before)
  })

  test('is replaced in place at half of its life, and open connections go on', async () => {
    // Its clock never passes this client's, which checks both certificates.
    const clock = new SteeredClock({ aheadMs: -7 * MINUTE })
    const settings = { 'issuing.lifetime': '12m', 'svid.defaultTtl': '2m', 'svid.maxTtl': '2m' }
    await using brief = await aDevServer({ settings, clock })
    const token = await brief.devToken()
    const client = brief.grpc()
    const before = await handshake(brief.running.ca, brief.trust)
    expect(await client.createCertificate({ csr: (await aCsr()).pem }, token)).toMatchObject({ status: status.OK })
    await clock.leap(6 * MINUTE)
    await until('another certificate', async () => {
      const now = await handshake(brief.running.ca, brief.trust)
      return !now.certificate.equals(before.certificate)
    })
    expect(await client.createCertificate({ csr: (await aCsr()).pem }, token)).toMatchObject({ status: status.OK })
  })
})
