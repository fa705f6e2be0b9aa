import { equalBytes } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { Signer } from '../keys/private-key.ts'
import { type Certificate, isSelfIssued } from '../x509/certificate.ts'
import { publicKeyOf } from './authority.ts'
import { checkSigner, verifyPath } from './path.ts'

/** A CA that somebody else made and gave us the key of, found whole. */
export type PluggedCa<Key extends Signer = Signer> = {
  readonly certificate: Certificate
  readonly signer: Key
  /** What stands between it and its root, nearest first. */
  readonly intermediates: readonly Certificate[]
  /** The whole trust bundle it came with. */
  readonly roots: readonly Certificate[]
  /** The root it leads to. */
  readonly root: Certificate
  /** Whether an issuing authority may stand under it; if not, it signs leaves itself. */
  readonly maySignCas: boolean
}

/** The files of istio's `cacerts` layout, by the names that messages use. */
export type PluggedCaFiles<Key extends Signer = Signer> = {
  readonly 'ca-cert.pem': readonly Certificate[]
  readonly 'ca-key.pem': Key
  /** From the CA up; empty where the file is missing. */
  readonly 'cert-chain.pem': readonly Certificate[]
  readonly 'root-cert.pem': readonly Certificate[]
}

/**
 * That the files belong together and can sign now.
 * @throws CaError `invalid_argument`, naming the file at fault
 */
export function pluggedCa<Key extends Signer>(files: PluggedCaFiles<Key>, now: Date): PluggedCa<Key> {
  const [certificate, ...more] = files['ca-cert.pem']
  if (!certificate || more.length > 0)
    throw fault('ca-cert.pem', `holds ${files['ca-cert.pem'].length} certificates; it should hold the CA’s one`)
  const signer = files['ca-key.pem']
  if (!equalBytes(signer.publicKey.spki, certificate.tbs.publicKey))
    throw fault('ca-key.pem', 'is not the key of the certificate in ca-cert.pem')
  const roots = files['root-cert.pem']
  if (roots.length === 0) throw fault('root-cert.pem', 'holds no certificate')
  roots.forEach((root, index) => {
    if (roots.findIndex((other) => equalBytes(other.der, root.der)) !== index)
      throw fault('root-cert.pem', 'holds a certificate twice')
    if (root.tbs.basicConstraints?.ca !== true)
      throw fault('root-cert.pem', `holds a certificate that is not a CA (its number ${index + 1})`)
    naming('root-cert.pem', 'holds a certificate that can’t be used: ', () => publicKeyOf(root))
  })
  const isRoot = (one: Certificate) => roots.some((root) => equalBytes(root.der, one.der))
  naming('ca-cert.pem', '', () => checkSigner(certificate, 0, 'holds a certificate that'))
  const intermediates = files['cert-chain.pem'].filter((one) => !equalBytes(one.der, certificate.der) && !isRoot(one))
  if (files['cert-chain.pem'].length === 0 && !isSelfIssued(certificate.tbs))
    throw fault(
      'cert-chain.pem',
      'is missing or empty; it should hold the certificates from ca-cert.pem up to the root',
    )
  const chain = [certificate, ...intermediates]
  const root = naming(
    chain.length > 1 ? 'cert-chain.pem' : 'ca-cert.pem',
    'does not lead to a root in root-cert.pem: ',
    () => verifyPath(chain, roots, now),
  )
  return {
    certificate,
    signer,
    intermediates,
    roots,
    root,
    maySignCas: maySignCas(isRoot(certificate) ? chain : [...chain, root]),
  }
}

/** One more CA below `path[0]` is within every pathLen of the path, its root included. */
export function maySignCas(path: readonly Certificate[]): boolean {
  let below = 1
  for (const certificate of path) {
    const pathLength = certificate.tbs.basicConstraints?.pathLength
    if (pathLength !== undefined && below > pathLength) return false
    if (!isSelfIssued(certificate.tbs)) below++
  }
  return true
}

function naming<T>(file: keyof PluggedCaFiles, what: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof CaError) throw fault(file, `${what}${error.message}`)
    throw error
  }
}

function fault(file: keyof PluggedCaFiles, why: string): CaError {
  return new CaError('invalid_argument', `${file} ${why}`)
}
