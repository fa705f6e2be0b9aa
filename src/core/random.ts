import { randomBytes as systemBytes } from 'node:crypto'

/** `length` unpredictable bytes: serial numbers, request ids, jitter. Keys are never made from it. */
export type RandomBytes = (length: number) => Uint8Array

export const systemRandom: RandomBytes = (length) => systemBytes(length)
