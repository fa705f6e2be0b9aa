import { join } from 'node:path'
import type { ServerDescription } from '../endpoints/admin/routes.ts'
import { call, type Target } from './client.ts'
import type { CliEnv } from './env.ts'

export const STATE_FLAG = '--state-directory <dir>'
export const STATE_HELP = 'state directory of the server on this machine (also ALCAZAR_STATE_DIRECTORY)'

export function stateDirectory(env: CliEnv, options: Readonly<Record<string, unknown>>): string {
  return (options.stateDirectory as string | undefined) ?? env.environment.ALCAZAR_STATE_DIRECTORY ?? './.alcazar'
}

/** The admin socket of the server on this machine. */
export function localServer(env: CliEnv, options: Readonly<Record<string, unknown>>): Target {
  return { kind: 'socket', path: join(stateDirectory(env, options), 'admin.sock') }
}

/** @throws CaError `dependency_unavailable`: there is none */
export async function describeServer(target: Target): Promise<ServerDescription> {
  return (await call(target, 'GET', '/v1/server', undefined, {})) as ServerDescription
}

/** A token from the dev server on this machine. @throws CaError `not_found`: it is not in dev mode */
export async function devToken(target: Target, namespace: string, serviceAccount: string): Promise<string> {
  return ((await call(target, 'POST', '/v1/dev/tokens', { namespace, serviceAccount }, {})) as { token: string }).token
}
