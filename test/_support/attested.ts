import { expect } from 'vitest'
import type { Credentials } from '../../src/attestation/attest.ts'
import { refusalOf } from '../../src/attestation/caller.ts'
import { CaError, causesOf } from '../../src/core/errors.ts'

/** A signal that nobody aborts. */
export const NEVER = new AbortController().signal

/** What a request shows that brings a token. */
export const withToken = (token: string, impersonatedIdentity?: string): Credentials => ({
  authorization: [`Bearer ${token}`],
  clientCertificate: undefined,
  impersonatedIdentity,
})

/** What a request shows that brings a client certificate alone. */
export const withCertificate = (der: Uint8Array, impersonatedIdentity?: string): Credentials => ({
  authorization: [],
  clientCertificate: der,
  impersonatedIdentity,
})

export type Refused = {
  readonly code: string
  readonly message: string
  readonly reason: string | undefined
  /** What the log gets. */
  readonly detail: string
}

/** How an attestation was refused; a test fails that expected a refusal and got a caller, or anything but a CaError. */
export async function refusal(attempt: Promise<unknown>): Promise<Refused> {
  const outcome = await attempt.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if (!('error' in outcome)) expect.fail(`expected a refusal, got ${JSON.stringify(outcome.value)}`)
  const { error } = outcome
  if (!(error instanceof CaError)) expect.fail(`expected a CaError, got ${String(error)}`)
  return { code: error.code, message: error.message, reason: refusalOf(error)?.reason, detail: causesOf(error.cause) }
}

/** The refusal that everyone outside gets, whatever the reason inside. */
export const opaque = (reason: string) => ({
  code: 'unauthenticated',
  message: 'request authenticate failure',
  reason,
})

/** The answer while nobody can know. */
export const unavailable = { code: 'dependency_unavailable', reason: undefined }
