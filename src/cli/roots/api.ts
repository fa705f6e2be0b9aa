import type { StatusView, TaintedView } from '../../endpoints/admin/authority-routes.ts'
import type { AuthoritiesView } from '../../service/authorities-view.ts'
import type { RotationView } from '../../service/rotation-view.ts'
import type { CliEnv } from '../env.ts'
import { LocalServer } from '../local-server.ts'

/** The admin's verbs of the server on this machine. What it refuses is the error it was there. */
export class RootsApi {
  readonly #server: LocalServer

  constructor(env: CliEnv, options: Readonly<Record<string, unknown>>) {
    this.#server = new LocalServer(env, options)
  }

  /** @param named how many workloads in the way are listed for each step, at most `MOST_NAMED` */
  async authorities(named = 10): Promise<StatusView> {
    return (await this.#server.call('GET', `/v1/authorities?named=${named}`)) as StatusView
  }

  async rotation(): Promise<RotationView> {
    return (await this.#server.call('GET', '/v1/rotation')) as RotationView
  }

  async rotate(because: string): Promise<RotationView> {
    return (await this.#server.call('POST', '/v1/rotation', { because })) as RotationView
  }

  async change(verb: 'prepare' | 'activate' | 'rollback' | 'revoke', body: object): Promise<AuthoritiesView> {
    return (await this.#server.call('POST', `/v1/authorities/${verb}`, body)) as AuthoritiesView
  }

  async taint(body: object): Promise<TaintedView> {
    return (await this.#server.call('POST', '/v1/authorities/taint', body)) as TaintedView
  }

  async forget(workload: string, because: string): Promise<AuthoritiesView> {
    return (await this.#server.call('POST', '/v1/workloads/forget', { workload, because })) as AuthoritiesView
  }
}
