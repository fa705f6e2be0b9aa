import { CaError } from '../core/errors.ts'
import { PrivateKey } from '../keys/private-key.ts'
import { type Certificate, readCertificate } from '../x509/certificate.ts'
import { type PemBlock, readPem } from '../x509/pem.ts'
import { type PluggedCa, pluggedCa } from './plugged-ca.ts'

export const MAX_CA_FILE_BYTES = 1024 * 1024

/** The files of istio's `cacerts` layout. */
export const CA_FILES = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem'] as const
export type CaFileName = (typeof CA_FILES)[number]
export type CaFiles = Readonly<Record<CaFileName, Uint8Array | undefined>>

/**
 * A CA from the files as they are; that they belong together and can sign now.
 * @param where they are, for messages
 * @param pathOf what messages call a file
 * @throws CaError `invalid_argument`, naming the file at fault
 */
export async function readPluggedCa(
  files: CaFiles,
  { where, pathOf }: { readonly where: string; readonly pathOf: (name: CaFileName) => string },
  now: Date,
): Promise<PluggedCa<PrivateKey>> {
  // Loaded here, where it is needed at most a few times in a server's life.
  const { confirmReading } = await import('../x509/second-reader.ts')
  const required = (name: CaFileName): Uint8Array => {
    const content = files[name]
    if (!content)
      throw new CaError('invalid_argument', `${pathOf(name)} is missing; a plugged-in CA is ${CA_FILES.join(', ')}`)
    return content
  }
  const named = <T>(name: CaFileName, read: () => T): T => {
    try {
      return read()
    } catch (error) {
      if (error instanceof CaError && !error.message.startsWith(where))
        throw new CaError('invalid_argument', `${pathOf(name)} is unusable: ${error.message}`)
      throw error
    }
  }
  const confirmed = (block: PemBlock): Certificate => {
    const certificate = certificateOf(block)
    confirmReading(certificate)
    return certificate
  }
  const certificates = (name: CaFileName, content: Uint8Array): Certificate[] =>
    named(name, () => readPem(Buffer.from(content).toString('latin1'), MAX_CA_FILE_BYTES, 'text').map(confirmed))
  const chain = files['cert-chain.pem']
  const set = {
    'ca-cert.pem': certificates('ca-cert.pem', required('ca-cert.pem')),
    'ca-key.pem': named('ca-key.pem', () => PrivateKey.fromPem(required('ca-key.pem'))),
    'cert-chain.pem': chain ? certificates('cert-chain.pem', chain) : [],
    'root-cert.pem': certificates('root-cert.pem', required('root-cert.pem')),
  }
  try {
    return pluggedCa(set, now)
  } catch (error) {
    if (error instanceof CaError) throw new CaError(error.code, `${where}: ${error.message}`, { cause: error })
    throw error
  }
}

/** What lies beside each other in a directory or a Secret, by name, in any layout that istio has had. */
export type FoundFiles = ReadonlyMap<string, Uint8Array>

/** All names that `inCacertsLayout` looks at. */
export const IMPORTED_NAMES: readonly string[] = [...CA_FILES, 'tls.crt', 'tls.key', 'ca.crt']

/**
 * The same in the `cacerts` layout, and in words what was taken for what. A Secret of type kubernetes.io/tls has tls.crt with the CA and what stands above it,
 * tls.key and ca.crt; an istiod that made its own root keeps that and its key in `istio-ca-secret`, and leaves the rest out or empty.
 * @throws CaError `not_found`: there is no CA
 */
export function inCacertsLayout(found: FoundFiles): { readonly files: CaFiles; readonly as: string } {
  const content = (name: string) => {
    const bytes = found.get(name)
    return bytes && bytes.length > 0 ? bytes : undefined
  }
  const [ca, key] = [content('ca-cert.pem'), content('ca-key.pem')]
  if (ca ?? key) {
    const [chain, root] = [content('cert-chain.pem'), content('root-cert.pem')]
    const ownRoot = chain === undefined && root === undefined
    return {
      files: { 'ca-cert.pem': ca, 'ca-key.pem': key, 'cert-chain.pem': chain, 'root-cert.pem': ownRoot ? ca : root },
      as: ownRoot ? 'a CA that is its own root' : 'cacerts',
    }
  }
  const [chain, tlsKey] = [content('tls.crt'), content('tls.key')]
  if (chain ?? tlsKey)
    return {
      files: {
        'ca-cert.pem': chain && firstBlock(chain),
        'ca-key.pem': tlsKey,
        'cert-chain.pem': chain,
        'root-cert.pem': content('ca.crt') ?? (chain && firstBlock(chain)),
      },
      as: 'tls.crt, tls.key and ca.crt as ca-cert.pem with cert-chain.pem, ca-key.pem and root-cert.pem',
    }
  throw new CaError(
    'not_found',
    `there is no CA: neither ca-cert.pem with ca-key.pem nor tls.crt with tls.key${found.size === 0 ? '' : `, but ${[...found.keys()].toSorted().slice(0, 10).join(', ')}`}`,
  )
}

function firstBlock(pem: Uint8Array): Uint8Array {
  const text = Buffer.from(pem).toString('latin1')
  const end = /-----END [A-Z0-9 ]+-----\r?\n?/.exec(text)
  return end ? Buffer.from(text.slice(0, end.index + end[0].length), 'latin1') : pem
}

function certificateOf({ label, der }: PemBlock): Certificate {
  if (label !== 'CERTIFICATE')
    throw new CaError('invalid_argument', `it holds a PEM block “${label}”; expected “CERTIFICATE”`)
  return readCertificate(der)
}
