import { describe, expect, test } from 'vitest'
import { asCaError, CaError, causesOf } from '../../src/core/errors.ts'

describe('asCaError', () => {
  test('leaves a CaError as it is', () => {
    const error = new CaError('not_found', 'no such root')
    expect(asCaError(error)).toBe(error)
  })

  test.each([[new TypeError('x of undefined')], ['a text'], [undefined], [null], [42], [{ code: 'not_found' }]])(
    'makes of %s an internal error whose text tells the caller nothing',
    (thrown) => {
      expect(asCaError(thrown)).toMatchObject({
        name: 'CaError',
        code: 'internal',
        message: 'internal error; the server log has the details',
        cause: thrown,
      })
    },
  )
})

describe('causesOf', () => {
  test('reads a chain of causes, outermost first', () => {
    const error = new CaError('internal', 'a', { cause: new Error('b', { cause: 'c' }) })
    expect(causesOf(error)).toBe('a: b: c')
  })

  test('says nothing of nothing', () => {
    expect(causesOf(undefined)).toBe('')
    expect(causesOf(null)).toBe('')
  })

  test('ends in a chain that leads back to itself', () => {
    const error = new Error('again')
    error.cause = error
    expect(causesOf(error).split(': ')).toHaveLength(8)
  })

  test('names what an AggregateError gathers: of a refused connection Node says nothing else', () => {
    const refused = new AggregateError([new Error('connect ECONNREFUSED ::1:1'), new Error('ECONNREFUSED 127.0.0.1')])
    expect(causesOf(new CaError('dependency_unavailable', 'no answer', { cause: refused }))).toContain('127.0.0.1')
  })

  test('says what an AggregateError says of itself, too, and passes over what it gathers that is no error', () => {
    expect(causesOf(new AggregateError([new Error('a'), 'b', new Error('c')], 'all failed'))).toBe('all failed, a, c')
  })

  test('survives a thrown thing that has no text', () => {
    expect(() => causesOf(Object.create(null))).not.toThrow()
  })
})
