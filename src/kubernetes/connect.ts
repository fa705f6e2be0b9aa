import { KubeConfig } from '@kubernetes/client-node'
import type { Clock } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { KubernetesApi } from './api.ts'

/**
 * The API server a kubeconfig leads to, or the one of the cluster this process runs in.
 * @throws CaError `invalid_argument`
 */
export function connect(kubeconfig: string | undefined, clock: Clock): KubernetesApi {
  const config = new KubeConfig()
  try {
    if (kubeconfig !== undefined) config.loadFromFile(kubeconfig)
    else config.loadFromCluster()
  } catch (cause) {
    throw new CaError(
      'invalid_argument',
      `${kubeconfig ?? 'the pod’s service account'} leads to no cluster: ${(cause as Error).message}`,
      { cause },
    )
  }
  if (kubeconfig === undefined && config.getCurrentCluster()?.server.includes('undefined'))
    throw new CaError(
      'invalid_argument',
      'this process runs in no cluster; say with --attestation-kubeconfig which one it serves',
    )
  return new KubernetesApi(config, clock)
}
