import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Settings, TestCluster, TestServer } from '../_support/a-server.ts'
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
          'the PKCS#11 token "root" can’t be used: it is not there, nor is any other; it is tried again when it is next needed',
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
