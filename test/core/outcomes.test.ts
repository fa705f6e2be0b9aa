import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { OUTCOMES, type Outcome } from '../../src/core/outcomes.ts'

const rows = Object.entries<Outcome>(OUTCOMES)

describe('OUTCOMES', () => {
  test('has a row for every code that is declared', () => {
    const source = readFileSync(resolve(import.meta.dirname, '../../src/core/errors.ts'), 'utf8')
    const declared = [...source.matchAll(/^ {2}\| '([a-z_]+)'$/gm)].map((found) => found[1])
    expect(declared.length).toBeGreaterThan(5)
    expect(Object.keys(OUTCOMES).sort()).toEqual(declared.sort())
  })

  test('has no code that nobody uses', () => {
    const src = resolve(import.meta.dirname, '../../src')
    const text = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.startsWith('core/'))
      .map((path) => readFileSync(join(src, path), 'utf8'))
      .join('\n')
    expect(Object.keys(OUTCOMES).filter((code) => !text.includes(`'${code}'`))).toEqual([])
  })

  test.each(rows)('%s is a failure on every wire', (_, outcome) => {
    expect(outcome.grpc).toBeGreaterThanOrEqual(1)
    expect(outcome.grpc).toBeLessThanOrEqual(16)
    expect(outcome.http).toBeGreaterThanOrEqual(400)
    expect(outcome.http).toBeLessThan(600)
    expect([1, 2, 4, 5, 6, 7]).toContain(outcome.exit)
  })

  test.each(rows)('%s is never gRPC’s UNKNOWN, which says nothing', (_, outcome) => {
    expect(outcome.grpc).not.toBe(2)
  })

  test('what may be tried again later says so on each wire', () => {
    const later = rows.filter(([, { exit }]) => exit === 7)
    expect(later.map(([code]) => code)).toEqual(['rate_limited', 'not_ready', 'dependency_unavailable'])
    expect(later.every(([, { grpc, http }]) => [8, 14].includes(grpc) && [429, 503].includes(http))).toBe(true)
  })

  test.each([
    ['bad_csr', { grpc: 3, http: 400, exit: 2 }],
    ['unauthenticated', { grpc: 16, http: 401, exit: 4 }],
    ['permission_denied', { grpc: 7, http: 403, exit: 4 }],
    ['conflict', { grpc: 10, http: 409, exit: 6 }],
    ['wrong_state', { grpc: 9, http: 400, exit: 6 }],
    ['not_ready', { grpc: 14, http: 503, exit: 7 }],
    ['internal', { grpc: 13, http: 500, exit: 1 }],
  ] as const)('%s keeps the numbers that clients branch on', (code, numbers) => {
    expect(OUTCOMES[code]).toMatchObject(numbers)
  })
})
