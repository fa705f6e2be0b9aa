import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SETTINGS } from '../../src/config/schema.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import { KeyDirectory } from '../../src/storage/key-directory.ts'
import { resealKeys } from '../../src/storage/reseal-keys.ts'
import { AlcazarProcess } from '../_support/a-process.ts'
import { aDevServer, aPluggedServer, type Settings, TestCluster, TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aCsr } from '../_support/csr.ts'
import { scratch } from '../_support/scratch.ts'
import { aWrappingKey, secretFile, secretsOf, spellings, withKey, withPassphrase } from '../_support/secrets.ts'

const PASSPHRASE = 'correct horse battery staple'
let cluster: TestCluster
let state: string
let secrets: string

beforeEach(async () => {
  cluster = await TestCluster.start()
  state = scratch()
  secrets = scratch()
})
afterEach(() => cluster[Symbol.asyncDispose]())

const passphraseFile = (content = PASSPHRASE, name = 'passphrase') => secretFile(join(secrets, name), content)
const start = (keys: Settings) => TestServer.start({ ...keys, ...cluster.settings() }, { state })
/** Where it is not about passphrases: no time is spent on scrypt. */
const startWithKey = () => start({ 'keys.wrappingKeyFile': secretFile(join(secrets, 'key'), aWrappingKey('k')) })
/** A new seal costs what production pays; one that is there, what it says itself. */
const startWith = (content = PASSPHRASE) => start({ 'keys.passphraseFile': passphraseFile(content) })
const begun = async () => {
  await using server = await startWithKey()
  return server.roots
}
/** Sealed under the passphrase, at the least cost that a seal may name. */
const begunCheaply = async () => {
  const roots = await begun()
  await resealKeys(state, withKey('k'), withPassphrase(PASSPHRASE))
  return roots
}

type StatusAnswer = {
  mode: string
  ready: boolean
  authorities: { id: string; role: string; state: string; key: string }[]
}
const statusOf = async (server: TestServer) =>
  (await server.admin('GET', '/v1/server')).json<{ status: StatusAnswer }>().status
const issues = async (server: TestServer) => {
  const headers = { authorization: `Bearer ${cluster.tokenOf(cluster.pod())}` }
  expect((await server.api('POST', '/v1/certificates', { body: { csr: (await aCsr()).pem }, headers })).status).toBe(
    200,
  )
}
/** What is on the disk, by path. */
const contents = () =>
  Object.fromEntries(
    readdirSync(join(state, 'authority')).map((name) => [name, readFileSync(join(state, 'authority', name), 'latin1')]),
  )
const keyFile = () => Object.keys(contents()).find((name) => name.endsWith('.key.sealed')) as string

describe('a server with a root of its own', () => {
  test.each<[string, () => Settings]>([
    ['a passphrase', () => ({ 'keys.passphraseFile': passphraseFile() })],
    ['a wrapping key', () => ({ 'keys.wrappingKeyFile': secretFile(join(secrets, 'key'), aWrappingKey('k')) })],
  ])('begins it sealed under %s, issues, and goes on with it at the next start', async (_, settings) => {
    const roots: string[] = []
    for (let round = 0; round < 2; round++) {
      await using server = await start(settings())
      await issues(server)
      roots.push(server.roots)
      const status = await statusOf(server)
      expect(status).toMatchObject({ mode: 'own', ready: true })
      expect(status.authorities.filter(({ state }) => state === 'active')).toMatchObject([
        { role: 'root', key: 'sealed' },
        { role: 'issuing', key: 'memory' },
      ])
    }
    expect(roots[0]).toMatch(/BEGIN CERTIFICATE/)
    expect(roots[1]).toBe(roots[0])
    expect(readdirSync(join(state, 'authority')).toSorted()).toEqual(['journal.json', keyFile()])
  })

  test('keeps neither the key nor the passphrase in the clear: not on the disk, in its log, its ledger or its answers', async () => {
    const told: string[] = []
    {
      await using server = await startWith()
      await issues(server)
      told.push(...server.log, JSON.stringify(await statusOf(server)), (await server.health('/metrics')).text)
    }
    await expect(startWith('a wrong passphrase')).rejects.toSatisfy((error: Error) => {
      for (let at: unknown = error; at instanceof Error; at = at.cause) told.push(`${at.message} ${at.stack}`)
      return true
    })
    const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    told.push(...files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')))
    const { authority } = JSON.parse(contents()[keyFile()]?.split('\n')[0] ?? '') as { authority: string }
    const key = await new SealedKeys(withPassphrase(PASSPHRASE)).open(
      authority,
      new KeyDirectory(join(state, 'authority')),
    )
    const secret = [PASSPHRASE, 'a wrong passphrase', ...spellings(Buffer.from(PASSPHRASE)), ...(await secretsOf(key))]
    expect(secret.length).toBeGreaterThan(15)
    expect(secret.filter((one) => told.some((text) => text.includes(one)))).toEqual([])
    expect(told.filter((text) => /PRIVATE KEY/.test(text))).toEqual([])
  })
})

test('the program itself, killed as soon as it serves, has the same root at its next start', async () => {
  const settings = { ...cluster.settings(), 'keys.passphraseFile': passphraseFile() }
  const flags = Object.entries(settings).flatMap(([key, value]) => [
    SETTINGS.find((one) => one.key === key)?.flag ?? '',
    String(value),
  ])
  const journals: string[][] = []
  for (let round = 0; round < 2; round++) {
    await using ran = new AlcazarProcess([
      ...['serve', '--state-directory', state, '--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0'],
      ...['--log-format', 'json', ...flags],
    ])
    await ran.serving()
    ran.child.kill('SIGKILL')
    expect(await ran.ended).toBe('SIGKILL')
    expect(ran.err + ran.out).not.toContain(PASSPHRASE)
    journals.push([keyFile(), ...(/"certificate": "[^"]+"/.exec(contents()['journal.json'] ?? '') ?? [])])
  }
  expect(journals[0]).toHaveLength(2)
  expect(journals[1]).toEqual(journals[0])
})

describe('a start is refused, and nothing is overwritten:', () => {
  const refused = async (attempt: () => Promise<TestServer>, code: string, message: RegExp) => {
    const before = contents()
    await expect(attempt()).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    expect(contents()).toEqual(before)
  }

  test('with another passphrase, until the right one is back', async () => {
    const roots = await begunCheaply()
    await refused(
      () => startWith('a wrong passphrase'),
      'wrong_state',
      /authority: the root’s key root-[0-9a-f]{16}\.key\.sealed does not open: the passphrase is not the one it was sealed with/,
    )
    await using server = await startWith()
    expect(server.roots).toBe(roots)
  })

  test('with a wrapping key where a passphrase seals it', async () => {
    await begunCheaply()
    const key = secretFile(join(secrets, 'key'), aWrappingKey('k'))
    await refused(
      () => start({ 'keys.wrappingKeyFile': key }),
      'wrong_state',
      /is sealed with a passphrase, and a wrapping key from a file was given; .*“alcazar keys reseal”/,
    )
  })

  test('with a passphrase’s file that others may read', async () => {
    await begunCheaply()
    const path = passphraseFile()
    chmodSync(path, 0o644)
    await refused(
      () => start({ 'keys.passphraseFile': path }),
      'invalid_argument',
      /^the file of the passphrase .* is open to others \(mode 644\); make it 600/,
    )
  })

  test('without the key, though its secret is right: no new root is made', async () => {
    await begun()
    rmSync(join(state, 'authority', keyFile()))
    await refused(startWithKey, 'wrong_state', /\.key\.sealed is missing; put it back: Alcazar makes no new root/)
  })

  test('in dev mode', async () => {
    await begun()
    await refused(() => aDevServer({ state }), 'wrong_state', /was not made by dev mode, and dev mode leaves it alone/)
  })

  test('with a plugged-in CA', async () => {
    await begun()
    await refused(
      () => aPluggedServer({ cluster: cluster.settings(), state }),
      'wrong_state',
      /^this state directory has a root of its own; leave out pluggedCa and name by keys\.\* what its key is sealed with or the token that has it/,
    )
  })

  test('on what dev mode made, whose key lies in the clear', async () => {
    await (await aDevServer({ state }))[Symbol.asyncDispose]()
    await refused(
      startWith,
      'wrong_state',
      /made by dev mode: its root’s key lies there in the clear, so nothing but dev mode/,
    )
  })

  test('on what a plugged-in CA made', async () => {
    await (await aPluggedServer({ cluster: cluster.settings(), state }))[Symbol.asyncDispose]()
    await refused(
      startWith,
      'wrong_state',
      /made with a plugged-in CA and has no root of its own; name that CA by pluggedCa/,
    )
  })

  test('at the very beginning, with a passphrase that is empty or too short: no trust domain begins', async () => {
    for (const [content, message] of [
      ['', /^the passphrase’s file is empty/],
      ['short', /^the passphrase is too short; it has at least 8 characters$/],
    ] as const) {
      await expect(startWith(content)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringMatching(message),
      })
      expect(existsSync(join(state, 'authority'))).toBe(false)
    }
    await using server = await startWith()
    expect(server.roots).toMatch(/BEGIN CERTIFICATE/)
  })
})

describe('keys reseal', () => {
  const reseal = (from: string, to: string) =>
    alcazar([
      ...['keys', 'reseal', '--state-directory', state],
      ...['--passphrase-file', passphraseFile(from, 'from'), '--new-passphrase-file', passphraseFile(to, 'to')],
    ])

  test('changes the passphrase of a server without a new root', async () => {
    const roots = await begunCheaply()
    const ran = await reseal(PASSPHRASE, 'tr0ub4dor&3')
    expect(ran).toEqual({
      exit: 0,
      err: '',
      out: `${keyFile()}  sealed anew\nA copy of the old files still opens with the old secret: where that may be in strange hands, replace the root.\n`,
    })
    await expect(startWith()).rejects.toMatchObject({ code: 'wrong_state' })
    await using server = await startWith('tr0ub4dor&3')
    expect(server.roots).toBe(roots)
    await issues(server)
  })

  test('waits for the server to be stopped: it refuses, and changes nothing', async () => {
    await using server = await startWithKey()
    const before = contents()
    expect(await reseal(PASSPHRASE, 'tr0ub4dor&3')).toMatchObject({
      exit: 6,
      out: '',
      err: expect.stringMatching(/^alcazar: an Alcazar server is using .*; stop the server first\n$/),
    })
    expect(contents()).toEqual(before)
    await issues(server)
  })
})
