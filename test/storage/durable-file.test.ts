import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { syncDirectory, unavailable, writeDurably, writeNew } from '../../src/storage/durable-file.ts'
import { eachStep, FaultyDisk, LEFTOVERS } from '../_support/faulty-disk.ts'
import { scratch } from '../_support/scratch.ts'

const OLD = 'the old content, which is long enough to be seen half of\n'
const NEW = 'and the new content, of another length than the old one had\n'

const holding = (content: string) => async () => {
  const directory = scratch()
  writeFileSync(join(directory, 'file'), content)
  return directory
}
const replace = (directory: string) => writeDurably(join(directory, 'file'), NEW, 0o600)
const contentIn = (directory: string) => readFileSync(join(directory, 'file'), 'utf8')

describe('writeDurably', () => {
  test('replaces the content, and leaves nothing else behind', async () => {
    const directory = await holding(OLD)()
    await replace(directory)
    expect(contentIn(directory)).toBe(NEW)
    expect(readdirSync(directory)).toEqual(['file'])
  })

  test('makes a file that was not there', async () => {
    const directory = scratch()
    await replace(directory)
    expect(contentIn(directory)).toBe(NEW)
  })

  test('gives the new file the mode asked for, whatever the old one had', async () => {
    const directory = await holding(OLD)()
    expect(statSync(join(directory, 'file')).mode & 0o077).not.toBe(0)
    await replace(directory)
    expect(statSync(join(directory, 'file')).mode & 0o777).toBe(0o600)
  })

  test('never has the content under a wider mode, not even on the way', async () => {
    const modes = new Set<number>()
    await eachStep('dies', holding(OLD), replace, async ({ root }) => {
      for (const name of readdirSync(root))
        if (readFileSync(join(root, name), 'utf8') !== OLD) modes.add(statSync(join(root, name)).mode & 0o777)
    })
    expect([...modes]).toEqual([0o600])
  })

  test.each(LEFTOVERS)(
    'a crash at any step leaves the old content or the new one, never half (%s)',
    async (leftover) => {
      const seen = new Set<string>()
      const steps = await eachStep('dies', holding(OLD), replace, async ({ disk, root, error, at }) => {
        expect(error, at).toBeInstanceOf(Error)
        disk.restart(leftover)
        seen.add(contentIn(root))
        expect([OLD, NEW], at).toContain(contentIn(root))
      })
      expect(steps.length).toBeGreaterThanOrEqual(5)
      expect(seen, 'there are steps before the change').toContain(OLD)
    },
  )

  test.each(LEFTOVERS)('is durable when it resolves (%s)', async (leftover) => {
    const directory = await holding(OLD)()
    using disk = new FaultyDisk(directory)
    await replace(directory)
    disk.restart(leftover)
    expect(contentIn(directory)).toBe(NEW)
  })

  test.each(LEFTOVERS)('after a crash at any step it can be done again (%s)', async (leftover) => {
    await eachStep('dies', holding(OLD), replace, async ({ disk, root, at }) => {
      disk.restart(leftover)
      await replace(root)
      expect(contentIn(root), at).toBe(NEW)
      expect(readdirSync(root), at).toEqual(['file'])
    })
  })

  test('a step that fails is told, and the next try succeeds', async () => {
    await eachStep('fails once', holding(OLD), replace, async ({ root, error, at }) => {
      expect(error, at).toMatchObject({ code: 'EIO' })
      await replace(root)
      expect(contentIn(root), at).toBe(NEW)
    })
  })

  test('says of every failure whether the new content may be there', async () => {
    const doubts: string[] = []
    await eachStep(
      'fails once',
      holding(OLD),
      async (root) => {
        const progress: { committed?: boolean } = {}
        await writeDurably(join(root, 'file'), NEW, 0o600, progress).catch((error: unknown) => {
          throw Object.assign(error as Error, progress)
        })
      },
      async ({ root, error, at }) => {
        const { committed = false } = error as { committed?: boolean }
        if (!committed) expect(contentIn(root), at).toBe(OLD)
        else doubts.push(at)
      },
    )
    // The rename, and what comes after it: nothing before is in doubt.
    expect(doubts).toEqual(['rename .file.new file', 'sync /'])
  })
})

describe('writeNew', () => {
  test.each(LEFTOVERS)('has its whole content when it resolves and its folder is synced (%s)', async (leftover) => {
    const directory = scratch()
    using disk = new FaultyDisk(directory)
    await writeNew(join(directory, 'key'), NEW, 0o600)
    await syncDirectory(directory)
    disk.restart(leftover)
    expect(readFileSync(join(directory, 'key'), 'utf8')).toBe(NEW)
  })

  test('writes into no file that somebody else put there as a link', async () => {
    const directory = scratch()
    const elsewhere = join(scratch(), 'elsewhere')
    writeFileSync(elsewhere, OLD)
    symlinkSync(elsewhere, join(directory, '.file.new'))
    await replace(directory)
    expect(readFileSync(elsewhere, 'utf8')).toBe(OLD)
    expect(contentIn(directory)).toBe(NEW)
  })

  test('replaces what was left half-written, whatever its mode', async () => {
    const directory = scratch()
    writeFileSync(join(directory, 'key'), 'half', { mode: 0o644 })
    await writeNew(join(directory, 'key'), NEW, 0o600)
    expect(readFileSync(join(directory, 'key'), 'utf8')).toBe(NEW)
    expect(statSync(join(directory, 'key')).mode & 0o777).toBe(0o600)
  })

  test('makes no folder', async () => {
    const path = join(scratch(), 'missing', 'key')
    await expect(writeNew(path, NEW, 0o600)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(existsSync(path)).toBe(false)
  })
})

describe('what is said of a disk that refuses', () => {
  const failing = (code: string) => Object.assign(new Error(`${code}: oh no, write`), { code })

  test.each(['ENOSPC', 'EDQUOT', 'EFBIG'])('is what to do where there is no room (%s)', (code) => {
    const cause = failing(code)
    expect(unavailable('the file x can’t be written', cause)).toMatchObject({
      code: 'dependency_unavailable',
      message: `the file x can’t be written: no room is left for it (${code}); make some and do it again`,
      cause,
    })
  })

  test('is the system’s own word otherwise', () => {
    expect(unavailable('the file x can’t be written', failing('EIO')).message).toBe(
      'the file x can’t be written: EIO: oh no, write',
    )
    expect(unavailable('the file x can’t be written', new Error('oh no')).message).toBe(
      'the file x can’t be written: oh no',
    )
  })
})

test('the fault injection itself: what is not synced is lost in a power cut, and kept by a mere kill', async () => {
  const left: Record<string, string[]> = {}
  for (const leftover of LEFTOVERS) {
    const directory = scratch()
    using disk = new FaultyDisk(directory)
    const { open } = await import('node:fs/promises')
    const { O_CREAT, O_WRONLY } = (await import('node:fs')).constants
    const handle = await open(join(directory, 'file'), O_CREAT | O_WRONLY, 0o600)
    await handle.writeFile(NEW)
    await handle.close()
    disk.restart(leftover)
    left[leftover] = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'))
  }
  expect(left).toEqual({ killed: [NEW], 'power cut, names kept': [''], 'power cut': [] })
})
