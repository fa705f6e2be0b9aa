import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { selfSignedServer } from './tls.ts'

export type Asked = {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** The common name of the client certificate, where one was shown. */
  readonly client: string | undefined
}

export type Answer = (response: ServerResponse, asked: Asked) => void

/** The key and certificate of every scripted server in a test file: making one takes a process. */
const identity = selfSignedServer('127.0.0.1')

/** An API server that answers by the test's script, over real TLS on loopback. */
export class ScriptedApiServer implements AsyncDisposable {
  readonly asked: Asked[] = []
  /** How many connections were ever made. */
  connections = 0
  readonly ca = identity.cert
  answer: Answer
  readonly #server: Server

  private constructor(server: Server, answer: Answer) {
    this.#server = server
    this.answer = answer
  }

  static async start(answer: Answer): Promise<ScriptedApiServer> {
    const server = createServer({
      key: identity.key,
      cert: identity.cert,
      requestCert: true,
      rejectUnauthorized: false,
    })
    const scripted = new ScriptedApiServer(server, answer)
    server.on('secureConnection', () => scripted.connections++)
    server.on('request', (request, response) => void scripted.#handle(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return scripted
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What was asked for at that path. */
  at(path: string): Asked[] {
    return this.asked.filter((one) => one.path === path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Again and again: a connection whose handshake was under way is none yet.
    const closing = setInterval(() => this.#server.closeAllConnections(), 10)
    await new Promise((resolve) => this.#server.close(resolve))
    clearInterval(closing)
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const part of request) body += String(part)
    const url = new URL(request.url ?? '/', 'https://api-server')
    const asked: Asked = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body,
      client: (request.socket as TLSSocket).getPeerCertificate()?.subject?.CN?.toString(),
    }
    this.asked.push(asked)
    response.on('error', () => undefined)
    this.answer(response, asked)
  }
}

/** Answers with JSON. */
export const json =
  (object: unknown, status = 200): Answer =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object))

/** Hangs up without a word. */
export const hangUp: Answer = (response) => void response.socket?.destroy()
