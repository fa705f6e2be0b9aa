import { chmod, unlink } from 'node:fs/promises'
import type { RequestListener, Server } from 'node:http'
import { SECOND } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { createServer } from '../../core/node-http.ts'

/** sockaddr_un on Linux holds 108 bytes with the final zero, on macOS 104. */
const MAX_PATH_BYTES = 103

/**
 * Serves the admin's verbs to whoever may open the socket: its owner (mode 0600, in a folder of mode 0700). A socket that is left from
 * before is replaced; the caller holds the state directory's lock, so nobody listens on it.
 * @throws CaError `invalid_argument`: the path is too long
 */
export async function listenOnUnixSocket(path: string, application: RequestListener): Promise<Server> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new CaError(
      'invalid_argument',
      `${path} is too long for a unix socket (${MAX_PATH_BYTES} bytes); choose a state directory with a shorter path`,
    )
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  const server = createServer(
    { headersTimeout: 10 * SECOND, requestTimeout: 15 * SECOND, keepAliveTimeout: 5 * SECOND },
    application,
  )
  server.on('clientError', (_error, socket) => socket.destroy())
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // Bound before listen returns: there is no moment in which others could open it.
    const umask = process.umask(0o177)
    server.listen(path, resolve)
    process.umask(umask)
  })
  await chmod(path, 0o600)
  return server
}
