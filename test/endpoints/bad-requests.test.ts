import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MAX_MESSAGE_BYTES } from '../../src/endpoints/edge.ts'
import { IstioCertificateRequest } from '../../src/gen/istio/ca.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { writeCsrInfo, writeCsrPem } from '../../src/x509/csr.ts'
import { bitString, sequence } from '../../src/x509/der.ts'
import { pem } from '../../src/x509/pem.ts'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { type BareGrpcClient, CREATE_CERTIFICATE, framed } from '../_support/grpc-client.ts'
import { FLAG, FRAME, frame, grpcHeaders, RawHttp2 } from '../_support/http2-frames.ts'
import { until } from '../_support/until.ts'

let server: TestServer
let client: BareGrpcClient
let token: string

beforeAll(async () => {
  server = await aDevServer()
  token = await server.devToken()
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(() => {
  client = server.grpc()
})
/** Whatever it was sent: the next request, on another connection, is served. */
afterEach(async () => {
  client.close()
  const next = server.grpc()
  expect(await next.createCertificate({ csr: (await aCsr()).pem }, token)).toMatchObject({ status: status.OK })
  next.close()
})

const bearer = () => ({ authorization: `Bearer ${token}` })

describe('a CSR is refused, the answer says why, and the server goes on:', () => {
  test('over the root’s own key', async () => {
    const directory = join(server.state, 'authority')
    const file = readdirSync(directory).find((name) => name.endsWith('.key.pem')) as string
    const root = PrivateKey.fromPem(readFileSync(join(directory, file)))
    const info = writeCsrInfo(root.publicKey.spki)
    const csr = writeCsrPem(info, root.publicKey.algorithm.signatureAlgorithm, await root.sign(info))
    const answer = await client.createCertificate({ csr }, token)
    expect(answer).toMatchObject({ status: status.INVALID_ARGUMENT })
    expect(answer.message).toBe('the CSR asks for a certificate over a key of the CA itself')
  })

  test('over the key of our own TLS certificate, which only we could have signed', async () => {
    using connection = await RawHttp2.connect(server.running.ca, server.trust)
    const served = connection.socket.getPeerX509Certificate()?.publicKey.export({ format: 'der', type: 'spki' })
    const info = writeCsrInfo(served as Buffer)
    const { key } = await aCsr()
    const forged = sequence(info, key.publicKey.algorithm.signatureAlgorithm, bitString(await key.sign(info)))
    const answer = await client.createCertificate({ csr: pem('CERTIFICATE REQUEST', forged) }, token)
    expect(answer).toMatchObject({ status: status.INVALID_ARGUMENT })
    expect(answer.message).toMatch(/own signature does not verify/)
  })
})

describe('a CSR is taken', () => {
  test('with exactly 64 KiB of text, and not with one byte more', async () => {
    const { pem: csr } = await aCsr()
    const largest = csr.padEnd(64 * 1024, '\n')
    expect(await client.createCertificate({ csr: largest }, token)).toMatchObject({ status: status.OK })
    expect(await client.createCertificate({ csr: `${largest}\n` }, token)).toMatchObject({
      status: status.INVALID_ARGUMENT,
    })
  })

  test('with the line ends and the label that Windows writes', async () => {
    const csr = (await aCsr()).pem.replaceAll('CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST').replaceAll('\n', '\r\n')
    expect(await client.createCertificate({ csr }, token)).toMatchObject({ status: status.OK })
  })
})

describe('a message', () => {
  /** A sound request, filled up with a field nobody knows. */
  async function requestOf(bytes: number): Promise<Buffer> {
    const request = IstioCertificateRequest.encode({
      csr: (await aCsr()).pem,
      validityDuration: 0n,
      metadata: undefined,
    }).finish()
    const filler = bytes - request.length - 4
    const head = Buffer.of((15 << 3) | 2, (filler & 127) | 128, ((filler >> 7) & 127) | 128, filler >> 14)
    return Buffer.concat([request, head, Buffer.alloc(filler)])
  }

  test('of the largest size is served, and one of a byte more is refused', async () => {
    const [largest, larger] = [await requestOf(MAX_MESSAGE_BYTES), await requestOf(MAX_MESSAGE_BYTES + 1)]
    expect(largest).toHaveLength(MAX_MESSAGE_BYTES)
    expect(await client.call(CREATE_CERTIFICATE, framed(largest), bearer())).toMatchObject({ status: status.OK })
    expect(await client.call(CREATE_CERTIFICATE, framed(larger), bearer())).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
    })
  })

  test('that only says it has 4 GB is refused before they come', async () => {
    const prefix = Buffer.concat([Buffer.of(0), Buffer.of(0xff, 0xff, 0xff, 0xff), Buffer.alloc(100)])
    expect(await client.call(CREATE_CERTIFICATE, prefix, bearer())).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
    })
  })

  test.for([
    ['a tag without a value', Buffer.of(0x0a)],
    ['a length beyond the end', Buffer.of(0x0a, 0x7f, 0x41)],
    ['a varint that never ends', Buffer.alloc(20, 0xff)],
    ['field number 0', Buffer.of(0x02, 0x00)],
    ['a group', Buffer.of(0x0b, 0x0c)],
    ['a CSR that is a number', Buffer.of(0x08, 0x01)],
    ['noise', Buffer.from('c0ffee00ff1122aabbccddeeff', 'hex')],
    ['a structure nested a thousand deep', nestedStruct(1000)],
  ] as const)('of malformed protobuf is refused: %s', async ([, bytes]) => {
    const answer = await client.call(CREATE_CERTIFICATE, framed(bytes), bearer())
    expect([status.INTERNAL, status.INVALID_ARGUMENT]).toContain(answer.status)
  })

  test('that is missing is refused', async () => {
    const answer = await client.call(CREATE_CERTIFICATE, Buffer.alloc(0), bearer())
    expect(answer.status).not.toBe(status.OK)
  })

  test('that is followed by another is refused', async () => {
    const one = framed(await requestOf(1000))
    const answer = await client.call(CREATE_CERTIFICATE, Buffer.concat([one, one]), bearer())
    expect(answer).toMatchObject({ status: status.UNIMPLEMENTED })
  })

  test('compressed far below its size is refused', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(MAX_MESSAGE_BYTES)
    const message = framed(bomb)
    message.writeUInt8(1)
    const answer = await client.call(CREATE_CERTIFICATE, message, { ...bearer(), 'grpc-encoding': 'gzip' })
    expect([status.RESOURCE_EXHAUSTED, status.UNIMPLEMENTED]).toContain(answer.status)
  })

  test('compressed in a way nobody knows is refused', async () => {
    const message = framed(await requestOf(1000))
    message.writeUInt8(1)
    const answer = await client.call(CREATE_CERTIFICATE, message, { ...bearer(), 'grpc-encoding': 'zstd' })
    expect(answer).toMatchObject({ status: status.UNIMPLEMENTED })
  })

  test('said to be compressed and not is refused', async () => {
    const message = framed(await requestOf(1000))
    message.writeUInt8(1)
    const answer = await client.call(CREATE_CERTIFICATE, message, { ...bearer(), 'grpc-encoding': 'gzip' })
    expect(answer.status).not.toBe(status.OK)
  })
})

describe('a call', () => {
  test.for([
    ['an unknown method', '/istio.v1.auth.IstioCertificateService/DeleteCertificate'],
    ['an unknown service', '/istio.v1.auth.IstioCAService/HandleCSR'],
    ['another case', '/istio.v1.auth.istiocertificateservice/createcertificate'],
    ['a query', `${CREATE_CERTIFICATE}?x=1`],
    ['an escaped letter', '/istio.v1.auth.IstioCertificateService/%43reateCertificate'],
    ['two slashes', `/${CREATE_CERTIFICATE}`],
    ['nothing', '/'],
  ] as const)('to %s is not served', async ([, path]) => {
    const answer = await client.call(path, framed(Buffer.alloc(0)), bearer())
    expect(answer).toMatchObject({ status: status.UNIMPLEMENTED })
  })

  test('whose path lacks the leading slash is not served', async () => {
    const call = client.call(CREATE_CERTIFICATE.slice(1), framed(Buffer.alloc(0)), bearer())
    await expect(call).rejects.toThrow()
  })

  test.for(['application/json', 'text/plain', 'application/grp'])(
    'with content type %s is not served',
    async (type) => {
      const stream = client.session.request({
        ':method': 'POST',
        ':path': CREATE_CERTIFICATE,
        'content-type': type,
        ...bearer(),
      })
      const headers = await new Promise<Record<string, unknown>>((resolve) => stream.on('response', resolve))
      expect(headers[':status']).toBe(415)
      stream.close()
    },
  )

  test('with a grpc-timeout that is none is refused', async () => {
    const { pem: csr } = await aCsr()
    const message = IstioCertificateRequest.encode({ csr, validityDuration: 0n, metadata: undefined }).finish()
    const answer = await client.call(CREATE_CERTIFICATE, framed(message), { ...bearer(), 'grpc-timeout': 'soon' })
    expect(answer).toMatchObject({ status: status.INTERNAL })
  })

  test.for([
    ['a good and a bad one', () => [token, 'a.b.c']],
    ['a bad and a good one', () => ['a.b.c', token]],
    ['the same one twice', () => [token, token]],
  ] as const)('with two authorization headers, %s, is refused', async ([, tokens]) => {
    const { pem: csr } = await aCsr()
    const message = IstioCertificateRequest.encode({ csr, validityDuration: 0n, metadata: undefined }).finish()
    const before = server.ledger().length
    using raw = await RawHttp2.connect(server.running.ca, server.trust)
    const headers = grpcHeaders(
      CREATE_CERTIFICATE,
      tokens().map((one) => ['authorization', `Bearer ${one}`] as const),
    )
    raw.send(frame(FRAME.headers, FLAG.endHeaders, 1, headers), frame(FRAME.data, FLAG.endStream, 1, framed(message)))
    await until('an answer', () => raw.received.some((one) => one.stream === 1 && one.flags & FLAG.endStream))
    const kinds = server.ledger().slice(before)
    expect(kinds).toEqual([expect.objectContaining({ kind: 'refused', reason: 'two_credentials' })])
  })
})

/** IstioCertificateRequest.metadata: a Struct whose value is a Struct whose value … */
function nestedStruct(depth: number): Buffer {
  const field = (number: number, content: Uint8Array) => {
    const length: number[] = []
    let rest = content.length
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128)
    return Buffer.concat([Buffer.of((number << 3) | 2, ...length, rest), content])
  }
  let struct: Uint8Array = Buffer.alloc(0)
  for (let level = 0; level < depth; level++) {
    const entry = Buffer.concat([field(1, Buffer.from('k')), field(2, field(5, struct))])
    struct = field(1, entry)
  }
  return field(4, struct)
}
