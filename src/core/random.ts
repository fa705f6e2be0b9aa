import { randomFillSync } from 'node:crypto'

/** `length` unpredictable bytes, at most 256: serial numbers, request ids, jitter. Keys are never made from it. */
export type RandomBytes = (length: number) => Uint8Array

const POOL_BYTES = 4096

/** The system's generator, asked for a page at a time: each request needs a few bytes, and each question costs a system call. */
export function pooledRandom(): RandomBytes {
  const pool = Buffer.alloc(POOL_BYTES)
  let at = POOL_BYTES
  return (length) => {
    if (at + length > POOL_BYTES) {
      randomFillSync(pool)
      at = 0
    }
    const bytes = Uint8Array.from(pool.subarray(at, at + length))
    // What was handed out stays nowhere else.
    pool.fill(0, at, at + length)
    at += length
    return bytes
  }
}

export const systemRandom: RandomBytes = pooledRandom()
