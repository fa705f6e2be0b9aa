import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratch } from './scratch.ts'

/** A disk that is really full when told to be: the kernel itself refuses. */
export interface FullDisk extends AsyncDisposable {
  /** A folder on it, as the test sees it. */
  readonly path: string
  /** The same as programs see it whose command lines begin with `under`: only they may write to it. */
  readonly inside: string
  readonly under: readonly string[]
  /** From now on it has room for so many bytes and no more, for the process with that id. */
  fill(pid: number | undefined, leaving?: number): void
  makeRoom(pid: number | undefined): void
}

const asRoot = process.getuid?.() === 0
const UNSHARE = asRoot ? ['--mount'] : ['--user', '--map-root-user', '--mount']
const mayMount = spawnSync('unshare', [...UNSHARE, 'mount', '-t', 'tmpfs', 'probe', '/mnt']).status === 0

/** A tmpfs of 256 KiB in a mount namespace of its own, which is held by a process that waits for the end of its input. */
async function tmpfs(): Promise<FullDisk> {
  const mountPoint = scratch()
  const script = 'mount -t tmpfs -o size=256k,mode=700 alcazar "$0" && echo mounted && exec cat'
  const holder = spawn('unshare', [...UNSHARE, 'sh', '-c', script, mountPoint], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = (await once(holder.stdout, 'data')) as [Buffer]
  if (said.toString() !== 'mounted\n') throw new Error(`no tmpfs: ${said}`)
  const path = `/proc/${holder.pid}/root${mountPoint}`
  const ballast = (n: number) => join(path, `ballast-${n}`)
  return {
    path: join(path, 'state'),
    inside: join(mountPoint, 'state'),
    under: ['nsenter', `--target=${holder.pid}`, '--mount', ...(asRoot ? [] : ['--user', '--preserve-credentials'])],
    fill(_pid, leaving = 0) {
      writeFileSync(ballast(1), Buffer.alloc(leaving))
      try {
        for (;;) writeFileSync(ballast(0), Buffer.alloc(4096), { flag: 'a' })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
      rmSync(ballast(1))
    },
    makeRoom: () => rmSync(ballast(0)),
    async [Symbol.asyncDispose]() {
      const ended = once(holder, 'exit')
      holder.stdin.end()
      await ended
    },
  }
}

/** A limit to what the process may write into any file, which every kernel and container allows: EFBIG instead of ENOSPC. */
async function fileSizeLimit(): Promise<FullDisk> {
  const limit = (soft: number | 'unlimited') => `--fsize=${soft}:unlimited`
  let now: number | 'unlimited' = 'unlimited'
  const set = (pid: number | undefined, soft: number | 'unlimited') => {
    now = soft
    if (pid !== undefined) execFileSync('prlimit', ['--pid', `${pid}`, limit(soft)])
  }
  const path = join(scratch(), 'state')
  return {
    path,
    inside: path,
    get under() {
      return ['prlimit', limit(now)]
    },
    fill: (pid, leaving = 0) => set(pid, leaving),
    makeRoom: (pid) => set(pid, 'unlimited'),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

/** The second is in every container; the first where mounting is allowed. */
export const FULL_DISKS: readonly { readonly what: string; readonly open: () => Promise<FullDisk> }[] = [
  ...(mayMount ? [{ what: 'a disk without room', open: tmpfs }] : []),
  { what: 'files that may not grow', open: fileSizeLimit },
]
