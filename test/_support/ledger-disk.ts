import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename, sep } from 'node:path'

/** The disk under the test that runs now. */
let current: LedgerDisk | undefined
const real = { ...fs }

/** What goes through Node's callback and synchronous file calls below one directory: room that ends, syncs that are held up or fail. */
export class LedgerDisk implements Disposable {
  /** Bytes that still fit. */
  room = Number.POSITIVE_INFINITY
  syncs = 0
  failSyncs = false
  failDirectorySyncs = false
  /** What a power cut would leave of each file. */
  readonly durable = new Map<string, string>()
  readonly #root: string
  readonly #open = new Map<number, string>()
  #held: (() => void)[] | undefined

  constructor(root: string) {
    this.#root = root
    current = this
  }

  /** Files that are open now. */
  get open(): string[] {
    return [...this.#open.values()].map((path) => basename(path))
  }

  /** From now on no sync ends before `release`. */
  hold(): void {
    this.#held = []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const go of held) go()
  }

  [Symbol.dispose](): void {
    this.release()
    current = undefined
  }

  opened(path: string, descriptor: number): void {
    if (path === this.#root || path.startsWith(this.#root + sep)) this.#open.set(descriptor, path)
  }

  closed(descriptor: number): void {
    this.#open.delete(descriptor)
  }

  write(descriptor: number, bytes: Uint8Array, at: number): number {
    if (!this.#open.has(descriptor)) return real.writeSync(descriptor, bytes, at)
    if (this.room <= 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    const length = Math.min(bytes.length - at, this.room)
    this.room -= length
    return real.writeSync(descriptor, bytes, at, length)
  }

  sync(descriptor: number, done: (error: Error | null) => void): void {
    const path = this.#open.get(descriptor)
    if (path === undefined) {
      real.fdatasync(descriptor, done)
      return
    }
    this.syncs++
    const content = real.readFileSync(path, 'utf8')
    const end = () => {
      if (this.failSyncs) return done(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
      this.durable.set(basename(path), content)
      done(null)
    }
    if (this.#held) this.#held.push(end)
    else setImmediate(end)
  }

  syncDirectory(descriptor: number): void {
    if (this.failDirectorySyncs && this.#open.has(descriptor))
      throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' })
    real.fsyncSync(descriptor)
  }
}

// Before the sources load, since they take some of these by value: import this file for its effect, first.
Object.assign(fs, {
  openSync: (path: string, flags?: string | number, mode?: number) => {
    const descriptor = real.openSync(path, flags ?? 'r', mode)
    current?.opened(String(path), descriptor)
    return descriptor
  },
  closeSync: (descriptor: number) => {
    current?.closed(descriptor)
    real.closeSync(descriptor)
  },
  writeSync: (descriptor: number, bytes: Uint8Array, at = 0) =>
    current ? current.write(descriptor, bytes, at) : real.writeSync(descriptor, bytes, at),
  fdatasync: (descriptor: number, done: (error: Error | null) => void) =>
    current ? current.sync(descriptor, done) : real.fdatasync(descriptor, done),
  fsyncSync: (descriptor: number) => (current ? current.syncDirectory(descriptor) : real.fsyncSync(descriptor)),
})
syncBuiltinESMExports()
