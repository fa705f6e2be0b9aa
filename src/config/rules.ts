import { isIPv4 } from 'node:net'
import { relative } from 'node:path'
import { MINUTE } from '../core/duration.ts'
import { type Config, SETTINGS } from './schema.ts'

/**
 * The rules between settings that do not hold, in words. One that a faulty setting is part of says nothing.
 * @param faulty keys of settings
 */
export function contradictions(config: Config, inCluster: boolean, faulty: ReadonlySet<string>): string[] {
  const { dev, stateDirectory, pluggedCa, crlFile, keys, svid, issuing, root, attestation, listen, healthListen } =
    config
  const faults: string[] = []
  const rule = (of: readonly string[], holds: boolean, says: string) => {
    if (!holds && !of.some((key) => faulty.has(key))) faults.push(says)
  }
  rule(
    ['svid.defaultTtl', 'svid.maxTtl'],
    svid.defaultTtl > 0 && svid.defaultTtl <= svid.maxTtl,
    'svid.defaultTtl is more than zero and at most svid.maxTtl',
  )
  rule(
    ['svid.defaultTtl', 'issuing.lifetime'],
    svid.defaultTtl * 6 <= issuing.lifetime,
    'svid.defaultTtl is at most a sixth of issuing.lifetime: an issuing authority signs until a sixth of its life is left, and what it signs ends with it',
  )
  rule(
    ['issuing.lifetime', 'root.lifetime'],
    issuing.lifetime <= root.lifetime,
    'issuing.lifetime is at most root.lifetime',
  )
  rule(['root.renewalWindow'], root.renewalWindow >= MINUTE, 'root.renewalWindow is at least a minute')
  rule(
    ['attestation.jwksFile', 'attestation.issuer'],
    !(attestation.jwksFile !== undefined && attestation.issuer === undefined),
    'attestation.jwksFile needs attestation.issuer: a key set does not say whose tokens it checks',
  )
  rule(
    ['experimental', 'root.algorithm', 'issuing.algorithm'],
    config.experimental || ![root.algorithm, issuing.algorithm].some((name) => name.startsWith('ml-dsa')),
    'ML-DSA keys need experimental: true',
  )
  rule(
    ['crlFile', 'stateDirectory'],
    crlFile === undefined || !isWithin(stateDirectory, crlFile),
    'crlFile is outside of stateDirectory: what is there is the server’s own, and nobody else reads it',
  )
  const KEYS = SETTINGS.map(({ key }) => key).filter((key) => key.startsWith('keys.'))
  const { pkcs11Holds, ...named } = keys
  const sealing = Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : `keys.${name}`))
  rule(
    KEYS,
    keys.passphraseFile === undefined || keys.wrappingKeyFile === undefined,
    'keys.passphraseFile and keys.wrappingKeyFile exclude each other: a key is sealed with one thing; “alcazar keys reseal” changes it',
  )
  const ofToken = [keys.pkcs11Module, keys.pkcs11Token, keys.pkcs11PinFile].filter((value) => value !== undefined)
  rule(
    KEYS,
    ofToken.length === 0 || ofToken.length === 3,
    'keys.pkcs11Module, keys.pkcs11Token and keys.pkcs11PinFile belong together: set all three, or none',
  )
  if (pkcs11Holds === 'wrapping-key') {
    rule(KEYS, ofToken.length > 0, 'keys.pkcs11Holds: wrapping-key needs a token: keys.pkcs11Module and the next two')
    rule(
      KEYS,
      ofToken.length === 0 || (keys.passphraseFile === undefined && keys.wrappingKeyFile === undefined),
      'keys.pkcs11Holds: wrapping-key excludes keys.passphraseFile and keys.wrappingKeyFile: a key is sealed with one thing; “alcazar keys reseal” changes it',
    )
  }
  if (dev) {
    rule(
      ['dev', ...KEYS],
      sealing.length === 0,
      `dev mode keeps its root’s key in the clear; leave out ${sealing.join(', ')}, or dev`,
    )
    rule(
      ['dev'],
      !inCluster,
      'dev mode does not run inside a cluster: its root’s key lies in the clear, and it gives tokens to whoever asks',
    )
    rule(['dev', 'pluggedCa'], pluggedCa === undefined, 'dev mode makes its own root; leave out pluggedCa, or dev')
    rule(
      ['dev', 'listen', 'healthListen'],
      [listen, healthListen].every(({ host }) => isLoopback(host)),
      'dev mode listens on loopback only (127.0.0.1, ::1, localhost)',
    )
  } else {
    rule(
      ['dev', 'attestation.apiServer', 'attestation.kubeconfig'],
      attestation.apiServer !== undefined || attestation.kubeconfig !== undefined,
      'attestation.apiServer or attestation.kubeconfig is required outside a cluster: without the API server nobody can be recognised',
    )
    rule(
      ['dev', 'pluggedCa', ...KEYS],
      pluggedCa !== undefined || sealing.length > 0,
      'where the root of trust comes from is required outside dev mode: keys.passphraseFile or keys.wrappingKeyFile, with which the key of a root made here is sealed, or keys.pkcs11Module, keys.pkcs11Token and keys.pkcs11PinFile, whose token has it or what seals it, or pluggedCa, a directory with ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem; to try Alcazar on a laptop, use --dev',
    )
    rule(
      ['pluggedCa', ...KEYS],
      pluggedCa === undefined || sealing.length === 0,
      `a plugged-in CA brings its own key, and no root is made here; leave out pluggedCa, or ${sealing.join(', ')}`,
    )
  }
  return faults
}

const isWithin = (folder: string, path: string): boolean => !/^\.\.(\/|$)/.test(relative(folder, path))

const isLoopback = (host: string): boolean => host === '::1' || (isIPv4(host) && host.startsWith('127.'))
