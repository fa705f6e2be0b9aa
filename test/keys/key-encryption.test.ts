import { describe, expect, test } from 'vitest'
import { KeyFileEncryption, PassphraseEncryption } from '../../src/keys/key-encryption.ts'
import { CHEAP } from '../_support/secrets.ts'

const dataKey = Buffer.alloc(32, 'data')
const wrapWith = (content: string | Uint8Array) =>
  new PassphraseEncryption(async () => Buffer.from(content as string), CHEAP).wrap(dataKey)

/** What wraps under one file's content opens under another's. */
const sameKey = async (one: string | Uint8Array, other: string | Uint8Array) => {
  const wrapped = await new KeyFileEncryption(async () => Buffer.from(one as string)).wrap(dataKey)
  const opened = await new KeyFileEncryption(async () => Buffer.from(other as string)).unwrap(wrapped)
  expect(Buffer.from(opened)).toEqual(dataKey)
}

describe('a passphrase', () => {
  test.each(['open sesame\n', 'open sesame\r\n'])('is the same without the newline at its end: %j', async (content) => {
    const wrapped = await wrapWith('open sesame')
    const opened = await new PassphraseEncryption(async () => Buffer.from(content), CHEAP).unwrap(wrapped)
    expect(Buffer.from(opened)).toEqual(dataKey)
  })

  test.each(['open sesame ', 'open sesame\n\n', ' open sesame', 'Open sesame'])('is another: %j', async (content) => {
    const wrapped = await wrapWith('open sesame')
    await expect(
      new PassphraseEncryption(async () => Buffer.from(content), CHEAP).unwrap(wrapped),
    ).rejects.toMatchObject({ code: 'wrong_state', message: 'the passphrase is not the one it was sealed with' })
  })

  test.each(['', '\n', '\r\n'])('is refused when it is empty: %j', async (content) => {
    await expect(wrapWith(content)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'the passphrase’s file is empty; it holds a passphrase of at least 8 characters',
    })
  })

  test.each(['1234567', '1234567\n', 'ééééééé', '🏰🏰🏰🏰🏰🏰🏰'])(
    'is refused when it has less than eight characters: %j',
    async (content) => {
      await expect(wrapWith(content)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: 'the passphrase is too short; it has at least 8 characters',
      })
    },
  )

  // HMAC pads its key with zeros: eight of them are the empty passphrase, and one more at the end changes nothing.
  test.each(['\0\0\0\0\0\0\0\0', 'open sesame\0', 'open\0sesame'])(
    'is refused when it holds a zero byte: %j',
    async (content) => {
      await expect(wrapWith(content)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: 'the passphrase holds a zero byte; it is text, and keys.wrappingKeyFile takes a key of bytes',
      })
    },
  )

  test.each(['12345678', 'éééééééé', '🏰🏰🏰🏰🏰🏰🏰🏰'])('of eight characters is taken: %j', async (content) => {
    expect((await wrapWith(content)).length).toBe(3 + 16 + 12 + 32 + 16)
  })

  test('is read when it is needed, wiped at once, and not read again for the same salt', async () => {
    const given: Buffer[] = []
    const encryption = new PassphraseEncryption(async () => {
      given.push(Buffer.from('open sesame'))
      return given.at(-1) as Buffer
    }, CHEAP)
    expect(given).toEqual([])
    const wrapped = await encryption.wrap(dataKey)
    await encryption.unwrap(wrapped)
    await encryption.wrap(dataKey)
    expect(given).toEqual([Buffer.alloc(11)])
  })

  test('is wiped when it is refused, too', async () => {
    const short = Buffer.from('short')
    await expect(new PassphraseEncryption(async () => short, CHEAP).wrap(dataKey)).rejects.toMatchObject({
      code: 'invalid_argument',
    })
    expect(short).toEqual(Buffer.alloc(5))
  })

  test('that changed while a process runs changes nothing for it: all its keys are sealed alike', async () => {
    let content = 'open sesame'
    const encryption = new PassphraseEncryption(async () => Buffer.from(content), CHEAP)
    await encryption.unwrap(await wrapWith('open sesame'))
    content = 'another passphrase'
    const later = await encryption.wrap(dataKey)
    const opened = await new PassphraseEncryption(async () => Buffer.from('open sesame'), CHEAP).unwrap(later)
    expect(Buffer.from(opened)).toEqual(dataKey)
  })

  test('that was wrong and is put right is read again', async () => {
    let content = 'a wrong passphrase'
    const encryption = new PassphraseEncryption(async () => Buffer.from(content), CHEAP)
    const wrapped = await wrapWith('open sesame')
    await expect(encryption.unwrap(wrapped)).rejects.toMatchObject({ code: 'wrong_state' })
    content = 'open sesame'
    expect(Buffer.from(await encryption.unwrap(wrapped))).toEqual(dataKey)
  })
})

describe('a wrapping key', () => {
  const raw = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index * 7))
  const texts = {
    hex: raw.toString('hex'),
    'hex in capitals': raw.toString('hex').toUpperCase(),
    'hex and a newline': `${raw.toString('hex')}\n`,
    base64: raw.toString('base64'),
    'base64 and a newline': `${raw.toString('base64')}\r\n`,
    'base64 without padding': raw.toString('base64').slice(0, 43),
  }

  test.each(Object.entries(texts))('is the same raw and as %s', async (_what, text) => {
    await sameKey(raw, text)
    await sameKey(text, raw)
  })

  test('of 32 bytes that end like a line is one all the same', async () => {
    const ends = Buffer.concat([raw.subarray(0, 31), Buffer.from('\n')])
    await sameKey(ends, ends.toString('hex'))
  })

  test.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['a passphrase', 'correct horse battery staple'],
    ['31 bytes', raw.subarray(1)],
    ['33 bytes', Buffer.concat([raw, raw.subarray(0, 1)])],
    ['63 hex digits', raw.toString('hex').slice(1)],
    ['hex with something else in it', `${raw.toString('hex').slice(0, 62)}zz`],
    ['base64 whose last digit says more than there is', `${raw.toString('base64').slice(0, 42)}B=`],
    ['16 bytes in base64', raw.subarray(16).toString('base64')],
    ['a PEM file', '-----BEGIN PRIVATE KEY-----\n'],
  ])('is not %s', async (_what, content) => {
    await expect(new KeyFileEncryption(async () => Buffer.from(content as string)).wrap(dataKey)).rejects.toMatchObject(
      {
        code: 'invalid_argument',
        message:
          'the wrapping key’s file does not hold a key: it is 32 bytes, raw or as hex or base64; make one with “openssl rand -base64 32”',
      },
    )
  })

  test.each([0, 0xff])('is not one byte (%i) repeated', async (octet) => {
    await expect(new KeyFileEncryption(async () => Buffer.alloc(32, octet)).wrap(dataKey)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'the wrapping key is one byte repeated; make one with “openssl rand -base64 32”',
    })
  })

  test('is read once, and its bytes are wiped', async () => {
    const given: Buffer[] = []
    const encryption = new KeyFileEncryption(async () => {
      given.push(Buffer.from(raw))
      return given.at(-1) as Buffer
    })
    const wrapped = await encryption.wrap(dataKey)
    expect(Buffer.from(await encryption.unwrap(wrapped))).toEqual(dataKey)
    expect(given).toEqual([Buffer.alloc(32)])
  })

  test('that was wrong and is put right is read again', async () => {
    let content: Uint8Array = Buffer.alloc(32, 'wrong')
    const encryption = new KeyFileEncryption(async () => Buffer.from(content))
    const wrapped = await new KeyFileEncryption(async () => Buffer.from(raw)).wrap(dataKey)
    await expect(encryption.unwrap(wrapped)).rejects.toMatchObject({
      code: 'wrong_state',
      message: 'the wrapping key is not the one it was sealed with',
    })
    content = raw
    expect(Buffer.from(await encryption.unwrap(wrapped))).toEqual(dataKey)
  })
})
