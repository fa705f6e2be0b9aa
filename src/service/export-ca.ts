import { type Authority, type AuthoritySet, bundledRoots, signingUnder } from '../authority/authority.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { PrivateKey } from '../keys/private-key.ts'
import { authorityIdOf } from '../keys/public-key.ts'
import type { AuthorityRecord, Ledger } from '../ledger/ledger.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { AuthorityStore } from './ports.ts'
import { settledByRepeating } from './turns.ts'

/** A root's CA as istio's `cacerts` layout has it. */
export type ExportedCa = {
  readonly certificate: Certificate
  readonly key: PrivateKey
  /** From the CA up, the root excluded unless it is the CA. */
  readonly chain: readonly Certificate[]
  /** The whole bundle: who is served from the copy trusts what the others trust. */
  readonly roots: readonly Certificate[]
}

type Parts = { readonly store: AuthorityStore; readonly ledger: Ledger; readonly clock: Clock }
type Found = { readonly revision: number; readonly set: AuthoritySet }

/**
 * That the key of a root, or of its online CA, may leave and can.
 * @throws CaError `permission_denied`: disabled for good · `wrong_state`: it is in a token, elsewhere, or can't be opened
 */
export async function openForExport(
  set: AuthoritySet,
  root: Authority,
  store: Pick<AuthorityStore, 'rootKey'>,
): Promise<ExportedCa> {
  if (set.exportDisabled)
    throw new CaError(
      'permission_denied',
      'exporting keys was disabled for good on this state directory; nothing enables it again',
    )
  const { certificate, intermediates, key: home } = signingUnder(root)
  if (root.state === 'revoked')
    throw new CaError('wrong_state', `root ${shortId(root.id)} is revoked; nobody trusts it any more`)
  if (home === 'pkcs11')
    throw new CaError(
      'wrong_state',
      `the key of root ${shortId(root.id)} is in a PKCS#11 token, which never gives it away; nothing was exported`,
    )
  if (home === 'plugged-in' || home === 'elsewhere')
    throw new CaError(
      'wrong_state',
      `the key of root ${shortId(root.id)} is not kept here, so there is nothing to export`,
    )
  const key = await store.rootKey(authorityIdOf(certificate.tbs.publicKey), home)
  if (!(key instanceof PrivateKey))
    throw new CaError(
      'wrong_state',
      `the key of root ${shortId(root.id)} can only sign where it is; nothing was exported`,
    )
  if (!equalBytes(key.publicKey.spki, certificate.tbs.publicKey))
    throw new CaError(
      'wrong_state',
      `the key found for the root ${shortId(root.id)} is another root’s; put back the right one`,
    )
  return {
    certificate,
    key,
    chain: [certificate, ...intermediates],
    roots: bundledRoots(set).map((one) => one.certificate),
  }
}

/** Says, where it stays said, that the key leaves: in the journal and in the ledger, before it does. @throws CaError `dependency_unavailable` */
export async function noteExport(
  { revision, set }: Found,
  root: Authority,
  where: string,
  parts: Parts,
): Promise<void> {
  const authorities = set.authorities.map((one) => (one === root ? { ...one, wasInTheClear: true } : one))
  await settledByRepeating(() => parts.store.write(revision, { ...set, authorities }))
  await record('key exported', root, `to ${where}`, parts)
}

/** No key leaves from now on, and nothing takes that back. @throws CaError `dependency_unavailable` */
export async function disableExport({ revision, set }: Found, active: Authority, parts: Parts): Promise<void> {
  await settledByRepeating(() => parts.store.write(revision, { ...set, exportDisabled: true }))
  await record('export disabled', active, 'for good', parts)
}

function record(
  what: AuthorityRecord['what'],
  { id }: Authority,
  detail: string,
  { ledger, clock }: Parts,
): Promise<void> {
  return ledger.record({ kind: 'authority', at: clock.now().toISOString(), what, authority: id, detail })
}
