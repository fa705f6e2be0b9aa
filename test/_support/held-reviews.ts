import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, request, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { FakeApiServer } from './fake-api-server.ts'
import { selfSignedServer } from './tls.ts'

/** Stands in front of an API server and keeps every TokenReview waiting until it is told to let them pass. */
export class HeldReviews implements AsyncDisposable {
  readonly ca: string
  readonly #server: Server
  #held: (() => void)[] = []
  #open = false

  private constructor(server: Server, ca: string) {
    this.#server = server
    this.ca = ca
  }

  static async start(api: FakeApiServer): Promise<HeldReviews> {
    const { key, cert } = selfSignedServer('127.0.0.1')
    const server = createServer({ key, cert })
    const held = new HeldReviews(server, cert)
    server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const pass = () => forward(api, incoming, outgoing)
      if (held.#open || !incoming.url?.endsWith('/tokenreviews')) pass()
      else held.#held.push(pass)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return held
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#held.length
  }

  /** Lets all pass, and all that come. */
  release(): void {
    this.#open = true
    for (const pass of this.#held.splice(0)) pass()
  }

  /** Holds what comes from now on. */
  hold(): void {
    this.#open = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function forward(api: FakeApiServer, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const onward = request(
    `${api.url}${incoming.url}`,
    { method: incoming.method ?? 'GET', headers: incoming.headers, ca: api.ca, agent: false },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    },
  )
  onward.on('error', () => outgoing.destroy())
  outgoing.on('close', () => onward.destroy())
  incoming.pipe(onward)
}
