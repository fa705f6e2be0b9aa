import { X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { connect, createSecureContext, createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import { aCsr } from '../../_support/csr.ts'
import type { FakePod } from '../../_support/fake-api-server.ts'
import { BareGrpcClient } from '../../_support/grpc-client.ts'
import { pemOf } from '../../_support/identity.ts'

/** What a workload holds: all of one answer. */
export type Held = {
  readonly key: string
  /** From the leaf up, as it came. */
  readonly chain: readonly string[]
  /** The bundle, PEM. */
  readonly roots: string
  readonly leaf: X509Certificate
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
  readonly receivedAt: number
  readonly context: SecureContext
}

export type Ca = { readonly host: string; readonly port: number }

export type MeshWorkloadOptions = {
  readonly pod: FakePod
  readonly ca: Ca
  readonly token: () => string
  /** By what it trusts the CA before it has a bundle, PEM. */
  readonly bootstrapRoots: string
  /** Of the SVIDs it asks for; nothing for the server's default. */
  readonly ttlSeconds?: number
}

export type RenewalOutcome = 'by token' | 'by SVID' | 'refused' | 'CA untrusted' | 'CA away'

const ANSWER_WITHIN_MS = 10_000
/** grpc: UNAUTHENTICATED */
const UNAUTHENTICATED = 16

/** An app with its sidecar: it keeps an SVID fresh, serves by it and calls others by it, and trusts the newest bundle that it received. */
export class MeshWorkload {
  readonly name: string
  readonly spiffeId: string
  readonly pod: FakePod
  readonly #options: MeshWorkloadOptions
  #server: Server | undefined
  #port = 0
  #held: Held | undefined
  #needsToken = true

  constructor(options: MeshWorkloadOptions) {
    const { pod } = options
    this.#options = options
    this.pod = pod
    this.name = `${pod.namespace}/${pod.name}`
    this.spiffeId = `spiffe://cluster.local/ns/${pod.namespace}/sa/${pod.serviceAccount}`
  }

  get held(): Held {
    if (!this.#held) throw new Error(`${this.name} has no certificate yet`)
    return this.#held
  }

  /** One request for a certificate, on a connection of its own: by the SVID it holds, or by its token where that was refused or is missing. */
  async renew(): Promise<RenewalOutcome> {
    const { ca, bootstrapRoots, token, ttlSeconds = 0 } = this.#options
    const byToken = this.#needsToken || this.#held === undefined || this.#held.notAfter < Date.now()
    const identity = byToken ? {} : { key: this.held.key, cert: this.held.chain.join('') }
    const { key, pem } = await aCsr()
    const client = new BareGrpcClient(ca, { ca: this.#held?.roots ?? bootstrapRoots, ...identity })
    let untrusted = false
    client.session.on('error', (error: NodeJS.ErrnoException) => {
      untrusted ||= isUntrusted(error)
    })
    const late = setTimeout(() => client.close(), ANSWER_WITHIN_MS)
    try {
      const request = { csr: pem, validityDuration: BigInt(ttlSeconds) }
      const answer = await client.createCertificate(request, byToken ? token() : undefined)
      if (!answer.response) {
        this.#needsToken = answer.status === UNAUTHENTICATED
        return answer.status === UNAUTHENTICATED ? 'refused' : 'CA away'
      }
      this.#take(await pemOf(key), answer.response.certChain)
      this.#needsToken = false
      return byToken ? 'by token' : 'by SVID'
    } catch (error) {
      return untrusted || isUntrusted(error as NodeJS.ErrnoException) ? 'CA untrusted' : 'CA away'
    } finally {
      clearTimeout(late)
      client.close()
    }
  }

  /** Serves others from now on. */
  async serve(): Promise<void> {
    const { key, chain, roots } = this.held
    const server = createServer(
      { key, cert: chain.join(''), ca: roots, requestCert: true, rejectUnauthorized: true },
      (socket) => {
        socket.on('error', () => undefined)
        const from = socket.getPeerCertificate().subjectaltname ?? ''
        if (!socket.authorized || !from.startsWith('URI:spiffe://cluster.local/ns/')) socket.destroy()
        else socket.once('data', () => socket.end('pong'))
      },
    )
    // Who called hears of it.
    server.on('tlsClientError', (_error, socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** One request to another: a new connection, a full handshake, an answer. @throws why not */
  call(other: MeshWorkload): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket: TLSSocket = connect({
        host: '127.0.0.1',
        port: other.#port,
        secureContext: this.held.context,
        checkServerIdentity: (_host, { subjectaltname }) =>
          subjectaltname === `URI:${other.spiffeId}` ? undefined : new Error(`${subjectaltname} answers there`),
      })
      let answered = ''
      socket.setTimeout(ANSWER_WITHIN_MS, () => socket.destroy(new Error('no answer in time')))
      socket.once('secureConnect', () => {
        if (socket.isSessionReused()) socket.destroy(new Error('a session was resumed'))
        else socket.write('ping')
      })
      socket.on('data', (part) => {
        answered += part.toString()
      })
      socket.once('error', reject)
      socket.once('close', () => (answered === 'pong' ? resolve() : reject(new Error('closed without an answer'))))
    })
  }

  async end(): Promise<void> {
    await new Promise((done) => (this.#server ? this.#server.close(done) : done(undefined)))
  }

  #take(key: string, certChain: readonly string[]): void {
    const chain = certChain.slice(0, -1)
    const roots = certChain.at(-1) as string
    const leaf = new X509Certificate(chain[0] as string)
    const secure = { key, cert: chain.join(''), ca: roots }
    this.#held = {
      key,
      chain,
      roots,
      leaf,
      notBefore: Date.parse(leaf.validFrom),
      notAfter: Date.parse(leaf.validTo),
      receivedAt: Date.now(),
      context: createSecureContext(secure),
    }
    this.#server?.setSecureContext(secure)
  }
}

/** What OpenSSL says of the CA's certificate, in Node's words. */
function isUntrusted({ code = '', message }: NodeJS.ErrnoException): boolean {
  return /CERT|UNABLE_TO|SELF_SIGNED|ALTNAME/.test(code) || /certificate/.test(message)
}
