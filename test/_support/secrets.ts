import { createPrivateKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { KeyFileEncryption, PassphraseEncryption, type ScryptCost } from '../../src/keys/key-encryption.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'

/** The least that a seal may ask for. */
export const CHEAP: ScryptCost = { logN: 15, r: 8, p: 1 }

export const withPassphrase = (text: string): PassphraseEncryption =>
  new PassphraseEncryption(async () => Buffer.from(text), CHEAP)

/** A wrapping key that is made from a word. */
export const withKey = (word: string): KeyFileEncryption => new KeyFileEncryption(async () => aWrappingKey(word))

export const aWrappingKey = (word: string): Buffer => Buffer.alloc(32, `key ${word} `)

/** A file for the owner's eyes only. */
export function secretFile(path: string, content: string | Uint8Array): string {
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

/** Every way in which bytes turn up in text: hex, and base64 at each of its three alignments. */
export function spellings(bytes: Uint8Array): string[] {
  const whole = Buffer.from(bytes)
  return [
    whole.toString('hex'),
    ...[0, 1, 2].map((skip) =>
      Buffer.from(whole.subarray(skip, whole.length - ((whole.length - skip) % 3))).toString('base64'),
    ),
  ].flatMap((text) => [text, text.replaceAll('+', '-').replaceAll('/', '_')])
}

/** The secret numbers of a private key, spelled in every way: without them the rest is public. */
export async function secretsOf(key: PrivateKey): Promise<string[]> {
  const jwk = await key.storeDer(
    async (pkcs8) =>
      createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' }).export({ format: 'jwk' }) as Record<
        string,
        unknown
      >,
  )
  return [jwk.d, jwk.p, jwk.q]
    .filter((value): value is string => typeof value === 'string')
    .flatMap((value) => spellings(Buffer.from(value, 'base64url')))
}
