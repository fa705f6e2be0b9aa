import type { Credentials } from '../attestation/attest.ts'
import type { Caller, Claim } from '../attestation/caller.ts'
import type { Renewable, Renewal } from '../authority/svid-renewal.ts'
import { SECOND } from '../core/duration.ts'
import { asCaError, CaError } from '../core/errors.ts'
import { type AttestedCallParts, attestCall, recordRefusal } from './attested-call.ts'
import type { RequestContext } from './events.ts'

export type RenewalQuestion = { readonly context: RequestContext; readonly credentials: Credentials }

export type SuggestedRenewal = Renewal & {
  /** In milliseconds: what is suggested may be sooner by then. */
  readonly askAgainMs: number
}

/**
 * When the SVID that a call is made with is to be renewed. Nothing is issued; whoever would not be renewed is refused.
 * @throws CaError `unauthenticated` · `invalid_argument`: it was made with a token · `not_found`: the SVID was replaced · `not_ready` ·
 * `rate_limited` · `dependency_unavailable` · `internal`
 */
export type AskRenewal = (question: RenewalQuestion, signal: AbortSignal) => Promise<SuggestedRenewal>

export type AskRenewalParts = AttestedCallParts & {
  readonly suggest: (svid: Renewable) => Renewal
  /** Over how long the renewals that a rotation waits for are spread. */
  readonly windowMs: number
}

/** Whoever asks so often hears of a rotation while most of its window is ahead. */
const QUESTIONS_A_WINDOW = 6

export function askingRenewals(parts: AskRenewalParts): AskRenewal {
  const { inventory, suggest, windowMs, clock } = parts
  return async (question, signal) => {
    const { svid: serial } = await callerOf(parts, question, signal)
    if (serial === undefined)
      throw new CaError(
        'invalid_argument',
        'ask with the certificate that is to be renewed, by mutual TLS and no token',
      )
    const svid = inventory.find(serial)
    const now = clock.now()
    if (!svid && !inventory.state(now).complete)
      throw new CaError('not_ready', 'the ledger is still being read for what is alive; ask again')
    if (!svid) throw new CaError('not_found', 'a newer certificate that replaced this one is in use; ask with that one')
    const renewal = suggest(svid)
    const untilDue = renewal.at.getTime() - now.getTime()
    return { ...renewal, askAgainMs: Math.max(SECOND, Math.min(windowMs / QUESTIONS_A_WINDOW, untilDue)) }
  }
}

async function callerOf(
  parts: AskRenewalParts,
  { context, credentials }: RenewalQuestion,
  signal: AbortSignal,
): Promise<Caller> {
  const began = parts.clock.elapsed()
  let claim: Claim | undefined
  try {
    return await attestCall(parts, context, credentials, signal, (claimed) => {
      claim = claimed
    })
  } catch (thrown) {
    // Who gave up waiting is refused nothing.
    if (signal.aborted) throw new CaError('dependency_unavailable', 'the caller gave up', { cause: thrown })
    const error = asCaError(thrown)
    await recordRefusal(parts, context, error, claim, parts.clock.elapsed() - began)
    throw error
  }
}
