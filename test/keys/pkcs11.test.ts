import { copyFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { hex } from '../../src/core/bytes.ts'
import { CaError } from '../../src/core/errors.ts'
import { KEY_ALGORITHMS, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { Pkcs11Token } from '../../src/keys/pkcs11.ts'
import { Pkcs11Keys } from '../../src/keys/pkcs11-keys.ts'
import type { Attributes, TokenSession } from '../../src/keys/pkcs11-session.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { keyIdOf, verifySignature } from '../../src/keys/public-key.ts'
import { scratch } from '../_support/scratch.ts'
import { missingForTokens, PIN, PIN_FLAGS, SoftHsm } from '../_support/soft-hsm.ts'
import { vaultContract } from '../_support/vault-contract.ts'

const missing = missingForTokens()
// On a laptop without them these tests are skipped; in CI that would be a hole nobody sees.
if (missing.length > 0 && process.env.CI)
  test('SoftHSM 2 and pkcs11js are there: CI runs everything', () => expect.fail(`missing: ${missing.join(', ')}`))

const P256 = keyAlgorithm('ecdsa-p256')
const TBS = Buffer.from('what is to be signed')
const idOf = (signer: Signer) => hex(keyIdOf(signer.publicKey.spki))
const ABSENT = 'ab'.repeat(20)

function expectSigned({ publicKey }: Signer, signature: Uint8Array, tbs: Uint8Array = TBS): void {
  expect(verifySignature(publicKey, publicKey.algorithm.signatureAlgorithm, tbs, signature)).toBe(true)
}

/** A place with one token, labelled root. */
function aToken(): { hsm: SoftHsm; folder: string; token: Pkcs11Token; keys: Pkcs11Keys } {
  const hsm = new SoftHsm()
  const folder = hsm.add('root')
  const token = hsm.open('root')
  return { hsm, folder, token, keys: new Pkcs11Keys(token) }
}

/** Changes what the library does for whoever uses the token from here on. */
class AlteredToken extends Pkcs11Token {
  alter: (session: TokenSession) => void = () => undefined

  override use<T>(action: (session: TokenSession) => Promise<T>): Promise<T> {
    return super.use((session) => {
      this.alter(session)
      return action(session)
    })
  }
}

const P256_WISH: Attributes = { EC_PARAMS: Buffer.from('06082a8648ce3d030107', 'hex') }

describe.skipIf(missing.length > 0)(
  `with SoftHSM 2 and pkcs11js${missing.map((one) => `; missing: ${one}`).join('')}`,
  () => {
    describe('a key', () => {
      test.each(KEY_ALGORITHMS.filter(({ family }) => family === 'ec' || family === 'rsa').map(({ name }) => name))(
        'of the kind %s is made, signs, and is the same when opened again in another session',
        async (name) => {
          const { hsm, token, keys } = aToken()
          const signer = await keys.make(keyAlgorithm(name))
          expect(signer.publicKey.algorithm.name).toBe(name)
          expectSigned(signer, await signer.sign(TBS))
          await token[Symbol.asyncDispose]()
          const again = await new Pkcs11Keys(hsm.open('root')).open(idOf(signer))
          expect(again.publicKey.spki).toEqual(signer.publicKey.spki)
          expectSigned(signer, await again.sign(TBS))
        },
      )

      test.each(KEY_ALGORITHMS.filter(({ family }) => family !== 'ec' && family !== 'rsa').map(({ name }) => name))(
        'of the kind %s is refused, with the kinds that the token can keep',
        async (name) => {
          const { keys } = aToken()
          const { label } = keyAlgorithm(name)
          await expect(keys.make(keyAlgorithm(name))).rejects.toMatchObject({
            code: 'invalid_argument',
            message: `the PKCS#11 token "root" can’t keep a root key of the kind ${label}; it can keep ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096`,
          })
        },
      )

      test('is refused where the token lacks what it takes', async () => {
        const hsm = new SoftHsm()
        hsm.add('root')
        await using token = new AlteredToken({ module: hsm.module, tokenLabel: 'root', pin: async () => PIN })
        token.alter = (session) => {
          session.sizes = (name) =>
            name === 'ECDSA'
              ? { least: 256, most: 384 }
              : name === 'EC_KEY_PAIR_GEN'
                ? { least: 256, most: 521 }
                : undefined
        }
        await expect(new Pkcs11Keys(token).make(keyAlgorithm('ecdsa-p521'))).rejects.toMatchObject({
          code: 'invalid_argument',
          message:
            'the PKCS#11 token "root" can’t keep a root key of the kind ECDSA P-521; it can keep ecdsa-p256, ecdsa-p384',
        })
        token.alter = (session) => {
          session.sizes = () => undefined
        }
        await expect(new Pkcs11Keys(token).make(P256)).rejects.toMatchObject({
          code: 'invalid_argument',
          message:
            'the PKCS#11 token "root" can’t keep a root key of the kind ECDSA P-256; it makes none that would do',
        })
      })

      test('is stored for good, for signing alone, out of reach of everybody, and both halves carry its name', async () => {
        const { token, keys } = aToken()
        const id = idOf(await keys.make(P256))
        const [privateHalf, publicHalf] = await token.use(async (session) => {
          const { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY } = session.constants
          return [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY].map((CLASS) => {
            const found = session.find({ CLASS, ID: Buffer.from(id, 'hex') })
            expect(found).toHaveLength(1)
            return session.read(
              found[0] as Buffer,
              ...(['LABEL', 'TOKEN', 'PRIVATE'] as const),
              ...(CLASS === CKO_PRIVATE_KEY
                ? ([
                    'SENSITIVE',
                    'ALWAYS_SENSITIVE',
                    'EXTRACTABLE',
                    'NEVER_EXTRACTABLE',
                    'SIGN',
                    'DECRYPT',
                    'UNWRAP',
                    'DERIVE',
                  ] as const)
                : (['VERIFY', 'ENCRYPT', 'WRAP'] as const)),
            )
          })
        })
        const texts = (values: object | undefined) =>
          Object.fromEntries(
            Object.entries(values ?? {}).map(([name, value]) => [
              name,
              name === 'LABEL' ? String(value) : value[0] === 1,
            ]),
          )
        const LABEL = `alcazar root ${id.slice(0, 4)} ${id.slice(4, 8)}`
        expect(texts(privateHalf)).toEqual({
          ...{ LABEL, TOKEN: true, PRIVATE: true, SENSITIVE: true, ALWAYS_SENSITIVE: true, EXTRACTABLE: false },
          ...{ NEVER_EXTRACTABLE: true, SIGN: true, DECRYPT: false, UNWRAP: false, DERIVE: false },
        })
        expect(texts(publicHalf)).toEqual({
          LABEL,
          TOKEN: true,
          PRIVATE: false,
          VERIFY: true,
          ENCRYPT: false,
          WRAP: false,
        })
      })

      test('does not come out, even for us', async () => {
        const { token, keys } = aToken()
        const ID = Buffer.from(idOf(await keys.make(P256)), 'hex')
        const value = token.use(async (session) => {
          const [key] = session.find({ CLASS: session.constants.CKO_PRIVATE_KEY, ID })
          return session.read(key as Buffer, 'VALUE' as 'ID')
        })
        await expect(value).rejects.toMatchObject({
          code: 'wrong_state',
          message: 'the PKCS#11 token "root" can’t do what a root key needs (CKR_ATTRIBUTE_SENSITIVE)',
        })
      })

      test('that was made elsewhere is not taken', async () => {
        const { keys } = aToken()
        await expect(keys.take()).rejects.toMatchObject({
          code: 'wrong_state',
          message:
            'a key made elsewhere is not taken into a PKCS#11 token, for it has been outside; rotate to a root made there',
        })
      })

      test('signs for many at once, while others are made', async () => {
        const { keys } = aToken()
        const signers = [await keys.make(P256), await keys.make(keyAlgorithm('rsa-2048'))]
        const made = keys.make(P256)
        const texts = Array.from({ length: 60 }, (_, n) => Buffer.from(`text ${n}`))
        const signatures = await Promise.all(texts.map((text, n) => (signers[n % 2] as Signer).sign(text)))
        for (const [n, signature] of signatures.entries())
          expectSigned(signers[n % 2] as Signer, signature, texts[n] as Buffer)
        expectSigned(await made, await (await made).sign(TBS))
      })
    })

    describe('what is found under a root’s name', () => {
      /** A key beside Alcazar's own doing, named for `id` or, without that, for itself. */
      async function foreignKey(token: Pkcs11Token, asked: Attributes, later: Attributes = {}): Promise<string> {
        return await token.use(async (session) => {
          const common: Attributes = { TOKEN: true, LABEL: 'foreign' }
          const { publicKey, privateKey } = await session.generateKeyPair(
            'EC_KEY_PAIR_GEN',
            { ...common, VERIFY: true, ...P256_WISH },
            { ...common, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, SIGN: true, ...asked },
          )
          const { EC_POINT } = session.read(publicKey, 'EC_POINT')
          const spki = Buffer.concat([
            Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
            EC_POINT.subarray(2),
          ])
          const id = hex(keyIdOf(spki))
          for (const half of [publicKey, privateKey]) session.write(half, { ID: Buffer.from(id, 'hex') })
          if (Object.keys(later).length > 0) session.write(privateKey, later)
          return id
        })
      }

      const half = (session: TokenSession, kind: 'private' | 'public', id: string) => {
        const { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY } = session.constants
        const [found] = session.find({
          CLASS: kind === 'private' ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY,
          ID: Buffer.from(id, 'hex'),
        })
        return found as Buffer
      }
      const nameOf = (id: string) =>
        `the key of the root ${id.slice(0, 4)} ${id.slice(4, 8)} in the PKCS#11 token "root"`

      test('is used where somebody else made it as we do', async () => {
        const { token, keys } = aToken()
        const id = await foreignKey(token, {})
        const signer = await keys.open(id)
        expectSigned(signer, await signer.sign(TBS))
      })

      test.each([
        ['that may be taken out', { EXTRACTABLE: true }, {}, 'can be taken out of the token'],
        ['whose value can be read', { SENSITIVE: false }, {}, 'can be taken out of the token'],
        [
          'that could once be taken out',
          { EXTRACTABLE: true },
          { EXTRACTABLE: false },
          'was not made in the token, or could once be taken out of it',
        ],
        [
          'whose value could once be read',
          { SENSITIVE: false },
          { SENSITIVE: true },
          'was not made in the token, or could once be taken out of it',
        ],
        ['that needs no PIN', { PRIVATE: false }, {}, 'is there for whoever has no PIN, or for one session'],
      ])('is refused: a key %s', async (_, asked, later, why) => {
        const { token, keys } = aToken()
        const id = await foreignKey(token, asked, later)
        await expect(keys.open(id)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(id)} ${why}; Alcazar uses only keys that never left their token`,
        })
      })

      test('is nothing: no key of that name', async () => {
        const { keys } = aToken()
        await keys.make(P256)
        await expect(keys.open(ABSENT)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(ABSENT)} is missing (its private half); put it back, or connect the token that has it: Alcazar makes no new root while the old one may be alive`,
        })
      })

      test.each(['private', 'public'] as const)('lacks its %s half', async (kind) => {
        const { token, keys } = aToken()
        const id = idOf(await keys.make(P256))
        await token.use(async (session) => {
          session.destroy(half(session, kind, id))
          session.proved.clear()
        })
        await expect(keys.open(id)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(id)} is missing (its ${kind} half); put it back, or connect the token that has it: Alcazar makes no new root while the old one may be alive`,
        })
      })

      test.each(['private', 'public'] as const)('is there twice: its %s half', async (kind) => {
        const { token, keys } = aToken()
        const [id, other] = [idOf(await keys.make(P256)), idOf(await keys.make(P256))]
        await token.use(async (session) => {
          session.write(half(session, kind, other), { ID: Buffer.from(id, 'hex') })
          session.proved.clear()
        })
        await expect(keys.open(id)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(id)} is there more than once (its ${kind} half); remove what is no copy of ours`,
        })
      })

      test.each(['private', 'public'] as const)('has the %s half of another key', async (kind) => {
        const { token, keys } = aToken()
        const [id, other] = [idOf(await keys.make(P256)), idOf(await keys.make(P256))]
        await token.use(async (session) => {
          session.destroy(half(session, kind, id))
          session.write(half(session, kind, other), { ID: Buffer.from(id, 'hex') })
          session.proved.clear()
        })
        await expect(keys.open(id)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(id)} has a public half that does not fit; put back the right pair`,
        })
      })

      test('has another name than its public half gives it', async () => {
        const { token, keys } = aToken()
        const id = idOf(await keys.make(P256))
        await token.use(async (session) => {
          const halves = [half(session, 'private', id), half(session, 'public', id)]
          for (const one of halves) session.write(one, { ID: Buffer.from(ABSENT, 'hex') })
        })
        await expect(keys.open(ABSENT)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(ABSENT)} has a public half that does not fit; put back the right pair`,
        })
      })

      test('is on a curve that no root is on', async () => {
        const { token, keys } = aToken()
        await token.use(async (session) => {
          const ID = Buffer.from(ABSENT, 'hex')
          await session.generateKeyPair(
            'EC_KEY_PAIR_GEN',
            // secp256k1
            { TOKEN: true, VERIFY: true, ID, EC_PARAMS: Buffer.from('06052b8104000a', 'hex') },
            { TOKEN: true, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, SIGN: true, ID },
          )
        })
        await expect(keys.open(ABSENT)).rejects.toMatchObject({
          code: 'wrong_state',
          message: `${nameOf(ABSENT)}: the public key is on a curve other than P-256, P-384 and P-521`,
        })
      })

      test('is a key that was removed while it was in use', async () => {
        const { token, keys } = aToken()
        const signer = await keys.make(P256)
        await token.use(async (session) => session.destroy(half(session, 'private', idOf(signer))))
        await expect(signer.sign(TBS)).rejects.toMatchObject({ code: 'dependency_unavailable' })
        await expect(signer.sign(TBS)).rejects.toMatchObject({
          code: 'wrong_state',
          message: expect.stringContaining('is missing (its private half)'),
        })
      })
    })

    describe('making a key that can’t be used', () => {
      async function aFailing(alter: (session: TokenSession) => void) {
        const hsm = new SoftHsm()
        hsm.add('root')
        const token = new AlteredToken({ module: hsm.module, tokenLabel: 'root', pin: async () => PIN })
        token.alter = alter
        const failure = await new Pkcs11Keys(token).make(P256).catch((error: unknown) => error)
        await token[Symbol.asyncDispose]()
        const labels = await hsm
          .open('root')
          .use(async (session) =>
            [session.constants.CKO_PRIVATE_KEY, session.constants.CKO_PUBLIC_KEY].flatMap((CLASS) =>
              session.find({ CLASS }).map((object) => session.read(object, 'LABEL').LABEL.toString()),
            ),
          )
        return { failure, labels }
      }

      test('leaves nothing behind where the token ignores what it was asked for', async () => {
        const { failure, labels } = await aFailing((session) => {
          const make = session.generateKeyPair.bind(session)
          session.generateKeyPair = (mechanism, publicHalf, privateHalf) =>
            make(mechanism, publicHalf, { ...privateHalf, EXTRACTABLE: true })
        })
        expect(failure).toMatchObject({
          code: 'wrong_state',
          message: expect.stringMatching(
            /^the key of the root .* can be taken out of the token; Alcazar uses only keys that never left their token$/,
          ),
        })
        expect(labels).toEqual([])
      })

      test('leaves an object labelled as unfinished where it can’t be removed, either', async () => {
        const refusal = () => {
          throw new Error('CKR_ACTION_PROHIBITED:27')
        }
        const { failure, labels } = await aFailing((session) => {
          session.write = refusal
          session.destroy = refusal
        })
        expect(failure).toMatchObject({
          code: 'wrong_state',
          message: 'the PKCS#11 token "root" can’t do what a root key needs (CKR_ACTION_PROHIBITED)',
        })
        expect(labels).toEqual(['alcazar root (unfinished)', 'alcazar root (unfinished)'])
      })
    })

    describe('the PIN', () => {
      test('is tried once where it is wrong, however often the key is asked for', async () => {
        const hsm = new SoftHsm()
        hsm.add('root')
        let asked = 0
        const token = hsm.open('root', async () => `wrong ${++asked}`)
        const keys = new Pkcs11Keys(token)
        for (let n = 0; n < 3; n++)
          await expect(keys.open(ABSENT)).rejects.toMatchObject({
            code: 'wrong_state',
            message:
              'the PKCS#11 token "root" refused the PIN, and few tries are left before it locks itself; Alcazar does not try this PIN again: put the right one into the PIN file, and start again',
          })
        expect(asked).toBe(1)
        // Started again with the right one.
        await token[Symbol.asyncDispose]()
        await expect(new Pkcs11Keys(hsm.open('root')).make(P256)).resolves.toBeDefined()
      })

      test('is refused for its length as for its digits', async () => {
        const hsm = new SoftHsm()
        hsm.add('root')
        const keys = new Pkcs11Keys(hsm.open('root', async () => ''))
        await expect(keys.open(ABSENT)).rejects.toMatchObject({
          code: 'wrong_state',
          message: expect.stringContaining('refused the PIN'),
        })
      })

      test.each([
        [
          'locked',
          'the PKCS#11 token "root" has locked its PIN after too many wrong ones; its security officer can unlock it',
        ],
        [
          'lastTry',
          'the PKCS#11 token "root" locks itself at the next wrong PIN, so Alcazar does not try; log in once with the token’s own tool and the right PIN, and start again',
        ],
      ] as const)('is not even read where the token is near its end: %s', async (flag, message) => {
        const hsm = new SoftHsm()
        hsm.flag(hsm.add('root'), PIN_FLAGS[flag])
        const keys = new Pkcs11Keys(hsm.open('root', () => expect.fail('nobody asks for a PIN')))
        await expect(keys.open(ABSENT)).rejects.toMatchObject({ code: 'wrong_state', message })
      })

      test('that can’t be read is asked for again', async () => {
        const hsm = new SoftHsm()
        hsm.add('root')
        let asked = 0
        const keys = new Pkcs11Keys(
          hsm.open('root', async () => {
            if (++asked === 1) throw new CaError('wrong_state', 'the PIN file is missing')
            return PIN
          }),
        )
        await expect(keys.make(P256)).rejects.toMatchObject({ code: 'wrong_state', message: 'the PIN file is missing' })
        await expect(keys.make(P256)).resolves.toBeDefined()
      })

      test('is in no error and in nothing that is kept', async () => {
        const hsm = new SoftHsm()
        hsm.add('root')
        const secret = 'a very particular PIN'
        const token = hsm.open('root', async () => secret)
        const failure = await new Pkcs11Keys(token).open(ABSENT).catch((error: unknown) => error)
        expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain(secret)
        expect(inspect(token, { depth: 9, showHidden: true })).not.toContain(secret)
        expect(failure).toBeInstanceOf(CaError)
      })
    })

    describe('a token', () => {
      test('that is taken out makes the next signature fail; it signs again when it is back', async () => {
        const { hsm, folder, keys } = aToken()
        const signer = await keys.make(P256)
        hsm.remove(folder)
        await expect(signer.sign(TBS)).rejects.toMatchObject({
          code: 'dependency_unavailable',
          message:
            'the PKCS#11 token "root" can’t be used: CKR_OBJECT_HANDLE_INVALID; a running server tries again when it next needs it',
        })
        const gone = {
          code: 'dependency_unavailable',
          message:
            'the PKCS#11 token "root" can’t be used: it is not there, nor is any other; a running server tries again when it next needs it',
        }
        await expect(signer.sign(TBS)).rejects.toMatchObject(gone)
        await expect(keys.make(P256)).rejects.toMatchObject(gone)
        hsm.putBack(folder)
        expectSigned(signer, await signer.sign(TBS))
      })

      test('that is gone is not taken for one that lost a key', async () => {
        const { hsm, folder, keys } = aToken()
        const id = idOf(await keys.make(P256))
        hsm.remove(folder)
        await expect(keys.open(ABSENT)).rejects.toMatchObject({
          code: 'dependency_unavailable',
          message:
            'the PKCS#11 token "root" can’t be used: CKR_GENERAL_ERROR; a running server tries again when it next needs it',
        })
        hsm.putBack(folder)
        await expect(keys.open(id)).resolves.toBeDefined()
      })

      test('that comes back as another one of that label signs nothing', async () => {
        const { hsm, folder, keys } = aToken()
        const signer = await keys.make(P256)
        hsm.remove(folder)
        await expect(signer.sign(TBS)).rejects.toMatchObject({ code: 'dependency_unavailable' })
        hsm.add('root')
        await expect(signer.sign(TBS)).rejects.toMatchObject({
          code: 'wrong_state',
          message: expect.stringContaining('is missing (its private half)'),
        })
      })

      test('fails one use without failing the next that waits', async () => {
        const { keys } = aToken()
        const signer = await keys.make(P256)
        const [missing, signature] = await Promise.allSettled([keys.open(ABSENT), signer.sign(TBS)])
        expect(missing.status).toBe('rejected')
        expectSigned(signer, (signature as PromiseFulfilledResult<Uint8Array>).value)
      })

      test('that isn’t there is told with those that are', async () => {
        const hsm = new SoftHsm()
        hsm.add('blue')
        await expect(new Pkcs11Keys(hsm.open('root')).open(ABSENT)).rejects.toMatchObject({
          code: 'dependency_unavailable',
          message:
            'the PKCS#11 token "root" can’t be used: it is not there; there is "blue"; a running server tries again when it next needs it',
        })
      })

      test('is refused where two have its label', async () => {
        const hsm = new SoftHsm()
        hsm.add('root')
        hsm.add('root')
        await expect(new Pkcs11Keys(hsm.open('root')).open(ABSENT)).rejects.toMatchObject({
          code: 'invalid_argument',
          message: '2 PKCS#11 tokens have the label "root"; remove the others, or give each a label of its own',
        })
      })

      test('is chosen by its label among others, blanks within it included', async () => {
        const hsm = new SoftHsm()
        for (const label of ['a root', 'root', 'a']) hsm.add(label)
        await expect(new Pkcs11Keys(hsm.open('a root')).make(P256)).resolves.toBeDefined()
      })
    })

    describe('a module', () => {
      const open = (module: string) =>
        new Pkcs11Keys(new Pkcs11Token({ module, tokenLabel: 'root', pin: async () => PIN })).open(ABSENT)

      test('that is missing', async () => {
        const path = join(scratch(), 'none.so')
        await expect(open(path)).rejects.toMatchObject({
          code: 'invalid_argument',
          message: `the PKCS#11 module ${path} can’t be read: ENOENT: no such file or directory, access '${path}'; install what the token’s maker provides, or correct the path`,
        })
      })

      test('that is no library, or a library of something else', async () => {
        const [text, other] = [join(scratch(), 'text.so'), join(scratch(), 'other.so')]
        writeFileSync(text, 'no library')
        copyFileSync(
          createRequire(import.meta.url)
            .resolve('pkcs11js')
            .replace('index.js', 'build/Release/pkcs11.node'),
          other,
        )
        for (const path of [text, other])
          await expect(open(path)).rejects.toMatchObject({
            code: 'invalid_argument',
            message: expect.stringMatching(`^${path} is no PKCS#11 module for this machine: `),
          })
      })

      test('that is looked for by its name alone', async () => {
        await expect(open('libsofthsm2.so')).rejects.toMatchObject({
          code: 'invalid_argument',
          message:
            'the path of the PKCS#11 module is not absolute: "libsofthsm2.so"; write for example /usr/lib/softhsm/libsofthsm2.so',
        })
      })

      test('that has a configuration of its own which is wrong', async () => {
        const hsm = new SoftHsm()
        process.env.SOFTHSM2_CONF = join(scratch(), 'none.conf')
        await expect(new Pkcs11Keys(hsm.open('root')).open(ABSENT)).rejects.toMatchObject({
          code: 'dependency_unavailable',
          message: `the PKCS#11 module ${hsm.module} can’t be used: it does not begin (CKR_GENERAL_ERROR; its own configuration may say why); a running server tries again when it next needs it`,
        })
      })

      test('that this process uses already', async () => {
        const { hsm, keys } = aToken()
        const signer = await keys.make(P256)
        await expect(new Pkcs11Keys(hsm.open('root')).open(idOf(signer))).rejects.toMatchObject({
          code: 'wrong_state',
          message: `the PKCS#11 module ${hsm.module} is in use already in this process, which can’t begin it twice`,
        })
        // Who was first goes on.
        expectSigned(signer, await signer.sign(TBS))
      })
    })

    describe('keys in a token', () => {
      let current: { test: string | undefined; hsm: SoftHsm; token: Pkcs11Token | undefined } | undefined
      vaultContract({
        // A process uses a module once: the one before ends first.
        open: async () => {
          const { currentTestName } = expect.getState()
          if (current?.test !== currentTestName) {
            current = { test: currentTestName, hsm: new SoftHsm(), token: undefined }
            current.hsm.add('root')
          }
          const { hsm, token } = current as NonNullable<typeof current>
          await token?.[Symbol.asyncDispose]()
          const next = hsm.open('root')
          if (current) current.token = next
          return new Pkcs11Keys(next)
        },
        makes: ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'rsa-3072', 'rsa-4096'],
        takes: false,
      })
    })

    test('the platform’s own keys work on beside a token, and after it', async () => {
      const { token, keys } = aToken()
      await keys.make(P256)
      const key = await PrivateKey.generate(P256)
      expectSigned(key, await key.sign(TBS))
      await token[Symbol.asyncDispose]()
      expectSigned(key, await key.sign(TBS))
    })
  },
)
