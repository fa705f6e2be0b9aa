import type { Stage } from '../_support/stage.ts'

/** Chains of a mesh whose root is replaced, in a folder where every verifier finds them. */
export class World {
  readonly stage: Stage
  /** As test/_support/crossed-chains.ts writes them. */
  readonly folder: string

  constructor(stage: Stage) {
    this.stage = stage
    this.folder = stage.folder('chains-of-a-mesh')
  }
}

export const createWorld = (stage: Stage): World => new World(stage)
