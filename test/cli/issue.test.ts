import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { certificatePem } from '../../src/x509/pem.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aDevServer } from '../_support/dev-server.ts'
import { aRoot } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'

let server: Awaited<ReturnType<typeof aDevServer>>
let work: string
beforeAll(async () => {
  server = await aDevServer()
  work = mkdtempSync(join(tmpdir(), 'alcazar-issue-'))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(work, { recursive: true, force: true })
})

const issue = (out: string, ...more: string[]) =>
  alcazar(['issue', '--state-directory', server.state, '--out', join(work, out), ...more])
const cart = ['--namespace', 'shop', '--service-account', 'cart']

test('writes a key only its owner reads, and a chain that OpenSSL verifies', async () => {
  const { exit, out, err } = await issue('cart', ...cart)
  expect({ exit, err }).toEqual({ exit: 0, err: '' })
  expect(out).toMatch(
    /^spiffe:\/\/cluster\.local\/ns\/shop\/sa\/cart\n {2}serial ([0-9a-f]{2}:){15}[0-9a-f]{2}\n {2}key {4}ECDSA P-256 {4}valid 24 h \(until tomorrow \d\d:\d\d UTC\)\n {2}renew {2}in 1[0-3] h \((today|tomorrow) \d\d:\d\d UTC\)\n {2}chain {2}leaf ← issuing [0-9a-f]{4} [0-9a-f]{4} ← root [0-9a-f]{4} [0-9a-f]{4}\n/,
  )
  const [key, chain, root] = ['key.pem', 'cert-chain.pem', 'root-cert.pem'].map((name) => join(work, 'cart', name)) as [
    string,
    string,
    string,
  ]
  expect(statSync(key).mode & 0o777).toBe(0o600)
  expect(execFileSync('openssl', ['verify', '-CAfile', root, '-untrusted', chain, chain], { encoding: 'utf8' })).toBe(
    `${chain}: OK\n`,
  )
  // The command it says to try is one that works.
  const tried = out.split('Try it:  ')[1]?.trim().split(' ') as string[]
  expect(execFileSync(tried[0] as string, tried.slice(1), { encoding: 'utf8' })).toMatch(/OK/)
})

test('asked again for the same identity it replaces the files by newer ones', async () => {
  await issue('again', ...cart)
  const before = readFileSync(join(work, 'again/key.pem'), 'utf8')
  expect((await issue('again', ...cart)).exit).toBe(0)
  expect(readFileSync(join(work, 'again/key.pem'), 'utf8')).not.toBe(before)
})

test('does not replace files of another identity unless forced', async () => {
  await issue('other', ...cart)
  const before = readFileSync(join(work, 'other/key.pem'), 'utf8')
  const refused = await issue('other', '-n', 'shop', '-s', 'till')
  expect(refused).toMatchObject({ exit: 6, out: '' })
  expect(refused.err).toMatch(
    /holds files of spiffe:\/\/cluster\.local\/ns\/shop\/sa\/cart; choose another --out, or replace them with --force/,
  )
  expect(readFileSync(join(work, 'other/key.pem'), 'utf8')).toBe(before)
  expect((await issue('other', '-n', 'shop', '-s', 'till', '--force')).exit).toBe(0)
})

test('does not replace a key that stands alone', async () => {
  const out = mkdtempSync(join(work, 'key-'))
  writeFileSync(join(out, 'key.pem'), 'precious')
  expect((await alcazar(['issue', '--state-directory', server.state, '--out', out, ...cart])).err).toMatch(
    /a key of somebody else/,
  )
  expect(readFileSync(join(out, 'key.pem'), 'utf8')).toBe('precious')
})

test.each(['ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'ed25519'])('makes %s keys', async (algorithm) => {
  const { exit, out } = await issue(algorithm, ...cart, '--key-algorithm', algorithm, '--output', 'json')
  expect(exit).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ spiffeId: 'spiffe://cluster.local/ns/shop/sa/cart', bundleSequence: 1 })
})

test('an experimental key is refused by a server that does not run with --experimental', async () => {
  const { exit, err } = await issue('pq', ...cart, '--key-algorithm', 'ml-dsa-44')
  expect(exit).toBe(2)
  expect(err).toMatch(/ML-DSA-44 keys are certified only where the server runs with --experimental/)
})

test('prints the same as JSON, without any key', async () => {
  const { out } = await issue('json', ...cart, '-o', 'json')
  expect(Object.keys(JSON.parse(out))).toEqual([
    'spiffeId',
    'serial',
    'notBefore',
    'notAfter',
    'bundleSequence',
    'renewAt',
    'files',
  ])
  expect(out).not.toMatch(/BEGIN/)
})

test('takes a lifetime, and says what the longest is', async () => {
  expect((await issue('short', ...cart, '--ttl', '90m')).out).toMatch(/valid 90 min/)
  expect((await issue('shortest', ...cart, '--ttl', '1s')).out).toMatch(/ {4}(valid 1 s|ended already) \(until/)
  const long = await issue('long', ...cart, '--ttl', '91d')
  expect(long.exit).toBe(2)
  expect(long.err).toMatch(/a lifetime of 91 days was asked for; at most 90 days \(svid\.maxTtl\), and 0 means 24 h/)
})

test('root bundle prints the roots by which to trust the server', async () => {
  const bundle = (...more: string[]) => alcazar(['root', 'bundle', '--state-directory', server.state, ...more])
  await issue('trusting', ...cart)
  const roots = readFileSync(join(work, 'trusting/root-cert.pem'), 'utf8')
  expect(await bundle()).toEqual({ exit: 0, out: roots, err: '' })
  expect(JSON.parse((await bundle('--output', 'json')).out)).toEqual({ bundleSequence: 1, trustBundle: roots })
})

test('a file of several lines is no token', async () => {
  await issue('cart-key', ...cart)
  const path = join(work, 'cart-key/key.pem')
  expect(await issue('by-key', '--token', path)).toEqual({
    exit: 2,
    out: '',
    err: `alcazar: ${path} holds no token: a token is one line\n`,
  })
})

test('uses a token from a file', async () => {
  const token = await alcazar(['token', '--state-directory', server.state, ...cart])
  writeFileSync(join(work, 'token'), token.out)
  expect((await issue('by-token', '--token', join(work, 'token'))).out).toMatch(
    /^spiffe:\/\/cluster\.local\/ns\/shop\/sa\/cart\n/,
  )
})

test('asks a server by its address, trusted by the roots it is given', async () => {
  await issue('roots', ...cart)
  const token = await alcazar(['token', '--state-directory', server.state, ...cart])
  writeFileSync(join(work, 'token-2'), token.out)
  const address = [
    '--server',
    `localhost:${server.ca.port}`,
    '--root-cert',
    join(work, 'roots/root-cert.pem'),
    '--token',
    join(work, 'token-2'),
  ]
  expect((await issue('by-address', ...address)).exit).toBe(0)
})

test('says it where the roots do not vouch for the server, are none, or the server speaks no TLS', async () => {
  const token = join(work, 'token-3')
  writeFileSync(token, (await alcazar(['token', '--state-directory', server.state, ...cart])).out)
  const roots = join(work, 'other-roots.pem')
  writeFileSync(roots, certificatePem((await aRoot()).certificate.der))
  const asked = (port: number, file: string) =>
    issue('untrusted', '--server', `localhost:${port}`, '--root-cert', file, '--token', token)
  expect(await asked(server.ca.port, roots)).toMatchObject({
    exit: 2,
    out: '',
    err: expect.stringMatching(/^alcazar: the roots in \S+other-roots\.pem don’t vouch for localhost:\d+: .*\n$/),
  })
  expect(await asked(server.ca.port, '/etc/hostname')).toMatchObject({
    exit: 2,
    err: 'alcazar: --root-cert /etc/hostname: it holds no certificates in PEM\n',
  })
  expect(await asked(server.health.port, roots)).toMatchObject({
    exit: 7,
    err: expect.stringMatching(/: it closed the connection; is it the server’s TLS port, usually 15012\?\n$/),
  })
  const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await new Promise<void>((listening) => void plain.listen(0, '127.0.0.1', listening))
  onTestFinished(() => void plain.close())
  expect(await asked((plain.address() as AddressInfo).port, roots)).toMatchObject({
    exit: 2,
    err: expect.stringMatching(/^alcazar: localhost:\d+ does not speak TLS; .*\n$/),
  })
})

test.each<readonly [what: string, prepare: (path: string) => void, below: string, says: string]>([
  ['a file', (path) => writeFileSync(path, ''), '', 'what has that name is no directory'],
  ['below a file', (path) => writeFileSync(path, ''), '/a/b', 'part of the path is a file, not a directory'],
  ['a link that leads nowhere', (path) => symlinkSync('/nowhere', path), '', 'what has that name is no directory'],
  // Where a directory can't be made, and Node's recursive mkdir would try for ever.
  ['in /proc', (path) => symlinkSync('/proc', path), '/alcazar/a', 'no such file or directory'],
])('issues nothing where --out is %s', async (what, prepare, below, says) => {
  const account = what.replaceAll(/\W+/g, '-')
  const out = join(work, account) + below
  prepare(join(work, account))
  const { exit, err } = await alcazar([
    ...['issue', '--state-directory', server.state, '--out', out, '-n', 'nothing', '-s', account],
  ])
  expect({ exit, err }).toEqual({ exit: 2, err: `alcazar: --out ${out}: ${says}\n` })
  expect((await alcazar(['ledger', 'list', '-n', 'nothing', '--state-directory', server.state])).out).toMatch(
    /^Nothing/,
  )
})

test('issues nothing for an account whose files would not be written', async () => {
  await issue('first', ...cart)
  mkdirSync(join(work, 'full/key.pem'), { recursive: true })
  expect((await issue('first', '-n', 'late', '-s', 'till')).exit).toBe(6)
  expect((await issue('full', '-n', 'late', '-s', 'till')).err).toMatch(/full\/key\.pem is a directory; choose another/)
  expect((await alcazar(['ledger', 'list', '-n', 'late', '--state-directory', server.state])).out).toMatch(/^Nothing/)
})

test('makes the directory with its parents', async () => {
  expect((await issue('new/with/parents', ...cart)).exit).toBe(0)
})

test('says how to find out why a token was not believed', async () => {
  const { err } = await issue('hint', '--token', '/etc/hostname')
  expect(err).toBe(
    'alcazar: the server said: request authenticate failure; why is what alcazar inspect /etc/hostname may show, and alcazar ledger list --refused tells the server’s admin\n',
  )
})

test.each<readonly [what: string, args: string[], exit: number, says: RegExp]>([
  ['nobody named', [], 2, /say who the certificate is for/],
  ['a server without its roots', ['--server', 'localhost:1'], 2, /--server needs --root-cert/],
  [
    'a token file that isn’t there',
    ['--token', '/nowhere'],
    2,
    /^alcazar: --token \/nowhere: no such file or directory\n$/,
  ],
  [
    'a token file without an end',
    ['--token', '/dev/zero'],
    2,
    /--token \/dev\/zero is neither a plain file nor a pipe/,
  ],
  [
    'a token and an account',
    [...cart, '--token', '/nowhere'],
    2,
    /'--token <file>' cannot be used with option '-n, --namespace/,
  ],
  ['a token that is none', ['--token', '/etc/hostname'], 4, /request authenticate failure/],
  ['a name that Kubernetes would not take', ['-n', 'Shop', '-s', 'cart'], 2, /"Shop" is no name of Kubernetes/],
  ['a lifetime that is none', [...cart, '--ttl', 'soon'], 2, /not a duration: "soon"/],
  ['a kind of key that isn’t there', [...cart, '--key-algorithm', 'dsa'], 2, /Allowed choices are ecdsa-p256/],
])('refuses %s', async (_what, args, exit, says) => {
  const ran = await issue('refused', ...args)
  expect(ran.exit).toBe(exit)
  expect(ran.err).toMatch(says)
})

test('refuses an empty token file', async () => {
  const path = join(scratch(), 'token')
  writeFileSync(path, '\n')
  expect(await issue('refused', '--token', path)).toMatchObject({
    exit: 2,
    err: `alcazar: --token ${path}: it is empty\n`,
  })
})

test('without a server it says how to start one', async () => {
  const { exit, err } = await alcazar(['issue', '--state-directory', work, '--out', join(work, 'none'), ...cart])
  expect(exit).toBe(7)
  expect(err).toMatch(/no server answers at .*admin\.sock; start one \(alcazar serve; npm start for dev mode\)/)
})

test('ledger list shows what was issued and refused, and show tells all of one', async () => {
  const { out } = await issue('ledger', '-n', 'books', '-s', 'reader', '-o', 'json')
  const { serial } = JSON.parse(out) as { serial: string }
  const ledger = (...args: string[]) => alcazar(['ledger', ...args, '--state-directory', server.state])
  expect((await ledger('list', '-n', 'books')).out).toMatch(
    new RegExp(`^\\S+ \\S+  issued   spiffe://cluster\\.local/ns/books/sa/reader  ${serial.slice(0, 8)}…`),
  )
  await issue('refused-in-ledger', '--token', '/etc/hostname')
  expect((await ledger('list', '--refused', '--since', '1h')).out).toMatch(
    /refused {2}127\.0\.0\.1:\d+ {2}malformed_token: a token that is not three parts with dots between {2}\(request [0-9a-f]{16}\)/,
  )
  expect((await ledger('list')).out).toMatch(/ {2}issuing authority activated {2}[0-9a-f]{4} [0-9a-f]{4} {2}/)
  expect((await ledger('list', '-n', 'nobody')).out).toBe('Nothing of the kind is in the ledger.\n')
  const shown = await ledger('show', serial.replace(/..(?=.)/g, '$&:').toUpperCase())
  expect(shown.out).toMatch(
    /^intent at [\s\S]*caller {10}namespace=books serviceAccount=reader method=service-account-token[\s\S]*issued at/,
  )
  expect((await ledger('show', 'ffff0000')).exit).toBe(5)
  expect((await ledger('show', 'zz')).exit).toBe(2)
  expect((await ledger('list', '--limit', '0')).exit).toBe(2)
  expect(JSON.parse((await ledger('list', '--issued', '--limit', '1', '-o', 'json')).out)).toHaveLength(1)
})

test('without a ledger it says so', async () => {
  const { exit, err } = await alcazar(['ledger', 'list', '--state-directory', join(work, 'empty')])
  expect(exit).toBe(5)
  expect(err).toMatch(/there is no ledger in /)
})
