import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Stage } from '../_support/stage.ts'
import { Mesh, type MeshOptions } from './mesh.ts'

const PASSPHRASE = 'correct horse battery staple'

/** Meshes, each with a server of its own. */
export class World {
  readonly stage: Stage
  /** Of all moments at which servers are killed. */
  readonly seed = Number(process.env.ALCAZAR_SEED ?? Math.floor(Math.random() * 2 ** 31))
  /** With a root that is sealed by a passphrase. */
  sealed!: Mesh
  readonly passphraseFile: string

  readonly #begun = new Map<string, Promise<void>>()

  constructor(stage: Stage) {
    this.stage = stage
    this.passphraseFile = join(stage.folder('secrets'), 'passphrase')
    writeFileSync(this.passphraseFile, PASSPHRASE, { mode: 0o600 })
  }

  /** Something that runs beside the steps, until one of them waits for its end. */
  begin(name: string, running: Promise<void>): void {
    running.catch(() => undefined)
    this.#begun.set(name, running)
  }

  async end(name: string): Promise<void> {
    await this.#begun.get(name)
  }

  /** A mesh whose root Alcazar makes and seals. */
  startSealed(options: Omit<MeshOptions, 'settings'>): Promise<Mesh> {
    return Mesh.start(this.stage, { ...options, settings: { keys: { passphraseFile: this.passphraseFile } } })
  }
}

export const createWorld = (stage: Stage): World => new World(stage)
