import { constants, existsSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import promises, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, relative, sep } from 'node:path'

/** The process ends at this step and takes none after it · only this step fails. */
export type Failing = 'dies' | 'fails once'

/** What is left after it: all that was written · what was synced, under every name given · what was synced, under synced names. */
export const LEFTOVERS = ['killed', 'power cut, names kept', 'power cut'] as const
export type Leftover = (typeof LEFTOVERS)[number]

type Tracked = { path: string; synced: Buffer }
type Unsynced = { readonly directory: string; readonly undo: () => void }

/**
 * The file system below one directory, through `node:fs/promises`: counts each step that changes something, fails where it is told to, and
 * knows what a power cut would take: whatever was not synced, of a file its content, of a directory its names.
 */
export class FaultyDisk implements Disposable {
  readonly steps: string[] = []
  readonly #root: string
  readonly #real = { ...promises }
  readonly #fail: { readonly step: number; readonly how: Failing } | undefined
  #dead = false
  readonly #files: Tracked[] = []
  #names: Unsynced[] = []

  constructor(root: string, fail?: { readonly step: number; readonly how: Failing }) {
    this.#root = root
    this.#fail = fail
    const real = this.#real
    const patched = {
      open: async (path: string, flags?: string | number, mode?: number) => this.#open(path, flags, mode),
      rename: async (from: string, to: string) => {
        if (!this.#mine(to)) return real.rename(from, to)
        const replaced = existsSync(to) ? { content: readFileSync(to), mode: statSync(to).mode & 0o777 } : undefined
        await this.#step(`rename ${this.#name(from)} ${this.#name(to)}`, () => real.rename(from, to))
        this.#moved(from, to)
        this.#unsynced(to, () => {
          renameSync(to, from)
          this.#moved(to, from)
          if (replaced) writeFileSync(to, replaced.content, { mode: replaced.mode })
        })
      },
      unlink: async (path: string) => {
        if (!this.#mine(path)) return real.unlink(path)
        await this.#step(`unlink ${this.#name(path)}`, () => real.unlink(path))
      },
      mkdir: async (path: string, options?: { mode?: number }) => {
        if (!this.#mine(path)) return real.mkdir(path, options)
        await this.#step(`mkdir ${this.#name(path)}`, () => real.mkdir(path, options))
        this.#unsynced(path, () => rmSync(path, { recursive: true }))
      },
      rm: async (path: string, options?: { recursive?: boolean; force?: boolean }) => {
        if (!this.#mine(path)) return real.rm(path, options)
        await this.#step(`rm ${this.#name(path)}`, () => real.rm(path, options))
      },
    }
    Object.assign(promises, patched)
    syncBuiltinESMExports()
  }

  /** The file system works again; what the power cut takes is gone. */
  restart(leftover: Leftover): void {
    this[Symbol.dispose]()
    if (leftover === 'killed') return
    for (const { path, synced } of this.#files)
      if (existsSync(path) && statSync(path).size !== synced.length) {
        truncateSync(path)
        writeFileSync(path, synced)
      }
    if (leftover === 'power cut') for (const { undo } of this.#names.toReversed()) undo()
  }

  [Symbol.dispose](): void {
    Object.assign(promises, this.#real)
    syncBuiltinESMExports()
  }

  async #open(path: string, flags?: string | number, mode?: number): Promise<FileHandle> {
    const { open } = this.#real
    if (!this.#mine(path)) return open(path, flags, mode)
    if (!(Number(flags) & constants.O_CREAT)) return this.#directory(path, await open(path, flags, mode))
    const handle = await this.#step(`create ${this.#name(path)}`, () => open(path, flags, mode))
    const file = { path, synced: Buffer.alloc(0) }
    this.#files.push(file)
    this.#unsynced(path, () => rmSync(file.path, { force: true }))
    return this.#wrapped(handle, {
      writeFile: async (content: Uint8Array | string) => {
        const bytes = Buffer.from(content as string)
        await this.#step(
          `write ${this.#name(path)}`,
          () => handle.writeFile(bytes),
          () => handle.writeFile(bytes.subarray(0, bytes.length / 2)),
        )
      },
      sync: async () => {
        await this.#step(`sync ${this.#name(path)}`, () => handle.sync())
        file.synced = readFileSync(path)
      },
    })
  }

  #directory(path: string, handle: FileHandle): FileHandle {
    return this.#wrapped(handle, {
      sync: async () => {
        await this.#step(`sync ${this.#name(path)}/`, () => handle.sync())
        this.#names = this.#names.filter((one) => one.directory !== path)
      },
    })
  }

  #wrapped(handle: FileHandle, calls: Partial<Record<keyof FileHandle, unknown>>): FileHandle {
    return new Proxy(handle, {
      get: (target, name) => {
        if (name in calls) return calls[name as keyof FileHandle]
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  async #step<T>(what: string, take: () => Promise<T>, takeHalf?: () => Promise<unknown>): Promise<T> {
    if (this.#dead) throw new Error('this process has ended')
    this.steps.push(what)
    if (this.#fail?.step !== this.steps.length) return take()
    await takeHalf?.()
    this.#dead = this.#fail.how === 'dies'
    throw Object.assign(new Error(`EIO: told to fail, ${what}`), { code: 'EIO' })
  }

  #unsynced(path: string, undo: () => void): void {
    this.#names.push({ directory: dirname(path), undo })
  }

  #moved(from: string, to: string): void {
    for (const file of this.#files)
      if (file.path === from || file.path.startsWith(from + sep)) file.path = to + file.path.slice(from.length)
    this.#names = this.#names.map((one) =>
      one.directory === from || one.directory.startsWith(from + sep)
        ? { ...one, directory: to + one.directory.slice(from.length) }
        : one,
    )
  }

  #mine(path: string): boolean {
    return path === this.#root || path.startsWith(this.#root + sep)
  }

  #name(path: string): string {
    return relative(this.#root, path)
  }
}

/** A try for each step that `act` takes, in its own directory, each failing there. */
export async function eachStep(
  how: Failing,
  prepare: () => Promise<string>,
  act: (root: string) => Promise<unknown>,
  prove: (failed: {
    readonly disk: FaultyDisk
    readonly root: string
    readonly error: unknown
    at: string
  }) => Promise<void>,
): Promise<readonly string[]> {
  const whole = await prepare()
  using sound = new FaultyDisk(whole)
  await act(whole)
  const { steps } = sound
  sound[Symbol.dispose]()
  for (let step = 1; step <= steps.length; step++) {
    const root = await prepare()
    using disk = new FaultyDisk(root, { step, how })
    const error = await act(root).then(
      () => undefined,
      (error: unknown) => error,
    )
    await prove({ disk, root, error, at: steps[step - 1] as string })
  }
  return steps
}
