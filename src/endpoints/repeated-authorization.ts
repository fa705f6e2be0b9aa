import { subscribe } from 'node:diagnostics_channel'
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'

const watched = new WeakSet<Http2Session>()
let subscribed = false

/**
 * Of several `authorization` headers in an HTTP/2 request Node keeps the first and drops the others unseen, so nobody could refuse a request
 * that shows two tokens. From now on they are joined into one list, as RFC 9110 §5.3 joins repeated headers, on every session of this process.
 */
export function keepRepeatedAuthorization(): void {
  if (subscribed) return
  subscribed = true
  // Told before the session tells of the stream: the one public place to get hold of a session that a library made.
  subscribe('http2.server.stream.created', (message) => {
    const { session } = (message as { stream: ServerHttp2Stream }).stream
    if (!session || watched.has(session)) return
    watched.add(session)
    session.prependListener('stream', join)
  })
}

function join(_stream: unknown, headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]): void {
  const values = raw.filter((_, index) => index % 2 === 1 && raw[index - 1] === 'authorization')
  if (values.length > 1) headers.authorization = values.join(', ')
}
