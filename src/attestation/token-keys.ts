import type { KeyObject } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { Jwks } from '../jwt/jwks.ts'
import type { UnverifiedToken } from '../jwt/jws.ts'
import { refused } from './caller.ts'

/** Who signs service-account tokens: the `iss` they carry and the JSON Web Key Set (text) that checks them. */
export type TokenIssuer = { readonly issuer: string; readonly jwks: string }

/** Asks for it. Throws anything when it can't be had. */
export type FetchTokenIssuer = (signal: AbortSignal) => Promise<TokenIssuer>

/** An unknown key id makes us ask again, but not more often than this: anyone can send one. */
const REFRESH_AT_MOST_EVERY_MS = 10 * SECOND

/** The keys that sign service-account tokens: fetched, refreshed when an unknown one is named, kept when a refresh fails. */
export class TokenKeys {
  readonly #fetch: FetchTokenIssuer
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #keys: Jwks | undefined
  #issuer: string | undefined
  /** When the last attempt ended, on the clock's `elapsed`, and whether it brought keys. */
  #last: { readonly at: number; readonly error: unknown } | undefined
  #refreshing: Promise<void> | undefined

  constructor(fetch: FetchTokenIssuer, clock: Clock, signal: AbortSignal) {
    this.#fetch = fetch
    this.#clock = clock
    this.#signal = signal
  }

  /**
   * The key a token was signed with.
   * @throws CaError `unauthenticated`: no such key, or not for that algorithm · `dependency_unavailable`: keys can't be fetched now
   */
  async keyFor(token: UnverifiedToken): Promise<KeyObject> {
    let key = this.#keys?.find(token.kid, token.algorithm)
    if (key === undefined || key === 'unknown kid') {
      if (!this.#last || this.#clock.elapsed() - this.#last.at >= REFRESH_AT_MOST_EVERY_MS) await this.refresh()
      key = this.#keys?.find(token.kid, token.algorithm)
    }
    if (key === 'other algorithm')
      throw refused(
        'unknown_key',
        `the key ${JSON.stringify(token.kid.slice(0, 64))} is not for ${token.algorithm.name}`,
      )
    if (key === 'unknown kid' || key === undefined) {
      // A key we have not seen, while we cannot look: nobody knows whether it is good.
      if (this.#last?.error !== undefined)
        throw new CaError('dependency_unavailable', 'the keys of service-account tokens can’t be fetched now', {
          cause: this.#last.error,
        })
      throw refused('unknown_key', `no key ${JSON.stringify(token.kid.slice(0, 64))} in the cluster’s key set`)
    }
    return key
  }

  /** Fetches now, once for all who wait. A failure keeps what is there. Never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  /** The `iss` of the tokens these keys check; nothing before the first fetch. */
  get issuer(): string | undefined {
    return this.#issuer
  }

  /** Why the last fetch failed; nothing when it did not. */
  get lastError(): unknown {
    return this.#last?.error
  }

  async #load(): Promise<void> {
    try {
      const { issuer, jwks } = await this.#fetch(this.#signal)
      this.#keys = await Jwks.parse(jwks)
      this.#issuer = issuer
      this.#last = { at: this.#clock.elapsed(), error: undefined }
    } catch (error) {
      this.#last = { at: this.#clock.elapsed(), error }
    }
  }
}
