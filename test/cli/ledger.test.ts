import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LedgerDirectory } from '../../src/storage/ledger-directory.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { anAuthorityRecord, anIssued, aRefused } from '../_support/ledger-records.ts'
import { scratch } from '../_support/scratch.ts'

const STEERING = '\u009b31m\u202e\u001b[2J\u2028\nissued   forged'
const SHOWN = '\\u009b31m\\u202e\\u001b[2J\\u2028\\u000aissued   forged'

/** A state directory whose ledger has a refusal with words of the refused. */
async function aState(): Promise<string> {
  const state = scratch()
  await using ledger = new LedgerDirectory(join(state, 'ledger'), new FakeClock())
  await ledger.record({ ...aRefused('abcd0001'), detail: `the key ${STEERING} is unknown` })
  return state
}

test('list shows words of the refused in their line, and none of them steers the terminal', async () => {
  const { out, err } = await alcazar(['ledger', 'list', '--state-directory', await aState()])
  expect(err).toBe('')
  expect(out).toBe(
    `2030-01-01 00:00:00Z  refused  127.0.0.1:40000  expired: the key ${SHOWN} is unknown  (request abcd0001)\n`,
  )
})

test('so does show', async () => {
  const { out } = await alcazar(['ledger', 'show', 'abcd', '--state-directory', await aState()])
  expect(out).toContain(`\n  detail          the key ${SHOWN} is unknown\n`)
})

test('as JSON they are what they were, and steer no terminal either', async () => {
  const { out } = await alcazar(['ledger', 'list', '-o', 'json', '--state-directory', await aState()])
  expect(JSON.parse(out)).toMatchObject([{ detail: `the key ${STEERING} is unknown` }])
  expect(out).not.toMatch(/[^\P{Cc}\n]|\p{Bidi_C}|\u2028/u)
})

test('list tells of a damaged line, and of the records around it', async () => {
  const state = scratch()
  mkdirSync(join(state, 'ledger'))
  writeFileSync(
    join(state, 'ledger/2030-01-01.jsonl'),
    `${JSON.stringify(aRefused('1'))}\ndamage\n${JSON.stringify(aRefused('2'))}\n{"kind":"is`,
  )
  const { out, err } = await alcazar(['ledger', 'list', '--state-directory', state])
  expect(out.match(/request \d/g)).toEqual(['request 1', 'request 2'])
  expect(err).toBe(
    'alcazar: 2030-01-01.jsonl line 2 is no record: damaged\nalcazar: 2030-01-01.jsonl line 4 is no record: torn by a crash before it counted\n',
  )
})

test('times are in UTC and say so', async () => {
  const state = scratch()
  await using ledger = new LedgerDirectory(join(state, 'ledger'), new FakeClock())
  await ledger.record(anIssued('abcd0001'))
  expect((await alcazar(['ledger', 'list', '--state-directory', state])).out).toMatch(
    /^2030-01-01 00:00:00Z {2}issued .* until 2030-01-02 00:00 UTC\n$/,
  )
})

test('show finds an authority by what list prints of it', async () => {
  const state = scratch()
  await using ledger = new LedgerDirectory(join(state, 'ledger'), new FakeClock())
  await ledger.record(anAuthorityRecord('the first'))
  const listed = (await alcazar(['ledger', 'list', '--state-directory', state])).out
  const id = /root made {2}(\S+)/.exec(listed)?.[1] as string
  expect((await alcazar(['ledger', 'show', id, '--state-directory', state])).out).toMatch(
    /^authority at [\s\S]*what +root made\n/,
  )
})

test('only what was issued and only what was refused are not asked for together', async () => {
  const { exit, err } = await alcazar(['ledger', 'list', '--issued', '--refused', '--state-directory', await aState()])
  expect(exit).toBe(2)
  expect(err).toMatch(/'--refused' cannot be used with option '--issued'/)
})
