import { type IncomingHttpHeaders, type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http'
import { request as tlsRequest } from 'node:https'
import type { ConnectionOptions } from 'node:tls'

export type HttpTarget =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly tls?: ConnectionOptions }

export type HttpResult = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The body read as JSON. */
  readonly json: <T = Record<string, unknown>>() => T
}

export type HttpCallOptions = {
  /** A list sends the header more than once. */
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** An object goes as JSON, with its content type. */
  readonly body?: string | Uint8Array | object
} & Pick<RequestOptions, 'agent'>

/** One request, on a connection of its own unless an agent is given, and the whole answer. */
export async function httpCall(
  target: HttpTarget,
  method: string,
  path: string,
  { headers = {}, body, agent = false }: HttpCallOptions = {},
): Promise<HttpResult> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array
  const bytes = body === undefined ? undefined : isRaw ? Buffer.from(body) : Buffer.from(JSON.stringify(body))
  const options: RequestOptions = {
    method,
    path,
    agent,
    headers: {
      ...(bytes && { 'content-length': bytes.length }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
  }
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent =
      'socketPath' in target
        ? plainRequest({ ...options, socketPath: target.socketPath }, resolve)
        : target.tls
          ? tlsRequest({ ...options, host: target.host, port: target.port, ...target.tls }, resolve)
          : plainRequest({ ...options, host: target.host, port: target.port }, resolve)
    sent.on('error', reject)
    sent.end(bytes)
  })
  const parts: Buffer[] = []
  for await (const part of answer as AsyncIterable<Buffer>) parts.push(part)
  const text = Buffer.concat(parts).toString('utf8')
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    text,
    json: <T>() => JSON.parse(text) as T,
  }
}
