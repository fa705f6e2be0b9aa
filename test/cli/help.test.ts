import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { verbs } from '../../src/cli/verbs.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { FakeClock } from '../_support/fake-clock.ts'

const root = resolve(import.meta.dirname, '../..')

test('the help of every verb is what the golden file holds', async () => {
  const texts = [(await alcazar(['--help'])).out]
  for (const { name } of await verbs())
    texts.push(`$ alcazar ${name} --help\n${(await alcazar([...name.split(' '), '--help'])).out}`)
  const path = resolve(root, 'test/golden/help.txt')
  if (process.env.UPDATE_GOLDEN) writeFileSync(path, texts.join('\n'))
  expect(texts.join('\n')).toBe(readFileSync(path, 'utf8'))
})

test('a verb is loaded by its first word, with those that share it and no others', async () => {
  const all = await verbs()
  const firsts = [...new Set(all.map(({ name }) => name.split(' ')[0] as string))]
  for (const first of firsts)
    expect((await verbs(first)).map(({ name }) => name)).toEqual(
      all.map(({ name }) => name).filter((name) => `${name} `.startsWith(`${first} `)),
    )
})

test('README’s table of commands is the help’s', async () => {
  const rows = [
    ...readFileSync(resolve(root, 'README.md'), 'utf8').matchAll(/^\| `alcazar ([a-z -]+)` \| (.+) \|$/gm),
  ].map(([, name, summary]) => ({ name, summary }))
  expect(rows).toEqual((await verbs()).map(({ name, summary }) => ({ name, summary })))
})

test('a verb that isn’t there is refused with a suggestion and exit code 2', async () => {
  const { exit, err } = await alcazar(['isue'])
  expect(exit).toBe(2)
  expect(err).toMatch(/unknown command 'isue'[\s\S]*issue/)
})

test('a flag that isn’t there is refused with exit code 2', async () => {
  const { exit, err } = await alcazar(['serve', '--lisen', 'x'])
  expect(exit).toBe(2)
  expect(err).toMatch(/unknown option '--lisen'[\s\S]*--listen/)
})

test.each([
  [
    ['keys', 'reseal', '--state-directory', 's', '--keys-passphrase-file', 'x'],
    /^alcazar: unknown option '--keys-passphrase-file'\n\(Did you mean --passphrase-file\?\)\n$/,
  ],
  [
    ['export', '--state-directory', 's', '--keys-out', 'x'],
    /^alcazar: unknown option '--keys-out'\n\(Did you mean --out\?\)\n$/,
  ],
  [['export', '--state-directory', 's', '--keys-nothing', 'x'], /^alcazar: unknown option '--keys-nothing'\n$/],
])('a setting of serve where the flag has another name is refused with that name: %s', async (words, says) => {
  const { exit, err } = await alcazar(words)
  expect(exit).toBe(2)
  expect(err).toMatch(says)
})

test('an argument too many is refused', async () => {
  expect((await alcazar(['version', 'now'])).exit).toBe(2)
})

test('version prints what it runs on, for people and programs', async () => {
  expect((await alcazar(['version'])).out).toMatch(/^alcazar 0\.0\.0-test \(Node\.js \d+/)
  expect(JSON.parse((await alcazar(['version', '--output', 'json'])).out)).toMatchObject({
    alcazar: '0.0.0-test',
    node: process.versions.node,
  })
})

test('help of a verb is its --help, in a group too', async () => {
  for (const words of [['issue'], ['ledger', 'list'], ['ledger']])
    expect(await alcazar(['help', ...words])).toEqual(await alcazar([...words, '--help']))
})

test.each([
  [['isue'], /^alcazar: unknown command 'isue'\n\(Did you mean issue\?\)\n$/],
  [['ledger', 'lst'], /^alcazar: unknown command 'lst'\n\(Did you mean list\?\)\n$/],
])('help of what isn’t there is refused like itself: %s', async (words, says) => {
  const { exit, out, err } = await alcazar(['help', ...words])
  expect({ exit, out }).toEqual({ exit: 2, out: '' })
  expect(err).toMatch(says)
})

test('an error nobody foresaw is told here: there is no log of a server that has more', async () => {
  const clock = {
    ...new FakeClock(),
    now: () => {
      throw new Error('the clock stopped')
    },
  } as unknown as FakeClock
  const { exit, err } = await alcazar(['ledger', 'list', '--since', '1h'], { clock })
  expect(exit).toBe(1)
  expect(err).toMatch(/^alcazar: internal error\n {2}the clock stopped\n/)
})
