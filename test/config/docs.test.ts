import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { configDocs } from '../../scripts/config-docs.ts'

test('docs/config.md is what the schema says', () => {
  const path = resolve(import.meta.dirname, '../../docs/config.md')
  if (process.env.UPDATE_GOLDEN) writeFileSync(path, configDocs())
  expect(readFileSync(path, 'utf8')).toBe(configDocs())
})
