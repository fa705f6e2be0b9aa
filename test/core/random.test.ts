import { expect, test } from 'vitest'
import { hex } from '../../src/core/bytes.ts'
import { pooledRandom } from '../../src/core/random.ts'

test('gives exactly as many bytes as asked for, from none to 256, wherever in its page it stands', () => {
  const random = pooledRandom()
  for (let round = 0; round < 3; round++)
    for (let length = 0; length <= 256; length++) expect(random(length)).toHaveLength(length)
})

test('refuses to give more than a page rather than give fewer bytes in silence', () => {
  const random = pooledRandom()
  expect(() => random(4097)).toThrow('out of range')
})

test('never repeats 16 bytes, however often its page is filled anew', () => {
  const random = pooledRandom()
  const seen = new Set<string>()
  for (let n = 0; n < 20_000; n++) seen.add(hex(random(16)))
  expect(seen.size).toBe(20_000)
})

test('never gives out what it has wiped, also where a request does not fit into the rest of the page', () => {
  const random = pooledRandom()
  const zeros = '00'.repeat(16)
  for (let n = 0; n < 200; n++) expect(hex(random(250))).not.toContain(zeros)
})

test('gives bytes of their own: nobody can see the page through them', () => {
  const random = pooledRandom()
  expect(random(16).buffer.byteLength).toBe(16)
})

test('two pools have nothing in common', () => {
  expect(hex(pooledRandom()(32))).not.toBe(hex(pooledRandom()(32)))
})
