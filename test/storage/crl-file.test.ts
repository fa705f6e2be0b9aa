import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { replaceCrlFile } from '../../src/storage/crl-file.ts'
import { scratch } from '../_support/scratch.ts'

const OLD = '-----BEGIN X509 CRL-----\nMIHs\n-----END X509 CRL-----\n'
const NEW = '-----BEGIN X509 CRL-----\nMIIBAjCB\n-----END X509 CRL-----\n'

describe('the file of CRLs', () => {
  test.for([
    ['not there', undefined],
    ['empty', ''],
    ['of CRLs', OLD],
  ] as const)('is written where it was %s, for everybody to read', async ([, before]) => {
    const folder = scratch()
    const path = join(folder, 'ca-crl.pem')
    if (before !== undefined) writeFileSync(path, before, { mode: 0o600 })
    await replaceCrlFile(path, NEW)
    expect(readFileSync(path, 'utf8')).toBe(NEW)
    expect(statSync(path).mode & 0o777).toBe(0o644)
    expect(readdirSync(folder)).toEqual(['ca-crl.pem'])
  })

  test.for([
    ['a passphrase', 'correct horse battery staple\n'],
    ['a journal', '{"version":1}\n'],
    ['a key', '-----BEGIN PRIVATE KEY-----\n'],
    ['one byte', '-'],
  ] as const)('takes no place where %s is', async ([, content]) => {
    const folder = scratch()
    const path = join(folder, 'file')
    writeFileSync(path, content)
    await expect(replaceCrlFile(path, NEW)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `${path} holds something other than CRLs, and is left as it is; set crlFile to another path, or move that away`,
    })
    expect(readFileSync(path, 'utf8')).toBe(content)
    expect(readdirSync(folder)).toEqual(['file'])
  })

  test.for([
    ['a folder', (path: string) => mkdirSync(path)],
    ['a pipe', (path: string) => execFileSync('mkfifo', [path])],
    ['a link', (path: string) => symlinkSync('elsewhere', path)],
  ] as const)('takes no place where %s is', async ([, make]) => {
    const folder = scratch()
    const path = join(folder, 'file')
    make(path)
    const { ino } = lstatSync(path)
    await expect(replaceCrlFile(path, NEW)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(
        / is no plain file(, but a link)?, and is left as it is; set crlFile to the path /,
      ),
    })
    expect([lstatSync(path).ino, readdirSync(folder)]).toEqual([ino, ['file']])
  })

  test('that can’t be written is named', async () => {
    const path = join(scratch(), 'nowhere', 'ca-crl.pem')
    await expect(replaceCrlFile(path, NEW)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: expect.stringMatching(/^the file of CRLs .*ca-crl\.pem can’t be written: ENOENT/),
    })
  })
})
