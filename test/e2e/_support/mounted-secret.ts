import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

/** A folder whose files change as a kubelet changes a mounted Secret's: all at once, by swapping the link `..data`. */
export class MountedSecret {
  readonly path: string
  readonly #names: readonly string[]
  #current: string | undefined
  #count = 0

  constructor(path: string, names: readonly string[]) {
    this.path = path
    this.#names = names
  }

  /** @param write puts the new files into an empty folder */
  async replace(write: (folder: string) => void | Promise<void>): Promise<void> {
    const before = this.#current
    const version = `..version-${++this.#count}`
    mkdirSync(join(this.path, version))
    await write(join(this.path, version))
    symlinkSync(version, join(this.path, '..data_tmp'))
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
    this.#current = version
    if (before === undefined) for (const name of this.#names) symlinkSync(`..data/${name}`, join(this.path, name))
    else rmSync(join(this.path, before), { recursive: true })
  }
}
