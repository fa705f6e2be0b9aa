import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readOnePem, readPem } from '../../src/x509/pem.ts'
import { aPluggedServer, TestCluster, TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aCacertsDirectory, aRootDirectory, aWrappingKey, pemOf } from '../_support/ca-directories.ts'
import { aCsr } from '../_support/csr.ts'
import { type Identity, obtain } from '../_support/identity.ts'
import { openssl, testWithOpenssl } from '../_support/openssl-command.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { writeCacerts } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'

let cluster: TestCluster
beforeAll(async () => {
  cluster = await TestCluster.start()
})
afterAll(() => cluster[Symbol.asyncDispose]())

const ownServer = (state: string, wrappingKey: string) =>
  TestServer.start({ 'keys.wrappingKeyFile': wrappingKey, ...cluster.settings() }, { state })

/** By client certificate alone. */
const renewed = async (server: TestServer, { tls }: Identity) =>
  server.grpc(tls).createCertificate({ csr: (await aCsr()).pem })

describe.each([
  ['a root', async () => ({ ...(await aRootDirectory()), ca: undefined })],
  ['an intermediate that signs leaves itself', aCacertsDirectory],
] as const)('%s', (_what, make) => {
  test('is plugged in, taken over, and given back: who was served before renews by mTLS all along', async () => {
    const { path, root, ca } = await make()
    const state = scratch()
    const wrappingKey = aWrappingKey()
    const flags = ['--state-directory', state, '--wrapping-key-file', wrappingKey]
    const token = cluster.tokenOf(cluster.pod())
    let held: Identity
    {
      await using server = await aPluggedServer({
        cluster: cluster.settings(),
        state,
        cacerts: (directory) => writeCacerts(directory, ca ?? root, [ca ?? root], [root]),
      })
      held = await obtain(server.grpc(), token)
    }

    const taken = await alcazar(['import', '--from', 'directory', path, ...flags])
    expect([taken.exit, taken.err]).toEqual([0, ''])
    expect(taken.out).toContain('and all that this server knew goes on: bundle, issuing authorities, ledger')
    // Nothing of the CA is needed in the clear any more.
    rmSync(path, { recursive: true })
    const out = join(scratch(), 'out')
    {
      await using server = await ownServer(state, wrappingKey)
      expect(server.roots, 'the bundle is the same').toBe(pemOf(root))
      const answer = await renewed(server, held)
      expect(answer.status).toBe(0)
      const chain = (answer.response?.certChain ?? []).map((pem) =>
        readPem(pem, 1e6, 'nothing else').map(({ der }) => der),
      )
      const [leaf = [], ...rest] = chain
      const rootDer = readOnePem(pemOf(root), ['CERTIFICATE'], 10_000)
      expect(opensslVerify(leaf, rest.slice(0, -1).flat(), [rootDer], new Date())).toEqual(['OK'])
      held = await obtain(server.grpc(), token)
      const status = await server.running.status()
      expect(status).toMatchObject({ mode: 'own', ready: true, inTheClear: [status.authorities[0]?.id] })
      expect(await (await server.api('GET', '/v1/status')).json()).not.toHaveProperty('inTheClear')
      const id = status.authorities[0]?.id as string
      const running = await alcazar(['export', '--root', id, '--out', out, '--yes-export', id.slice(0, 8), ...flags])
      expect(running).toMatchObject({ exit: 6, err: expect.stringContaining('stop the server first') })
    }

    const records = (await alcazar(['ledger', 'list', '--state-directory', state])).out
    const [, short = ''] = /CA taken over {2}([0-9a-f ]{9})/.exec(records) ?? []
    const given = await alcazar(['export', '--root', short, '--out', out, '--yes-export', short, ...flags])
    expect([given.exit, given.err]).toEqual([0, ''])
    {
      // The way back: from the exported directory, with a state of its own.
      await using server = await TestServer.start({ pluggedCa: out, ...cluster.settings() }, {})
      expect(server.roots).toBe(pemOf(root))
      const { status } = await server.grpc().createCertificate({ csr: (await aCsr()).pem }, token)
      expect(status).toBe(0)
    }
  })
})

test('a root that was made here is in the clear from its export on, and status says so', async () => {
  const [state, wrappingKey] = [scratch(), aWrappingKey()]
  let id: string
  {
    await using server = await ownServer(state, wrappingKey)
    const status = await server.running.status()
    expect(status.inTheClear).toEqual([])
    id = status.authorities.find(({ role }) => role === 'root')?.id as string
  }
  const out = join(scratch(), 'out')
  const args = ['--root', id, '--out', out, '--yes-export', id.slice(0, 8)]
  const ran = await alcazar(['export', ...args, '--state-directory', state, '--wrapping-key-file', wrappingKey])
  expect([ran.exit, ran.err]).toEqual([0, ''])
  await using server = await ownServer(state, wrappingKey)
  expect((await server.running.status()).inTheClear).toEqual([id])
})

describe('a company’s own PKI', () => {
  testWithOpenssl('signs a request by the command line, and its root joins the bundle', async () => {
    const state = scratch()
    await using server = await ownServer(state, aWrappingKey())
    const csr = join(scratch(), 'online.csr')
    const asked = await alcazar(['root', 'prepare', '--csr-out', csr, '--state-directory', state])
    expect([asked.exit, asked.err]).toEqual([0, ''])
    const cert = signedByACompany(csr)
    const done = await alcazar(['root', 'prepare', '--cert', cert, '--state-directory', state])
    expect([done.exit, done.err]).toEqual([0, ''])
    expect(done.out).toMatch(/^Root [0-9a-f ]{9} is prepared, in the bundle since bundle 2; its online CA is/)
    const status = await server.running.status()
    expect(status.authorities.filter(({ role }) => role === 'root')).toMatchObject([
      { state: 'active', key: 'sealed' },
      { state: 'prepared', key: 'elsewhere' },
    ])
    expect(server.ledger().at(-1)).toMatchObject({
      what: 'root prepared',
      detail: expect.stringContaining('your own PKI'),
    })
  })

  test.each([
    [['prepare', '--csr-out', '/nowhere/at/all.csr'], 2, '--csr-out /nowhere/at/all.csr: no such file or directory'],
    [['prepare', '--csr-out', 'a.csr', '--cert', 'a.pem'], 2, 'cannot be used with option'],
    [['prepare', '--csr-out', 'a.csr', '--because', 'x'], 2, 'cannot be used with option'],
    [['prepare', '--cert', '/nowhere.pem'], 2, '--cert /nowhere.pem: no such file or directory'],
  ])('%j is refused', async (args, exit, message) => {
    const state = scratch()
    await using _server = await ownServer(state, aWrappingKey())
    expect(await alcazar(['root', ...args, '--state-directory', state])).toMatchObject({
      exit,
      err: expect.stringContaining(message),
    })
  })

  test('what the local API is given in another shape is refused', async () => {
    await using server = await ownServer(scratch(), aWrappingKey())
    const post = (body: object) => server.admin('POST', '/v1/roots/prepare-signed', { body })
    const key = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'
    for (const [body, detail] of [
      [{}, 'certificates is missing'],
      [{ certificates: 1 }, 'certificates is missing'],
      [{ certificates: 'x', because: 1 }, 'because is a text'],
      [{ certificates: 'x', because: 'x'.repeat(501) }, 'because is a text of at most 500 characters'],
      [{ certificates: key }, 'there is a PEM block “PRIVATE KEY”; expected “CERTIFICATE” alone'],
      [{ certificates: 'x', cert: 'y' }, 'unknown field "cert"'],
      [{ certificates: '' }, 'there are 0 certificates'],
    ] as const) {
      const answer = await post(body)
      expect(answer.status).toBe(400)
      expect(answer.json()).toMatchObject({ code: 'invalid_argument', detail: expect.stringContaining(detail) })
    }
    expect((await server.admin('POST', '/v1/roots/sign-request', { body: { x: 1 } })).status).toBe(400)
  })
})

/** As a company's PKI does it with OpenSSL: the whole chain in one file. */
function signedByACompany(csr: string): string {
  const directory = scratch()
  const file = (name: string) => join(directory, name)
  openssl([
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-subj', '/O=Example/CN=Example root'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ...['-keyout', file('root.key'), '-out', file('root.pem')],
  ])
  openssl([
    ...['x509', '-req', '-in', csr, '-CA', file('root.pem'), '-CAkey', file('root.key'), '-days', '365'],
    ...['-copy_extensions', 'copyall', '-out', file('online.pem')],
  ])
  writeFileSync(file('chain.pem'), readFileSync(file('online.pem'), 'utf8') + readFileSync(file('root.pem'), 'utf8'))
  return file('chain.pem')
}
