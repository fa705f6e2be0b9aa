import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StatusView } from '../../src/endpoints/admin/authority-routes.ts'
import { type Settings, TestCluster, TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aCsr } from '../_support/csr.ts'
import { scratch } from '../_support/scratch.ts'
import { aWrappingKey, secretFile } from '../_support/secrets.ts'
import { missingForTokens, PIN, SoftHsm } from '../_support/soft-hsm.ts'

// That nothing is missing in CI is asserted in test/keys/pkcs11.test.ts.
const missing = missingForTokens()

let cluster: TestCluster
let state: string
let secrets: string
let hsm: SoftHsm

beforeEach(async () => {
  cluster = await TestCluster.start()
  state = scratch()
  secrets = scratch()
})
afterEach(() => cluster[Symbol.asyncDispose]())

const inToken = (pin = `${PIN}\n`): Settings => ({
  'keys.pkcs11Module': hsm.module,
  'keys.pkcs11Token': 'root',
  'keys.pkcs11PinFile': secretFile(join(secrets, 'pin'), pin),
})
const byToken = (pin?: string): Settings => ({ ...inToken(pin), 'keys.pkcs11Holds': 'wrapping-key' })
const sealed = (): Settings => ({ 'keys.wrappingKeyFile': secretFile(join(secrets, 'key'), aWrappingKey('k')) })
const start = (keys: Settings) => TestServer.start({ ...keys, ...cluster.settings() }, { state })
const issues = async (server: TestServer) => {
  const headers = { authorization: `Bearer ${cluster.tokenOf(cluster.pod())}` }
  const answer = await server.api('POST', '/v1/certificates', { body: { csr: (await aCsr()).pem }, headers })
  expect(answer.status).toBe(200)
}
const rootKeys = async (server: TestServer) => {
  type Answer = { status: { authorities: { role: string; key: string }[] } }
  const { status } = (await server.admin('GET', '/v1/server')).json<Answer>()
  return status.authorities.filter(({ role }) => role === 'root').map(({ key }) => key)
}

describe.skipIf(missing.length > 0)(
  `a server whose root’s key is in a token${missing.map((one) => `; missing: ${one}`).join('')}`,
  () => {
    test('makes it there, issues, and goes on with it at the next start; nothing of it is on the disk', async () => {
      hsm = new SoftHsm()
      hsm.add('root')
      const roots: string[] = []
      for (let round = 0; round < 2; round++) {
        await using server = await start(inToken())
        await issues(server)
        expect(await rootKeys(server)).toEqual(['pkcs11'])
        roots.push(server.roots)
      }
      expect(roots[0]).toMatch(/BEGIN CERTIFICATE/)
      expect(roots[1]).toBe(roots[0])
      expect(readdirSync(join(state, 'authority'))).toEqual(['journal.json'])
    })

    test('issues on without the token, which only the root needs', async () => {
      hsm = new SoftHsm()
      const folder = hsm.add('root')
      await using server = await start(inToken())
      hsm.remove(folder)
      await issues(server)
    })

    test('does not start without the token, and makes no other root', async () => {
      hsm = new SoftHsm()
      const folder = hsm.add('root')
      let before = ''
      {
        await using server = await start(inToken())
        before = server.roots
      }
      hsm.remove(folder)
      await expect(start(inToken())).rejects.toMatchObject({
        code: 'dependency_unavailable',
        message:
          'the PKCS#11 token "root" can’t be used: it is not there, nor is any other; a running server tries again when it next needs it',
      })
      hsm.add('root')
      await expect(start(inToken())).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringContaining('Alcazar makes no new root while the old one may be alive'),
      })
      await expect(start(sealed())).rejects.toMatchObject({
        code: 'wrong_state',
        message:
          'the root’s key is in a PKCS#11 token; name the token by keys.pkcs11Module, keys.pkcs11Token and keys.pkcs11PinFile',
      })
      expect(before).toMatch(/BEGIN CERTIFICATE/)
    })

    test('opens a sealed root beside the token, for as long as both are set', async () => {
      hsm = new SoftHsm()
      hsm.add('root')
      let before = ''
      {
        await using server = await start(sealed())
        before = server.roots
      }
      await using server = await start({ ...sealed(), ...inToken() })
      await issues(server)
      expect(await rootKeys(server)).toEqual(['sealed'])
      expect(server.roots).toBe(before)
    })

    test.each([
      ['', 'invalid_argument', /^the file of the PIN .*\/pin is empty; it holds the user PIN$/],
      ['1111\n', 'wrong_state', /^the PKCS#11 token "root" refused the PIN, and few tries are left/],
    ])('does not start with the PIN %j', async (pin, code, message) => {
      hsm = new SoftHsm()
      hsm.add('root')
      await expect(start(inToken(pin))).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    })
  },
)

describe.skipIf(missing.length > 0)(
  `a server whose root’s key is sealed by a token’s${missing.map((one) => `; missing: ${one}`).join('')}`,
  () => {
    let folder: string
    let before: string

    beforeEach(async () => {
      hsm = new SoftHsm()
      folder = hsm.add('root')
      await using server = await start(byToken())
      before = server.roots
      await issues(server)
      expect(await rootKeys(server)).toEqual(['sealed'])
    })
    const refused = async (keys: Settings, code: string, message: RegExp) => {
      const file = sealedFile()
      await expect(start(keys)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
      expect(sealedFile()).toEqual(file)
    }
    const sealedFile = () => {
      const folder = join(state, 'authority')
      const names = readdirSync(folder).filter((name) => name.endsWith('.key.sealed'))
      return names.map((name) => readFileSync(join(folder, name), 'utf8'))
    }

    test('goes on with it at the next start, and status says what seals it', async () => {
      expect(sealedFile()).toEqual([expect.stringContaining('"kind":"pkcs11"')])
      await using server = await start(byToken())
      await issues(server)
      expect(server.roots).toBe(before)
      expect((await server.admin('GET', '/v1/authorities')).json<StatusView>().sealedWith).toBe('pkcs11')
      const { out } = await alcazar(['root', 'status', '--state-directory', state])
      expect(out).toContain('ECDSA P-256, a sealed file')
      expect(out).toContain('Sealed files are sealed with a key in a PKCS#11 token.\n')
    })

    test('does not start with a wrong PIN, which costs one try', async () => {
      await refused(
        byToken('1111'),
        'wrong_state',
        /authority: the root’s key root-.*\.key\.sealed does not open: the PKCS#11 token "root" refused the PIN, and few tries are left[^;]*(; [^;]*)?$/,
      )
      await using server = await start(byToken())
      expect(server.roots).toBe(before)
    })

    test('does not start without the token, nor with another of that label', async () => {
      hsm.remove(folder)
      await refused(
        byToken(),
        'dependency_unavailable',
        /authority: the PKCS#11 token "root" can’t be used: it is not there/,
      )
      const other = hsm.add('root')
      await refused(
        byToken(),
        'wrong_state',
        /does not open: the PKCS#11 token "root" does not have the key by which this was sealed; connect the token that has it$/,
      )
      hsm.remove(other)
      hsm.putBack(folder)
      await using server = await start(byToken())
      expect(server.roots).toBe(before)
    })

    test('issues on without the token; a new root waits until it is back', async () => {
      await using server = await start(byToken())
      hsm.remove(folder)
      await issues(server)
      const prepare = () => server.admin('POST', '/v1/authorities/prepare', { body: { because: 'a test' } })
      expect((await prepare()).json()).toMatchObject({ code: 'dependency_unavailable' })
      expect(await rootKeys(server)).toEqual(['sealed'])
      hsm.putBack(folder)
      expect((await prepare()).status).toBe(200)
      expect(await rootKeys(server)).toEqual(['sealed', 'sealed'])
    })

    test('is refused by settings that name something else, which say what it is sealed with', async () => {
      await refused(
        sealed(),
        'wrong_state',
        /is sealed with a key in a PKCS#11 token, and a wrapping key from a file was given/,
      )
      await refused(inToken(), 'wrong_state', /^the root’s key is sealed; name .*keys\.pkcs11Holds: wrapping-key$/)
    })

    const token = (prefix = '') => [
      ...[`--${prefix}pkcs11-module`, hsm.module],
      ...[`--${prefix}pkcs11-token`, 'root'],
      ...[`--${prefix}pkcs11-pin-file`, secretFile(join(secrets, 'pin'), PIN)],
    ]
    const reseal = (...args: string[]) => alcazar(['keys', 'reseal', '--state-directory', state, ...args])

    test('is resealed by a wrapping key and back, and serves on under each', async () => {
      const key = secretFile(join(secrets, 'key'), aWrappingKey('k'))
      expect(await reseal(...token(), '--new-wrapping-key-file', key)).toMatchObject({ exit: 0, err: '' })
      {
        await using server = await start(sealed())
        expect(server.roots).toBe(before)
      }
      expect(await reseal('--wrapping-key-file', key, ...token('new-'))).toMatchObject({ exit: 0, err: '' })
      await using server = await start(byToken())
      await issues(server)
      expect(server.roots).toBe(before)
    })

    test('is exported with the token, and the same CA is imported into another directory under it', async () => {
      const other = join(scratch(), 'state')
      const out = join(scratch(), 'cacerts')
      const root = await (async () => {
        await using server = await start(byToken())
        return (await server.admin('GET', '/v1/authorities')).json<StatusView>().authorities[0]?.id ?? ''
      })()
      const args = ['--root', root, '--out', out, '--yes-export', `${root.slice(0, 4)} ${root.slice(4, 8)}`]
      expect(await alcazar(['export', '--state-directory', state, ...args, ...token()])).toMatchObject({ exit: 0 })
      const from = ['import', '--from', 'directory', out, '--state-directory', other, ...token()]
      expect(await alcazar(from)).toMatchObject({ exit: 0, err: '' })
      state = other
      await using server = await start(byToken())
      await issues(server)
      expect(server.roots).toBe(before)
      expect(sealedFile()).toEqual([expect.stringContaining('"kind":"pkcs11"')])
    })

    test('is not resealed from a token to another of its module, nor by half a token', async () => {
      const file = sealedFile()
      expect(await reseal(...token(), ...token('new-'))).toMatchObject({
        exit: 2,
        err: expect.stringMatching(/^alcazar: from one token to another of the same module takes two steps: /),
      })
      expect(await reseal(...token().slice(0, 4), ...token('new-'))).toMatchObject({
        exit: 2,
        err: 'alcazar: --pkcs11-module, --pkcs11-token, --pkcs11-pin-file belong together: give all three, or none\n',
      })
      expect(await reseal(...token(), '--passphrase-file', '/p')).toMatchObject({
        exit: 2,
        err: expect.stringContaining('cannot be used with option'),
      })
      expect(sealedFile()).toEqual(file)
    })
  },
)
