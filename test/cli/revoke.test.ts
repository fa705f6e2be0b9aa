import { expect, test } from 'vitest'
import { aDevServer, aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { obtain } from '../_support/identity.ts'
import { aRoot, writeCacerts } from '../_support/plugged-ca.ts'

const run = (server: TestServer, ...args: string[]) => alcazar([...args, '--state-directory', server.state])
const issue = async (server: TestServer) => (await obtain(server.grpc(), await server.devToken())).leaf.serialNumber

test('revoke says how far it reaches, and revocations lists it', async () => {
  await using server = await aDevServer()
  expect(await run(server, 'revocations')).toEqual({ exit: 0, out: 'Nothing is revoked.\n', err: '' })
  const given = await issue(server)
  const serial = given.toLowerCase()
  // As OpenSSL prints it.
  const colons = given.match(/../g)?.join(':') ?? ''
  const { exit, out, err } = await run(server, 'revoke', '--serial', colons, '--because', 'INC-17: volume copied')
  expect([exit, err]).toEqual([0, ''])
  expect(out.split('\n')).toEqual([
    expect.stringMatching(
      new RegExp(
        `^${serial} is revoked: it renews nothing any more, holds up no rotation, and is on the CRL of authority [0-9a-f]{4} [0-9a-f]{4}\\.$`,
      ),
    ),
    expect.stringMatching(/^It ends in \d+ h; until then it still works wherever CRLs are not checked\.$/),
    '',
  ])
  const listed = await run(server, 'revocations')
  expect(listed.out.split('\n')).toEqual([
    expect.stringMatching(new RegExp(`^${serial}  revoked .*, ends in \\d+ h: INC-17: volume copied$`)),
    expect.stringMatching(/^ {2}on the CRL of authority/),
    '',
  ])
  expect(JSON.parse((await run(server, 'revocations', '--output', 'json')).out)).toMatchObject({
    revocations: [{ serial, because: 'INC-17: volume copied', reached: 'crl' }],
    missingCrls: [],
  })
})

test('revoke gives its answer as JSON, too', async () => {
  await using server = await aDevServer()
  const serial = await issue(server)
  const { exit, out } = await run(server, 'revoke', '--serial', serial, '--because', 'a test', '-o', 'json')
  expect(exit).toBe(0)
  expect(JSON.parse(out)).toMatchObject({
    revoked: { serial: serial.toLowerCase(), because: 'a test', reached: 'crl' },
    revocations: [{ serial: serial.toLowerCase() }],
  })
})

test.for([
  [
    'an unknown serial number',
    ['--serial', '4a4b4c4d', '--because', 'x'],
    5,
    /^alcazar: the server said: no certificate with the whole serial number 4a4b4c4d was issued here since /,
  ],
  [
    'half a byte',
    ['--serial', '4a4', '--because', 'x'],
    2,
    /^alcazar: the server said: serial is a whole serial number, 1 to 20 bytes of hex/,
  ],
  ['no reason', ['--serial', '4a4b'], 2, /^alcazar: required option '--because <text>' not specified/],
  ['no serial number', ['--because', 'x'], 2, /^alcazar: required option '--serial <serial>' not specified/],
] as const)('revoke with %s changes nothing', async ([, args, code, says]) => {
  await using server = await aDevServer()
  const { exit, out, err } = await run(server, 'revoke', ...args)
  expect([exit, out, err]).toEqual([code, '', expect.stringMatching(says)])
  expect((await run(server, 'revocations')).out).toBe('Nothing is revoked.\n')
})

test('revocations tells of CRLs that are missing: of a CA above whose key is not here', async () => {
  await using cluster = await TestCluster.start()
  const [root, other] = [await aRoot(), await aRoot()]
  await using server = await aPluggedServer({
    cluster: cluster.settings(),
    cacerts: (directory) => writeCacerts(directory, root, [root], [root, other]),
  })
  const missing = Buffer.from(other.certificate.tbs.subjectKeyId as Uint8Array).toString('hex')
  const { exit, out, err } = await run(server, 'revocations')
  expect([exit, out, err]).toEqual([
    0,
    'Nothing is revoked.\n',
    `alcazar: the set of CRLs at /crl is not whole, so it is not given out: none of ${missing.slice(0, 8)}\n`,
  ])
  const answer = await server.api('GET', '/crl')
  expect([answer.status, answer.json()]).toMatchObject([503, { code: 'not_ready' }])
})
