import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSignedServer } from './tls.ts'
import type { TokenSigner } from './tokens.ts'

export type FakePod = {
  namespace: string
  name: string
  uid: string
  serviceAccount: string
  node: string
  deletionTimestamp?: string
  phase?: string
}
export type FakeAccount = { namespace: string; name: string; uid: string }

/** As much of a kube-apiserver as attestation asks: discovery, keys, paged lists, watches, reads and TokenReview, over TLS. */
export class FakeApiServer implements AsyncDisposable {
  readonly pods = new Map<string, FakePod>()
  readonly accounts = new Map<string, FakeAccount>()
  /** By namespace/name, what each holds. */
  readonly secrets = new Map<string, Readonly<Record<string, Uint8Array | string>>>()
  /** What was asked, as `METHOD path`. */
  readonly asked: string[] = []
  /** Answers every question with this status while set. */
  failWith: number | undefined
  /** What TokenReview answers; by default that the API server knows nobody. */
  review: (token: string) => {
    authenticated: boolean
    user?: { username: string }
    audiences?: string[]
    error?: string
  } = () => ({ authenticated: false, error: 'unknown token' })
  signer: TokenSigner
  #server: Server
  readonly ca: string
  #watches = new Map<string, Set<ServerResponse>>()
  #version = 1000

  private constructor(server: Server, ca: string, signer: TokenSigner) {
    this.#server = server
    this.ca = ca
    this.signer = signer
  }

  static async start(signer: TokenSigner): Promise<FakeApiServer> {
    const { key, cert } = selfSignedServer('127.0.0.1')
    const server = createServer({ key, cert })
    const fake = new FakeApiServer(server, cert, signer)
    server.on('request', (request, response) => void fake.#answer(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return fake
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** A kubeconfig (JSON is YAML) that leads here. */
  kubeconfig(): string {
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'fake',
      clusters: [
        {
          name: 'fake',
          cluster: { server: this.url, 'certificate-authority-data': Buffer.from(this.ca).toString('base64') },
        },
      ],
      users: [{ name: 'fake', user: { token: 'fake' } }],
      contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'fake' } }],
    })
  }

  addPod(pod: FakePod): void {
    const known = this.pods.has(pod.uid)
    this.pods.set(pod.uid, pod)
    this.#tell('pods', known ? 'MODIFIED' : 'ADDED', podObject(pod))
  }

  removePod(uid: string): void {
    const pod = this.pods.get(uid)
    this.pods.delete(uid)
    if (pod) this.#tell('pods', 'DELETED', podObject(pod))
  }

  addAccount(account: FakeAccount): void {
    this.accounts.set(`${account.namespace}/${account.name}`, account)
    this.#tell('serviceaccounts', 'ADDED', accountObject(account))
  }

  removeAccount({ namespace, name }: FakeAccount): void {
    const account = this.accounts.get(`${namespace}/${name}`)
    this.accounts.delete(`${namespace}/${name}`)
    if (account) this.#tell('serviceaccounts', 'DELETED', accountObject(account))
  }

  /** Ends every watch, as an API server does now and then. */
  endWatches(): void {
    for (const set of this.#watches.values()) for (const response of set) response.end()
  }

  /** Sends a raw event into every watch of a kind. */
  event(kind: 'pods' | 'serviceaccounts', event: object): void {
    for (const response of this.#watches.get(kind) ?? []) response.write(`${JSON.stringify(event)}\n`)
  }

  watchers(kind: 'pods' | 'serviceaccounts'): number {
    return this.#watches.get(kind)?.size ?? 0
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #tell(kind: string, type: string, object: { metadata: Record<string, unknown> }): void {
    this.#version++
    object.metadata.resourceVersion = String(this.#version)
    for (const response of this.#watches.get(kind) ?? []) response.write(`${JSON.stringify({ type, object })}\n`)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // The last requests may come after the server was closed, and then it has no address.
    const url = new URL(request.url ?? '/', 'https://fake')
    this.asked.push(`${request.method} ${url.pathname}`)
    let body = ''
    for await (const part of request) body += String(part)
    const send = (status: number, object: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object))
    if (this.failWith !== undefined) return void send(this.failWith, { kind: 'Status', message: 'told to fail' })
    const [, secretNamespace, secretName] =
      /^\/api\/v1\/namespaces\/([^/]+)\/secrets\/([^/]+)$/.exec(url.pathname) ?? []
    if (secretName !== undefined) {
      const held = this.secrets.get(`${secretNamespace}/${secretName}`)
      if (!held) return void send(404, { kind: 'Status', message: `secrets "${secretName}" not found` })
      const data = Object.entries(held).map(([key, value]) => [key, Buffer.from(value).toString('base64')])
      return void send(200, { kind: 'Secret', data: Object.fromEntries(data) })
    }
    const [, single] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/[^/]+$/.exec(url.pathname) ?? []
    if (url.pathname === '/.well-known/openid-configuration')
      return void send(200, { issuer: this.signer.issuer, jwks_uri: 'https://nowhere.invalid/jwks' })
    if (url.pathname === '/openid/v1/jwks') return void send(200, this.signer.jwks)
    if (url.pathname === '/apis/authentication.k8s.io/v1/tokenreviews')
      return void send(201, { status: this.review(JSON.parse(body).spec.token) })
    if (url.pathname === '/api/v1/pods')
      return this.#collection('pods', [...this.pods.values()], podObject, url, response)
    if (url.pathname === '/api/v1/serviceaccounts')
      return this.#collection('serviceaccounts', [...this.accounts.values()], accountObject, url, response)
    const parts = url.pathname.split('/')
    if (single !== undefined) {
      const pod = [...this.pods.values()].find((one) => one.namespace === parts[4] && one.name === parts[6])
      return void (pod ? send(200, podObject(pod)) : send(404, { message: 'not found' }))
    }
    if (parts[5] === 'serviceaccounts') {
      const account = this.accounts.get(`${parts[4]}/${parts[6]}`)
      return void (account ? send(200, accountObject(account)) : send(404, { message: 'not found' }))
    }
    if (parts[5] === 'pods') {
      const node = /spec\.nodeName=(.*)/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1]
      return void send(200, {
        items: [...this.pods.values()].filter((pod) => pod.namespace === parts[4] && pod.node === node).map(podObject),
      })
    }
    send(404, { message: 'not found' })
  }

  #collection<T>(
    kind: string,
    held: readonly T[],
    objectOf: (one: T) => object,
    url: URL,
    response: ServerResponse,
  ): void {
    if (url.searchParams.get('watch')) {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.flushHeaders()
      const set = this.#watches.get(kind) ?? new Set()
      this.#watches.set(kind, set.add(response))
      const bookmarks = setInterval(
        () =>
          response.write(
            `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.#version) } } })}\n`,
          ),
        10_000,
      )
      response.on('close', () => {
        clearInterval(bookmarks)
        set.delete(response)
      })
      return
    }
    const limit = Number(url.searchParams.get('limit') ?? 500)
    const from = Number(url.searchParams.get('continue') ?? 0)
    const more = from + limit < held.length
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify({
        metadata: { resourceVersion: String(this.#version), ...(more && { continue: String(from + limit) }) },
        items: held.slice(from, from + limit).map(objectOf),
      }),
    )
  }
}

function podObject(pod: FakePod): { metadata: Record<string, unknown> } {
  // About as much as a real pod has, most of which nobody here reads.
  return {
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      uid: pod.uid,
      labels: { app: pod.serviceAccount, 'pod-template-hash': '5d4f6c7b8d' },
      annotations: { 'example.com/note': 'x'.repeat(200) },
      ...(pod.deletionTimestamp && { deletionTimestamp: pod.deletionTimestamp }),
    },
    spec: {
      serviceAccountName: pod.serviceAccount,
      nodeName: pod.node,
      containers: [
        {
          name: 'app',
          image: 'registry.example.com/team/app:1.2.3',
          env: Array.from({ length: 10 }, (_, n) => ({ name: `VARIABLE_${n}`, value: 'some value' })),
        },
      ],
    },
    status: { phase: pod.phase ?? 'Running', podIP: '10.0.0.1' },
  } as { metadata: Record<string, unknown> }
}

function accountObject(account: FakeAccount): { metadata: Record<string, unknown> } {
  return { metadata: { name: account.name, namespace: account.namespace, uid: account.uid } }
}
