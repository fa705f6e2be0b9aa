import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'

/** Below the ports from which Linux takes those of outgoing connections: a server that is down for a moment finds its own again. */
const [FIRST, LAST] = [20_000, 32_000]
const given = new Set<number>()

/** A TCP port of 127.0.0.1 that nobody uses now, and that is given once. */
export const freePort = (): Promise<number> => freePorts(1)

/** The first of `count` such neighbours. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = randomInt(FIRST, LAST)
    const ports = Array.from({ length: count }, (_, at) => first + at)
    if (ports.some((port) => given.has(port))) continue
    for (const port of ports) given.add(port)
    const servers = await Promise.allSettled(ports.map(listening))
    await Promise.all(servers.map((one) => (one.status === 'fulfilled' ? closed(one.value) : undefined)))
    if (servers.every((one) => one.status === 'fulfilled')) return first
  }
}

function listening(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen({ host: '127.0.0.1', port }, () => resolve(server))
  })
}

const closed = (server: Server): Promise<void> => new Promise((done) => server.close(() => done()))
