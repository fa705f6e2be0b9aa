import { constants } from 'node:fs'
import { open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CaError } from '../core/errors.ts'
import type { KeyFiles } from '../keys/vault.ts'
import { exists, isMissing, syncDirectory, unavailable, writeDurably } from './durable-file.ts'

const MAX_BYTES = 64 * 1024

/** The keys' files in one folder, for the owner's eyes only. What it says of one names it by its name in the folder. */
export class KeyDirectory implements KeyFiles {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    if (await exists(join(this.#path, name)))
      throw new CaError('conflict', `there is a key ${name}, and none is ever overwritten`)
    await this.replace(name, bytes)
  }

  async replace(name: string, bytes: Uint8Array): Promise<void> {
    try {
      await writeDurably(join(this.#path, name), bytes, 0o600)
    } catch (error) {
      throw unavailable(`the root’s key ${name} can’t be written`, error)
    }
  }

  async remove(name: string): Promise<boolean> {
    try {
      await unlink(join(this.#path, name))
      await syncDirectory(this.#path)
      return true
    } catch (error) {
      if (isMissing(error)) return false
      throw unavailable(`the root’s key ${name} can’t be removed`, error)
    }
  }

  /** Removes what a crash left of keys that got no name: they never signed, and in dev mode they are in the clear. */
  async sweep(): Promise<void> {
    try {
      const left = (await readdir(this.#path)).filter((name) => /^\.root-.*\.new$/.test(name))
      await Promise.all(left.map((name) => unlink(join(this.#path, name))))
    } catch (error) {
      throw unavailable(`what a crash left in ${this.#path} can’t be removed`, error)
    }
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    try {
      await using file = await open(join(this.#path, name), constants.O_RDONLY)
      const { mode, size } = await file.stat()
      if (mode & 0o077)
        throw new CaError(
          'wrong_state',
          `${name} can be read by others (mode ${(mode & 0o777).toString(8)}); make it 600, and ask who has read it`,
        )
      if (size > MAX_BYTES)
        throw new CaError('wrong_state', `${name} has ${size} bytes; a key has at most ${MAX_BYTES}`)
      return await file.readFile()
    } catch (error) {
      if (isMissing(error)) return undefined
      if (error instanceof CaError) throw error
      throw unavailable(`the root’s key ${name} can’t be read`, error)
    }
  }
}
