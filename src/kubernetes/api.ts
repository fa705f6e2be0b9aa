import type { IncomingMessage } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import type { Clock } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'

/** An answer of the API server that is not 2xx. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const TIMEOUT_MS = 10 * SECOND
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const MAX_LINE_BYTES = 8 * 1024 * 1024
/** Credentials are asked for again this often: tokens rotate, exec plugins renew. */
const CREDENTIALS_FOR_MS = 30 * SECOND

/**
 * The API server as client-node's configuration finds and authenticates it, spoken to in plain JSON over one kept-alive agent: its typed models
 * would cost a hundred times what we keep of a pod, and it opens a connection for each request.
 */
export class KubernetesApi {
  readonly #config: KubeConfig
  readonly #clock: Clock
  readonly #server: URL
  #credentials: { readonly until: number; readonly options: RequestOptions; readonly agent: Agent } | undefined

  /** @throws CaError `invalid_argument`: the configuration names no cluster */
  constructor(config: KubeConfig, clock: Clock) {
    const server = config.getCurrentCluster()?.server
    if (!server?.startsWith('https://'))
      throw new CaError('invalid_argument', `the Kubernetes configuration names no API server at https://…`)
    this.#config = config
    this.#clock = clock
    this.#server = new URL(server)
  }

  get server(): string {
    return this.#server.origin
  }

  async get(path: string, query: Record<string, string>, signal: AbortSignal): Promise<unknown> {
    return this.#json('GET', path, query, undefined, signal)
  }

  async post(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    return this.#json('POST', path, {}, JSON.stringify(body), signal)
  }

  /** Lines of JSON as they come, until the server ends the answer or nothing came for `silenceMs`. */
  async *lines(
    path: string,
    query: Record<string, string>,
    silenceMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<unknown> {
    const answer = await this.#send('GET', path, query, undefined, signal, silenceMs)
    if (answer.statusCode !== 200) throw await apiError(answer)
    let rest: Buffer[] = []
    let size = 0
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      let from = 0
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
        const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString('utf8')
        rest = []
        size = 0
        from = end + 1
        if (line !== '') yield JSON.parse(line)
      }
      rest.push(chunk.subarray(from))
      size += chunk.length - from
      if (size > MAX_LINE_BYTES) throw new Error(`a watch event of more than ${MAX_LINE_BYTES} bytes`)
    }
  }

  async #json(
    method: string,
    path: string,
    query: Record<string, string>,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<unknown> {
    const answer = await this.#send(method, path, query, body, signal, TIMEOUT_MS)
    if (!answer.statusCode || answer.statusCode < 200 || answer.statusCode > 299) throw await apiError(answer)
    return JSON.parse(await text(answer, MAX_ANSWER_BYTES))
  }

  async #send(
    method: string,
    path: string,
    query: Record<string, string>,
    body: string | undefined,
    signal: AbortSignal,
    timeout: number,
  ): Promise<IncomingMessage> {
    const { options, agent } = await this.#authenticated()
    const url = new URL(this.#server)
    url.pathname = url.pathname.replace(/\/$/, '') + path
    url.search = new URLSearchParams(query).toString()
    return new Promise((resolve, reject) => {
      const sent = request(url, {
        method,
        agent,
        signal,
        timeout,
        ...(options.auth && { auth: options.auth }),
        headers: {
          ...(options.headers as object),
          accept: 'application/json',
          'user-agent': 'alcazar',
          ...(body && { 'content-type': 'application/json' }),
        },
      })
      sent.on('timeout', () => sent.destroy(new Error(`the API server did not answer within ${timeout / SECOND} s`)))
      sent.on('error', reject)
      sent.on('response', (answer) => {
        // From here on the same silence ends the answer.
        answer.setTimeout(timeout, () =>
          answer.destroy(new Error(`the API server was silent for ${timeout / SECOND} s`)),
        )
        resolve(answer)
      })
      sent.end(body)
    })
  }

  async #authenticated(): Promise<{ options: RequestOptions; agent: Agent }> {
    const now = this.#clock.elapsed()
    if (this.#credentials && now < this.#credentials.until) return this.#credentials
    const options: RequestOptions = {}
    await this.#config.applyToHTTPSOptions(options)
    const before = this.#credentials
    const { ca, cert, key, rejectUnauthorized, servername } = options
    const tls = { ca, cert, key, servername, ...(rejectUnauthorized !== undefined && { rejectUnauthorized }) }
    // One agent for as long as the TLS material stays the same. A proxy's agent is client-node's own.
    const proxied = this.#config.getCurrentCluster()?.proxyUrl !== undefined
    const same = before && !proxied && sameTls(before.options, options)
    const agent = same
      ? before.agent
      : proxied
        ? (options.agent as Agent)
        : new Agent({ ...tls, keepAlive: true, maxSockets: 64 })
    if (before && !same) before.agent.destroy()
    this.#credentials = { until: now + CREDENTIALS_FOR_MS, options, agent }
    return this.#credentials
  }
}

function sameTls(a: RequestOptions, b: RequestOptions): boolean {
  return (['ca', 'cert', 'key', 'servername'] as const).every((name) => String(a[name] ?? '') === String(b[name] ?? ''))
}

async function apiError(answer: IncomingMessage): Promise<ApiError> {
  const body = await text(answer, 64 * 1024).catch(() => '')
  let message = body.slice(0, 200)
  try {
    message = String((JSON.parse(body) as { message?: unknown }).message ?? message)
  } catch {
    // Not a Status object: the text itself will do.
  }
  return new ApiError(answer.statusCode ?? 0, `the API server answered ${answer.statusCode}: ${message}`)
}

async function text(answer: IncomingMessage, max: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    size += part.length
    if (size > max) {
      answer.destroy()
      throw new Error(`an answer of the API server of more than ${max} bytes`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
