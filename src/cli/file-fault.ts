import { CaError } from '../core/errors.ts'

const WORDS: ReadonlyMap<string | undefined, string> = new Map([
  ['ENOENT', 'no such file or directory'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['EISDIR', 'it is a directory'],
  ['ENOTDIR', 'part of the path is a file, not a directory'],
  ['EEXIST', 'what has that name is no directory'],
  ['ELOOP', 'a link that leads back to itself'],
  ['EROFS', 'the file system is read-only'],
  ['ENOSPC', 'the disk is full'],
])

/** What the system says of a file, in a line for people. */
export function fileFault(what: string, cause: unknown): CaError {
  const { code, message } = cause as NodeJS.ErrnoException
  return new CaError('invalid_argument', `${what}: ${WORDS.get(code) ?? message}`, { cause })
}
