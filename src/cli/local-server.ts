import { lstat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CaError } from '../core/errors.ts'
import type { ServerDescription } from '../endpoints/admin/routes.ts'
import type { WorkloadList } from '../service/list-workloads.ts'
import type { ScheduleStatus } from '../service/schedule.ts'
import { call, type SocketTarget, unreachable } from './client.ts'
import type { CliEnv } from './env.ts'

export const STATE_FLAG = '--state-directory <dir>'
export const STATE_HELP = 'state directory of the server on this machine (also ALCAZAR_STATE_DIRECTORY)'

export function stateDirectory(env: CliEnv, options: Readonly<Record<string, unknown>>): string {
  return (options.stateDirectory as string | undefined) ?? env.environment.ALCAZAR_STATE_DIRECTORY ?? './.alcazar'
}

/** The admin socket of the server on this machine. */
export function localServer(env: CliEnv, options: Readonly<Record<string, unknown>>, elsewhere: string): SocketTarget {
  return { kind: 'socket', path: join(stateDirectory(env, options), 'admin.sock'), elsewhere }
}

/** @throws CaError `dependency_unavailable`: there is none · `permission_denied`: it is another user’s */
export async function describeServer(target: SocketTarget): Promise<ServerDescription> {
  await refuseForeign(target)
  return (await call(target, 'GET', '/v1/server', undefined, {})) as ServerDescription
}

/** @throws CaError as `describeServer` */
export async function listWorkloads(target: SocketTarget, query: URLSearchParams): Promise<WorkloadList> {
  await refuseForeign(target)
  return (await call(target, 'GET', `/v1/workloads?${query}`, undefined, {})) as WorkloadList
}

/** What the server on this machine runs by the clock. @throws CaError as `describeServer` */
export async function scheduleOf(target: SocketTarget): Promise<ScheduleStatus> {
  await refuseForeign(target)
  return (await call(target, 'GET', '/v1/schedule', undefined, {})) as ScheduleStatus
}

/** A token from the dev server on this machine. @throws CaError `permission_denied`: it is not in dev mode, or another user’s */
export async function devToken(target: SocketTarget, namespace: string, serviceAccount: string): Promise<string> {
  await refuseForeign(target)
  try {
    return ((await call(target, 'POST', '/v1/dev/tokens', { namespace, serviceAccount }, {})) as { token: string })
      .token
  } catch (error) {
    if (error instanceof CaError && error.code === 'not_found')
      throw new CaError(
        'permission_denied',
        'the server is not in dev mode, so it gives no tokens; take one from the cluster (kubectl create token … --audience istio-ca), for issue --token FILE',
        { cause: error },
      )
    throw error
  }
}

/** Whoever owns the socket or its directory could be the server, and be sent tokens: that is this user's own or root. */
async function refuseForeign(target: SocketTarget): Promise<void> {
  for (const path of [dirname(target.path), target.path]) {
    const { uid } = await lstat(path).catch((cause: NodeJS.ErrnoException) => {
      throw unreachable(target, cause)
    })
    if (uid !== 0 && uid !== process.geteuid?.())
      throw new CaError(
        'permission_denied',
        `${path} belongs to another user (uid ${uid}), to whom no token is sent; run this as that user, or name a server with ${target.elsewhere}`,
      )
  }
}
