import { existsSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DEV_STATE_DIRECTORY, STATE_DIRECTORY } from '../config/state-directories.ts'
import { CaError } from '../core/errors.ts'
import { call, type SocketTarget, unreachable } from './client.ts'
import type { CliEnv } from './env.ts'

export const STATE_FLAG = '--state-directory <dir>'
export const STATE_HELP = `state directory of the server on this machine (also ALCAZAR_STATE_DIRECTORY; default: ${DEV_STATE_DIRECTORY}, where there is none ${STATE_DIRECTORY})`

export function stateDirectory(env: CliEnv, options: Readonly<Record<string, unknown>>): string {
  return (
    (options.stateDirectory as string | undefined) ??
    env.environment.ALCAZAR_STATE_DIRECTORY ??
    usualStateDirectory(existsSync)
  )
}

/** That of a dev server in the working directory, else of any other server if there is one. */
export function usualStateDirectory(exists: (path: string) => boolean): string {
  return !exists(DEV_STATE_DIRECTORY) && exists(STATE_DIRECTORY) ? STATE_DIRECTORY : DEV_STATE_DIRECTORY
}

/**
 * The server on this machine, by its admin socket. It is believed only if it runs as this user or as root: the working directory may decide which
 * it is, and whoever answers could be sent tokens and say that a root is out.
 */
export class LocalServer {
  readonly #target: SocketTarget

  /** @param elsewhere how the verb names another server, in words */
  constructor(env: CliEnv, options: Readonly<Record<string, unknown>>, elsewhere = '--state-directory') {
    this.#target = { kind: 'socket', path: join(stateDirectory(env, options), 'admin.sock'), elsewhere }
  }

  /**
   * One request with a JSON answer.
   * @throws CaError `dependency_unavailable`: there is none · `permission_denied`: it is another user’s · whatever it answers
   */
  async call(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
    await refuseForeign(this.#target)
    return call(this.#target, method, path, body, {})
  }
}

/** A token from the dev server on this machine. @throws CaError `permission_denied`: it is not in dev mode · as `call` */
export async function devToken(server: LocalServer, namespace: string, serviceAccount: string): Promise<string> {
  try {
    return ((await server.call('POST', '/v1/dev/tokens', { namespace, serviceAccount })) as { token: string }).token
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

/** Whoever owns the socket or its directory could be the server: root too believes only itself, for it may stand in anybody’s directory. */
async function refuseForeign(target: SocketTarget): Promise<void> {
  for (const path of [dirname(target.path), target.path]) {
    const { uid } = await lstat(path).catch((cause: NodeJS.ErrnoException) => {
      throw unreachable(target, cause)
    })
    if (uid !== 0 && uid !== process.geteuid?.())
      throw new CaError(
        'permission_denied',
        `${path} belongs to another user (uid ${uid}), and only a server of your own or of root is believed; run this as that user (sudo -u '#${uid}'), or name another with ${target.elsewhere}`,
      )
  }
}
