import {
  type CallOptions,
  Client,
  type ClientOptions,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js'
import { IstioCertificateRequest, IstioCertificateResponse } from '../../src/gen/istio/ca.ts'
import { CREATE_CERTIFICATE } from './grpc-client.ts'

type Codec<T> = { encode: (message: T) => { finish: () => Uint8Array }; decode: (bytes: Uint8Array) => T }

/** The gRPC client everybody uses, as their programs use it. */
export class LibraryClient implements Disposable {
  readonly library: Client

  constructor(
    address: { host: string; port: number },
    roots: string,
    { key, cert }: { key?: string; cert?: string } = {},
    options: ClientOptions = {},
  ) {
    const tls = credentials.createSsl(
      Buffer.from(roots),
      key === undefined ? null : Buffer.from(key),
      cert === undefined ? null : Buffer.from(cert),
    )
    // It can't ask for an IP address by its name in the handshake.
    this.library = new Client(`ipv4:${address.host}:${address.port}`, tls, {
      'grpc.ssl_target_name_override': 'localhost',
      ...options,
    })
  }

  /** A unary call; rejects with the library's ServiceError. */
  unary<Request, Response>(
    path: string,
    codecs: { request: Codec<Request>; response: Codec<Response> },
    request: Request,
    metadata: Record<string, string> = {},
    options: CallOptions = {},
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.library.makeUnaryRequest(
        path,
        (message: Request) => Buffer.from(codecs.request.encode(message).finish()),
        (bytes: Buffer) => codecs.response.decode(bytes),
        request,
        metadataOf(metadata),
        options,
        (error: ServiceError | null, response?: Response) => (error ? reject(error) : resolve(response as Response)),
      )
    })
  }

  stream<Request, Response>(
    path: string,
    codecs: { request: Codec<Request>; response: Codec<Response> },
    request: Request,
  ): ClientReadableStream<Response> {
    return this.library.makeServerStreamRequest(
      path,
      (message: Request) => Buffer.from(codecs.request.encode(message).finish()),
      (bytes: Buffer) => codecs.response.decode(bytes),
      request,
    )
  }

  createCertificate(
    request: { csr: string; validityDuration?: bigint; metadata?: Record<string, unknown> },
    metadata: Record<string, string>,
  ): Promise<IstioCertificateResponse> {
    return this.unary(
      CREATE_CERTIFICATE,
      { request: IstioCertificateRequest, response: IstioCertificateResponse },
      { csr: request.csr, validityDuration: request.validityDuration ?? 0n, metadata: request.metadata },
      metadata,
    )
  }

  [Symbol.dispose](): void {
    this.library.close()
  }
}

function metadataOf(values: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(values)) metadata.set(name, value)
  return metadata
}
