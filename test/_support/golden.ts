import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect } from 'vitest'

/** Compares with test/golden/<name>. With UPDATE_GOLDEN=1 it writes the file instead: look at the difference before it is committed. */
export function expectGolden(name: string, text: string): void {
  const path = resolve(import.meta.dirname, '../golden', name)
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, text)
  if (!existsSync(path)) expect.fail(`no golden file ${name}; UPDATE_GOLDEN=1 writes it`)
  expect(text).toBe(readFileSync(path, 'utf8'))
}
