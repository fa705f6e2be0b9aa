import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { aDevServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aWrappingKey } from '../_support/ca-directories.ts'
import { scratch } from '../_support/scratch.ts'

/** A server that is asked to end as soon as it serves. */
const serve = (state: string, ...more: string[]) =>
  alcazar([
    'serve',
    '--dev',
    '--state-directory',
    state,
    ...['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0', '--log-format', 'json', '--log-level', 'error'],
    ...more,
  ])

/** Every file below, with its mode and what is in it. Socket and lock hold nothing. */
function contents(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    files
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => path !== join(directory, 'lock'))
      .map((path) => [
        path,
        `${(statSync(path).mode & 0o777).toString(8)} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`,
      ]),
  )
}

/** What a start left behind: a root, its journal, and issued certificates. */
async function aUsedState(): Promise<string> {
  const state = join(scratch(), 'state')
  expect(await serve(state)).toMatchObject({ exit: 0 })
  mkdirSync(join(state, 'ledger'), { recursive: true })
  writeFileSync(join(state, 'ledger', '2026-01-01.jsonl'), '{"kind":"issued"}\n', { mode: 0o600 })
  return state
}

const rootKeyOf = (state: string) => {
  const [name = ''] = readdirSync(join(state, 'authority')).filter((file) => file.endsWith('.key.pem'))
  return join(state, 'authority', name)
}

const ledgerOf = (state: string) =>
  readdirSync(join(state, 'ledger'))
    .toSorted()
    .map((file) => readFileSync(join(state, 'ledger', file), 'utf8'))
    .join('')

/** One line that says what to do, and nothing else. */
const line = (says: string | RegExp) =>
  expect.stringMatching(
    new RegExp(`^alcazar: [^\\n]*${typeof says === 'string' ? RegExp.escape(says) : says.source}[^\\n]*\\n$`),
  )

describe('a start is refused in one line, with its exit code, and nothing is overwritten:', () => {
  test.for(['--listen', '--health-listen'])('%s names a port in use', async (flag) => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const state = await aUsedState()
    const kept = () => [rootKeyOf(state), join(state, 'ledger', '2026-01-01.jsonl')].map((path) => readFileSync(path))
    const [before, written] = [kept(), ledgerOf(state)]
    const ran = await serve(state, flag, `127.0.0.1:${port}`)
    expect(ran).toMatchObject({
      exit: 6,
      out: '',
      err: line(
        `127.0.0.1:${port} is in use; stop what listens there, or choose another address with ${flag} HOST:PORT (in dev mode: npm start -- ${flag} HOST:PORT)`,
      ),
    })
    expect([kept(), ledgerOf(state)]).toEqual([before, written])
    taken.close()
    expect(await serve(state, flag, `127.0.0.1:${port}`), 'once the port is free').toMatchObject({ exit: 0 })
  })

  test('a kubeconfig that is not there, before anything is made', async () => {
    const state = join(scratch(), 'state')
    const ports = ['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0']
    const wrapping = ['--keys-wrapping-key-file', aWrappingKey()]
    const ran = await alcazar([
      'serve',
      '--state-directory',
      state,
      ...ports,
      ...wrapping,
      '--attestation-kubeconfig',
      '/nope',
    ])
    expect(ran).toMatchObject({ exit: 2, out: '', err: line(/the kubeconfig \/nope is unusable/) })
    expect(existsSync(state)).toBe(false)
  })

  test('an address that is not of this machine', async () => {
    const ran = await serve(join(scratch(), 'state'), '--listen', '192.0.2.1:0')
    // In dev mode no other than loopback is taken at all.
    expect(ran).toMatchObject({ exit: 2, out: '', err: line(/192\.0\.2\.1|loopback/) })
  })

  test('a state directory that is a file', async () => {
    const file = join(scratch(), 'state')
    writeFileSync(file, 'mine')
    const ran = await serve(file)
    expect(ran).toMatchObject({
      exit: 2,
      out: '',
      err: line(/the state directory .*; choose another with --state-directory/),
    })
    expect(readFileSync(file, 'utf8')).toBe('mine')
  })

  test('a state directory below a file', async () => {
    const file = join(scratch(), 'file')
    writeFileSync(file, 'mine')
    const ran = await serve(join(file, 'state'))
    expect(ran).toMatchObject({
      exit: 2,
      out: '',
      err: line(/the state directory .*; choose another with --state-directory/),
    })
  })

  test('a state directory that can’t be written', async () => {
    const directory = scratch()
    chmodSync(directory, 0o500)
    // To the superuser no mode is an obstacle; a directory of the kernel's is.
    const ran = await serve(process.getuid?.() === 0 ? '/proc/self' : directory)
    expect(ran).toMatchObject({
      exit: 2,
      out: '',
      err: line(/the state directory .* can’t be written: .*; choose another with/),
    })
    chmodSync(directory, 0o700)
  })

  test('a state directory whose path is too long for its socket', async () => {
    const ran = await serve(join(scratch(), 'x'.repeat(100)))
    expect(ran).toMatchObject({ exit: 2, out: '', err: line('is too long for a unix socket (103 bytes)') })
  })

  const damages: readonly (readonly [what: string, damage: (state: string) => void, says: RegExp])[] = [
    [
      'an empty journal',
      (state) => writeFileSync(journalOf(state), ''),
      /journal\.json: the journal is damaged: not JSON/,
    ],
    [
      'half a journal',
      (state) => writeFileSync(journalOf(state), readFileSync(journalOf(state)).subarray(0, 500)),
      /journal\.json: the journal is damaged: not JSON; put back a copy that is whole/,
    ],
    [
      'a journal with a changed letter',
      (state) => {
        const text = readFileSync(journalOf(state), 'utf8')
        writeFileSync(journalOf(state), text.replace('"revision": ', '"revision": 1'))
      },
      /journal\.json: the journal is damaged: its digest does not fit/,
    ],
    [
      'a journal of a newer Alcazar',
      (state) => writeFileSync(journalOf(state), JSON.stringify({ digest: '', body: { format: 3 } })),
      /journal\.json: the journal has format 3, .* written by a newer Alcazar; run that one/,
    ],
    [
      'a journal that is zeroes',
      (state) => writeFileSync(journalOf(state), Buffer.alloc(4096)),
      /the journal is damaged/,
    ],
    [
      'no journal beside its root key',
      (state) => rmSync(journalOf(state)),
      /journal\.json is missing; put it back: Alcazar makes no new root/,
    ],
    [
      'no authority beside its ledger',
      (state) => renameSync(join(state, 'authority'), join(state, 'elsewhere')),
      /authority is missing, though .* has a ledger; put it back, or start on an empty directory/,
    ],
    ['no root key', (state) => rmSync(rootKeyOf(state)), /key\.pem is missing; put it back: Alcazar makes no new root/],
    ['a damaged root key', (state) => writeFileSync(rootKeyOf(state), 'no key'), /key\.pem is damaged/],
    [
      'a root key that others may read',
      (state) => chmodSync(rootKeyOf(state), 0o644),
      /key\.pem can be read by others \(mode 644\); make it 600/,
    ],
  ]

  test.for(damages)('%s', async ([, damage, says]) => {
    const state = await aUsedState()
    damage(state)
    const before = contents(state)
    const ran = await serve(state)
    expect(ran).toMatchObject({ exit: 6, out: '', err: line(says) })
    expect(contents(state)).toEqual(before)
  })

  test('another trust domain than the state’s', async () => {
    const state = await aUsedState()
    const before = contents(state)
    const ran = await serve(state, '--trust-domain', 'example.org')
    expect(ran).toMatchObject({ exit: 6, out: '', err: line(/cluster\.local/) })
    expect(contents(state)).toEqual(before)
  })

  test('a second server on the same directory, and the first goes on', async () => {
    await using first = await aDevServer()
    const before = contents(first.state)
    const ran = await serve(first.state)
    expect(ran).toMatchObject({
      exit: 6,
      out: '',
      err: line(/another Alcazar server is using .*; stop it, or give this one a directory of its own/),
    })
    expect(contents(first.state)).toEqual(before)
    expect((await first.api('GET', '/v1/status')).json()).toMatchObject({ ready: true })
    expect((await first.admin('GET', '/v1/server')).status).toBe(200)
  })

  test('a second server that reaches the directory by another path', async () => {
    await using first = await aDevServer()
    expect(await serve(join(first.state, '..', first.state.split('/').at(-1) ?? '', '.'))).toMatchObject({ exit: 6 })
  })

  test.for(['ca-cert.pem', 'ca-key.pem', 'root-cert.pem'])('a plugged-in CA without its %s', async (file) => {
    const [directory, state] = [scratch(), join(scratch(), 'state')]
    for (const name of ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem'])
      if (name !== file) writeFileSync(join(directory, name), '')
    const ran = await alcazar([
      ...['serve', '--plugged-ca', directory, '--state-directory', state],
      ...[
        '--attestation-api-server',
        'https://127.0.0.1:1',
        '--listen',
        '127.0.0.1:0',
        '--health-listen',
        '127.0.0.1:0',
      ],
    ])
    expect(ran).toMatchObject({ out: '', err: line(/\.pem/) })
    expect([2, 6]).toContain(ran.exit)
    expect(readdirSync(state)).not.toContain('authority')
  })
})

const journalOf = (state: string) => join(state, 'authority', 'journal.json')

describe('a start after an end', () => {
  test('has the same root and bundle', async () => {
    const state = join(scratch(), 'state')
    const roots: string[] = []
    for (let round = 0; round < 2; round++) {
      await using server = await aDevServer({ state })
      roots.push(server.roots)
    }
    expect(roots[0]).toMatch(/BEGIN CERTIFICATE/)
    expect(roots[1]).toBe(roots[0])
  })

  test('replaces the socket that a crash left behind', async () => {
    const state = join(scratch(), 'state')
    mkdirSync(state, { mode: 0o700 })
    writeFileSync(join(state, 'admin.sock'), '')
    await using server = await aDevServer({ state })
    expect((await server.admin('GET', '/v1/server')).status).toBe(200)
  })
})

test.each([
  ['777', 1],
  ['1777', 1],
  ['2770', 0],
  ['755', 0],
])('a state directory of mode %s is taken, with %i warnings that everybody may write it', async (mode, warnings) => {
  const state = scratch()
  chmodSync(state, Number.parseInt(mode, 8))
  await using server = await aDevServer({ state })
  const warned = server.log.filter((line) => line.includes('may write the state directory'))
  expect(warned).toHaveLength(warnings)
  if (warnings > 0) expect(warned[0]).toContain(`${state} has mode ${mode}; make it 700, or 2770 for a group`)
})
