import { chmodSync, closeSync, openSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { JournalInDoubt } from '../authority/journal.ts'
import { CaError } from '../core/errors.ts'
import { unavailable } from './durable-file.ts'

/** SQLITE_BUSY: somebody else holds it. */
const BUSY = 5

export type DirectoryLock = Disposable & {
  /**
   * That it keeps others off still. The kernel locks a file, not its name: who removes that lets a second server in.
   * @throws JournalInDoubt: another may be in · CaError `dependency_unavailable`: it can't be looked at
   */
  readonly check: () => void
}

/**
 * Keeps a second server off a state directory, by the kernel's own file lock: it is gone with the process, however that ends, so none is
 * ever stale. Node has no call for such locks; SQLite has, so an empty database is held exclusively and nothing is ever written to it.
 * @param inUse what is said where a server has it
 * @throws CaError `conflict`: another server has it · `invalid_argument`: the directory can't be written
 */
export function lockDirectory(
  directory: string,
  inUse = `another Alcazar server is using ${directory}; stop it, or give this one a directory of its own with --state-directory`,
): DirectoryLock {
  let database: DatabaseSync | undefined
  const path = join(directory, 'lock')
  try {
    // Who can open it can lock it.
    closeSync(openSync(path, 'a', 0o600))
    chmodSync(path, 0o600)
    database = new DatabaseSync(path)
    // Not OFF: SQLite's defensive mode, Node's default, ignores that and lays a journal beside the lock.
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    if ((cause as { errcode?: number }).errcode === BUSY) throw new CaError('conflict', inUse, { cause })
    throw new CaError(
      'invalid_argument',
      `the state directory ${directory} can’t be written: ${(cause as Error).message}; choose another with --state-directory`,
      { cause },
    )
  }
  const held = database
  // Never by opening it: POSIX gives back all of a process's locks on a file when it closes any descriptor of it.
  const identity = (): string | undefined => {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false })
    return found && `${found.dev} ${found.ino}`
  }
  const locked = identity()
  const check = () => {
    let found: string | undefined
    try {
      found = identity()
    } catch (error) {
      throw unavailable(`the lock ${path} can’t be looked at`, error)
    }
    if (found === undefined || found !== locked)
      throw new JournalInDoubt(
        `${path} was ${found === undefined ? 'removed' : 'replaced'}, so another server may be using ${directory}; end all but one`,
      )
  }
  return { check, [Symbol.dispose]: () => held.close() }
}
