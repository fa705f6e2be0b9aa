import { createDecipheriv, createPrivateKey, scryptSync } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { sha256Hex } from '../../src/core/bytes.ts'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PassphraseEncryption, SCRYPT_COST } from '../../src/keys/key-encryption.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { openSeal, readSeal, sealKey } from '../../src/keys/seal.ts'
import type { KeyEncryption } from '../../src/keys/vault.ts'
import { aWrappingKey, CHEAP, secretsOf, spellings, withKey, withPassphrase } from '../_support/secrets.ts'
import { idOf } from '../_support/vault-contract.ts'

const NAME = 'root-0123456789abcdef.key.sealed'
const PASSPHRASE = 'correct horse battery staple'
let key: PrivateKey
let id: string
let underKey: Uint8Array
let underPassphrase: Uint8Array

beforeAll(async () => {
  key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  id = idOf(key)
  underKey = await sealKey(key, withKey('k'))
  underPassphrase = await sealKey(key, withPassphrase(PASSPHRASE))
})

const openAs = async (bytes: Uint8Array, encryption: KeyEncryption, wanted = id) =>
  openSeal(NAME, wanted, readSeal(NAME, bytes), encryption)

async function refusal(attempt: () => Promise<unknown>): Promise<CaError> {
  const error = await attempt().then(
    () => expect.fail('it was not refused'),
    (error: unknown) => error,
  )
  if (!(error instanceof CaError)) throw error
  return error
}

type Line = Record<string, string | number>
const linesOf = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString()
    .split('\n', 2)
    .map((line) => JSON.parse(line) as Line) as [Line, Line]

/** A seal with other lines, whose digest fits: what somebody can write who can write the file. */
function forged(bytes: Uint8Array, change: (header: Line, body: Line) => void): Uint8Array {
  const [header, body] = linesOf(bytes)
  change(header, body)
  const lines = `${JSON.stringify(header)}\n${JSON.stringify(body)}\n`
  return Buffer.from(`${lines}${JSON.stringify({ sha256: sha256Hex(lines) })}\n`)
}

const withByte = (text: string | number | undefined, at: number) => {
  const bytes = Buffer.from(String(text), 'base64')
  bytes[at] = (bytes[at] as number) ^ 1
  return bytes.toString('base64')
}

describe('a sealed key', () => {
  test('opens with what it was sealed with', async () => {
    expect(idOf(await openAs(underKey, withKey('k')))).toBe(id)
    expect(idOf(await openAs(underPassphrase, withPassphrase(PASSPHRASE)))).toBe(id)
  })

  test('is three lines of JSON that say its format, whose it is and what it is sealed with', () => {
    expect(linesOf(underPassphrase)[0]).toEqual({
      alcazar: 'sealed key',
      format: 1,
      authority: id,
      kind: 'passphrase',
      wrapped: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/),
    })
    expect(Buffer.from(underPassphrase).toString()).toMatch(
      /^\{.*\}\n\{"sealed":".*"\}\n\{"sha256":"[0-9a-f]{64}"\}\n$/,
    )
  })

  test('is scrypt and AES-256-GCM as the format says: another program reads it', () => {
    const text = Buffer.from(underPassphrase).toString()
    const [header, body] = linesOf(underPassphrase)
    const open = (with_: Uint8Array, bytes: Buffer, aad: Uint8Array) => {
      const decipher = createDecipheriv('aes-256-gcm', with_, bytes.subarray(0, 12))
      decipher.setAAD(aad).setAuthTag(bytes.subarray(-16))
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
    }
    const wrapped = Buffer.from(String(header.wrapped), 'base64')
    expect([...wrapped.subarray(0, 3)]).toEqual([15, 8, 1])
    const derived = scryptSync(PASSPHRASE, wrapped.subarray(3, 19), 32, { N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26 })
    const dataKey = open(derived, wrapped.subarray(19), wrapped.subarray(0, 19))
    const aad = Buffer.from(text.slice(0, text.indexOf('\n') + 1))
    const pkcs8 = open(dataKey, Buffer.from(String(body.sealed), 'base64'), aad)
    const found = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    expect(found.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
    expect(PrivateKey.fromDer(pkcs8).publicKey.spki).toEqual(key.publicKey.spki)
  })

  test('has another data key and other nonces each time, and one salt for all of a process', async () => {
    const encryption = withPassphrase(PASSPHRASE)
    const seals = [await sealKey(key, encryption), await sealKey(key, encryption)].map((bytes) => readSeal(NAME, bytes))
    const [a, b] = seals.map(({ wrapped }) => Buffer.from(wrapped))
    expect(a?.subarray(0, 19)).toEqual(b?.subarray(0, 19))
    expect(a?.subarray(19, 31)).not.toEqual(b?.subarray(19, 31))
    expect(seals[0]?.sealed).not.toEqual(seals[1]?.sealed)
    const other = readSeal(NAME, await sealKey(key, withPassphrase(PASSPHRASE)))
    expect(Buffer.from(other.wrapped).subarray(3, 19)).not.toEqual(a?.subarray(3, 19))
  })

  test('is opened again before it is given: what wraps wrongly seals nothing', async () => {
    const right = withKey('k')
    const wrong: KeyEncryption = {
      kind: right.kind,
      wrap: (dataKey) => right.wrap(dataKey.map((octet) => octet ^ 1)),
      unwrap: (wrapped) => right.unwrap(wrapped),
    }
    expect(await refusal(() => sealKey(key, wrong))).toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(/^the root’s key just sealed is damaged: /),
    })
  })

  test('costs 128 MiB and 2^17 rounds to try a passphrase', () => {
    expect(SCRYPT_COST).toEqual({ logN: 17, r: 8, p: 1 })
  })

  test('is opened at that cost, off the main thread', async () => {
    const strong = () => new PassphraseEncryption(async () => Buffer.from(PASSPHRASE), SCRYPT_COST)
    let turns = 0
    const timer = setInterval(() => turns++, 5)
    const bytes = await sealKey(key, strong())
    expect(idOf(await openAs(bytes, strong()))).toBe(id)
    clearInterval(timer)
    expect(turns, 'others had their turn meanwhile').toBeGreaterThan(5)
  })
})

describe('damage is told from a wrong secret:', () => {
  const damage = /^the root’s key root-0123456789abcdef\.key\.sealed is damaged: .*; put back a copy that is whole$/

  test.each<[string, () => [Uint8Array, () => KeyEncryption]]>([
    ['under a key', () => [underKey, () => withKey('k')]],
    ['under a passphrase', () => [underPassphrase, () => withPassphrase(PASSPHRASE)]],
  ])('every byte that changes is damage (%s)', async (_, given) => {
    const [bytes, encryption] = given()
    for (let at = 0; at < bytes.length; at++)
      for (const bit of [1, 0x20, 0x80]) {
        const changed = Uint8Array.from(bytes)
        changed[at] = (changed[at] as number) ^ bit
        const { code, message } = await refusal(() => openAs(changed, encryption()))
        expect(code).toBe('wrong_state')
        // The one digit of its own that tells a newer format.
        if (!/has format \d/.test(message)) expect(message, `byte ${at}`).toMatch(damage)
      }
  })

  test('every length but its own is damage', async () => {
    for (let length = 0; length < underKey.length; length++)
      expect((await refusal(() => openAs(underKey.subarray(0, length), withKey('k')))).message).toMatch(damage)
    expect((await refusal(() => openAs(Buffer.concat([underKey, Buffer.from('\n')]), withKey('k')))).message).toMatch(
      damage,
    )
  })

  test.each([
    '',
    '{',
    '[]\n[]\n',
    'null\nnull\nnull\n',
    '{"alcazar":"sealed key","alcazar":"x"}\n{}\n{}\n',
    '\0'.repeat(500),
  ])('what is no seal is damage: %j', async (text) => {
    const { code, message } = await refusal(() => openAs(Buffer.from(text), withKey('k')))
    expect([code, message]).toEqual([
      'wrong_state',
      `the root’s key ${NAME} is damaged: it is no sealed key; put back a copy that is whole`,
    ])
  })

  test('a wrong passphrase', async () => {
    const { code, message } = await refusal(() => openAs(underPassphrase, withPassphrase(`${PASSPHRASE}!`)))
    expect([code, message]).toEqual([
      'wrong_state',
      `the root’s key ${NAME} does not open: the passphrase is not the one it was sealed with; its digest fits, so this is no accident of the disk: give the right one, or put back the key’s file that belongs to it`,
    ])
  })

  test('a wrong wrapping key', async () => {
    const { code, message } = await refusal(() => openAs(underKey, withKey('other')))
    expect([code, message]).toEqual([
      'wrong_state',
      `the root’s key ${NAME} does not open: the wrapping key is not the one it was sealed with; its digest fits, so this is no accident of the disk: give the right one, or put back the key’s file that belongs to it`,
    ])
  })

  test('a passphrase where it is sealed with a wrapping key, and the other way round', async () => {
    expect(await refusal(() => openAs(underKey, withPassphrase(PASSPHRASE)))).toMatchObject({
      code: 'wrong_state',
      message: `the root’s key ${NAME} is sealed with a wrapping key from a file, and a passphrase was given; give what it is sealed with, or change that with “alcazar keys reseal”`,
    })
    expect(await refusal(() => openAs(underPassphrase, withKey('k')))).toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('is sealed with a passphrase, and a wrapping key from a file was given'),
    })
  })

  test('a newer format', async () => {
    const newer = forged(underKey, (header) => {
      header.format = 2
    })
    expect(await refusal(() => openAs(newer, withKey('k')))).toMatchObject({
      code: 'wrong_state',
      message: `the root’s key ${NAME} has format 2, and this version knows 1: it was sealed by a newer Alcazar; run that one`,
    })
  })
})

describe('who can write the file and its digest', () => {
  const altered = /is damaged: somebody altered it after it was sealed|does not open: /

  test('cannot change a byte of what is wrapped or sealed unseen', async () => {
    const [header, body] = linesOf(underKey)
    const lengthOf = (text: unknown) => Buffer.from(String(text), 'base64').length
    for (let at = 0; at < lengthOf(header.wrapped); at++) {
      const bytes = forged(underKey, (head) => {
        head.wrapped = withByte(head.wrapped, at)
      })
      expect((await refusal(() => openAs(bytes, withKey('k')))).message).toMatch(/does not open: the wrapping key/)
    }
    for (let at = 0; at < lengthOf(body.sealed); at++) {
      const bytes = forged(underKey, (_, rest) => {
        rest.sealed = withByte(rest.sealed, at)
      })
      expect((await refusal(() => openAs(bytes, withKey('k')))).message).toMatch(/somebody altered it/)
    }
  })

  test.each([3, 10, 19, 31, 60, 78])('nor salt, nonce or tag of what a passphrase wraps (byte %i)', async (at) => {
    const bytes = forged(underPassphrase, (head) => {
      head.wrapped = withByte(head.wrapped, at)
    })
    expect((await refusal(() => openAs(bytes, withPassphrase(PASSPHRASE)))).message).toMatch(
      /does not open: the passphrase is not the one/,
    )
  })

  test('cannot give a key to another authority', async () => {
    const other = 'ab'.repeat(20)
    const bytes = forged(underKey, (header) => {
      header.authority = other
    })
    expect((await refusal(() => openAs(bytes, withKey('k'), other))).message).toMatch(altered)
    expect((await refusal(() => openAs(underKey, withKey('k'), other))).message).toBe(
      `the root’s key ${NAME} is another root’s; put back the right one`,
    )
  })

  test('cannot have a passphrase tried on another root’s key', async () => {
    let reads = 0
    const encryption = new PassphraseEncryption(async () => {
      reads++
      return Buffer.from(PASSPHRASE)
    }, CHEAP)
    expect((await refusal(() => openAs(underPassphrase, encryption, 'ab'.repeat(20)))).message).toMatch(
      /is another root’s; put back the right one$/,
    )
    expect(reads).toBe(0)
  })

  test('cannot put the body of one seal under the header of another', async () => {
    const [, body] = linesOf(await sealKey(key, withKey('k')))
    const bytes = forged(underKey, (_, rest) => Object.assign(rest, body))
    expect((await refusal(() => openAs(bytes, withKey('k')))).message).toMatch(altered)
  })

  test.each([
    ['too few rounds', [14, 8, 1]],
    ['too many rounds', [21, 8, 1]],
    ['rounds beyond all bounds', [255, 8, 1]],
    ['a small block', [17, 1, 1]],
    ['a large block', [17, 9, 1]],
    ['no parallelism', [17, 8, 0]],
    ['too much parallelism', [17, 8, 5]],
  ])('cannot make this process spend more, or less, on scrypt: %s', async (_, parameters) => {
    const bytes = forged(underPassphrase, (header) => {
      const wrapped = Buffer.from(String(header.wrapped), 'base64')
      wrapped.set(parameters)
      header.wrapped = wrapped.toString('base64')
    })
    let reads = 0
    const encryption = new PassphraseEncryption(async () => {
      reads++
      return Buffer.from(PASSPHRASE)
    }, CHEAP)
    expect((await refusal(() => openAs(bytes, encryption))).message).toContain(
      'does not open: its parameters of scrypt are out of bounds: N is 2^15 to 2^20, r is 8, p is 1 to 4',
    )
    expect(reads, 'it was not even tried').toBe(0)
  })

  test('cannot shorten what is wrapped', async () => {
    for (const length of [0, 2, 18, 19, 40]) {
      const bytes = forged(underPassphrase, (header) => {
        header.wrapped = Buffer.from(String(header.wrapped), 'base64').subarray(0, length).toString('base64')
      })
      expect((await refusal(() => openAs(bytes, withPassphrase(PASSPHRASE)))).message).toMatch(altered)
    }
  })
})

test('no secret is in what is said, nor in its causes', async () => {
  const secrets = [
    ...(await secretsOf(key)),
    PASSPHRASE,
    ...spellings(Buffer.from(PASSPHRASE)),
    ...spellings(aWrappingKey('k')),
  ]
  const said: string[] = []
  for (const attempt of [
    () => openAs(underKey, withKey('other')),
    () => openAs(underPassphrase, withPassphrase('another passphrase')),
    () => openAs(underPassphrase, withKey('k')),
    () => openAs(underKey, withPassphrase(PASSPHRASE)),
    () => openAs(underKey.subarray(7), withKey('k')),
    () =>
      openAs(
        forged(underKey, (_, body) => Object.assign(body, { sealed: withByte(body.sealed, 40) })),
        withKey('k'),
      ),
  ])
    for (let error: unknown = await refusal(attempt); error instanceof Error; error = error.cause)
      said.push(`${error.message} ${error.stack} ${JSON.stringify(error)}`)
  expect(said.length).toBeGreaterThan(6)
  expect(secrets.filter((secret) => said.some((text) => text.includes(secret)))).toEqual([])
})
