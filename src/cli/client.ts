import type { IncomingMessage, RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { SECOND } from '../core/duration.ts'
import { CaError, type CaErrorCode } from '../core/errors.ts'
import { request as httpRequest } from '../core/node-http.ts'
import { OUTCOMES } from '../core/outcomes.ts'

const TIMEOUT_MS = 20 * SECOND
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

export type SocketTarget = {
  readonly kind: 'socket'
  readonly path: string
  /** How a verb names another server, in words. */
  readonly elsewhere: string
}

/** A server to talk to: the unix socket of one on this machine, or the HTTPS API of any. */
export type Target =
  | SocketTarget
  | {
      readonly kind: 'https'
      readonly host: string
      readonly port: number
      readonly rootsPem: string
      /** Where the roots are from, if somebody named it. */
      readonly rootsFile?: string
    }

/**
 * One request with a JSON answer. A refusal by the server becomes the error it was there.
 * @throws CaError: `dependency_unavailable` when there is no server · whatever the server answers
 */
export async function call(
  target: Target,
  method: 'GET' | 'POST',
  path: string,
  body: object | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<unknown> {
  const text = body && JSON.stringify(body)
  const options: RequestOptions = {
    method,
    path,
    timeout: TIMEOUT_MS,
    headers: {
      ...headers,
      ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    },
  }
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent =
      target.kind === 'socket'
        ? httpRequest({ ...options, socketPath: target.path }, resolve)
        : httpsRequest({ ...options, host: target.host, port: target.port, ca: target.rootsPem, agent: false }, resolve)
    sent.on('error', (cause) => reject(unreachable(target, cause)))
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS / SECOND} s`)))
    sent.end(text)
  })
  const content = await read(answer, target)
  if (answer.statusCode === 200) return JSON.parse(content)
  throw problem(content, answer.statusCode ?? 0)
}

async function read(answer: IncomingMessage, target: Target): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      size += part.length
      if (size > MAX_ANSWER_BYTES) throw new Error('an answer of more than 4 MiB')
      parts.push(part)
    }
  } catch (cause) {
    throw unreachable(target, cause as Error)
  }
  return Buffer.concat(parts).toString('utf8')
}

function problem(content: string, status: number): CaError {
  let detail = `the server answered ${status}`
  let code: CaErrorCode = 'internal'
  try {
    const said = JSON.parse(content) as { detail?: unknown; code?: unknown; requestId?: unknown }
    if (typeof said.detail === 'string') detail = said.detail
    if (typeof said.code === 'string' && Object.hasOwn(OUTCOMES, said.code)) code = said.code as CaErrorCode
    // By it the server's log is searched.
    if (code === 'internal' && typeof said.requestId === 'string') detail += ` (request ${said.requestId})`
  } catch {
    // No problem document: the status is all there is to say.
  }
  return new CaError(code, `the server said: ${detail}`)
}

export function unreachable(target: Target, cause: NodeJS.ErrnoException): CaError {
  const where = target.kind === 'socket' ? target.path : `${target.host}:${target.port}`
  if (target.kind === 'socket' && (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED'))
    return new CaError(
      'dependency_unavailable',
      `no server answers at ${where}; start one (alcazar serve; npm start for dev mode), or name another with ${target.elsewhere}`,
      { cause },
    )
  if (cause.code === 'EACCES') return new CaError('permission_denied', `${where} is another user’s`, { cause })
  const fault = target.kind === 'https' && tlsFault(target, where, cause)
  if (fault) return new CaError('invalid_argument', fault, { cause })
  const says =
    target.kind === 'https' && cause.code === 'ECONNRESET'
      ? 'it closed the connection; is it the server’s TLS port, usually 15012?'
      : cause.message
  return new CaError('dependency_unavailable', `no answer from ${where}: ${says}`, { cause })
}

/** Faults that the next attempt will meet again: of trust, or of the port. */
function tlsFault(target: Exclude<Target, SocketTarget>, where: string, cause: NodeJS.ErrnoException) {
  const { code = '' } = cause
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `the certificate of ${where} is not for the name ${target.host}; use a name of the server’s --server-names`
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `the certificate of ${where} is not valid now: ${cause.message}`
  if (/^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_CA|INVALID_PURPOSE)/.test(code))
    return `the roots ${target.rootsFile === undefined ? 'that the server named' : `in ${target.rootsFile}`} don’t vouch for ${where}: ${cause.message}`
  if (/^(EPROTO|ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST))$/.test(code))
    return `${where} does not speak TLS; name the server’s TLS port, usually 15012`
  return undefined
}
