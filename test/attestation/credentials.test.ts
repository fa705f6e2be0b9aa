import { describe, expect, test } from 'vitest'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, opaque, refusal } from '../_support/attested.ts'
import { TokenSigner } from '../_support/tokens.ts'

const signer = new TokenSigner({ alg: 'ES256' })

/** Puts headers beside a good token for shop/cart. */
async function shown(headers: (token: string) => string[], clientCertificate?: Uint8Array) {
  const ca = await aCa({ signer })
  const authorization = headers(ca.podToken())
  return ca.attest({ authorization, clientCertificate, impersonatedIdentity: undefined }, NEVER)
}

describe('what a request may show', () => {
  test('takes one bearer token', async () => {
    await expect(shown((token) => [`Bearer ${token}`])).resolves.toMatchObject({
      account: { namespace: 'shop', name: 'cart' },
      method: 'service-account-token',
    })
  })

  test('takes the scheme in any case, as RFC 9110 says', async () => {
    await expect(shown((token) => [`bEARER ${token}`])).resolves.toMatchObject({ method: 'service-account-token' })
  })

  const refused: Record<string, [reason: string, headers: (token: string) => string[]]> = {
    'no credential at all': ['no_credential', () => []],
    'two headers with a token each': ['two_credentials', (token) => [`Bearer ${token}`, `Bearer ${token}`]],
    'two headers, one of them empty': ['two_credentials', (token) => ['', `Bearer ${token}`]],
    'two tokens folded into one header': ['two_credentials', (token) => [`Bearer ${token}, Bearer ${token}`]],
    'a list of two tokens': ['two_credentials', (token) => [`Bearer ${token},${token}`]],
    'an empty header': ['malformed_token', () => ['']],
    'a scheme without a token': ['malformed_token', () => ['Bearer']],
    'a scheme and a space': ['malformed_token', () => ['Bearer ']],
    'a token without a scheme': ['malformed_token', (token) => [token]],
    'another scheme': ['malformed_token', (token) => [`Basic ${token}`]],
    'two spaces before the token': ['malformed_token', (token) => [`Bearer  ${token}`]],
    'a space after the token': ['malformed_token', (token) => [`Bearer ${token} `]],
    'a tab before the token': ['malformed_token', (token) => [`Bearer\t${token}`]],
    'a line end after the token': ['malformed_token', (token) => [`Bearer ${token}\n`]],
  }
  test.each(Object.entries(refused))('refuses %s', async (_title, [reason, headers]) => {
    expect(await refusal(shown(headers))).toMatchObject(opaque(reason))
  })

  test('puts the precise reason into the cause and nothing of it into the message', async () => {
    const { message, detail } = await refusal(shown(() => ['Basic dXNlcjpwYXNz']))
    expect(message).toBe('request authenticate failure')
    expect(detail).toContain('not “Bearer <token>”')
    expect(detail).not.toContain('dXNlcjpwYXNz')
  })
})
