import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call } from '../../src/cli/client.ts'
import { colonHex, hex } from '../../src/core/bytes.ts'
import { DAY } from '../../src/core/duration.ts'
import { makeCrl } from '../../src/issuance/crl.ts'
import { type CrlEntry, writeCrl, writeTbsCrl } from '../../src/x509/crl.ts'
import { certificatePem, crlPem } from '../../src/x509/pem.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { aDevServer } from '../_support/dev-server.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { anIntermediate, aRoot } from '../_support/plugged-ca.ts'
import { podClaims, TokenSigner } from '../_support/tokens.ts'

let work: string
let bundle: string
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'alcazar-inspect-'))
  await using server = await aDevServer()
  await alcazar(['issue', '--state-directory', server.state, '-n', 'shop', '-s', 'cart', '--out', join(work, 'cart')])
  const rootsPem = readFileSync(join(work, 'cart/root-cert.pem'), 'utf8')
  bundle = JSON.stringify(
    await call(
      { kind: 'https', host: 'localhost', port: server.ca.port, rootsPem },
      'GET',
      '/v1/bundle',
      undefined,
      {},
    ),
  )
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

const file = (name: string, content: string | Uint8Array, mode = 0o644): string => {
  const path = join(work, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

test('explains a chain and that the key belongs to it', async () => {
  const { exit, out } = await alcazar(['inspect', join(work, 'cart/cert-chain.pem'), join(work, 'cart/key.pem')])
  expect(exit).toBe(0)
  expect(out).toMatch(/spiffe:\/\/cluster\.local\/ns\/shop\/sa\/cart {2}\(certificate\)\n {2}role {8}leaf/)
  expect(out).toMatch(/pod {9}cart-dev\n {2}renewable {3}by itself until/)
  expect(out).toMatch(/chain of 2\n {2}order {7}each was issued by the next; the root is not in this file/)
  expect(out).toMatch(/key\.pem is the key of the first certificate in .*cert-chain\.pem/)
})

test('says when a key belongs to no certificate, or can be read by others', async () => {
  const key = file('other-key.pem', execFileSync('openssl', ['genpkey', '-algorithm', 'ED25519']), 0o644)
  const { exit, out } = await alcazar(['inspect', join(work, 'cart/cert-chain.pem'), key])
  expect(exit).toBe(6)
  expect(out).toMatch(/✘ others than its owner can read it; make it 600/)
  expect(out).toMatch(/✘ .*other-key\.pem is not the key of any of them/)
})

test('says that a certificate has ended, or has not begun', async () => {
  const root = await aRoot({ clock: new FakeClock('2030-01-01T00:00:00Z'), lifetimeMs: DAY })
  const path = file('root.pem', certificatePem(root.certificate.der))
  expect((await alcazar(['inspect', path], { clock: new FakeClock('2030-01-03T00:00:00Z') })).out).toMatch(
    /✘ it ended 24 h ago/,
  )
  expect((await alcazar(['inspect', path], { clock: new FakeClock('2029-12-01T00:00:00Z') })).out).toMatch(
    /✘ it is not valid yet: it begins in 31 days/,
  )
})

test('says where a chain breaks', async () => {
  const [root, other] = [await aRoot(), await aRoot()]
  const leaf = await anIntermediate(root)
  const { exit, out } = await alcazar([
    'inspect',
    file('broken.pem', [leaf, other].map((one) => certificatePem(one.certificate.der)).join('')),
  ])
  expect(exit).toBe(6)
  expect(out).toMatch(/✘ number 1 was not issued by number 2, which follows it/)
})

test('says what breaks a rule of SPIFFE: two URIs', async () => {
  const pem = execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      '/dev/null',
      '-subj',
      '/',
      '-addext',
      'basicConstraints=critical,CA:FALSE',
      '-addext',
      'keyUsage=critical,digitalSignature',
      '-addext',
      'subjectAltName=critical,URI:spiffe://a/b,URI:spiffe://a/c',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  expect((await alcazar(['inspect', '-'], { stdin: pem })).out).toMatch(
    /✘ an SVID has one name, a URI \(X509-SVID §2\)/,
  )
})

test('explains a CSR, and that only its key counts', async () => {
  const csr = execFileSync(
    'openssl',
    [
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      '/dev/null',
      '-subj',
      '/CN=admin',
      '-addext',
      'subjectAltName=URI:spiffe://cluster.local/ns/kube-system/sa/admin',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  const { exit, out } = await alcazar(['inspect', '-'], { stdin: csr })
  expect(exit).toBe(0)
  expect(out).toMatch(
    /asks for {4}the subject CN=admin, URI:spiffe:\/\/cluster\.local\/ns\/kube-system\/sa\/admin \(Alcazar uses the key alone\)/,
  )
})

test('says why a CSR’s key would be refused', async () => {
  const csr = execFileSync(
    'openssl',
    ['req', '-new', '-newkey', 'rsa:1024', '-nodes', '-keyout', '/dev/null', '-subj', '/'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  expect((await alcazar(['inspect', '-'], { stdin: csr })).out).toMatch(
    /✘ the public key is RSA with 1024 bits; accepted are 2048 to 8192/,
  )
})

test('what is in a token can’t pass for a line of ours, nor steer the terminal', async () => {
  const claims = { iss: 'x\nvalid       forever', sub: '\u001b[2Jroot\u202e', aud: ['a\u009b31m', 'b\u2028c'], exp: 1 }
  const { out } = await alcazar(['inspect', '-'], { stdin: new TokenSigner().signed(claims) })
  expect(out.split('\n').slice(0, 3)).toEqual([
    '\\u001b[2Jroot\\u202e  (token)',
    '  issuer      x\\u000avalid       forever',
    '  audience    a\\u009b31m, b\\u2028c',
  ])
})

test('nor what is in a certificate', async () => {
  const pem = execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null'],
      ...['-utf8', '-subj', '/CN=x\nvalid forever\u001b[2J\u202e'],
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  const { out } = await alcazar(['inspect', '-'], { stdin: pem })
  expect(out).toContain('valid forever')
  for (const steering of ['\nvalid forever', '\u001b', '\u202e']) expect(out).not.toContain(steering)
})

test('explains a token, and what is wrong with it', async () => {
  const signer = new TokenSigner()
  const now = new Date('2030-01-01T00:00:00Z')
  const claims = podClaims({
    issuer: signer.issuer,
    namespace: 'shop',
    serviceAccount: 'cart',
    accountUid: 'u',
    pod: { name: 'cart-0', uid: 'p' },
    now,
  })
  const good = await alcazar(['inspect', '-'], {
    stdin: `${signer.signed(claims)}\n`,
    clock: new FakeClock('2030-01-01T00:10:00Z'),
  })
  expect(good.exit).toBe(0)
  expect(good.out).toMatch(/^system:serviceaccount:shop:cart {2}\(token\)/)
  expect(good.out).toMatch(/bound to {4}pod cart-0/)
  const late = await alcazar(['inspect', '-'], {
    stdin: signer.signed(claims),
    clock: new FakeClock('2030-01-02T00:00:00Z'),
  })
  expect(late.out).toMatch(/✘ it ended 23 h ago/)
  const { exp: _exp, ...legacy } = claims
  expect((await alcazar(['inspect', '-'], { stdin: signer.signed(legacy), clock: new FakeClock() })).out).toMatch(
    /✘ it has no end \(exp\)/,
  )
  expect(
    (await alcazar(['inspect', '-'], { stdin: signer.signed(claims, { alg: 'none' }), clock: new FakeClock() })).out,
  ).toMatch(/✘ a token signed with "none"; taken are asymmetric signatures only/)
})

test('explains a SPIFFE bundle', async () => {
  const { exit, out } = await alcazar(['inspect', '-'], { stdin: bundle })
  expect(exit).toBe(0)
  expect(out).toMatch(/^trust bundle of 1 X\.509 root\n {2}sequence {4}1\n {2}ask again {3}every 300 s/)
  expect((await alcazar(['inspect', '-'], { stdin: '{"keys":[]}' })).out).toMatch(
    /✘ it holds no key: whoever follows it trusts nobody/,
  )
})

test('reads DER, and a public key', async () => {
  const chain = readFileSync(join(work, 'cart/cert-chain.pem'))
  const der = execFileSync('openssl', ['x509', '-outform', 'der'], { input: chain })
  expect((await alcazar(['inspect', '-'], { stdin: der })).out).toMatch(/ns\/shop\/sa\/cart {2}\(certificate\)/)
  const spki = execFileSync('openssl', ['x509', '-pubkey', '-noout'], { input: chain })
  expect((await alcazar(['inspect', '-'], { stdin: spki })).out).toBe('public key, ECDSA P-256\n')
})

describe('explains a CRL:', async () => {
  const { issuing, making } = await anIssuer()
  const revoked = (count: number): CrlEntry[] =>
    Array.from({ length: count }, (_, n) => ({
      serial: `4a${n.toString(16).padStart(2, '0')}`,
      revokedAt: new Date('2029-12-31T12:00:00Z'),
      reason: n === 1 ? 'keyCompromise' : undefined,
    }))
  const crl = async (count: number) => {
    const content = { entries: revoked(count), number: 7n, nextUpdate: 'with its authority' } as const
    return makeCrl({ certificate: issuing.certificate, signer: issuing.key }, content, making)
  }
  const at = (moment: string) => ({ clock: new FakeClock(moment) })

  test('whose, when, and what it revokes, from PEM and from DER', async () => {
    const { der } = await crl(2)
    const keyId = colonHex(hex(issuing.certificate.tbs.subjectKeyId as Uint8Array))
    for (const stdin of [crlPem(der), der]) {
      const { exit, out } = await alcazar(['inspect', '-'], { stdin, ...at('2030-01-01T00:00:00Z') })
      expect(exit).toBe(0)
      const name = /O=cluster\.local, CN=issuing [0-9a-f]{4} [0-9a-f]{4}/.exec(out)?.[0]
      expect(out).toBe(
        [
          `CRL 7 of ${name}`,
          `  issuer      ${name}`,
          `  issuer key  ${keyId}`,
          '  number      7',
          '  signed with ECDSA with SHA-256 (the signature is not checked here)',
          '  valid       from 2029-12-31 23:58 UTC until 2030-01-31 00:00 UTC (ends in 30 days)',
          '  revokes     2 certificates',
          '  revoked 1   4a:00 2029-12-31 12:00 UTC',
          '  revoked 2   4a:01 2029-12-31 12:00 UTC (keyCompromise)',
          '',
        ].join('\n'),
      )
    }
  })

  test('one by one up to ten, and how many more', async () => {
    const told = async (count: number) => {
      const { der } = await crl(count)
      return (await alcazar(['inspect', '-'], { stdin: der, ...at('2030-01-01T00:00:00Z') })).out
    }
    expect(await told(0)).toMatch(/revokes {5}no certificates\n$/)
    expect(await told(1)).toMatch(/revokes {5}1 certificate\n {2}revoked 1 {3}4a:00 [^\n]*\n$/)
    expect(await told(10)).toMatch(/revoked 10 {2}4a:09 [^\n]*\n$/)
    expect(await told(12)).toMatch(/revoked 10 {2}4a:09 [^\n]*\n {2}and {9}2 more\n$/)
  })

  test('that it has ended, or has not begun', async () => {
    const { der } = await crl(1)
    const over = await alcazar(['inspect', '-'], { stdin: der, ...at('2030-02-01T00:00:00Z') })
    expect(over.exit).toBe(6)
    expect(over.out).toMatch(/✘ it ended 24 h ago: verifiers that check revocation refuse all that this CA signed\n/)
    const early = await alcazar(['inspect', '-'], { stdin: der, ...at('2029-12-31T22:58:00Z') })
    expect(early.exit).toBe(6)
    expect(early.out).toMatch(/✘ it is not valid yet: it begins in 60 min\n/)
  })

  test('the largest there can be', async () => {
    const entries = Array.from({ length: 100_000 }, (_, n) => ({
      serial: `7f${n.toString(16).padStart(38, '0')}`,
      revokedAt: new Date('2050-01-01T00:00:00Z'),
      reason: 'privilegeWithdrawn' as const,
    }))
    const content = { entries, number: 7n, nextUpdate: 'with its authority' } as const
    const { der } = await makeCrl({ certificate: issuing.certificate, signer: issuing.key }, content, making)
    const { exit, out } = await alcazar(['inspect', '-'], { stdin: crlPem(der), ...at('2030-01-01T00:00:00Z') })
    expect([exit, /revokes.*/.exec(out)?.[0]]).toEqual([0, 'revokes     100000 certificates'])
  })

  test('an algorithm that is not accepted, and what is no CRL', async () => {
    const { tbs } = await crl(1)
    const md5 = Buffer.from('300d06092a864886f70d0101040500', 'hex')
    const der = writeCrl(writeTbsCrl({ ...tbs, signatureAlgorithm: md5 }), md5, Uint8Array.of(1))
    const { exit, out } = await alcazar(['inspect', '-'], { stdin: crlPem(der), ...at('2030-01-01T00:00:00Z') })
    expect(exit).toBe(6)
    expect(out).toMatch(/✘ it is signed with an algorithm that is not accepted here\n/)
    const stdin = crlPem(issuing.certificate.der)
    expect(await alcazar(['inspect', '-'], { stdin })).toMatchObject({
      exit: 2,
      err: 'alcazar: -: a CRL of another version than 2\n',
    })
  })
})

test('the same as JSON, and never a private key in it', async () => {
  const { out } = await alcazar(['inspect', join(work, 'cart/key.pem'), '-o', 'json'])
  expect(JSON.parse(out)).toMatchObject([{ findings: [{ kind: 'private key', problems: [] }] }])
  expect(out).not.toMatch(/BEGIN/)
})

test.each<readonly [what: string, stdin: string, exit: number, says: RegExp]>([
  ['nothing', '', 2, /-: it is empty/],
  ['something else', 'hello', 2, /neither PEM nor DER, nor a bundle or a token/],
  ['JSON that is no key set', '{"a":1}', 2, /no key set/],
  [
    'PEM of an unknown kind',
    '-----BEGIN PGP MESSAGE-----\nAAAA\n-----END PGP MESSAGE-----\n',
    2,
    /which nothing here explains/,
  ],
  ['PEM cut short', '-----BEGIN CERTIFICATE-----\nAAAA\n', 2, /without its end/],
  [
    'a certificate that is garbage',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    2,
    /not DER as expected/,
  ],
])('refuses %s', async (_what, stdin, exit, says) => {
  const ran = await alcazar(['inspect', '-'], { stdin })
  expect(ran.exit).toBe(exit)
  expect(ran.err).toMatch(says)
})

const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] })

test('describes a key that is not accepted, and says why', async () => {
  const weak = openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024')
  for (const stdin of [
    weak,
    execFileSync('openssl', ['pkcs8', '-topk8', '-nocrypt', '-outform', 'der'], { input: weak }),
  ]) {
    const { exit, out } = await alcazar(['inspect', '-'], { stdin })
    expect(exit).toBe(6)
    expect(out).toMatch(
      /^private key, RSA 1024\n[\s\S]*✘ the public key is RSA with 1024 bits; accepted are 2048 to 8192/,
    )
  }
  const unknown = openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1')
  expect((await alcazar(['inspect', '-'], { stdin: unknown })).out).toMatch(/^private key, EC secp256k1\n/)
})

test('knows an encrypted key', async () => {
  const plain = readFileSync(join(work, 'cart/key.pem'))
  for (const args of [
    ['pkcs8', '-topk8'],
    ['ec', '-aes128'],
  ]) {
    const command = [...args, '-passout', 'pass:secret']
    const stdin = execFileSync('openssl', command, { input: plain, stdio: ['pipe', 'pipe', 'ignore'] })
    expect(await alcazar(['inspect', '-'], { stdin })).toMatchObject({
      exit: 2,
      err: expect.stringMatching(/^alcazar: -: an encrypted key: /),
    })
  }
})

test.each(['', '.'])('says that a token has no signature, whether it ends with “%s” or not', async (end) => {
  const [header, payload] = new TokenSigner().signed({ sub: 'x', aud: 'y', exp: 1 }, { alg: 'none' }).split('.')
  const { exit, out } = await alcazar(['inspect', '-'], { stdin: `${header}.${payload}${end}` })
  expect(exit).toBe(6)
  expect(out).toMatch(/signed with nothing, and its header names none\n/)
  expect(out).toMatch(/✘ it has no signature\n/)
})

test('one file that can’t be read does not keep it from the others', async () => {
  const bad = file('bad.pem', 'hello')
  const files = ['/nowhere', bad, join(work, 'cart/cert-chain.pem')]
  const { exit, out, err } = await alcazar(['inspect', ...files, '-o', 'json'])
  expect(exit).toBe(5)
  expect(JSON.parse(out)).toMatchObject([
    { file: files[2], findings: [{ kind: 'certificate' }, {}, {}] },
    { file: '/nowhere', error: '/nowhere is not there' },
    { file: bad, error: expect.stringMatching(/neither PEM nor DER/) },
  ])
  expect(err).toMatch(/^alcazar: \/nowhere is not there\n {2}\S+bad\.pem: neither PEM/)
  expect((await alcazar(['inspect', ...files])).out).toMatch(/ns\/shop\/sa\/cart {2}\(certificate\)/)
})

test('says whether a key is that of a CSR', async () => {
  const key = join(work, 'cart/key.pem')
  const csr = file('cart.csr', openssl('req', '-new', '-key', key, '-subj', '/'))
  expect(await alcazar(['inspect', csr, key])).toMatchObject({
    exit: 0,
    out: expect.stringMatching(/cart\/key\.pem is the key of the CSR in \S+cart\.csr\n/),
  })
  const other = file('third-key.pem', openssl('genpkey', '-algorithm', 'ED25519'), 0o600)
  expect(await alcazar(['inspect', csr, other])).toMatchObject({
    exit: 6,
    out: expect.stringMatching(
      /third-key\.pem and the certificates and CSRs\n {2}✘ \S+third-key\.pem is not the key of any/,
    ),
  })
})

test('names the zone of its times, and says of what is over that it ended', async () => {
  const root = await aRoot({ clock: new FakeClock('2030-01-01T00:00:00Z'), lifetimeMs: DAY })
  const { out } = await alcazar(['inspect', file('over.pem', certificatePem(root.certificate.der))], {
    clock: new FakeClock('2033-01-03T00:00:00Z'),
  })
  expect(out).toMatch(/valid {7}from 20\S+ \d\d:\d\d UTC until 2030-01-0\d \d\d:\d\d UTC \(ended 3 years ago\)\n/)
})

test('a file that isn’t there is exit code 5', async () => {
  expect((await alcazar(['inspect', '/nowhere'])).exit).toBe(5)
})
