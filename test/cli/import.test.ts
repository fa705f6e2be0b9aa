import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readJournal } from '../../src/authority/journal.ts'
import { lockDirectory } from '../../src/storage/directory-lock.ts'
import { alcazar, type Ran } from '../_support/a-terminal.ts'
import {
  aCacertsDirectory,
  aRootDirectory,
  aWrappingKey,
  keyPemOf,
  pemOf,
  picture,
} from '../_support/ca-directories.ts'
import { FakeApiServer } from '../_support/fake-api-server.ts'
import { eachStep, LEFTOVERS } from '../_support/faulty-disk.ts'
import { aRootForLeavesOnly } from '../_support/openssl-ca.ts'
import { openssl, testWithOpenssl } from '../_support/openssl-command.ts'
import { anIntermediate, aRoot, writeCacerts } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'
import { TokenSigner } from '../_support/tokens.ts'

const journalIn = (state: string) => readJournal(readFileSync(join(state, 'authority/journal.json'), 'utf8'))
const json = ({ out }: Ran) => JSON.parse(out) as Record<string, unknown>

function into(state: string, ...args: string[]): Promise<Ran> {
  return alcazar(['import', '--state-directory', state, ...args])
}

describe('import --from directory', () => {
  test('takes a root over, sealed, and says where it still lies in the clear', async () => {
    const { path, root } = await aRootDirectory()
    const state = join(scratch(), 'state')
    const { exit, out, err } = await into(state, '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
    expect([exit, err]).toEqual([0, ''])
    expect(out).toMatch(/^Taken over from .*: root [0-9a-f]{4} [0-9a-f]{4}, ECDSA P-256, ends in \d+ years\.$/m)
    expect(out).toContain(`  ${path}/ca-key.pem\n    remove it: shred -u ${path}/ca-key.pem\n`)
    expect(out).toContain('Nothing alive notices: same root, same bundle (1 root, number 1).')
    expect(out).toContain('status says “was in the clear” of this root until alcazar root rotate has replaced it')
    const { set } = journalIn(state)
    expect(set).toMatchObject({ origin: 'own', authorities: [{ state: 'active', key: 'sealed', wasInTheClear: true }] })
    expect(set.authorities[0]?.certificate.der).toEqual(Buffer.from(root.certificate.der))
    const ledger = await alcazar(['ledger', 'list', '--state-directory', state])
    expect(ledger.out).toMatch(/CA taken over {2}[0-9a-f ]{9} {2}from .*, where its key was in the clear/)
  })

  test('leaves no key in the clear, on the disk or on the screen', async () => {
    const { path, root } = await aRootDirectory()
    const state = join(scratch(), 'state')
    const { out, err } = await into(state, '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
    const secret = (await keyPemOf(root)).split('\n').slice(1, 3)
    const files = Object.values(picture(state)).join()
    for (const line of secret) expect([out, err, files].join()).not.toContain(line)
    expect(files).not.toContain('PRIVATE KEY')
  })

  test('takes an intermediate over with the root above it', async () => {
    const { path } = await aCacertsDirectory()
    const state = scratch()
    const { exit, out } = await into(state, '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
    expect(exit).toBe(0)
    expect(out).toMatch(/It signs by the CA [0-9a-f]{4} [0-9a-f]{4} below it, .* the root’s own key stays elsewhere/)
    expect(out).toContain('  ! It may sign no CA (pathLen 0)')
    expect(journalIn(state).set.authorities[0]).toMatchObject({ key: 'elsewhere', online: { key: 'sealed' } })
  })

  test('takes a mounted Secret of type kubernetes.io/tls', async () => {
    const path = scratch()
    const root = await aRoot()
    const ca = await anIntermediate(root)
    writeFileSync(join(path, 'tls.crt'), pemOf(ca, root))
    writeFileSync(join(path, 'ca.crt'), pemOf(root))
    writeFileSync(join(path, 'tls.key'), await keyPemOf(ca))
    const state = scratch()
    const { exit, out } = await into(state, '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
    expect(exit).toBe(0)
    expect(out).toContain(`${path}/tls.key`)
    expect(journalIn(state).set.authorities[0]?.online?.certificate.der).toEqual(Buffer.from(ca.certificate.der))
  })

  testWithOpenssl(
    'takes a CA as people make one, with RSA and pathlen 0 and an end soon, and says all that',
    async () => {
      const path = scratch()
      await aRootForLeavesOnly(path)
      const { exit, out } = await into(scratch(), '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
      expect(exit).toBe(0)
      expect(out).toMatch(/! It may sign no CA/)
      expect(out).toMatch(/! The root allows too few CAs below it \(pathLen 0\)/)
      expect(out).toMatch(/! It ends at .*, in 30 days: replace it soon/)
      const rsa = scratch()
      const [key, cert] = [join(rsa, 'ca-key.pem'), join(rsa, 'ca-cert.pem')]
      const asIstiod = ['-subj', '/O=cluster.local', '-addext', 'keyUsage=critical,keyCertSign', '-sha1']
      openssl([
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '3650',
        ...asIstiod,
        '-keyout',
        key,
        '-out',
        cert,
      ])
      const old = await into(scratch(), '--from', 'directory', rsa, '--wrapping-key-file', aWrappingKey())
      expect([old.exit, old.err]).toEqual([0, ''])
      expect(old.out).toMatch(/! The root signed itself with SHA-1/)
      expect(old.out).toMatch(/! Its key is RSA with few bits/)
    },
  )

  test('--dry-run says the same and touches nothing', async () => {
    const { path } = await aRootDirectory()
    const state = join(scratch(), 'state')
    const { exit, out } = await into(
      state,
      '--from',
      'directory',
      path,
      '--dry-run',
      '--wrapping-key-file',
      aWrappingKey(),
    )
    expect(exit).toBe(0)
    expect(out).toMatch(/^Would take over from .*: root/)
    expect(out).toContain('Nothing alive would notice: same root, same bundle')
    expect(out).toMatch(/Nothing was changed\.\n$/)
    expect(existsSync(state)).toBe(false)
  })

  test('--dry-run asks for what would seal the key, as the import will', async () => {
    const { path } = await aRootDirectory()
    const ran = await into(scratch(), '--from', 'directory', path, '--dry-run')
    expect(ran).toEqual({
      exit: 2,
      out: '',
      err: 'alcazar: --passphrase-file, --wrapping-key-file or --pkcs11-module is required: it seals the root’s key\n',
    })
  })

  test('--output json has the same for programs', async () => {
    const { path } = await aRootDirectory()
    const args = ['--from', 'directory', path, '--dry-run', '--wrapping-key-file', aWrappingKey(), '--output', 'json']
    expect(json(await into(scratch(), ...args))).toMatchObject({
      dryRun: true,
      from: path,
      root: { id: expect.stringMatching(/^[0-9a-f]{40}$/) },
      bundleSequence: 1,
      continues: false,
      remarks: [],
      clearCopies: [`${path}/ca-key.pem`],
    })
  })

  test.each(LEFTOVERS)(
    'a crash at any step leaves what the same command finishes, or says is done (%s)',
    async (leftover) => {
      const { path } = await aRootDirectory()
      const wrappingKey = aWrappingKey()
      const act = async (state: string) => {
        const ran = await into(state, '--from', 'directory', path, '--wrapping-key-file', wrappingKey)
        if (ran.exit !== 0) throw new Error(ran.err)
      }
      const steps = await eachStep(
        'dies',
        async () => scratch(),
        act,
        async ({ disk, root, at }) => {
          disk.restart(leftover)
          const again = await into(root, '--from', 'directory', path, '--wrapping-key-file', wrappingKey)
          if (again.exit !== 0) expect(again.err, at).toMatch(/was taken over already/)
          expect(journalIn(root).set.authorities, at).toMatchObject([{ state: 'active', key: 'sealed' }])
          const keys = readdirSync(join(root, 'authority')).filter((name) => name.endsWith('.sealed'))
          expect(keys, at).toHaveLength(1)
          // It opens: an export would give it back.
          const id = journalIn(root).set.authorities[0]?.id ?? ''
          const out = join(scratch(), 'out')
          const args = [
            '--root',
            id,
            '--out',
            out,
            '--yes-export',
            `${id.slice(0, 8)}`,
            '--wrapping-key-file',
            wrappingKey,
          ]
          expect((await alcazar(['export', '--state-directory', root, ...args])).err, at).toBe('')
        },
      )
      expect(steps.length).toBeGreaterThan(6)
    },
  )
})

describe('import refuses, and changes nothing:', () => {
  type Case = [what: string, spoil: (path: string) => Promise<void> | void, exit: number, message: string | RegExp]
  const cases: Case[] = [
    [
      'an empty directory',
      (path) => {
        for (const name of readdirSync(path)) rmSync(join(path, name))
      },
      5,
      'there is no CA: neither',
    ],
    ['a directory that isn’t there', (path) => rmSync(path, { recursive: true }), 2, 'is no directory'],
    ['one without its key', (path) => rmSync(join(path, 'ca-key.pem')), 2, 'ca-key.pem is missing'],
    ['one without its certificate', (path) => rmSync(join(path, 'ca-cert.pem')), 2, 'ca-cert.pem is missing'],
    [
      'another CA’s key',
      async (path) => writeFileSync(join(path, 'ca-key.pem'), await keyPemOf(await aRoot())),
      2,
      'ca-key.pem is not the key of the certificate in ca-cert.pem',
    ],
    [
      'a key that is none',
      (path) => writeFileSync(join(path, 'ca-key.pem'), 'SECRET'),
      2,
      'not an unencrypted private key',
    ],
    [
      'a chain that is none',
      (path) => writeFileSync(join(path, 'root-cert.pem'), 'x'),
      2,
      'root-cert.pem holds no certificate',
    ],
    [
      'a root of another CA',
      async (path) => writeFileSync(join(path, 'root-cert.pem'), pemOf(await aRoot())),
      2,
      'does not lead to a root in root-cert.pem',
    ],
    [
      'one that has ended',
      async (path) => {
        const { FakeClock } = await import('../_support/fake-clock.ts')
        const root = await aRoot({ clock: new FakeClock('2020-01-01T00:00:00Z'), lifetimeMs: 1000 })
        await writeCacerts(path, root, [root], [root])
      },
      2,
      'ended at 2020-01-01T00:00:01',
    ],
    [
      'the CA of another trust domain',
      async (path) => {
        const root = await aRoot({ trustDomain: 'other.example' })
        await writeCacerts(path, root, [root], [root])
      },
      2,
      'a CA certificate is for "spiffe://other.example", and the trust domain here is cluster.local',
    ],
  ]
  test.each(cases)('%s', async (_what, spoil, exit, message) => {
    const { path } = await aRootDirectory()
    await spoil(path)
    const state = join(scratch(), 'state')
    for (const mode of [
      ['--dry-run', '--wrapping-key-file', aWrappingKey()],
      ['--wrapping-key-file', aWrappingKey()],
    ]) {
      const ran = await into(state, '--from', 'directory', path, ...mode)
      expect(ran).toMatchObject({ exit, out: '', err: expect.stringContaining(message as string) })
      expect(ran.err).not.toMatch(/SECRET/)
    }
    expect(existsSync(state)).toBe(false)
  })

  test('a chain without its root, and a Secret whose ca.crt is missing', async () => {
    const { path } = await aCacertsDirectory()
    rmSync(join(path, 'root-cert.pem'))
    expect(
      (await into(scratch(), '--from', 'directory', path, '--dry-run', '--wrapping-key-file', aWrappingKey())).err,
    ).toMatch(/root-cert\.pem is missing/)
    const tls = scratch()
    const ca = await anIntermediate(await aRoot())
    writeFileSync(join(tls, 'tls.crt'), pemOf(ca))
    writeFileSync(join(tls, 'tls.key'), await keyPemOf(ca))
    const ran = await into(scratch(), '--from', 'directory', tls, '--dry-run', '--wrapping-key-file', aWrappingKey())
    expect(ran).toMatchObject({ exit: 2, err: expect.stringMatching(/is no root: it was issued by another name/) })
  })

  test.each([
    [['--from', 'directory'], '--from takes “directory DIR” or “istio”'],
    [['--from', 'istio', 'here'], '--from takes “directory DIR” or “istio”'],
    [['--from', 'vault', 'x'], '--from takes “directory DIR” or “istio”'],
    [['--from', 'directory', '.', '--longest-svid', 'soon'], 'not a duration'],
    [['--from', 'directory', '.', '--trust-domain', 'Not One'], 'trust domain'],
  ])('%j', async (args, message) => {
    expect(await into(scratch(), ...args, '--dry-run', '--wrapping-key-file', aWrappingKey())).toMatchObject({
      exit: 2,
      err: expect.stringContaining(message),
    })
  })

  test('nothing to seal the key with', async () => {
    const { path } = await aRootDirectory()
    const state = join(scratch(), 'state')
    expect(await into(state, '--from', 'directory', path)).toMatchObject({
      exit: 2,
      err: expect.stringContaining('--passphrase-file, --wrapping-key-file or --pkcs11-module is required'),
    })
    expect(existsSync(state)).toBe(false)
  })

  test('a passphrase file that is open to others', async () => {
    const { path } = await aRootDirectory()
    const pass = join(scratch(), 'pass')
    writeFileSync(pass, 'a passphrase', { mode: 0o644 })
    const state = scratch()
    const ran = await into(state, '--from', 'directory', path, '--passphrase-file', pass)
    expect(ran).toMatchObject({ exit: 2, err: expect.stringContaining('is open to others') })
    expect(existsSync(join(state, 'authority'))).toBe(false)
  })

  test('a server that runs', async () => {
    const { path } = await aRootDirectory()
    const state = scratch()
    using _server = lockDirectory(state)
    const ran = await into(state, '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
    expect(ran).toMatchObject({ exit: 6, err: expect.stringContaining('stop the server first') })
    expect(readdirSync(state)).toEqual(['lock'])
  })

  test('a directory that a trust domain left without its journal', async () => {
    const { path } = await aRootDirectory()
    const state = scratch()
    mkdirSync(join(state, 'authority'))
    const ran = await into(state, '--from', 'directory', path, '--wrapping-key-file', aWrappingKey())
    expect(ran).toMatchObject({ exit: 6, err: expect.stringContaining('journal.json is missing; put it back') })
    expect(readdirSync(join(state, 'authority'))).toEqual([])
  })

  test('a ledger that can’t be written: no success is told, and what is done is said to be', async () => {
    const { path } = await aRootDirectory()
    const args = ['--from', 'directory', path, '--wrapping-key-file', aWrappingKey()]
    const other = scratch()
    await into(other, ...args)
    const state = scratch()
    for (const file of readdirSync(join(other, 'ledger'))) mkdirSync(join(state, 'ledger', file), { recursive: true })
    expect(await into(state, ...args)).toEqual({
      exit: 7,
      out: '',
      err: expect.stringMatching(/^alcazar: root .{9} is taken over, but the ledger .*: no record of it is there\n$/),
    })
    expect(journalIn(state).set.authorities).toMatchObject([{ state: 'active', key: 'sealed' }])
  })

  test('a disk that is full: the same command again finishes it', async () => {
    const { path } = await aRootDirectory()
    const wrappingKey = aWrappingKey()
    const args = ['--from', 'directory', path, '--wrapping-key-file', wrappingKey]
    await eachStep(
      'fails once',
      async () => scratch(),
      async (state) => {
        const ran = await into(state, ...args)
        if (ran.exit !== 0) throw new Error(`${ran.exit} ${ran.err}${ran.out}`)
      },
      async ({ root, error, at }) => {
        if (error) expect(String(error), at).toMatch(/^Error: [267] alcazar: .*\n$/)
        const again = await into(root, ...args)
        if (again.exit !== 0) expect(again.err, at).toMatch(/was taken over already/)
        expect(journalIn(root).set.authorities, at).toMatchObject([{ state: 'active' }])
      },
    )
  })
})

describe('import --from istio', () => {
  async function mesh(secrets: Record<string, Record<string, string>>) {
    const server = await FakeApiServer.start(new TokenSigner())
    for (const [name, held] of Object.entries(secrets)) server.secrets.set(name, held)
    const kubeconfig = join(scratch(), 'kubeconfig')
    writeFileSync(kubeconfig, server.kubeconfig())
    return { server, kubeconfig, [Symbol.asyncDispose]: () => server.stop() }
  }

  test('takes the root that istiod made for itself, and names its Secret', async () => {
    const root = await aRoot()
    const secret = {
      'ca-cert.pem': pemOf(root),
      'ca-key.pem': await keyPemOf(root),
      'cert-chain.pem': '',
      'root-cert.pem': '',
    }
    await using at = await mesh({ 'istio-system/istio-ca-secret': secret })
    const state = scratch()
    const ran = await into(
      state,
      '--from',
      'istio',
      '--kubeconfig',
      at.kubeconfig,
      '--wrapping-key-file',
      aWrappingKey(),
    )
    expect([ran.exit, ran.err]).toEqual([0, ''])
    expect(ran.out).toContain(
      'Secret istio-system/istio-ca-secret\n    remove it: kubectl delete secret -n istio-system istio-ca-secret, once istiod signs no more\n',
    )
    expect(ran.out).not.toContain('PRIVATE KEY')
    expect(journalIn(state).set.authorities).toMatchObject([{ state: 'active', key: 'sealed', wasInTheClear: true }])
  })

  test('takes what was plugged in before what istiod made, and names each Secret with the key', async () => {
    const root = await aRoot()
    const ca = await anIntermediate(root)
    const cacerts = {
      'ca-cert.pem': pemOf(ca),
      'ca-key.pem': await keyPemOf(ca),
      'cert-chain.pem': pemOf(ca),
      'root-cert.pem': pemOf(root),
    }
    const own = await aRoot()
    const made = { 'ca-cert.pem': pemOf(own), 'ca-key.pem': await keyPemOf(own) }
    await using at = await mesh({ 'mesh/cacerts': cacerts, 'mesh/istio-ca-secret': made })
    const args = [
      '--from',
      'istio',
      '--kubeconfig',
      at.kubeconfig,
      '--istio-namespace',
      'mesh',
      '--dry-run',
      '--wrapping-key-file',
      aWrappingKey(),
      '-o',
      'json',
    ]
    expect(json(await into(scratch(), ...args))).toMatchObject({ clearCopies: ['Secret mesh/cacerts'] })
    at.server.secrets.set('mesh/istio-ca-secret', cacerts)
    expect(json(await into(scratch(), ...args))).toMatchObject({
      clearCopies: ['Secret mesh/cacerts', 'Secret mesh/istio-ca-secret'],
    })
  })

  test('finds its cluster by KUBECONFIG', async () => {
    const root = await aRoot()
    await using at = await mesh({
      'istio-system/cacerts': { 'tls.crt': pemOf(root), 'tls.key': await keyPemOf(root), 'ca.crt': pemOf(root) },
    })
    const args = [
      'import',
      '--state-directory',
      scratch(),
      '--from',
      'istio',
      '--dry-run',
      '--wrapping-key-file',
      aWrappingKey(),
    ]
    const ran = await alcazar(args, { environment: { KUBECONFIG: at.kubeconfig } })
    expect([ran.exit, ran.err]).toEqual([0, ''])
  })

  test.each([
    [{}, undefined, 5, 'there is neither a Secret cacerts nor istio-ca-secret in istio-system'],
    [{}, 403, 4, 'need the verb get on it'],
    [{}, 500, 7, 'the Secret istio-system/cacerts can’t be read'],
    [
      { 'istio-system/cacerts': { other: 'x' } },
      undefined,
      5,
      'there is no CA: neither ca-cert.pem with ca-key.pem nor tls.crt with tls.key, but other',
    ],
    [
      { 'istio-system/cacerts': { 'ca-cert.pem': 'x', 'ca-key.pem': 'SECRET' } },
      undefined,
      2,
      'ca-key.pem of Secret istio-system/cacerts is unusable: not an unencrypted private key in PEM',
    ],
  ])('refuses %j with status %s', async (secrets, status, exit, message) => {
    await using at = await mesh(secrets)
    at.server.failWith = status
    const ran = await into(
      scratch(),
      '--from',
      'istio',
      '--kubeconfig',
      at.kubeconfig,
      '--dry-run',
      '--wrapping-key-file',
      aWrappingKey(),
    )
    expect(ran).toMatchObject({ exit, err: expect.stringContaining(message) })
    expect(ran.err).not.toMatch(/SECRET/)
  })
})
