import { CaError } from '../core/errors.ts'
import { ApiError, type KubernetesApi } from './api.ts'

/**
 * What a Secret holds, by key; nothing if there is none. Nothing of its content gets into an error.
 * @throws CaError `permission_denied`: whoever asks may not read it · `dependency_unavailable`
 */
export async function readSecret(
  api: KubernetesApi,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`
  let found: unknown
  try {
    found = await api.get(path, {}, signal)
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined
    if (error instanceof ApiError && error.status === 403)
      throw new CaError(
        'permission_denied',
        `the API server lets nobody read the Secret ${namespace}/${name} with these credentials; they need the verb get on it`,
        { cause: error },
      )
    throw new CaError(
      'dependency_unavailable',
      `the Secret ${namespace}/${name} can’t be read: ${reason(error)}`,
      // A parser's error quotes what it could not parse.
    )
  }
  const { data } = (found ?? {}) as { data?: Record<string, unknown> | null }
  return new Map(
    Object.entries(data ?? {}).map(([key, value]) => [
      key,
      Buffer.from(typeof value === 'string' ? value : '', 'base64'),
    ]),
  )
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : 'the API server can’t be asked'
}
