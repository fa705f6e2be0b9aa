import { readFile } from 'node:fs/promises'
import type { Agent, RequestOptions } from 'node:https'
import type { Clock } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { type ApiCredentials, KubernetesApi } from './api.ts'

/** An API server and the files that hold its CA certificates and a token for it, as Kubernetes mounts them into every pod. */
export type MountedAccount = { readonly server: string; readonly caFile: string; readonly tokenFile: string }

/** @throws CaError `invalid_argument`: not https://… */
export function connectMounted({ server, caFile, tokenFile }: MountedAccount, clock: Clock): KubernetesApi {
  const credentials = async (): Promise<ApiCredentials> => {
    const [ca, token] = await Promise.all([readFile(caFile, 'utf8'), readFile(tokenFile, 'utf8')])
    // Given nothing, Node would trust every public CA.
    if (!ca.includes('-----BEGIN CERTIFICATE-----'))
      throw new CaError('invalid_argument', `${caFile} holds no certificate; it should hold the API server’s CA`)
    if (token.trim() === '') throw new CaError('invalid_argument', `${tokenFile} holds no token`)
    return { tls: { ca }, headers: { authorization: `Bearer ${token.trim()}` } }
  }
  return new KubernetesApi(server, credentials, clock)
}

/**
 * The API server a kubeconfig leads to, with whatever way to authenticate client-node knows. It is loaded here alone: with its models of
 * every API it takes 50 MB, which a pod does without.
 * @throws CaError `invalid_argument`
 */
export async function connectKubeconfig(path: string, clock: Clock): Promise<KubernetesApi> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  try {
    config.loadFromFile(path)
  } catch (cause) {
    throw new CaError('invalid_argument', `the kubeconfig ${path} is unusable: ${(cause as Error).message}`, { cause })
  }
  const cluster = config.getCurrentCluster()
  if (!cluster)
    throw new CaError('invalid_argument', `the kubeconfig ${path} has no current context that names a cluster`)
  if (cluster.skipTLSVerify)
    throw new CaError(
      'invalid_argument',
      `the kubeconfig ${path} says insecure-skip-tls-verify: whoever stands in between could say who is who; give it certificate-authority-data instead`,
    )
  const credentials = async (): Promise<ApiCredentials> => {
    const options: RequestOptions = {}
    await config.applyToHTTPSOptions(options)
    const { ca, cert, key, servername, headers, auth } = options
    return {
      tls: { ca, cert, key, servername },
      headers: (headers ?? {}) as ApiCredentials['headers'],
      ...(auth && { auth }),
      // Only through a proxy: otherwise client-node makes an agent, and a connection, for each request.
      ...(cluster.proxyUrl !== undefined && { agent: options.agent as Agent }),
    }
  }
  return new KubernetesApi(cluster.server, credentials, clock)
}
