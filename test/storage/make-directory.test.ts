import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeDirectory } from '../../src/storage/make-directory.ts'
import { scratch } from '../_support/scratch.ts'

const modeOf = (path: string) => statSync(path).mode & 0o777

test('makes a directory and its parents, each with the mode', async () => {
  const path = scratch()
  await makeDirectory(join(path, 'a/b/c'), 0o700)
  expect(['a', 'a/b', 'a/b/c'].map((name) => modeOf(join(path, name)))).toEqual([0o700, 0o700, 0o700])
})

test('leaves what is there as it is, also behind a link', async () => {
  const path = scratch()
  mkdirSync(join(path, 'a'), { mode: 0o755 })
  symlinkSync('a', join(path, 'link'))
  await makeDirectory(join(path, 'a'), 0o700)
  await makeDirectory(join(path, 'link'), 0o700)
  expect(modeOf(join(path, 'a'))).toBe(0o755)
})

test('fails where a file has the name', async () => {
  const path = join(scratch(), 'file')
  writeFileSync(path, '')
  await expect(makeDirectory(path, 0o700)).rejects.toMatchObject({ code: 'EEXIST' })
  await expect(makeDirectory(join(path, 'below'), 0o700)).rejects.toMatchObject({ code: 'ENOTDIR' })
})

test('fails under /proc, where nothing can be made, and does not try for ever', async () => {
  await expect(makeDirectory('/proc/alcazar/state', 0o700)).rejects.toMatchObject({ code: 'ENOENT' })
})
