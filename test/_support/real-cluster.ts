import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { expect } from 'vitest'
import { type RealApiServer, RealApiServer as Server, type TokenRequest } from './real-api-server.ts'

type Manifest = { kind: string; metadata: { name: string; namespace?: string } }

/** Where the API has what deploy/ holds. */
const COLLECTIONS: Record<string, (namespace: string) => string> = {
  Namespace: () => '/api/v1/namespaces',
  ServiceAccount: (namespace) => `/api/v1/namespaces/${namespace}/serviceaccounts`,
  ClusterRole: () => '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: () => '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
}

/** A real API server with deploy/rbac.yaml applied, and what a test does in it. */
export class RealCluster implements AsyncDisposable {
  readonly server: RealApiServer
  readonly #directory = mkdtempSync(join(tmpdir(), 'alcazar-account-'))

  private constructor(server: RealApiServer) {
    this.server = server
  }

  static async start(assets: string): Promise<RealCluster> {
    const cluster = new RealCluster(await Server.start(assets))
    try {
      const manifests = loadAll(readFileSync(new URL('../../deploy/rbac.yaml', import.meta.url), 'utf8')) as Manifest[]
      for (const manifest of manifests) {
        const collection = COLLECTIONS[manifest.kind]
        if (!collection) return expect.fail(`deploy/rbac.yaml holds a ${manifest.kind}, which this fixture can’t apply`)
        await cluster.server.create(collection(manifest.metadata.namespace ?? ''), manifest)
      }
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  /** The account of deploy/, as the kubelet would mount it: nothing else may Alcazar show. */
  async mountedAccount(): Promise<{ server: string; caFile: string; tokenFile: string; token: string }> {
    const token = await this.server.mintToken('alcazar-system', 'alcazar')
    const tokenFile = join(this.#directory, 'token')
    writeFileSync(tokenFile, token, { mode: 0o600 })
    return { server: this.server.url, caFile: this.server.caFile, tokenFile, token }
  }

  /** What leads a server of ours here with that account. */
  async settings(): Promise<Record<string, string>> {
    const { server, caFile, tokenFile } = await this.mountedAccount()
    return {
      'attestation.apiServer': server,
      'attestation.apiServerCa': caFile,
      'attestation.apiServerToken': tokenFile,
    }
  }

  async addNamespace(name: string): Promise<void> {
    await this.server.create('/api/v1/namespaces', { metadata: { name } })
  }

  /** Gives its UID. */
  async addAccount(namespace: string, name: string): Promise<string> {
    const made = await this.server.create(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } })
    return made.metadata.uid
  }

  async removeAccount(namespace: string, name: string): Promise<void> {
    await this.server.remove(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}`)
  }

  /** Gives its UID. Nothing runs it: there is no kubelet. */
  async addPod(pod: { namespace: string; name: string; account: string; node?: string }): Promise<string> {
    const { namespace, name, account, node } = pod
    const made = await this.server.create(`/api/v1/namespaces/${namespace}/pods`, {
      metadata: { name },
      spec: {
        serviceAccountName: account,
        automountServiceAccountToken: false,
        containers: [{ name: 'app', image: 'none' }],
        ...(node && { nodeName: node }),
      },
    })
    return made.metadata.uid
  }

  async endPod(namespace: string, name: string): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`
    const { status, body } = await this.server.ask(
      'PATCH',
      path,
      { status: { phase: 'Succeeded' } },
      'application/merge-patch+json',
    )
    if (status !== 200) expect.fail(`PATCH ${path}: ${status} ${JSON.stringify(body)}`)
  }

  /** With a grace of 30 s, at whose end a kubelet would take it away: it stays, as there is none. */
  async beginDeleting(namespace: string, name: string): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`
    const { status, body } = await this.server.ask('DELETE', path, { gracePeriodSeconds: 30 })
    if (status > 299) expect.fail(`DELETE ${path}: ${status} ${JSON.stringify(body)}`)
  }

  async removePod(namespace: string, name: string): Promise<void> {
    await this.server.remove(`/api/v1/namespaces/${namespace}/pods/${name}`)
  }

  /** The token that the kubelet would project into the pod for our audience. */
  async podToken(
    pod: { namespace: string; name: string; account: string; uid: string },
    asked: TokenRequest = {},
  ): Promise<string> {
    const { namespace, account, name, uid } = pod
    const boundTo = { kind: 'Pod', name, uid } as const
    return this.server.mintToken(namespace, account, { audiences: ['istio-ca'], boundTo, ...asked })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#directory, { recursive: true, force: true })
    await this.server[Symbol.asyncDispose]()
  }
}
