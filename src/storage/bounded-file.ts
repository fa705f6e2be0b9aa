import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { CaError } from '../core/errors.ts'

export type Bounds = {
  /** What the file is called in messages. */
  readonly what: string
  readonly atMost: number
}

/**
 * The bytes of a plain file (behind links, too). Nothing else is waited for or read without end: a pipe has nobody at its other end, a device no end.
 * @param judge refuses a file by what the system says of it
 * @throws CaError `invalid_argument`: no plain file, or larger · the system’s error: it can’t be read
 */
export async function readBounded(
  path: string,
  bounds: Bounds,
  judge: (found: Stats) => void = () => undefined,
): Promise<Buffer> {
  await using file = await open(path, AT_ONCE)
  const found = await file.stat()
  if (!found.isFile()) throw new CaError('invalid_argument', `${bounds.what} is no plain file`)
  judge(found)
  return await wholeOf(file, found.size, bounds)
}

/**
 * The same for a command, where a pipe is taken as well: a shell’s `<(…)` is one. One that nobody writes to is empty.
 * @throws CaError `invalid_argument`: neither, or larger · the system’s error: it can’t be read
 */
export async function readBoundedInput(path: string, bounds: Bounds): Promise<Buffer> {
  const descriptor = openSync(path, AT_ONCE)
  const found = fstatSync(descriptor)
  if (found.isFIFO()) return await readBoundedStream(pipeOf(descriptor), bounds)
  closeSync(descriptor)
  if (!found.isFile()) throw new CaError('invalid_argument', `${bounds.what} is neither a plain file nor a pipe`)
  return await readBounded(path, bounds)
}

/** @throws CaError `invalid_argument`: it gives more, and is left there */
export async function readBoundedStream(stream: Readable, bounds: Bounds): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    if (length > bounds.atMost) throw tooLarge(bounds)
  }
  return Buffer.concat(chunks)
}

const AT_ONCE = constants.O_RDONLY | constants.O_NONBLOCK

/** A pipe that nobody has open for writing is at its end at once, which only a read finds out. It closes `descriptor`. */
function pipeOf(descriptor: number): Readable {
  const first = Buffer.alloc(1)
  let length: number | undefined
  try {
    length = readSync(descriptor, first)
  } catch {
    // EAGAIN: somebody may write yet. Whatever else it is, the stream tells.
  }
  if (length === 0) {
    closeSync(descriptor)
    return Readable.from([])
  }
  const rest = new Socket({ fd: descriptor, readable: true, writable: false })
  if (length !== undefined) rest.unshift(first)
  return rest
}

/** It may hold a secret, so no copy of it is left behind. */
async function wholeOf(file: FileHandle, size: number, bounds: Bounds): Promise<Buffer> {
  const { atMost } = bounds
  let buffer = Buffer.alloc(Math.min(size, atMost) + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length)
    if (bytesRead === 0) return buffer.subarray(0, length)
    length += bytesRead
    if (length < buffer.length) continue
    const filled = buffer
    if (length <= atMost) buffer = Buffer.concat([filled], Math.min(2 * length, atMost) + 1)
    filled.fill(0)
    if (length > atMost) throw tooLarge(bounds)
  }
}

const tooLarge = ({ what, atMost }: Bounds) => new CaError('invalid_argument', `${what} is larger than ${atMost} bytes`)
