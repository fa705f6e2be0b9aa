/** Why a request, a verb or a start was not carried out. Add a code only when someone will branch on it. */
export type CaErrorCode =
  | 'invalid_argument'
  | 'bad_csr'
  | 'unauthenticated'
  | 'permission_denied'
  | 'not_found'
  | 'conflict'
  | 'wrong_state'
  | 'rate_limited'
  | 'not_ready'
  | 'dependency_unavailable'
  | 'internal'

/**
 * The one error class that crosses rooms. `message` is for the caller and says what would have been accepted; `cause` is for our
 * own log and never leaves the process. What each code becomes on a wire stands in `outcomes.ts`.
 */
export class CaError extends Error {
  override readonly name = 'CaError'
  readonly code: CaErrorCode

  constructor(code: CaErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** Anything thrown, as a CaError: what isn't one becomes `internal` with a fixed text, and stays available as its cause. */
export function asCaError(thrown: unknown): CaError {
  if (thrown instanceof CaError) return thrown
  return new CaError('internal', 'internal error; the server log has the details', { cause: thrown })
}

/** The text of a cause chain, outermost first, for our own log. */
export function causesOf(error: unknown): string {
  const texts: string[] = []
  for (let at = error, depth = 0; at !== undefined && at !== null && depth < 8; depth++) {
    texts.push(textOf(at))
    at = at instanceof Error ? at.cause : undefined
  }
  return texts.join(': ')
}

function textOf(thrown: unknown): string {
  // Node's for a refused connection has no message of its own.
  if (thrown instanceof AggregateError)
    return [thrown, ...thrown.errors.filter((one) => one instanceof Error)]
      .map(({ message }) => message)
      .filter((message) => message !== '')
      .join(', ')
  if (thrown instanceof Error) return thrown.message
  try {
    return String(thrown)
  } catch {
    return 'something without a text'
  }
}
