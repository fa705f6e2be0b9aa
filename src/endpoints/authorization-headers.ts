import { subscribe } from 'node:diagnostics_channel'
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream, ServerOptions } from 'node:http2'
import type { Server } from '@grpc/grpc-js'

// A token that is shown must be judged, or a client certificate beside it would decide in its place. HTTP/2 loses some on the way.

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

/**
 * A header value that begins or ends with a space, as “Bearer ” from an agent whose token file is empty, is kept; nghttp2 would drop the whole
 * header. (One with a tab or control character there it drops all the same: no HTTP client sends such.) The library has no option for its sessions' options.
 */
export function keepSpaces(server: Server): void {
  const { commonServerOptions } = server as unknown as { commonServerOptions: ServerOptions }
  commonServerOptions.strictFieldWhitespaceValidation = false
}
