import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import express, { type NextFunction, type Request, type Response } from 'express'
import { SECOND } from '../../core/duration.ts'
import { createServer } from '../../core/node-http.ts'
import type { Readiness } from '../../service/readiness.ts'
import { type Address, listenError } from '../listener.ts'

const MAX_CONNECTIONS = 256

export type HealthParts = {
  readonly address: Address
  /** Why the process should be restarted; nothing while its loops run. */
  readonly dead: () => string | undefined
  readonly readiness: () => Promise<Readiness>
  readonly metrics: () => Promise<{ readonly type: string; readonly body: string }>
  readonly version: string
}

/**
 * /healthz, /readyz, /metrics and /version in plain HTTP on a port of their own: they say nothing secret and change nothing.
 * @throws CaError `conflict`: the port is taken · `invalid_argument`: no such address here
 */
export async function serveHealth(parts: HealthParts): Promise<{ readonly server: Server; readonly address: Address }> {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.get('/healthz', (_request, response) => {
    const why = parts.dead()
    plain(response, why === undefined ? 200 : 503, why ?? 'ok')
  })
  app.get('/readyz', async (_request, response) => {
    const readiness = await parts.readiness()
    plain(response, readiness.ready ? 200 : 503, readiness.ready ? 'ok' : readiness.why)
  })
  app.get('/metrics', async (_request, response) => {
    const { type, body } = await parts.metrics()
    response.set('content-type', type).end(body)
  })
  app.get('/version', (_request, response) => plain(response, 200, parts.version))
  app.use((_request: Request, response: Response) =>
    plain(response, 404, 'there are /healthz, /readyz, /metrics and /version'),
  )
  app.use((_error: unknown, _request: Request, response: Response, _next: NextFunction) =>
    plain(response, 500, 'internal error'),
  )

  const server = createServer(
    {
      headersTimeout: 5 * SECOND,
      requestTimeout: 5 * SECOND,
      connectionsCheckingInterval: SECOND,
      keepAliveTimeout: 30 * SECOND,
      maxHeaderSize: 8 * 1024,
    },
    app,
  )
  server.on('clientError', (_error, socket) => socket.destroy())
  // The oldest goes for the newest: idle peers can't keep the kubelet's probes out, or it would restart a server that is well.
  const open = new Set<Socket>()
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    const [oldest] = open
    if (open.size > MAX_CONNECTIONS) oldest?.destroy()
  })
  const { host, port } = parts.address
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, parts.address, '--health-listen')))
    server.listen({ host, port }, resolve)
  })
  const bound = server.address()
  return {
    server,
    address: typeof bound === 'object' && bound ? { host: bound.address, port: bound.port } : parts.address,
  }
}

function plain(response: Response, status: number, text: string): void {
  response.status(status).set('content-type', 'text/plain; charset=utf-8').end(`${text}\n`)
}
