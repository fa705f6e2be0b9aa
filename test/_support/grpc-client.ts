import { type ClientHttp2Session, connect } from 'node:http2'
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls'
import { IstioCertificateRequest, IstioCertificateResponse } from '../../src/gen/istio/ca.ts'

export const CREATE_CERTIFICATE = '/istio.v1.auth.IstioCertificateService/CreateCertificate'

export type GrpcAnswer = {
  readonly status: number
  readonly message: string
  readonly headers: Record<string, unknown>
  readonly response: IstioCertificateResponse | undefined
}

/** A bare gRPC client over node:http2: cheap enough for a load generator, and open to what no library would send. */
export class BareGrpcClient {
  readonly session: ClientHttp2Session

  constructor(address: { host: string; port: number }, tls: ConnectionOptions) {
    this.session = connect(`https://${address.host}:${address.port}`, {
      createConnection: () =>
        tlsConnect({ host: address.host, port: address.port, ALPNProtocols: ['h2'], servername: '', ...tls }),
    })
    this.session.on('error', () => undefined)
  }

  /** One framed message (5-byte prefix included) and what came back. */
  call(
    path: string,
    message: Uint8Array,
    headers: Record<string, string | string[]> = {},
  ): Promise<{ status: number; message: string; headers: Record<string, unknown>; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const stream = this.session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      })
      const parts: Buffer[] = []
      let all: Record<string, unknown> = {}
      stream.on('response', (received) => {
        all = { ...received }
      })
      stream.on('trailers', (received) => {
        all = { ...all, ...received }
      })
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('error', reject)
      stream.on('close', () => {
        const status = all['grpc-status']
        if (status === undefined) return reject(new Error(`the stream closed without a status (rst ${stream.rstCode})`))
        resolve({
          status: Number(status),
          message: decodeURIComponent(String(all['grpc-message'] ?? '')),
          headers: all,
          body: Buffer.concat(parts),
        })
      })
      stream.end(message)
    })
  }

  async createCertificate(
    request: { csr: string; validityDuration?: bigint; metadata?: Record<string, unknown> },
    token?: string | string[],
  ): Promise<GrpcAnswer> {
    const bytes = IstioCertificateRequest.encode({
      csr: request.csr,
      validityDuration: request.validityDuration ?? 0n,
      metadata: request.metadata,
    }).finish()
    const tokens = token === undefined ? [] : [token].flat().map((one) => `Bearer ${one}`)
    const answer = await this.call(
      CREATE_CERTIFICATE,
      framed(bytes),
      tokens.length === 0 ? {} : { authorization: tokens.length === 1 ? (tokens[0] as string) : tokens },
    )
    return {
      ...answer,
      response: answer.status === 0 ? IstioCertificateResponse.decode(answer.body.subarray(5)) : undefined,
    }
  }

  close(): void {
    this.session.destroy()
  }
}

/** A gRPC message: not compressed, its length, its bytes. */
export function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}
