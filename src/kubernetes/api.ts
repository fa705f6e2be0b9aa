import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { Agent, type AgentOptions, request } from 'node:https'
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
/** Of what a refusal says, in characters. */
const MAX_MESSAGE = 500
/** Credentials are asked for again this often. */
const CREDENTIALS_FOR_MS = 30 * SECOND

/** How to prove who asks. The agent, where there is one, is used instead of our own. */
export type ApiCredentials = {
  readonly tls: Pick<AgentOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>
  readonly headers: OutgoingHttpHeaders
  readonly auth?: string
  readonly agent?: Agent
}

/**
 * The API server, spoken to in plain JSON over one kept-alive agent: typed models would cost a hundred times what we keep of a pod.
 */
export class KubernetesApi {
  readonly #server: URL
  readonly #current: () => Promise<ApiCredentials>
  readonly #clock: Clock
  #used: { readonly until: number; readonly credentials: ApiCredentials; readonly agent: Agent } | undefined

  /**
   * @param credentials asked again every 30 s: tokens rotate
   * @throws CaError `invalid_argument`: not https://…
   */
  constructor(server: string, credentials: () => Promise<ApiCredentials>, clock: Clock) {
    if (!URL.canParse(server) || new URL(server).protocol !== 'https:')
      throw new CaError(
        'invalid_argument',
        `the API server is at https://…, not at ${JSON.stringify(server.slice(0, 200))}`,
      )
    this.#server = new URL(server)
    this.#current = credentials
    this.#clock = clock
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
    const chunks = this.#chunks(answer, silenceMs)
    if (answer.statusCode !== 200) throw await apiError(answer, chunks)
    let rest: Buffer[] = []
    let size = 0
    for await (const chunk of chunks) {
      let from = 0
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
        const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString('utf8')
        rest = []
        size = 0
        from = end + 1
        if (line !== '') yield parsed(line)
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
    const chunks = this.#chunks(answer, TIMEOUT_MS)
    if (!answer.statusCode || answer.statusCode < 200 || answer.statusCode > 299) throw await apiError(answer, chunks)
    return parsed(await text(chunks, MAX_ANSWER_BYTES))
  }

  /** What of an answer comes, until nothing came for `silenceMs`. Whoever reads no further ends it. */
  async *#chunks(answer: IncomingMessage, silenceMs: number): AsyncGenerator<Buffer> {
    const patience = () =>
      this.#clock.after(silenceMs, () =>
        answer.destroy(new Error(`the API server was silent for ${silenceMs / SECOND} s`)),
      )
    let cancel = patience()
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        cancel()
        yield chunk
        cancel = patience()
      }
    } finally {
      cancel()
    }
  }

  async #send(
    method: string,
    path: string,
    query: Record<string, string>,
    body: string | undefined,
    signal: AbortSignal,
    timeout: number,
  ): Promise<IncomingMessage> {
    const { credentials, agent } = await this.#authenticated()
    const url = new URL(this.#server)
    url.pathname = url.pathname.replace(/\/$/, '') + path
    url.search = new URLSearchParams(query).toString()
    return new Promise((resolve, reject) => {
      const sent = request(url, {
        method,
        agent,
        signal,
        ...(credentials.auth && { auth: credentials.auth }),
        headers: {
          ...credentials.headers,
          accept: 'application/json, application/jwk-set+json',
          'user-agent': 'alcazar',
          ...(body && { 'content-type': 'application/json' }),
        },
      })
      const cancel = this.#clock.after(timeout, () => {
        const late = new Error(`the API server did not answer within ${timeout / SECOND} s`)
        sent.destroy(late)
        // While it waits for a free connection it can't say so itself.
        reject(late)
      })
      sent.on('close', cancel)
      sent.on('error', reject)
      sent.on('response', (answer) => {
        cancel()
        resolve(answer)
      })
      sent.end(body)
    })
  }

  async #authenticated(): Promise<{ readonly credentials: ApiCredentials; readonly agent: Agent }> {
    const now = this.#clock.elapsed()
    if (this.#used && now < this.#used.until) return this.#used
    const credentials = await this.#current()
    const before = this.#used
    // One agent, and so its connections, for as long as the TLS material stays the same.
    const kept = before && sameTls(before.credentials.tls, credentials.tls) ? before.agent : undefined
    const agent = credentials.agent ?? kept ?? new Agent({ ...credentials.tls, keepAlive: true, maxSockets: 64 })
    if (before && agent !== before.agent) before.agent.destroy()
    this.#used = { until: now + CREDENTIALS_FOR_MS, credentials, agent }
    return this.#used
  }
}

function sameTls(a: ApiCredentials['tls'], b: ApiCredentials['tls']): boolean {
  return (['ca', 'cert', 'key', 'servername'] as const).every((name) => String(a[name] ?? '') === String(b[name] ?? ''))
}

async function apiError(answer: IncomingMessage, chunks: AsyncIterable<Buffer>): Promise<ApiError> {
  const body = await text(chunks, 64 * 1024).catch(() => '')
  // Only what a Status object says: whoever else answers, a proxy, may give back what it was sent, a token with it.
  let said = 'what is no Status object'
  try {
    const { message } = JSON.parse(body) as { message?: unknown }
    if (typeof message === 'string') said = message.slice(0, MAX_MESSAGE)
  } catch {
    // `said` says so.
  }
  return new ApiError(answer.statusCode ?? 0, `the API server answered ${answer.statusCode}: ${said}`)
}

/** The parser’s own error quotes what it read, which may hold a token. */
function parsed(answer: string): unknown {
  try {
    return JSON.parse(answer)
  } catch {
    throw new Error('the API server answered something else than JSON')
  }
}

async function text(chunks: AsyncIterable<Buffer>, max: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of chunks) {
    size += part.length
    if (size > max) throw new Error(`an answer of the API server of more than ${max} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
