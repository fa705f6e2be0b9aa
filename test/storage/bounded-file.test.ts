import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readBounded, readBoundedInput, readBoundedStream } from '../../src/storage/bounded-file.ts'
import { scratch } from '../_support/scratch.ts'

const BOUNDS = { what: 'the file', atMost: 100_000 }
const TOO_LARGE = { code: 'invalid_argument', message: 'the file is larger than 100000 bytes' }

function aFile(content: string): string {
  const path = join(scratch(), 'file')
  writeFileSync(path, content)
  return path
}

function aPipe(): string {
  const path = join(scratch(), 'pipe')
  execFileSync('mkfifo', [path])
  return path
}

/** A pipe that somebody has open for writing, who does what the script says with it as file 3. */
async function aWrittenPipe(script: string) {
  const path = aPipe()
  const writer = spawn('sh', ['-c', `exec 3<>"$0"; echo; ${script} >&3 3>&-`, path])
  onTestFinished(() => void writer.kill())
  await new Promise((opened) => writer.stdout.once('data', opened))
  return { path, go: () => void writer.stdin.end('\n') }
}

describe.each([
  ['for a server', readBounded],
  ['for a command', readBoundedInput],
])('a file is read whole %s', (_what, read) => {
  test.each([0, 1, 99_999, 100_000])('with %i bytes', async (length) => {
    expect((await read(aFile('x'.repeat(length)), BOUNDS)).toString()).toBe('x'.repeat(length))
  })

  test('behind links', async () => {
    const link = join(scratch(), 'link')
    symlinkSync(aFile('content'), link)
    expect((await read(link, BOUNDS)).toString()).toBe('content')
  })

  test('also where the system does not say how long it is', async () => {
    expect((await read('/proc/self/status', BOUNDS)).toString()).toMatch(/^Name:.*\nvoluntary/ms)
  })

  test('and no further than its bound', async () => {
    await expect(read(aFile('x'.repeat(100_001)), BOUNDS)).rejects.toMatchObject(TOO_LARGE)
  })

  test('and is told by the system’s error where there is none', async () => {
    await expect(read(join(scratch(), 'nothing'), BOUNDS)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

test('a server waits for no pipe, and reads no device without end', async () => {
  const directory = join(scratch(), 'folder')
  mkdirSync(directory)
  for (const path of [aPipe(), '/dev/zero', directory])
    await expect(readBounded(path, BOUNDS)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'the file is no plain file',
    })
})

describe('a command', () => {
  test('waits for who writes to a pipe', async () => {
    const { path, go } = await aWrittenPipe('read go; echo content')
    // It opens the pipe at once, before anything is written.
    const content = readBoundedInput(path, BOUNDS)
    go()
    expect((await content).toString()).toBe('content\n')
  })

  test('does not wait for a pipe that nobody writes to: it is empty', async () => {
    expect(await readBoundedInput(aPipe(), BOUNDS)).toHaveLength(0)
  })

  test('reads a pipe no further than its bound', async () => {
    const { path } = await aWrittenPipe('exec cat /dev/zero')
    await expect(readBoundedInput(path, BOUNDS)).rejects.toMatchObject(TOO_LARGE)
  })

  test('reads neither a folder nor a device', async () => {
    for (const path of [scratch(), '/dev/zero'])
      await expect(readBoundedInput(path, BOUNDS)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: 'the file is neither a plain file nor a pipe',
      })
  })
})

test('a stream is read to its end, and no further than its bound', async () => {
  const stream = (...parts: number[]) => Readable.from(parts.map((length) => Buffer.alloc(length)))
  expect(await readBoundedStream(stream(50_000, 50_000), BOUNDS)).toHaveLength(100_000)
  const endless = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1000)
    })(),
  )
  await expect(readBoundedStream(endless, BOUNDS)).rejects.toMatchObject(TOO_LARGE)
})
