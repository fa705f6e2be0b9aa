import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { until } from './until.ts'

const run = promisify(execFile)
const openssl = (...args: string[]) => run('openssl', args)

export type ApiAnswer = { readonly status: number; readonly body: Json }
type Json = { readonly [key: string]: never } & { readonly metadata?: { readonly uid: string; readonly name: string } }

export type TokenRequest = {
  readonly audiences?: readonly string[]
  readonly expirationSeconds?: number
  readonly boundTo?: { readonly kind: 'Pod' | 'Secret' | 'Node'; readonly name: string; readonly uid: string }
}

/**
 * A kube-apiserver and its etcd on free ports of loopback, as envtest runs them: RBAC, a token issuer, no controllers and no kubelet.
 * Ends by the ids of the processes it began.
 */
export class RealApiServer implements AsyncDisposable {
  readonly url: string
  readonly caFile: string
  /** Its own kubeconfig of an administrator. */
  readonly kubeconfig: string
  readonly #assets: string
  readonly #directory: string
  readonly #ports: { readonly etcd: number; readonly api: number }
  readonly #agent: Agent
  #etcd: ChildProcess | undefined
  #apiServer: ChildProcess | undefined
  /** Signs tokens; the others only check them still. */
  #signingKeys = ['service-account']

  private constructor(assets: string, directory: string, ports: { etcd: number; api: number }) {
    this.#assets = assets
    this.#directory = directory
    this.#ports = ports
    this.url = `https://127.0.0.1:${ports.api}`
    this.caFile = this.#file('ca.crt')
    this.kubeconfig = this.#file('kubeconfig')
    const read = (name: string) => readFileSync(this.#file(name), 'utf8')
    this.#agent = new Agent({
      ca: read('ca.crt'),
      cert: read('admin.crt'),
      key: read('admin.key'),
      keepAlive: true,
      maxSockets: 16,
    })
    const base64 = (name: string) => Buffer.from(read(name)).toString('base64')
    const cluster = { server: this.url, 'certificate-authority-data': base64('ca.crt') }
    const user = { 'client-certificate-data': base64('admin.crt'), 'client-key-data': base64('admin.key') }
    writeFileSync(
      this.kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'test', cluster }],
        users: [{ name: 'admin', user }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      }),
      { mode: 0o600 },
    )
  }

  /** @param assets the folder that KUBEBUILDER_ASSETS names */
  static async start(assets: string): Promise<RealApiServer> {
    for (const name of ['etcd', 'kube-apiserver'])
      if (!existsSync(join(assets, name))) expect.fail(`KUBEBUILDER_ASSETS names ${assets}, which holds no ${name}`)
    const directory = mkdtempSync(join(tmpdir(), 'alcazar-apiserver-'))
    try {
      await makeCertificates(directory)
      const server = new RealApiServer(assets, directory, { etcd: await freePort(), api: await freePort() })
      try {
        server.#startEtcd()
        await server.startApiServer()
        return server
      } catch (error) {
        await server.#kill()
        throw error
      }
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
  }

  /** As an administrator. */
  async ask(method: string, path: string, body?: object, contentType = 'application/json'): Promise<ApiAnswer> {
    return this.#send(method, path, body, { 'content-type': contentType }, this.#agent)
  }

  /** As whoever holds this token. */
  async askAs(token: string, method: string, path: string, body?: object): Promise<ApiAnswer> {
    const agent = new Agent({ ca: readFileSync(this.caFile) })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    try {
      return await this.#send(method, path, body, headers, agent)
    } finally {
      agent.destroy()
    }
  }

  /** Makes it, and gives what the server made of it. */
  async create(path: string, object: object): Promise<{ metadata: { uid: string; name: string } }> {
    const { status, body } = await this.ask('POST', path, object)
    if (status !== 201) expect.fail(`POST ${path}: ${status} ${JSON.stringify(body)}`)
    return body as never
  }

  async remove(path: string): Promise<void> {
    const { status, body } = await this.ask('DELETE', path, { gracePeriodSeconds: 0 })
    if (status !== 200) expect.fail(`DELETE ${path}: ${status} ${JSON.stringify(body)}`)
  }

  async mintToken(namespace: string, account: string, asked: TokenRequest = {}): Promise<string> {
    const { boundTo, ...spec } = asked
    const apiVersion = 'v1'
    const made = await this.create(`/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600, ...spec, ...(boundTo && { boundObjectRef: { apiVersion, ...boundTo } }) },
    })
    return (made as unknown as { status: { token: string } }).status.token
  }

  /** From the next start on tokens are signed by a new key; the keys before it still check what they signed. */
  async rotateSigningKey(): Promise<void> {
    const name = `service-account-${this.#signingKeys.length}`
    await makeTokenKey(this.#directory, name)
    this.#signingKeys = [name, ...this.#signingKeys]
  }

  /** Resolves when it is ready. */
  async startApiServer(): Promise<void> {
    const file = (name: string) => this.#file(name)
    const [signing] = this.#signingKeys
    this.#apiServer = this.#spawn('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${this.#ports.etcd}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${this.#ports.api}`,
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      '--service-cluster-ip-range=10.96.0.0/16',
      `--tls-cert-file=${file('apiserver.crt')}`,
      `--tls-private-key-file=${file('apiserver.key')}`,
      `--client-ca-file=${file('ca.crt')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-signing-key-file=${file(`${signing}.key`)}`,
      ...this.#signingKeys.map((name) => `--service-account-key-file=${file(`${name}.pub`)}`),
    ])
    await until('the API server to be ready', () => this.#isReady(), 40_000)
  }

  /** At once, as a crash would. */
  async killApiServer(): Promise<void> {
    await killed(this.#apiServer)
    this.#apiServer = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #kill(): Promise<void> {
    this.#agent.destroy()
    await this.killApiServer()
    await killed(this.#etcd)
    this.#etcd = undefined
  }

  #startEtcd(): void {
    const client = `http://127.0.0.1:${this.#ports.etcd}`
    mkdirSync(this.#file('etcd'), { mode: 0o700 })
    this.#etcd = this.#spawn('etcd', [
      `--data-dir=${this.#file('etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      '--listen-peer-urls=http://127.0.0.1:0',
      '--unsafe-no-fsync',
    ])
  }

  async #isReady(): Promise<boolean> {
    for (const child of [this.#etcd, this.#apiServer])
      if (child?.exitCode !== null) expect.fail(`a process ended: ${this.#lastWords()}`)
    return this.ask('GET', '/readyz').then(
      ({ status }) => status === 200,
      () => false,
    )
  }

  #lastWords(): string {
    return ['etcd', 'kube-apiserver']
      .map((name) => readFileSync(this.#file(`${name}.log`), 'utf8').slice(-1000))
      .join('\n')
  }

  #spawn(name: string, args: string[]): ChildProcess {
    const log = openSync(this.#file(`${name}.log`), 'a')
    try {
      const child = spawn(join(this.#assets, name), args, { stdio: ['ignore', log, log], cwd: this.#directory })
      // A test run that is ended half way leaves nothing behind.
      const end = () => child.kill('SIGKILL')
      process.once('exit', end)
      child.once('exit', () => process.off('exit', end))
      return child
    } finally {
      closeSync(log)
    }
  }

  #file(name: string): string {
    return join(this.#directory, name)
  }

  #send(
    method: string,
    path: string,
    body: object | undefined,
    headers: Record<string, string>,
    agent: Agent,
  ): Promise<ApiAnswer> {
    const text = body ? JSON.stringify(body) : ''
    // Said in so many words: of a DELETE node would send the body without its length.
    const length = { 'content-length': String(Buffer.byteLength(text)) }
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method, headers: { ...headers, ...length }, agent }, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString()
          resolve({ status: answer.statusCode ?? 0, body: text.startsWith('{') ? JSON.parse(text) : ({} as never) })
        })
      })
      sent.on('error', reject)
      sent.end(text)
    })
  }
}

async function killed(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function makeCertificates(directory: string): Promise<void> {
  const file = (name: string) => join(directory, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const leaf = async (name: string, subject: string, ...extensions: string[]) =>
    openssl(
      ...['req', '-x509', ...key, '-days', '2', '-subj', subject, '-CA', file('ca.crt'), '-CAkey', file('ca.key')],
      ...['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)],
      ...['basicConstraints=critical,CA:FALSE', ...extensions].flatMap((extension) => ['-addext', extension]),
    )
  const ca = openssl(
    ...['req', '-x509', ...key, '-days', '2', '-subj', '/CN=test-cluster', '-keyout', file('ca.key')],
    ...['-out', file('ca.crt'), '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  )
  await Promise.all([ca, makeTokenKey(directory, 'service-account')])
  await Promise.all([
    leaf('apiserver', '/CN=kube-apiserver', 'subjectAltName=IP:127.0.0.1', 'extendedKeyUsage=serverAuth'),
    leaf('admin', '/O=system:masters/CN=admin', 'extendedKeyUsage=clientAuth'),
  ])
}

async function makeTokenKey(directory: string, name: string): Promise<void> {
  const [secret, open] = [join(directory, `${name}.key`), join(directory, `${name}.pub`)]
  await openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', secret)
  await openssl('pkey', '-in', secret, '-pubout', '-out', open)
}
