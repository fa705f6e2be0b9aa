import { type Authority, type AuthoritySet, bundledRoots, type Rotation } from '../authority/authority.ts'
import type { Gate } from '../authority/gate.ts'
import { shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { Making } from '../issuance/ca-certificates.ts'
import { proveSigning } from '../issuance/prove-signing.ts'
import { isValidAt } from '../x509/certificate.ts'
import type { Successor } from './change.ts'
import type { Force } from './closed-gate.ts'

/** Who asks, and why: for the ledger and the log. */
export type Wish = { readonly by: Rotation['by']; readonly because: string }

/** In characters. */
export const MAX_REASON = 500

/** That what `root` will sign verifies for whoever holds only the new bundle's root, and for whoever holds only the old one's. */
export async function proveRoot(
  set: AuthoritySet,
  root: Authority,
  { authority, signer }: Successor,
  making: Making,
): Promise<void> {
  const parent = { certificate: authority.certificate, signer }
  await proveSigning(parent, authority.intermediates, [root.certificate], making)
  for (const { by, certificate } of root.cross) {
    const old = set.authorities.find(({ id, role, state }) => id === by && role === 'root' && state !== 'revoked')
    if (old) await proveSigning(parent, [...authority.intermediates, certificate], [old.certificate], making)
  }
}

/** @throws CaError `wrong_state`: nothing that it would sign is valid */
export function checkCurrent(root: Authority, now: Date): void {
  const { tbs } = root.certificate
  if (isValidAt(tbs, now)) return
  throw new CaError(
    'wrong_state',
    `root ${shortId(root.id)} is valid from ${tbs.notBefore.toISOString()} to ${tbs.notAfter.toISOString()}, and now is ${now.toISOString()}: take it out with alcazar root revoke, and prepare another`,
  )
}

/** The one root in that state. @throws CaError `wrong_state`: there is none · `invalid_argument`: there are several */
export function theOne(set: AuthoritySet, state: 'prepared' | 'old'): Authority {
  const found = bundledRoots(set).filter(
    (root) => root.state === state || (state === 'old' && root.state === 'tainted'),
  )
  const [only, ...more] = found
  if (!only) throw new CaError('wrong_state', `no root is ${state}; alcazar root status shows what there is`)
  if (more.length > 0)
    throw new CaError(
      'invalid_argument',
      `several roots are ${state}: ${found.map(({ id }) => shortId(id)).join(', ')}; name one`,
    )
  return only
}

/** @throws CaError `wrong_state`: a root is on its way in or out, and two at once would be two rotations */
export function checkNoneOnItsWay(set: AuthoritySet): void {
  const other = bundledRoots(set).find(({ state }) => state !== 'active')
  if (!other) return
  const back = other.state === 'tainted' ? '' : ', or take it back with alcazar root rollback'
  throw new CaError(
    'wrong_state',
    `root ${shortId(other.id)} is ${other.state} and on its way ${other.state === 'prepared' ? 'in' : 'out'}: one rotation at a time; finish it with alcazar root rotate${back}`,
  )
}

export function notOurs(): CaError {
  return new CaError(
    'wrong_state',
    'the CA is plugged in, so its roots are replaced by its files: put the new root beside the old one in root-cert.pem, then let the new CA sign, then take the old root out; or take it over with alcazar import',
  )
}

/** @throws CaError `wrong_state`: the CA is plugged in */
export function checkOwn(set: AuthoritySet): void {
  if (set.origin === 'plugged-in') throw notOurs()
}

/** @throws CaError `invalid_argument`: the reason is too long */
export function checked(wish: Wish): Wish {
  if (wish.because.length > MAX_REASON)
    throw new CaError('invalid_argument', `a reason has at most ${MAX_REASON} characters, not ${wish.because.length}`)
  return { by: wish.by, because: wish.because }
}

/** A step in the ledger's words; going through a closed gate is said. */
export function describe(wish: Wish, found: Gate, force: Force | undefined): string {
  const { by, because } = checked(wish)
  return `by the ${by}: ${because}${force && !found.open ? `; FORCED, ${breaking(found)}` : ''}`
}

function breaking({ incomplete, inTheWay, live }: Gate): string {
  const known = `${inTheWay} of ${live} live ${live === 1 ? 'workload' : 'workloads'}`
  return incomplete === undefined
    ? `breaking ${known}`
    : `breaking nobody knows whom (${incomplete}), as far as is known ${known}`
}

/** How many workloads one record of the ledger names: the longest names there are fill half of a line it can read. */
const NAMED_IN_A_RECORD = 1000

/** A step in as many records as it takes to name all whom it cut off. */
export function namedInParts(step: string, cutOff: readonly string[]): readonly string[] {
  if (cutOff.length === 0) return [step]
  const parts = Math.ceil(cutOff.length / NAMED_IN_A_RECORD)
  return Array.from({ length: parts }, (_, part) => {
    const names = cutOff.slice(part * NAMED_IN_A_RECORD, (part + 1) * NAMED_IN_A_RECORD).join(', ')
    return `${part === 0 ? `${step}; cut off` : `cut off, part ${part + 1} of ${parts}`}: ${names}`
  })
}
