import { constants } from 'node:fs'
import { open, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CaError } from '../core/errors.ts'

/**
 * Replaces a file as a whole: a crash leaves the old one or the new one. When it resolves the new one is durable.
 * `committed` tells, if it rejects, whether the new one may already be in place.
 */
export async function writeDurably(
  path: string,
  content: Uint8Array | string,
  mode: number,
  progress: { committed?: boolean } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.new`)
  await writeNew(temporary, content, mode)
  progress.committed = true
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** A file that is durable when it resolves, though its name may not be: for a folder that gets its own name later. */
export async function writeNew(path: string, content: Uint8Array | string, mode: number): Promise<void> {
  await unlink(path).catch(ignoreMissing)
  await writeExclusively(path, content, mode)
}

/** The same where nothing has that name, or else the system's error EEXIST. */
export async function writeExclusively(path: string, content: Uint8Array | string, mode: number): Promise<void> {
  // Exclusive and without following links: nobody can hand us a file of theirs to write into.
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode)
  try {
    // What others are to read they may, whatever the umask.
    if (mode & 0o044) await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
  } catch (error) {
    // Half of it is of no use on a full disk, and may be half a key.
    await unlink(path).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error) => {
      if (isMissing(error)) return false
      throw error
    },
  )
}

/** The disk refuses for now. @param what names the file */
export function unavailable(what: string, error: unknown): CaError {
  const { code, message } = error as NodeJS.ErrnoException
  const why =
    code !== undefined && NO_ROOM.has(code) ? `no room is left for it (${code}); make some and do it again` : message
  return new CaError('dependency_unavailable', `${what}: ${why}`, { cause: error })
}

/** The disk is full; so is what this user may have of it; so is what one file may have. */
const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
