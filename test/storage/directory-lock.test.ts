import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { CaError } from '../../src/core/errors.ts'
import { lockDirectory } from '../../src/storage/directory-lock.ts'
import { OtherProcess } from '../_support/other-process.ts'
import { scratch } from '../_support/scratch.ts'

const HOLD = `
  import { lockDirectory } from 'src/storage/directory-lock.ts'
  const lock = lockDirectory(process.argv[1])
  console.log('locked')
  process.on('SIGTERM', () => lock[Symbol.dispose]())
  setInterval(() => undefined, 1000)
`

const TRY = `
  import { lockDirectory } from 'src/storage/directory-lock.ts'
  try {
    lockDirectory(process.argv[1])
    console.log('locked')
  } catch (error) {
    console.log(JSON.stringify({ code: error.code, message: error.message }))
  }
`

test('is for its owner alone: who can open it could lock it', () => {
  const directory = scratch()
  lockDirectory(directory)[Symbol.dispose]()
  expect(statSync(join(directory, 'lock')).mode & 0o777).toBe(0o600)
})

function refusal(directory: string): CaError {
  try {
    lockDirectory(directory)[Symbol.dispose]()
  } catch (error) {
    if (error instanceof CaError) return error
    throw error
  }
  expect.fail('the lock was given')
}

/** Every file with its content and the moment it was last written. */
const picture = (directory: string) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ path, content: readFileSync(path, 'latin1'), mtime: statSync(path).mtimeMs }))

const inUse = (directory: string) => ({
  code: 'conflict',
  message: `another Alcazar server is using ${directory}; stop it, or give this one a directory of its own with --state-directory`,
})

test('a second process on the same directory is refused in one line that says what to do', async () => {
  const directory = scratch()
  using _lock = lockDirectory(directory)
  const second = JSON.parse((await new OtherProcess(TRY, directory).line()) ?? '{}')
  expect(second).toEqual(inUse(directory))
  expect(second.message).not.toContain('\n')
})

test('the refusal leaves all as it was', async () => {
  const directory = scratch()
  mkdirSync(join(directory, 'authority'))
  writeFileSync(join(directory, 'authority', 'journal.json'), '{}')
  const other = new OtherProcess(HOLD, directory)
  expect(await other.line()).toBe('locked')
  const before = picture(directory)
  refusal(directory)
  expect(picture(directory)).toEqual(before)
})

test('who was refused does not loosen the lock for a third', async () => {
  const directory = scratch()
  const holder = new OtherProcess(HOLD, directory)
  expect(await holder.line()).toBe('locked')
  refusal(directory)
  expect(JSON.parse((await new OtherProcess(TRY, directory).line()) ?? '{}')).toEqual(inUse(directory))
})

test('the lock goes with a process that is killed (kill -9), and its directory can be used again', async () => {
  const directory = scratch()
  const other = new OtherProcess(HOLD, directory)
  expect(await other.line()).toBe('locked')
  expect(refusal(directory)).toMatchObject(inUse(directory))
  await other.kill()
  using lock = lockDirectory(directory)
  expect(lock).toBeDefined()
})

test('a second lock in the same process is refused, too', () => {
  const directory = scratch()
  using _lock = lockDirectory(directory)
  expect(refusal(directory)).toMatchObject(inUse(directory))
})

test('can be taken again once it was given back', () => {
  const directory = scratch()
  lockDirectory(directory)[Symbol.dispose]()
  using lock = lockDirectory(directory)
  expect(lock).toBeDefined()
})

test('two directories are locked apart from each other', () => {
  using _one = lockDirectory(scratch())
  using other = lockDirectory(scratch())
  expect(other).toBeDefined()
})

test('a lock file that a killed server left behind is no lock', () => {
  const directory = scratch()
  writeFileSync(join(directory, 'lock'), '')
  using lock = lockDirectory(directory)
  expect(lock).toBeDefined()
})

test('writes nothing into its file', () => {
  const directory = scratch()
  using _lock = lockDirectory(directory)
  expect(readdirSync(directory)).toEqual(['lock'])
  expect(statSync(join(directory, 'lock')).size).toBe(0)
})

test.each([
  ['is not there', (directory: string) => join(directory, 'missing')],
  [
    'is a file',
    (directory: string) => {
      writeFileSync(join(directory, 'file'), '')
      return join(directory, 'file')
    },
  ],
])('a directory that %s is named, with the setting that chooses another', (_what, make) => {
  const path = make(scratch())
  expect(refusal(path)).toMatchObject({
    code: 'invalid_argument',
    message: expect.stringMatching(
      new RegExp(`^the state directory ${path} can’t be written: .*; choose another with --state-directory$`),
    ),
  })
})

describe('a lock that is held', () => {
  const other = 'so another server may be using'

  test('keeps others off for as long as its file is there, whatever becomes of its mode and times', () => {
    const directory = scratch()
    using lock = lockDirectory(directory)
    expect(lock.check).not.toThrow()
    chmodSync(join(directory, 'lock'), 0o640)
    utimesSync(join(directory, 'lock'), 1, 1)
    expect(lock.check).not.toThrow()
    expect(refusal(directory).code).toBe('conflict')
  })

  test('is in doubt when its file was removed', () => {
    const directory = scratch()
    using lock = lockDirectory(directory)
    unlinkSync(join(directory, 'lock'))
    expect(lock.check).toThrow(
      new JournalInDoubt(`${join(directory, 'lock')} was removed, ${other} ${directory}; end all but one`),
    )
  })

  test('is in doubt when another file has its name, and a second server its lock', () => {
    const directory = scratch()
    using lock = lockDirectory(directory)
    unlinkSync(join(directory, 'lock'))
    using second = lockDirectory(directory)
    expect(lock.check).toThrow(
      new JournalInDoubt(`${join(directory, 'lock')} was replaced, ${other} ${directory}; end all but one`),
    )
    expect(second.check).not.toThrow()
  })

  test('is not given up for a look that fails', () => {
    const directory = join(scratch(), 'state')
    mkdirSync(directory)
    using lock = lockDirectory(directory)
    renameSync(directory, `${directory}.away`)
    symlinkSync('state', directory)
    expect(lock.check).toThrow(expect.objectContaining({ code: 'dependency_unavailable' }))
  })
})
