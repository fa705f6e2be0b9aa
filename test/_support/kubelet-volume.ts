import { cpSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A secret as the kubelet mounts it: the files are links through `..data` to a folder of their time, and one rename of that link swaps them
 * all (kubernetes pkg/volume/util/atomic_writer.go).
 */
export class KubeletVolume {
  readonly path: string
  #turn = 0

  constructor(path: string) {
    this.path = path
  }

  /** Replaces the content by that of a plain directory. */
  swap(from: string): void {
    const timed = `..2030_01_01_00_00_0${++this.#turn}`
    mkdirSync(join(this.path, timed))
    cpSync(from, join(this.path, timed), { recursive: true })
    symlinkSync(timed, join(this.path, '..data_tmp'))
    const before = this.#data()
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
    const names = readdirSync(join(this.path, timed))
    const there = readdirSync(this.path)
    for (const name of names) if (!there.includes(name)) symlinkSync(join('..data', name), join(this.path, name))
    for (const name of there) if (!name.startsWith('..') && !names.includes(name)) rmSync(join(this.path, name))
    if (before !== undefined) rmSync(join(this.path, before), { recursive: true })
  }

  #data(): string | undefined {
    return readdirSync(this.path).includes('..data') ? readlinkSync(join(this.path, '..data')) : undefined
  }
}
