import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { PluggedCa } from '../../src/authority/plugged-ca.ts'
import { SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { PluggedCaDirectory } from '../../src/storage/plugged-ca-directory.ts'
import { KubeletVolume } from '../_support/kubelet-volume.ts'
import { anIntermediate, aRoot, type TestCa, writeCacerts } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { aMoment, until } from '../_support/until.ts'

const FILES = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem'] as const

let root: TestCa
let first: TestCa
let second: TestCa

beforeAll(async () => {
  root = await aRoot()
  first = await anIntermediate(root)
  second = await anIntermediate(root)
})

async function holding(ca: TestCa, directory = scratch()): Promise<string> {
  await writeCacerts(directory, ca, [ca], [root])
  return directory
}

const serialOf = (ca: Pick<TestCa, 'certificate'>) => ca.certificate.tbs.serial
const NEVER = new AbortController().signal
const read = (path: string) => new PluggedCaDirectory(path, new SteeredClock()).read(NEVER)

async function refusal(attempt: Promise<unknown>): Promise<CaError> {
  const error = await attempt.then(
    () => expect.fail('it was not refused'),
    (error: unknown) => error,
  )
  if (!(error instanceof CaError)) throw error
  return error
}

describe('reading', () => {
  test('takes a directory in istio’s layout', async () => {
    const ca = await read(await holding(first))
    expect(serialOf(ca)).toBe(serialOf(first))
    expect(ca.roots.map(({ tbs }) => tbs.serial)).toEqual([serialOf(root)])
  })

  test('does without a chain where the CA is a root', async () => {
    const directory = scratch()
    await writeCacerts(directory, root, [], [root])
    rmSync(join(directory, 'cert-chain.pem'))
    expect(serialOf(await read(directory))).toBe(serialOf(root))
  })

  test('follows the links by which the kubelet mounts a secret', async () => {
    const volume = new KubeletVolume(scratch())
    volume.swap(await holding(first))
    expect(serialOf(await read(volume.path))).toBe(serialOf(first))
  })

  test.each(['ca-cert.pem', 'ca-key.pem', 'root-cert.pem'] as const)('refuses a set without its %s', async (name) => {
    const directory = await holding(first)
    rmSync(join(directory, name))
    expect(await refusal(read(directory))).toMatchObject({
      code: 'invalid_argument',
      message: `${join(directory, name)} is missing; a plugged-in CA is ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem`,
    })
  })

  test('refuses an intermediate without its chain', async () => {
    const directory = await holding(first)
    rmSync(join(directory, 'cert-chain.pem'))
    expect(await refusal(read(directory))).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(new RegExp(`^${directory}: cert-chain.pem is missing or empty`)),
    })
  })

  test.each(FILES)('refuses a set whose %s is a mistake, by the file’s name', async (name) => {
    const directory = await holding(first)
    writeFileSync(join(directory, name), 'not what it should be\n')
    const { code, message } = await refusal(read(directory))
    expect(code).toBe('invalid_argument')
    expect(message.includes(name), message).toBe(true)
    expect(message.includes(directory), message).toBe(true)
  })

  test('refuses a certificate cut off, by the file’s name', async () => {
    const directory = await holding(first)
    const path = join(directory, 'ca-cert.pem')
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, 200))
    expect((await refusal(read(directory))).message).toContain(`${path} is unusable: `)
  })

  test('refuses a key where a certificate should be, without quoting it', async () => {
    const directory = await holding(first)
    copyFileSync(join(directory, 'ca-key.pem'), join(directory, 'ca-cert.pem'))
    const { message } = await refusal(read(directory))
    expect(message).toBe(
      `${join(directory, 'ca-cert.pem')} is unusable: it holds a PEM block “PRIVATE KEY”; expected “CERTIFICATE”`,
    )
  })

  test('refuses the key of another CA', async () => {
    const directory = await holding(first)
    copyFileSync(join(await holding(second), 'ca-key.pem'), join(directory, 'ca-key.pem'))
    expect(await refusal(read(directory))).toMatchObject({
      code: 'invalid_argument',
      message: `${directory}: ca-key.pem is not the key of the certificate in ca-cert.pem`,
    })
  })

  test('refuses a file too large to be one, without reading it', async () => {
    const directory = await holding(first)
    writeFileSync(join(directory, 'root-cert.pem'), Buffer.alloc(1024 * 1024 + 1))
    expect((await refusal(read(directory))).message).toBe(
      `${join(directory, 'root-cert.pem')} is larger than 1048576 bytes`,
    )
  })

  test.each([
    ['a folder', (path: string) => mkdirSync(path)],
    ['a pipe, and waits for nobody to write to it', (path: string) => execFileSync('mkfifo', [path])],
    ['a device', (path: string) => symlinkSync('/dev/zero', path)],
  ])('refuses %s in a file’s place', async (_what, make) => {
    const directory = await holding(first)
    rmSync(join(directory, 'root-cert.pem'))
    make(join(directory, 'root-cert.pem'))
    expect((await refusal(read(directory))).message).toBe(`${join(directory, 'root-cert.pem')} is no plain file`)
  })

  test('waits while the files change, and takes them when they have stopped', async () => {
    const directory = await holding(first)
    const next = await holding(second)
    const reading = read(directory)
    for (const name of FILES) {
      await aMoment()
      copyFileSync(join(next, name), join(directory, name))
    }
    const taken = await reading.catch((error: unknown) => error)
    // It may have been quick enough to see the first set as a whole, but never a mixture.
    expect([serialOf(first), serialOf(second)]).toContain(serialOf(taken as PluggedCa))
  })

  test('gives up on files that never stop changing', async () => {
    const directory = await holding(first)
    const path = join(directory, 'cert-chain.pem')
    const [one, other] = [readFileSync(path, 'utf8'), `${readFileSync(path, 'utf8')}\n`]
    let turn = 0
    const clock = new SteeredClock()
    // Between any two looks, however close, there is a change.
    clock.sleep = async () => writeFileSync(path, ++turn % 2 ? other : one)
    expect(await refusal(new PluggedCaDirectory(directory, clock).read(NEVER))).toMatchObject({
      code: 'invalid_argument',
      message: `the files in ${directory} do not stop changing`,
    })
  })
})

/** Follows a directory from what `read` found there, if it is told to read. */
async function following(path: string, { reading = true, take }: { reading?: boolean; take?: () => void } = {}) {
  const clock = new SteeredClock()
  const sleep = clock.sleep.bind(clock)
  let looks = 0
  clock.sleep = (ms, signal) => {
    if (ms === SECOND) looks++
    return sleep(ms, signal)
  }
  const stop = new AbortController()
  const directory = new PluggedCaDirectory(path, clock)
  const taken: string[] = []
  const refused: CaError[] = []
  if (reading) await directory.read(stop.signal)
  const ended = directory.follow(
    stop.signal,
    async (ca) => {
      take?.()
      taken.push(serialOf(ca))
    },
    (error) => void refused.push(error),
  )
  onTestFinished(async () => {
    stop.abort()
    await ended
  })
  /** The loop looks once a second: lets so many seconds pass, and each look end, after which it sleeps again. */
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      const before = looks
      await clock.leap(SECOND)
      await until('it has looked', () => looks > before)
    }
  }
  return { clock, taken, refused, pass, stop, ended }
}

describe('following', () => {
  test('says nothing of files that do not change', async () => {
    const { taken, refused, pass } = await following(await holding(first))
    await pass(12)
    expect([taken, refused]).toEqual([[], []])
  })

  test('sees the kubelet’s swap of ..data at once, not at the next comparison', async () => {
    const volume = new KubeletVolume(scratch())
    volume.swap(await holding(first))
    const { taken, refused, pass } = await following(volume.path)
    await pass(1)
    volume.swap(await holding(second))
    await aMoment()
    await pass(3)
    expect([taken, refused]).toEqual([[serialOf(second)], []])
  })

  test('sees one swap after the other', async () => {
    const volume = new KubeletVolume(scratch())
    volume.swap(await holding(first))
    const { taken, pass } = await following(volume.path)
    for (const ca of [second, first, second]) {
      volume.swap(await holding(ca))
      await aMoment()
      await pass(2)
    }
    expect(taken).toEqual([second, first, second].map(serialOf))
  })

  test('finds a change that no event told of, by comparing the content within ten seconds', async () => {
    // What lies behind links changes without any event on the directory itself.
    const behind = await holding(first)
    const directory = scratch()
    for (const name of FILES) symlinkSync(join(behind, name), join(directory, name))
    const { taken, pass } = await following(directory)
    await pass(2)
    await holding(second, behind)
    await pass(3)
    expect(taken, 'there was no event').toEqual([])
    await pass(8)
    expect(taken).toEqual([serialOf(second)])
  })

  test('never takes half of what is written one by one', async () => {
    const directory = await holding(first)
    const next = await holding(second)
    const { taken, refused, pass } = await following(directory)
    for (const name of FILES) {
      copyFileSync(join(next, name), join(directory, name))
      await aMoment()
      await pass(1)
    }
    await pass(2)
    expect(taken).toEqual([serialOf(second)])
    // Who is slower than a second between the files is told which does not fit, and goes on with what was.
    for (const { message } of refused)
      expect(message).toMatch(/ca-key\.pem is not the key of the certificate|cert-chain\.pem does not lead to a root/)
  })

  test('goes on with the CA in use where the new set is incomplete, and names the file once', async () => {
    const directory = await holding(first)
    const { taken, refused, pass } = await following(directory)
    rmSync(join(directory, 'ca-key.pem'))
    await aMoment()
    await pass(25)
    expect(taken).toEqual([])
    expect(refused.map(({ code, message }) => [code, message])).toEqual([
      [
        'invalid_argument',
        `${join(directory, 'ca-key.pem')} is missing; a plugged-in CA is ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem`,
      ],
    ])
  })

  test('takes the set once it is complete', async () => {
    const directory = await holding(first)
    const { taken, refused, pass } = await following(directory)
    rmSync(join(directory, 'ca-key.pem'))
    await aMoment()
    await pass(2)
    expect(refused).toHaveLength(1)
    await holding(second, directory)
    await aMoment()
    await pass(2)
    expect(taken).toEqual([serialOf(second)])
  })

  test('is not kept from what appears in an empty directory later', async () => {
    const directory = scratch()
    const { taken, pass } = await following(directory, { reading: false })
    await pass(1)
    await holding(first, directory)
    await aMoment()
    await pass(3)
    expect(taken).toEqual([serialOf(first)])
  })

  test('is not kept from a directory that is not there yet', async () => {
    const directory = join(scratch(), 'cacerts')
    const { taken, pass } = await following(directory, { reading: false })
    await pass(1)
    mkdirSync(directory)
    await holding(first, directory)
    await pass(12)
    expect(taken).toEqual([serialOf(first)])
  })

  test('tries again what failed for another reason than the files', async () => {
    const directory = await holding(first)
    let fails = true
    const { taken, refused, pass } = await following(directory, {
      take: () => {
        if (fails) throw new CaError('not_ready', 'this process changes no authority any more; restart it')
      },
    })
    await holding(second, directory)
    await aMoment()
    await pass(2)
    expect(refused.map(({ code }) => code)).toEqual(['not_ready'])
    fails = false
    await pass(12)
    expect(taken).toEqual([serialOf(second)])
  })

  test('takes a set that was refused as not yet valid when its time has come', async () => {
    const ahead = new SteeredClock({ aheadMs: 130 * SECOND })
    const early = await anIntermediate(root, { clock: ahead })
    const directory = await holding(first)
    const { clock, taken, refused, pass } = await following(directory)
    await holding(early, directory)
    await aMoment()
    await pass(2)
    expect(refused).toHaveLength(1)
    await clock.leap(130 * SECOND)
    await pass(12)
    expect(taken).toEqual([serialOf(early)])
    expect(refused, 'told once').toHaveLength(1)
  })

  test('ends at the signal', async () => {
    const directory = await holding(first)
    const { stop, ended, clock, taken } = await following(directory)
    stop.abort()
    await ended
    await holding(second, directory)
    await clock.leap(60 * SECOND)
    expect(taken).toEqual([])
  })
})
