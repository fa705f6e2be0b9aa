import { lchownSync, lstatSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { usualStateDirectory } from '../../src/cli/local-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { scratch } from '../_support/scratch.ts'

/** A state directory with a socket at which somebody waits for tokens, and answers with words of his own. */
async function aSocket(answer: object = { code: 'permission_denied', detail: 'no\nalcazar: well\u001b[2J\u202e' }) {
  const directory = scratch()
  const token = join(scratch(), 'token')
  writeFileSync(token, 'a.secret.token')
  const came: string[] = []
  const server = createServer((request, response) => {
    came.push(`${request.method} ${request.url}`)
    response.writeHead(403).end(JSON.stringify(answer))
  })
  const socket = join(directory, 'admin.sock')
  await new Promise<void>((listening) => void server.listen(socket, listening))
  onTestFinished(() => new Promise<void>((closed) => void server.close(() => closed())))
  return {
    directory,
    socket,
    came,
    run: (...args: string[]) => alcazar([...args, '--state-directory', directory]),
    issue: (state = directory) =>
      alcazar(['issue', '--token', token, '--state-directory', state, '--out', join(directory, 'out')]),
  }
}

const NOBODY = 65534

/** Makes it somebody's who is neither root nor who runs this: root gives it away, anybody else is taken for another. */
function giveAway(path: string): number {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) lchownSync(path, NOBODY, NOBODY)
  const { uid } = lstatSync(path)
  const spy = vi.spyOn(process as { geteuid(): number }, 'geteuid').mockReturnValue(isRoot ? 0 : uid + 1)
  onTestFinished(() => spy.mockRestore())
  return uid
}

const TOKEN = ['token', '-n', 'shop', '-s', 'cart']
const ROOT_VERBS = ['status', 'rotate', 'prepare', 'activate', 'rollback', 'revoke'].map((verb) => ['root', verb])

/** Every verb that speaks with a server, but issue. */
const VERBS = [
  TOKEN,
  ...ROOT_VERBS,
  ['root', 'rotate', '--dry-run'],
  ['root', 'activate', '--force'],
  ['root', 'taint', '91d0', '--because', 'stolen'],
  ['root', 'prepare', '--csr-out', '/nowhere/at/all.csr'],
  ['root', 'prepare', '--cert', import.meta.filename],
  ['authority', 'status'],
  ['workloads'],
  ['workloads', 'forget', 'shop/cart-0'],
  ['revoke', '--serial', 'aa', '--because', 'stolen'],
  ['revocations'],
  ['schedule'],
]

test.each(['socket', 'directory'] as const)('believes nobody where the %s is another user’s', async (what) => {
  const at = await aSocket()
  const uid = giveAway(at[what])
  const path = at[what].replaceAll('.', '\\.')
  for (const run of [at.issue, ...VERBS.map((verb) => () => at.run(...verb))]) {
    const { exit, out, err } = await run()
    expect({ exit, out }).toEqual({ exit: 4, out: '' })
    expect(err).toMatch(
      new RegExp(
        `^alcazar: ${path} belongs to another user \\(uid ${uid}\\), and only a server of your own or of root is believed; run this as that user \\(sudo -u '#${uid}'\\), or name another with --.*\n$`,
      ),
    )
  }
  expect(at.came).toEqual([])
})

test('finds the server of this machine where it usually is: of dev mode here, else any other', () => {
  const usual = (...there: string[]) => usualStateDirectory((path) => there.includes(path))
  expect(usual()).toBe('./.alcazar')
  expect(usual('./.alcazar', '/var/lib/alcazar')).toBe('./.alcazar')
  expect(usual('/var/lib/alcazar')).toBe('/var/lib/alcazar')
})

test('nor where another user made the link to the directory', async () => {
  const at = await aSocket()
  const link = join(scratch(), 'state')
  symlinkSync(at.directory, link)
  giveAway(link)
  expect(await at.issue(`${link}/`)).toMatchObject({ exit: 4, out: '' })
  expect(at.came).toEqual([])
})

test('asks a server of this user’s own, whose words stay in lines of their own and steer nothing', async () => {
  const at = await aSocket()
  const { exit, err } = await at.issue()
  expect({ exit, err }).toEqual({
    exit: 4,
    err: 'alcazar: the server said: no\n  alcazar: well\\u001b[2J\\u202e\n',
  })
  expect(at.came).toEqual(['GET /v1/server'])
})

test('a fault of the server is said once, with what its log is searched by', async () => {
  const detail = 'internal error; the server log has the details'
  const at = await aSocket({ code: 'internal', detail, requestId: '00c0ffee00c0ffee' })
  expect(await at.run('schedule')).toEqual({
    exit: 1,
    out: '',
    err: `alcazar: the server said: ${detail} (request 00c0ffee00c0ffee)\n`,
  })
})

test('token, without a server or with one not in dev mode, names no flag that it has not', async () => {
  const none = await alcazar(['token', '-n', 'shop', '-s', 'cart', '--state-directory', scratch()])
  expect(none).toMatchObject({
    exit: 7,
    err: expect.stringMatching(
      /start one \(alcazar serve; npm start for dev mode\), or name another with --state-directory\n$/,
    ),
  })
  const at = await aSocket({ code: 'not_found', detail: 'nothing is served at /v1/dev/tokens' })
  expect(await at.run(...TOKEN)).toMatchObject({
    exit: 4,
    err: expect.stringMatching(/^alcazar: the server is not in dev mode, so it gives no tokens; /),
  })
})
