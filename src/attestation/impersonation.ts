import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import { SpiffeId, serviceAccountOf } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { attestedCaller, type Caller, refused } from './caller.ts'
import type { Cluster, Pod } from './cluster.ts'
import { seenOrAsked } from './liveness.ts'

/**
 * A node's proxy (ztunnel) asks on behalf of a pod beside it: allowed for the accounts the admin trusts with it, and only for
 * accounts that a pod on the proxy's own node runs as.
 * @param requested what the caller sent as `ImpersonatedIdentity`
 * @throws CaError `unauthenticated` in one wording for every reason · `dependency_unavailable`
 */
export async function attestImpersonation(
  caller: Caller,
  requested: string,
  trustDomain: TrustDomain,
  trusted: readonly ServiceAccount[],
  { watch, reader }: Cluster,
  maxStalenessMs: number,
  signal: AbortSignal,
): Promise<Caller> {
  const { account, pod } = caller
  if (!trusted.some((one) => one.namespace === account.namespace && one.name === account.name))
    throw refused('impersonation', `${account.namespace}/${account.name} is not a trusted node account`)
  if (caller.method !== 'service-account-token' || !pod)
    throw refused('impersonation', 'only a token bound to a pod may ask on behalf of others')
  const wanted = requestedAccount(requested, trustDomain)
  const nodeOf = (proxy: Pod | undefined) =>
    proxy?.uid === pod.uid && runsAs(proxy, account) && proxy.node !== '' ? proxy.node : undefined
  const node = await seenOrAsked(
    watch,
    maxStalenessMs,
    () => nodeOf(watch.pod(pod.uid)),
    async () => {
      const found = nodeOf(await reader.readPod(account.namespace, pod.name, signal))
      if (found !== undefined) return found
      throw refused('impersonation', `the caller’s pod ${account.namespace}/${pod.name} is not there, or on no node`)
    },
  )
  await seenOrAsked(
    watch,
    maxStalenessMs,
    () => watch.runsOn(node, wanted) || undefined,
    async () => {
      const there = await reader.podsOn(node, wanted.namespace, signal)
      if (there.some((one) => runsAs(one, wanted))) return true
      throw refused('impersonation', `no pod on ${node} runs as ${wanted.namespace}/${wanted.name}`)
    },
  )
  return attestedCaller({
    account: wanted,
    method: 'impersonation',
    pod: undefined,
    lineage: undefined,
    onBehalfBy: account,
    svid: undefined,
  })
}

function runsAs(pod: Pod, account: ServiceAccount): boolean {
  return !pod.ended && pod.namespace === account.namespace && pod.serviceAccount === account.name
}

function requestedAccount(requested: string, trustDomain: TrustDomain): ServiceAccount {
  try {
    const id = SpiffeId.parse(requested)
    if (id.trustDomain.equals(trustDomain)) return serviceAccountOf(id)
  } catch (cause) {
    throw refused(
      'impersonation',
      `${JSON.stringify(requested.slice(0, 200))} is not the SPIFFE ID of a service account`,
      cause,
    )
  }
  throw refused('impersonation', `${JSON.stringify(requested.slice(0, 200))} is not of ${trustDomain.name}`)
}
