import { expect, test } from 'vitest'
import { Latest } from '../../src/core/latest.ts'

test('has nothing before the first value', () => {
  expect(new Latest<number>().get()).toBeUndefined()
})

test('gives what was set last', () => {
  const latest = new Latest<number>()
  latest.set(1)
  latest.set(2)
  expect(latest.get()).toBe(2)
})

test('tells a follower of every change, in order', () => {
  const latest = new Latest<number>()
  const seen: number[] = []
  latest.follow((value) => seen.push(value))
  latest.set(1)
  latest.set(2)
  expect(seen).toEqual([1, 2])
})

test('tells who follows late what holds now', () => {
  const latest = new Latest<number>()
  latest.set(1)
  latest.set(2)
  const seen: number[] = []
  latest.follow((value) => seen.push(value))
  expect(seen).toEqual([2])
})

test('a follower that reads it back sees the new value', () => {
  const latest = new Latest<number>()
  const seen: (number | undefined)[] = []
  latest.follow(() => seen.push(latest.get()))
  latest.set(7)
  expect(seen).toEqual([7])
})
