import { equalBytes } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { authorityIdOf } from '../keys/public-key.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import { type AuthoritySet, publicKeyOf } from './authority.ts'
import { checkSigner, verifyPath } from './path.ts'
import { checkRoot, checkTrustDomain } from './root-certificate.ts'

/** What somebody's own PKI made of a request: a CA for a key of ours, and the root it stands under. */
export type SignedRequest = {
  readonly certificate: Certificate
  /** Between it and the root, nearest first. */
  readonly intermediates: readonly Certificate[]
  readonly root: Certificate
}

/**
 * That the certificates, from the one for our key up to the root, are a whole chain of CAs that may sign leaves of this trust domain now.
 * @throws CaError `invalid_argument`: the first thing that is wrong · `conflict`: the key is an authority's already
 */
export function signedRequest(
  chain: readonly Certificate[],
  set: AuthoritySet,
  trustDomain: TrustDomain,
  now: Date,
): SignedRequest {
  const [certificate, ...above] = chain
  const root = above.pop()
  if (!certificate || !root)
    throw new CaError(
      'invalid_argument',
      `there ${chain.length === 1 ? 'is 1 certificate' : 'are 0 certificates'}; expected the signed one, its intermediates from the nearest up, and the root last`,
    )
  checkRoot(root, 'the last certificate, which should be the root,')
  for (const one of chain) publicKeyOf(one)
  checkSigner(certificate, 0, 'the first certificate')
  verifyPath([certificate, ...above], [root], now)
  checkTrustDomain(chain, trustDomain)
  // The CA that signs under this root already may get another certificate for its key.
  const rootId = authorityIdOf(root.tbs.publicKey)
  const taken = set.authorities.some(
    (one) => equalBytes(one.certificate.tbs.publicKey, certificate.tbs.publicKey) && one.root !== rootId,
  )
  if (taken)
    throw new CaError(
      'conflict',
      'the first certificate is for the key of an authority that is in use; make a request of its own with alcazar root prepare --csr-out',
    )
  return { certificate, intermediates: above, root }
}
