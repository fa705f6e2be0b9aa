import { watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import {
  CA_FILES,
  type CaFileName,
  type FoundFiles,
  IMPORTED_NAMES,
  MAX_CA_FILE_BYTES,
  readPluggedCa,
} from '../authority/plugged-ca-files.ts'
import { sha256Hex } from '../core/bytes.ts'
import { type Clock, loop } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { asCaError, CaError, causesOf } from '../core/errors.ts'
import { readBounded } from './bounded-file.ts'
import { isMissing } from './durable-file.ts'

/** Kubernetes swaps mounted files by a symbolic link; events get lost on some file systems, so the content is compared as well. */
const COMPARE_EVERY_MS = 10 * SECOND
/** A writer of several files is given this long to finish. */
const SETTLE_MS = 100
const TRIES = 20

type Snapshot = { readonly files: Readonly<Record<CaFileName, Buffer | undefined>>; readonly digest: string }

/** A directory in istio's `cacerts` layout, as Kubernetes mounts such a secret. */
export class PluggedCaDirectory {
  readonly #path: string
  readonly #clock: Clock
  #taken: string | undefined

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  /**
   * The CA in the directory now.
   * @throws CaError `invalid_argument`, naming the file at fault
   */
  async read(signal: AbortSignal): Promise<PluggedCa> {
    const snapshot = await this.#consistent(signal)
    this.#taken = snapshot.digest
    return this.#parse(snapshot)
  }

  /** Hands over each changed, whole and consistent CA until the signal; what is none goes to `refused`. */
  async follow(
    signal: AbortSignal,
    take: (ca: PluggedCa) => Promise<void>,
    refused: (error: CaError) => void,
  ): Promise<void> {
    let changed = true
    const watcher = this.#watch(signal, () => {
      changed = true
    })
    let next = this.#clock.elapsed() + COMPARE_EVERY_MS
    let told: string | undefined
    const look = async () => {
      if (!changed && this.#clock.elapsed() < next) return
      changed = false
      next = this.#clock.elapsed() + COMPARE_EVERY_MS
      let digest = ''
      try {
        const snapshot = await this.#consistent(signal)
        digest = snapshot.digest
        if (digest !== this.#taken) await take(await this.#parse(snapshot))
        this.#taken = digest
        told = undefined
      } catch (error) {
        if (signal.aborted) return
        const fault = asCaError(error)
        // A set not taken is tried again at every comparison, since its time may come, and told of once.
        const telling = `${digest} ${causesOf(fault)}`
        if (telling !== told) refused(fault)
        told = telling
      }
    }
    await loop(this.#clock, signal, () => SECOND, look)
    watcher?.close()
  }

  #watch(signal: AbortSignal, changed: () => void) {
    try {
      const watcher = watch(this.#path, { signal, persistent: false }, changed)
      watcher.on('error', () => undefined)
      return watcher
    } catch {
      return undefined // some file systems can't be watched; the comparison finds out
    }
  }

  /** All files as they stood at one moment: read twice alike, since they are swapped one by one or by a link. */
  async #consistent(signal: AbortSignal): Promise<Snapshot> {
    let before = await this.#snapshot()
    for (let tries = 0; tries < TRIES; tries++) {
      await this.#clock.sleep(tries === 0 ? 10 : SETTLE_MS, signal)
      const now = await this.#snapshot()
      if (now.digest === before.digest) return now
      before = now
    }
    throw new CaError('invalid_argument', `the files in ${this.#path} do not stop changing`)
  }

  async #snapshot(): Promise<Snapshot> {
    const entries = await Promise.all(
      CA_FILES.map(async (name) => [name, await caFile(join(this.#path, name))] as const),
    )
    const digest = sha256Hex(entries.map(([, content]) => (content ? sha256Hex(content) : '-')).join())
    return { files: Object.fromEntries(entries) as Snapshot['files'], digest }
  }

  #parse({ files }: Snapshot): Promise<PluggedCa> {
    return readPluggedCa(files, { where: this.#path, pathOf: (name) => join(this.#path, name) }, this.#clock.now())
  }
}

/**
 * What lies in a directory under the names of CA files, in whatever layout.
 * @throws CaError `invalid_argument`: the directory can't be read
 */
export async function caFilesIn(directory: string): Promise<FoundFiles> {
  const isDirectory = await stat(directory).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isDirectory) throw new CaError('invalid_argument', `${directory} is no directory`)
  const found = new Map<string, Uint8Array>()
  for (const name of IMPORTED_NAMES) {
    const content = await caFile(join(directory, name))
    if (content) found.set(name, content)
  }
  return found
}

async function caFile(path: string): Promise<Buffer | undefined> {
  try {
    return await readBounded(path, { what: path, atMost: MAX_CA_FILE_BYTES })
  } catch (error) {
    if (isMissing(error)) return undefined
    if (error instanceof CaError) throw error
    throw new CaError('invalid_argument', `${path} can’t be read: ${(error as Error).message}`, { cause: error })
  }
}
