import { describe, expect, test } from 'vitest'
import { attestToken } from '../../src/attestation/service-account-token.ts'
import { type FetchTokenIssuer, TokenKeys } from '../../src/attestation/token-keys.ts'
import { readToken } from '../../src/jwt/jws.ts'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, opaque, refusal, unavailable } from '../_support/attested.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { TokenSigner } from '../_support/tokens.ts'

const first = new TokenSigner({ alg: 'ES256', kid: 'first' })
const second = new TokenSigner({ alg: 'ES256', kid: 'second' })
const imposter = new TokenSigner({ alg: 'ES256', kid: 'first' })
const tokenOf = (signer: TokenSigner) => readToken(signer.signed({}))

/** The cluster's key set, which a test changes, breaks or holds back; and how often it was fetched. */
function published(...signers: TokenSigner[]) {
  const state = {
    signers,
    issuer: first.issuer,
    fetches: 0,
    failure: undefined as unknown,
    held: undefined as Promise<void> | undefined,
  }
  const fetch: FetchTokenIssuer = async () => {
    state.fetches++
    await state.held
    if (state.failure !== undefined) throw state.failure
    return {
      issuer: state.issuer,
      jwks: JSON.stringify({ keys: state.signers.flatMap((one) => one.jwks.keys) }),
    }
  }
  const clock = new FakeClock()
  return { state, clock, keys: new TokenKeys(fetch, clock, NEVER) }
}

describe('the keys of service-account tokens', () => {
  test('are fetched by the first token that needs one', async () => {
    const { state, keys } = published(first)
    await keys.keyFor(tokenOf(first))
    expect(state.fetches).toBe(1)
    expect(keys.issuer).toBe(first.issuer)
  })

  test('are not fetched again for a key that is known', async () => {
    const { state, keys, clock } = published(first)
    await keys.keyFor(tokenOf(first))
    await clock.advance(3_600_000)
    await keys.keyFor(tokenOf(first))
    expect(state.fetches).toBe(1)
  })

  test('are fetched again for an unknown key id', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    state.signers = [first, second]
    await clock.advance(10_000)
    await expect(keys.keyFor(tokenOf(second))).resolves.toMatchObject({ asymmetricKeyType: 'ec' })
    expect(state.fetches).toBe(2)
  })

  test('are fetched at most once in ten seconds, whatever key ids come', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    for (let n = 0; n < 50; n++) {
      await clock.advance(199)
      await refusal(keys.keyFor(tokenOf(new TokenSigner({ alg: 'ES256', kid: `unknown-${n}` }))))
    }
    expect(state.fetches).toBe(1)
    await clock.advance(50)
    expect(await refusal(keys.keyFor(tokenOf(second)))).toMatchObject(opaque('unknown_key'))
    expect(state.fetches).toBe(2)
  })

  test('are fetched once for all who wait', async () => {
    const { state, keys } = published(first, second)
    let release = () => {}
    state.held = new Promise((resolve) => {
      release = resolve
    })
    const waiting = Promise.all([first, second, first, second].map((signer) => keys.keyFor(tokenOf(signer))))
    release()
    await expect(waiting).resolves.toHaveLength(4)
    expect(state.fetches).toBe(1)
  })

  test('are kept through an outage', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    state.failure = new Error('connection refused')
    for (let minute = 0; minute < 60; minute++) {
      await clock.advance(60_000)
      await keys.refresh()
    }
    await expect(keys.keyFor(tokenOf(first))).resolves.toBeDefined()
    expect(keys.issuer).toBe(first.issuer)
    expect(keys.lastError).toBe(state.failure)
  })

  test('are kept when what is fetched is no key set', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    state.signers = [first, imposter] // the same kid twice
    await clock.advance(10_000)
    await keys.refresh()
    await expect(keys.keyFor(tokenOf(first))).resolves.toBeDefined()
    expect(String(keys.lastError)).toContain('twice')
  })

  test('make an unknown key id during an outage a question nobody can answer, not a refusal', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    state.failure = new Error('connection refused')
    await clock.advance(10_000)
    const told = await refusal(keys.keyFor(tokenOf(second)))
    expect(told).toMatchObject({ ...unavailable, detail: 'connection refused' })
    // Nor within the ten seconds in which nobody asks again.
    await clock.advance(9_999)
    expect(await refusal(keys.keyFor(tokenOf(second)))).toMatchObject(unavailable)
    expect(state.fetches).toBe(2)
  })

  test('are asked for again after an outage by the first unknown key id', async () => {
    const { state, keys, clock } = published(second)
    state.failure = new Error('connection refused')
    await keys.refresh()
    state.failure = undefined
    await clock.advance(10_000)
    await expect(keys.keyFor(tokenOf(second))).resolves.toBeDefined()
    expect(keys.lastError).toBeUndefined()
  })

  test('that left the set check nothing any more', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    state.signers = [second]
    await clock.advance(60_000)
    await keys.refresh()
    expect(await refusal(keys.keyFor(tokenOf(first)))).toMatchObject(opaque('unknown_key'))
  })

  test('that were replaced under the same id take effect', async () => {
    const { state, keys, clock } = published(first)
    const before = await keys.keyFor(tokenOf(first))
    state.signers = [imposter]
    await clock.advance(60_000)
    await keys.refresh()
    expect((await keys.keyFor(tokenOf(first))).equals(before)).toBe(false)
  })

  test('are each for their own algorithm, and a token can’t make us ask for more by naming another', async () => {
    const { state, keys, clock } = published(first)
    await keys.refresh()
    await clock.advance(60_000)
    expect(await refusal(keys.keyFor(readToken(first.signed({}, { alg: 'RS256' }))))).toMatchObject(
      opaque('unknown_key'),
    )
    expect(state.fetches).toBe(1)
  })

  test('say in the log which key id was asked for, cut short', async () => {
    const { keys } = published(first)
    const { detail } = await refusal(keys.keyFor(readToken(first.signed({}, { kid: 'k'.repeat(500) }))))
    expect(detail).toContain('k'.repeat(64))
    expect(detail).not.toContain('k'.repeat(65))
  })
})

test('a cluster that changes its issuer’s name is believed under the new one alone', async () => {
  const { state, clock, keys } = published(first)
  const ca = await aCa({ signer: first })
  const attest = (iss: string) =>
    attestToken(
      ca.podToken('shop', 'cart', { iss }),
      keys,
      ca.cluster.cluster,
      ca.tokenPolicy,
      clock,
      NEVER,
      () => undefined,
    )
  await expect(attest(first.issuer)).resolves.toMatchObject({ account: { name: 'cart' } })
  state.issuer = 'https://new.invalid'
  await keys.refresh()
  await expect(attest('https://new.invalid')).resolves.toMatchObject({ account: { name: 'cart' } })
  expect(await refusal(attest(first.issuer))).toMatchObject(opaque('wrong_issuer'))
})
