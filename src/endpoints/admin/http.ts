import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import express, { type NextFunction, type Request, type Response } from 'express'
import type { Clock } from '../../core/clock.ts'
import { asCaError, CaError } from '../../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../../core/json.ts'
import { OUTCOMES } from '../../core/outcomes.ts'
import type { RandomBytes } from '../../core/random.ts'
import type { Events, RequestContext } from '../../service/events.ts'
import {
  type InFlight,
  MAX_MESSAGE_BYTES,
  METHODS,
  REQUEST_DEADLINE_MS,
  RETRY_AFTER_MS,
  requestContext,
} from '../edge.ts'
import type { Connection } from '../listener.ts'

/** One request as a route sees it. */
export type HttpCall = {
  readonly context: RequestContext
  /** Every `authorization` header there was. */
  readonly authorization: readonly string[]
  readonly clientCertificate: Uint8Array | undefined
  readonly query: URLSearchParams
  /** What stands in the path where the route has `:name`. */
  readonly parameter: (name: string) => string
  readonly accept: (types: readonly string[]) => string | false
  /** The JSON body: an object. @throws CaError `invalid_argument` */
  readonly body: () => { readonly [key: string]: Json | undefined }
  readonly signal: AbortSignal
}

/** A text and bytes go out as they are, any other object as JSON. */
export type HttpAnswer = {
  readonly status?: number
  readonly type: string
  readonly body: string | Uint8Array | object
  /** When to ask again; at least a second. */
  readonly retryAfterMs?: number
}

/** A route: `method` and `path` together are its name in the table of methods. A segment `:name` of the path stands for any one. */
export type Route = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly handle: (call: HttpCall) => Promise<HttpAnswer>
}

export type HttpParts = {
  readonly routes: readonly Route[]
  readonly inFlight: InFlight
  readonly events: Pick<Events, 'requestFailed'>
  readonly clock: Clock
  readonly random: RandomBytes
  /** The TLS connection a request came on; nothing on the unix socket. */
  readonly connectionOf: (request: IncomingMessage) => Connection | undefined
}

/** An express application that serves these routes: JSON in and out, problems as application/problem+json (RFC 9457). */
export function httpApplication(parts: HttpParts): RequestListener {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', false)
  app.use((_request: Request, response: Response, next: NextFunction) => {
    response.set({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    next()
  })
  // express reads a body that is too large to its end before it says so.
  app.use((request: Request, response: Response, next: NextFunction) => {
    if (Number(request.headers['content-length'] ?? 0) <= MAX_MESSAGE_BYTES) return next()
    response.set('connection', 'close')
    throw tooLarge()
  })
  // The body is read as bytes: our own parser refuses what JSON.parse lets pass.
  const readBody = express.raw({ type: () => true, limit: MAX_MESSAGE_BYTES, inflate: false })
  for (const route of parts.routes)
    app[route.method === 'GET' ? 'get' : 'post'](route.path, readBody, (request, response) =>
      serve(route, request, response, parts),
    )
  app.use((request: Request, response: Response) => {
    const known = parts.routes.filter((route) => isAt(route.path, request.path)).map((route) => route.method)
    if (known.length === 0) throw new CaError('not_found', `nothing is served at ${request.path.slice(0, 200)}`)
    response.set('allow', known.join(', '))
    throw new HttpRefusal(405, `${request.path} takes ${known.join(' or ')}`)
  })
  app.use((error: unknown, request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error)
    const context = requestContext('admin', peerOf(request, parts), parts.random)
    const known = fromExpress(error)
    report(known, context, parts)
    fail(response, known, context)
  })
  return (request, response) => {
    // express has an answer of its own, in HTML, to what it can't parse.
    if (URL.canParse(request.url ?? '', 'http://localhost')) return (app as RequestListener)(request, response)
    response.setHeader('cache-control', 'no-store')
    const error = new CaError('invalid_argument', 'the request’s target is no URL')
    fail(response, error, requestContext('admin', peerOf(request, parts), parts.random))
  }
}

async function serve(route: Route, request: Request, response: Response, parts: HttpParts): Promise<void> {
  const { inFlight, clock, random } = parts
  const connection = parts.connectionOf(request)
  let place: ReturnType<InFlight['enter']> | undefined
  const context = requestContext('admin', peerOf(request, parts), random, () => place?.release())
  const rule = METHODS.get(`${route.method} ${route.path}`)
  const abort = new AbortController()
  const late = clock.after(REQUEST_DEADLINE_MS, () => abort.abort(new CaError('not_ready', 'not done in time')))
  response.once('close', () => {
    if (!response.writableFinished) abort.abort(new Error('the caller gave up'))
  })
  try {
    if (!rule) throw new CaError('not_found', 'a route without a rule is not served')
    place = inFlight.enter(rule.load, 'admin', connection)
    const answer = await route.handle({
      context,
      authorization: headerValues(request, 'authorization'),
      clientCertificate: connection?.clientCertificate,
      query: new URL(request.url, 'http://localhost').searchParams,
      parameter: (name) => String(request.params[name] ?? ''),
      accept: (types) => request.accepts([...types]),
      body: () => jsonBody(request),
      signal: abort.signal,
    })
    response.status(answer.status ?? 200).set({
      'content-type': answer.type,
      'x-request-id': context.requestId,
      ...(answer.retryAfterMs !== undefined && { 'retry-after': retryAfter(answer.retryAfterMs) }),
    })
    response.end(bytesOf(answer.body))
  } catch (thrown) {
    const error = asCaError(thrown)
    // The use case behind an attested method tells its refusals itself, with what it knows of the caller.
    if (rule?.auth !== 'attested') report(error, context, parts)
    fail(response, error, context)
  } finally {
    late()
    place?.leave()
    connection?.answered()
  }
}

/** RFC 9110 §10.2.3: whole seconds. */
const retryAfter = (ms: number): string => String(Math.ceil(ms / 1000))

const bytesOf = (body: HttpAnswer['body']): string | Uint8Array =>
  typeof body === 'string' || body instanceof Uint8Array ? body : `${JSON.stringify(body, null, 2)}\n`

function isAt(path: string, requested: string): boolean {
  const [wanted, found] = [path.split('/'), requested.split('/')]
  return wanted.length === found.length && wanted.every((part, at) => part.startsWith(':') || part === found[at])
}

/** The answer to a fault of ours says nothing but that the log has it. */
function report(error: CaError, context: RequestContext, { events }: HttpParts): void {
  if (error.code === 'internal') events.requestFailed(context, error)
}

function fail(response: ServerResponse, error: CaError, context: RequestContext): void {
  const { http: usual, title } = OUTCOMES[error.code]
  const http = error instanceof HttpRefusal ? error.status : usual
  const problem = {
    type: 'about:blank',
    title,
    status: http,
    detail: error.message,
    code: error.code,
    requestId: context.requestId,
  }
  response.writeHead(http, {
    'content-type': 'application/problem+json',
    'x-request-id': context.requestId,
    ...(http === 401 && { 'www-authenticate': 'Bearer' }),
    ...((http === 429 || http === 503) && { 'retry-after': retryAfter(RETRY_AFTER_MS) }),
  })
  response.end(`${JSON.stringify(problem, null, 2)}\n`)
}

/** express and its body parser throw errors of http-errors' shape for what a client did wrong. */
function fromExpress(error: unknown): CaError {
  const { status, type } = error as { status?: number; type?: string }
  if (error instanceof CaError) return error
  if (type === 'entity.too.large') return tooLarge()
  if (type === 'encoding.unsupported') return new HttpRefusal(415, 'a compressed body; send it plain')
  if (status !== undefined && status >= 400 && status < 500)
    return new CaError('invalid_argument', 'the request can’t be read', { cause: error })
  return asCaError(error)
}

/** What HTTP has a status of its own for. */
class HttpRefusal extends CaError {
  readonly status: 405 | 413 | 415
  constructor(status: 405 | 413 | 415, message: string) {
    super('invalid_argument', message)
    this.status = status
  }
}

const tooLarge = () => new HttpRefusal(413, `the body is too large; at most ${MAX_MESSAGE_BYTES} bytes`)

function jsonBody(request: Request): { readonly [key: string]: Json | undefined } {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? ''))
    throw new HttpRefusal(415, 'send the body as application/json')
  const body: unknown = request.body
  const object = asObject(parseStrictJson(Buffer.isBuffer(body) ? body.toString('utf8') : ''))
  if (!object) throw new CaError('invalid_argument', 'the body is a JSON object')
  return object
}

/** From the raw headers: Node keeps only the first of several. */
function headerValues(request: IncomingMessage, name: string): string[] {
  const { rawHeaders } = request
  return rawHeaders.flatMap((value, index) =>
    index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name ? [value] : [],
  )
}

function peerOf(request: IncomingMessage, parts: HttpParts): string {
  return parts.connectionOf(request)?.peer ?? 'unix socket'
}
