import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DamagedLine, LedgerRecord } from '../../../src/ledger/ledger.ts'
import { readLedger } from '../../../src/storage/ledger-directory.ts'
import { freePort } from './ports.ts'
import type { End, Running } from './processes.ts'
import { run } from './run.ts'
import { REPOSITORY, type Stage } from './stage.ts'
import { until } from './until.ts'

const MAIN = join(REPOSITORY, 'src/main.ts')

export type Settings = {
  /** Path of a folder in the layout of `cacerts`; or `keys`, for a root of its own. */
  readonly pluggedCa?: string
  readonly keys?: Readonly<Record<string, string>>
  readonly svid?: { readonly defaultTtl: string }
  /** Path of a file for the set of CRLs. */
  readonly crlFile?: string
  /** Path of a kubeconfig. */
  readonly kubeconfig: string
}

type Options = {
  /** Tells apart several of one suite. */
  readonly name?: string
  /** What it sees of the environment besides PATH. */
  readonly environment?: NodeJS.ProcessEnv
}

export type LogLine = { readonly level: string; readonly message: string; readonly detail?: string }

/** Alcazar as its users run it: a process with a configuration file, on loopback ports of its own. */
export class Alcazar {
  readonly #stage: Stage
  readonly #name: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #config: string
  readonly #healthUrl: string
  readonly #ports: { readonly ca: number; readonly health: number }
  #running: Running | undefined
  readonly stateDirectory: string
  readonly host = '127.0.0.1'
  readonly port: number

  private constructor(
    stage: Stage,
    settings: Settings,
    { name = 'alcazar', environment = {} }: Options,
    ports: { ca: number; health: number },
  ) {
    this.#stage = stage
    this.#name = name
    this.#environment = { PATH: process.env.PATH, ...environment }
    this.#ports = ports
    this.port = ports.ca
    this.#healthUrl = `http://${this.host}:${ports.health}`
    const folder = stage.folder(name)
    this.stateDirectory = join(folder, 'state')
    this.#config = join(folder, 'config.yaml')
    this.configure(settings)
  }

  static async start(stage: Stage, settings: Settings, options: Options = {}): Promise<Alcazar> {
    const alcazar = new Alcazar(stage, settings, options, { ca: await freePort(), health: await freePort() })
    await alcazar.start()
    return alcazar
  }

  /** What holds from the next start on. */
  configure({ kubeconfig, ...settings }: Settings): void {
    // YAML is a superset of JSON.
    const config = {
      stateDirectory: this.stateDirectory,
      listen: this.address,
      healthListen: `${this.host}:${this.#ports.health}`,
      serverNames: [this.host],
      attestation: { kubeconfig },
      log: { format: 'json' },
      ...settings,
    }
    writeFileSync(this.#config, JSON.stringify(config, null, 2))
  }

  get address(): string {
    return `${this.host}:${this.port}`
  }

  /** Resolves when it says that it is ready: a signature was made and verified. */
  async start(): Promise<void> {
    this.#running = await this.#stage.processes.start(this.#name, {
      program: process.execPath,
      args: [MAIN, 'serve', '--config', this.#config],
      env: this.#environment,
    })
    await until('Alcazar is ready', 20, async () => (await fetch(`${this.#healthUrl}/readyz`)).ok)
  }

  end(signal: NodeJS.Signals = 'SIGTERM'): Promise<End> {
    return (this.#running as Running).end(signal)
  }

  /** Its log since the first start. */
  log(): LogLine[] {
    return (this.#running as Running)
      .said()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine)
  }

  /** What a verb of the admin's command line prints, as data. */
  async cli(...args: string[]): Promise<unknown> {
    return JSON.parse(
      await run(process.execPath, [MAIN, ...args, '--state-directory', this.stateDirectory, '--output', 'json']),
    )
  }

  /** Every line of the ledger as it stands on disk. */
  async ledger(): Promise<(LedgerRecord | DamagedLine)[]> {
    const all = []
    for await (const entry of readLedger(join(this.stateDirectory, 'ledger'), undefined)) all.push(entry)
    return all
  }
}
