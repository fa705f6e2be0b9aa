import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'

export type Handshake = {
  readonly protocol: string | null
  readonly cipher: string
  /** Of the key exchange, as Node calls it. */
  readonly group: string | undefined
  readonly alpn: string | false | null
  readonly reused: boolean
  /** The server's certificate, DER. */
  readonly certificate: Buffer
  /** What a client would resume with; nothing when the server gave nothing. */
  readonly session: Buffer | undefined
}

/** One handshake and, where it is asked for, a request over it; then it hangs up. Rejects with the error of a failed handshake. */
export async function handshake(
  address: { host: string; port: number },
  options: ConnectionOptions,
  request?: string,
): Promise<Handshake> {
  const socket: TLSSocket = connect({ host: address.host, port: address.port, ...options })
  let session: Buffer | undefined
  socket.on('session', (given: Buffer) => {
    session = given
  })
  try {
    await once(socket, 'secureConnect')
    if (request !== undefined) {
      socket.write(request)
      await once(socket, 'data')
    }
    return {
      protocol: socket.getProtocol(),
      cipher: socket.getCipher().name,
      group: (socket.getEphemeralKeyInfo() as { name?: string } | null)?.name,
      alpn: socket.alpnProtocol,
      reused: socket.isSessionReused(),
      certificate: socket.getPeerX509Certificate()?.raw as Buffer,
      session: session ?? (socket.getProtocol() === 'TLSv1.2' ? socket.getSession() : undefined),
    }
  } finally {
    socket.on('error', () => undefined)
    socket.destroy()
  }
}

/** What `openssl s_client` prints. It fails for a handshake that failed, and is no error here. */
export function sClient(
  { host, port }: { host: string; port: number },
  args: readonly string[],
  input = '',
): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile('openssl', ['s_client', '-connect', `${host}:${port}`, ...args], (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    )
    child.stdin?.end(input)
  })
}
