import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Authority } from '../../src/authority/authority.ts'
import { printJournal, readJournal } from '../../src/authority/journal.ts'
import { lockDirectory } from '../../src/storage/directory-lock.ts'
import { alcazar, type Ran } from '../_support/a-terminal.ts'
import { aCacertsDirectory, aRootDirectory, aWrappingKey, picture } from '../_support/ca-directories.ts'
import { eachStep } from '../_support/faulty-disk.ts'
import { scratch } from '../_support/scratch.ts'

/** A stopped server whose CA was imported. */
async function stopped(from = aRootDirectory) {
  const { path } = await from()
  const state = scratch()
  const wrappingKey = aWrappingKey()
  const args = ['--state-directory', state, '--wrapping-key-file', wrappingKey]
  await alcazar(['import', '--from', 'directory', path, ...args])
  const { set } = readJournal(readFileSync(join(state, 'authority/journal.json'), 'utf8'))
  const id = set.authorities[0]?.id as string
  const out = join(scratch(), 'out')
  const short = `${id.slice(0, 4)} ${id.slice(4, 8)}`
  const run = (...more: string[]): Promise<Ran> => alcazar(['export', ...args, ...more])
  return { state, path, id, short, out, run, args, whole: ['--root', id.slice(0, 8), '--out', out] }
}

const setIn = (state: string) => readJournal(readFileSync(join(state, 'authority/journal.json'), 'utf8')).set
/** Makes of the roots in a journal what they might have been. */
function change(state: string, to: Partial<Authority>): void {
  const path = join(state, 'authority/journal.json')
  const { revision, set } = readJournal(readFileSync(path, 'utf8'))
  const authorities = set.authorities.map((one) => ({ ...one, ...to }))
  writeFileSync(path, printJournal(revision, { ...set, authorities }))
}

const ledgerOf = async (state: string) => (await alcazar(['ledger', 'list', '--state-directory', state])).out

describe('export', () => {
  test.each([
    ['a root', aRootDirectory],
    ['an intermediate', aCacertsDirectory],
  ])('gives back the very files that were imported: %s', async (_what, from) => {
    const { path, out, run, whole, short } = await stopped(from as typeof aRootDirectory)
    const ran = await run(...whole, '--yes-export', short)
    expect([ran.exit, ran.err]).toEqual([0, ''])
    const content = (directory: string) =>
      Object.fromEntries(Object.entries(picture(directory)).map(([name, text]) => [name, text.replace(/^\d+ /, '')]))
    expect(content(out)).toEqual(content(path))
    expect(statSync(join(out, 'ca-key.pem')).mode & 0o777).toBe(0o400)
    expect(statSync(out).mode & 0o777).toBe(0o700)
    expect(ran.out).not.toContain('PRIVATE KEY')
  })

  test('says that it wrote every root of the bundle into root-cert.pem', async () => {
    const other = await aRootDirectory()
    const both = async () => {
      const one = await aRootDirectory()
      appendFileSync(join(one.path, 'root-cert.pem'), readFileSync(join(other.path, 'root-cert.pem')))
      return one
    }
    const { run, whole, short, out } = await stopped(both as typeof aRootDirectory)
    const ran = await run(...whole, '--yes-export', short)
    expect(ran.out).toContain('root-cert.pem has all 2 roots of the bundle, not this one alone')
    expect(readFileSync(join(out, 'root-cert.pem'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })

  test('says so in the ledger, and in the journal for status', async () => {
    const { state, out, run, whole, short } = await stopped()
    change(state, { wasInTheClear: false })
    await run(...whole, '--yes-export', short)
    expect(await ledgerOf(state)).toMatch(new RegExp(`key exported {2}${short} {2}to ${out}`))
    expect(setIn(state).authorities).toMatchObject([{ wasInTheClear: true }])
  })

  test('says so before the key is written, whatever fails', async () => {
    const { state, run, short, id } = await stopped()
    let written = 0
    await eachStep(
      'dies',
      async () => join(scratch(), 'out'),
      async (out) => {
        const ran = await run('--root', id, '--out', out, '--yes-export', short)
        if (ran.exit !== 0) throw new Error(ran.err)
      },
      async ({ disk, root }) => {
        disk.restart('killed')
        if (!existsSync(join(root, 'ca-key.pem'))) return
        written++
        expect(await ledgerOf(state)).toContain(root)
        expect(statSync(join(root, 'ca-key.pem')).mode & 0o777).toBe(0o400)
      },
    )
    expect(written).toBeGreaterThan(0)
    // And what can't be said is not done.
    const again = join(scratch(), 'out')
    const ledger = join(state, 'ledger')
    for (const name of readdirSync(ledger)) {
      const { rmSync } = await import('node:fs')
      rmSync(join(ledger, name))
      mkdirSync(join(ledger, name))
    }
    const ran = await run('--root', id, '--out', again, '--yes-export', short)
    expect(ran.exit).toBe(7)
    expect(existsSync(again)).toBe(false)
  })

  test('on a disk that fails in the middle is not done, says so, and the same command again does it', async () => {
    const { state, run, short, id } = await stopped()
    const steps = await eachStep(
      'fails once',
      async () => {
        const copy = join(scratch(), 'state')
        cpSync(state, copy, { recursive: true })
        return copy
      },
      async (copy) => {
        const ran = await run('--root', id, '--out', `${copy}-out`, '--yes-export', short, '--state-directory', copy)
        if (ran.exit !== 0) throw new Error(`${ran.exit} ${ran.err}`)
      },
      async ({ root, error, at }) => {
        if (!error) return
        expect(String(error), at).toMatch(/^Error: [27] alcazar: /)
        if (/^rename .*journal/.test(at))
          expect(String(error)).toContain(
            'nobody knows whether this was done, because the disk failed in the middle of it: run the same command again, which finishes it or says that it was',
          )
        expect(existsSync(`${root}-out`), at).toBe(false)
        const again = ['--root', id, '--out', `${root}-out`, '--yes-export', short, '--state-directory', root]
        expect((await run(...again)).exit, at).toBe(0)
      },
    )
    expect(steps.some((step) => /^rename .*journal/.test(step))).toBe(true)
  })

  test('asks for the short id on a terminal, and takes no other', async () => {
    const { state, out, args, whole, short } = await stopped()
    const before = picture(join(state, 'authority'))
    const asked: string[] = []
    const typing = (answer: string) =>
      alcazar(['export', ...args, ...whole], {
        types: (question) => {
          asked.push(question)
          return answer
        },
      })
    for (const wrong of ['', 'yes', '0000 0000', short.slice(0, 4)])
      expect(await typing(wrong)).toMatchObject({
        exit: 2,
        err: `alcazar: that is not ${short}, the short id of the root, in two groups; nothing was done\n`,
      })
    expect(existsSync(out)).toBe(false)
    expect(picture(join(state, 'authority'))).toEqual(before)
    expect(asked[0]).toContain(`The key of root ${short} will lie in the clear in ${out}`)
    expect((await typing(short.replace(' ', ''))).exit).toBe(0)
    expect(existsSync(join(out, 'ca-key.pem'))).toBe(true)
  })

  test('is not done without a terminal, nor with another id', async () => {
    const { out, run, whole } = await stopped()
    expect(await run(...whole)).toMatchObject({ exit: 2, err: expect.stringContaining('stdin is no terminal') })
    expect(await run(...whole, '--yes-export', '0000 0000')).toMatchObject({
      exit: 2,
      err: expect.stringContaining('nothing was done'),
    })
    expect(existsSync(out)).toBe(false)
  })

  test('is disabled for good, once the trust domain was typed; then no flag helps', async () => {
    const { state, out, run, args, whole, short } = await stopped()
    expect(await run('--disable-for-good')).toMatchObject({ exit: 2, err: expect.stringContaining('no terminal') })
    expect(await run('--disable-for-good', '--yes-disable', 'other')).toMatchObject({ exit: 2 })
    expect(setIn(state).exportDisabled).toBe(false)
    const typed = await alcazar(['export', ...args, '--disable-for-good'], { types: () => 'cluster.local' })
    expect(typed).toMatchObject({ exit: 0, out: 'Exporting keys from this state directory is disabled for good.\n' })
    expect(await ledgerOf(state)).toMatch(/export disabled {2}[0-9a-f ]{9} {2}for good/)
    expect(await run(...whole, '--yes-export', short)).toMatchObject({
      exit: 4,
      err: expect.stringContaining('exporting keys was disabled for good'),
    })
    expect(existsSync(out)).toBe(false)
    expect(await run('--disable-for-good', '--yes-disable', 'cluster.local')).toMatchObject({
      exit: 6,
      err: expect.stringContaining('already'),
    })
  })

  test('overwrites nothing', async () => {
    const { out, run, whole, short } = await stopped()
    mkdirSync(out)
    writeFileSync(join(out, 'ca-key.pem'), 'somebody’s only key')
    expect(await run(...whole, '--yes-export', short)).toMatchObject({
      exit: 6,
      err: expect.stringContaining('is not empty, and no key is ever written over another'),
    })
    expect(readFileSync(join(out, 'ca-key.pem'), 'utf8')).toBe('somebody’s only key')
  })

  test('overwrites no key that was made while it asked', async () => {
    const { state, out, args, whole, short } = await stopped()
    const ran = await alcazar(['export', ...args, ...whole], {
      types: () => {
        mkdirSync(out)
        writeFileSync(join(out, 'ca-key.pem'), 'somebody’s only key')
        return short
      },
    })
    expect(ran).toMatchObject({ exit: 6, err: expect.stringContaining('no key is ever written over another') })
    expect(readFileSync(join(out, 'ca-key.pem'), 'utf8')).toBe('somebody’s only key')
    expect(await ledgerOf(state)).not.toContain('key exported')
  })

  test('is not said to have been done where nothing can be written', async () => {
    const { state, id, run, short } = await stopped()
    const ran = await run('--root', id, '--out', '/proc/alcazar/out', '--yes-export', short)
    expect(ran).toMatchObject({ exit: 7, err: expect.stringContaining('the CA can’t be written to /proc/alcazar/out') })
    expect(await ledgerOf(state)).not.toContain('key exported')
    expect(setIn(state).authorities[0]).toMatchObject({ id })
  })

  test.each([
    [['--root', 'abc', '--out', 'x'], 2, 'write at least its first four hex digits'],
    [['--root', '00000000', '--out', 'x'], 5, 'no root has an id that begins with 00000000'],
    [['--out', 'x'], 2, 'say what and where to: --root ID --out DIR'],
    [['--root', '0000'], 2, 'say what and where to: --root ID --out DIR'],
    [['--disable-for-good', '--root', '0000'], 2, 'leave out --root and --out'],
  ])('refuses %j', async (args, exit, message) => {
    const { run } = await stopped()
    expect(await run(...args)).toMatchObject({ exit, err: expect.stringContaining(message) })
  })

  test('asks for no passphrase where no key leaves: it is in a token, or elsewhere', async () => {
    const { state, out, whole, short } = await stopped()
    for (const [key, why] of [
      ['pkcs11', 'is in a PKCS#11 token, which never gives it away; nothing was exported'],
      ['elsewhere', 'is not kept here, so there is nothing to export'],
    ] as const) {
      change(state, { key })
      expect(await alcazar(['export', '--state-directory', state, ...whole])).toEqual({
        exit: 6,
        out: '',
        err: `alcazar: the key of root ${short} ${why}\n`,
      })
    }
    expect(existsSync(out)).toBe(false)
  })

  test('asks for the passphrase of a sealed key', async () => {
    const { state, whole, short } = await stopped()
    expect(await alcazar(['export', '--state-directory', state, ...whole, '--yes-export', short])).toMatchObject({
      exit: 2,
      err: 'alcazar: --passphrase-file, --wrapping-key-file or --pkcs11-module is required: it seals the root’s key\n',
    })
  })

  test('refuses the wrong passphrase, a server that runs, and a directory without a root', async () => {
    const { state, out, run, whole, short } = await stopped()
    const wrong = ['--state-directory', state, '--wrapping-key-file', aWrappingKey(), ...whole, '--yes-export', short]
    expect((await alcazar(['export', ...wrong])).exit).toBe(6)
    const empty = ['--state-directory', scratch(), '--wrapping-key-file', aWrappingKey(), ...whole]
    expect(await alcazar(['export', ...empty])).toMatchObject({
      exit: 5,
      err: expect.stringContaining('there is no root in'),
    })
    using _server = lockDirectory(state)
    expect(await run(...whole, '--yes-export', short)).toMatchObject({ exit: 6 })
    expect(existsSync(out)).toBe(false)
  })
})
