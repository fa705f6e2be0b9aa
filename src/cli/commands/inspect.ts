import { createPublicKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { equalBytes } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import { asObject, parseStrictJson } from '../../core/json.ts'
import { PrivateKey } from '../../keys/private-key.ts'
import { readPublicKey } from '../../keys/public-key.ts'
import { readCertificate } from '../../x509/certificate.ts'
import { type PemBlock, pem, readPem } from '../../x509/pem.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import type { Finding } from '../inspect/finding.ts'
import { outputOption } from '../output-option.ts'

const MAX_BYTES = 4 * 1024 * 1024

/** What a file held: what is said of it, and what other files may be compared with. */
type Inspected = {
  readonly file: string
  readonly findings: readonly Finding[]
  readonly privateKeys: readonly Uint8Array[]
  readonly leaves: readonly Uint8Array[]
}

export const inspect: Verb = {
  name: 'inspect',
  summary: 'Explain certificates, CSRs, keys, bundles and tokens: whose they are, until when, what is wrong with them',
  define(command) {
    command
      .argument('<file...>', 'PEM, DER, a SPIFFE bundle (JSON) or a token; - reads standard input')
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nExamples:\n  alcazar inspect cart/cert-chain.pem cart/key.pem\n  kubectl create token cart --audience istio-ca | alcazar inspect -\n\nExits with 6 when something is wrong with what was inspected.',
      )
  },
  async run(env, files, options) {
    const inspected: Inspected[] = []
    for (const file of files) inspected.push(await inspectFile(env, file))
    const all = [...inspected, ...pairs(inspected)]
    const wrong = all.flatMap(({ findings }) => findings).reduce((count, { problems }) => count + problems.length, 0)
    const data = all.map(({ file, findings }) => ({
      file,
      findings: findings.map((one) => ({ ...one, facts: Object.fromEntries(one.facts) })),
    }))
    print(env, options, data, () =>
      all.flatMap((one, index) => [...(index === 0 ? [] : ['']), ...report(one, all.length > 1)]),
    )
    if (wrong > 0)
      throw new CaError('wrong_state', wrong === 1 ? 'one thing is wrong with it' : `${wrong} things are wrong`)
  },
}

async function inspectFile(env: CliEnv, file: string): Promise<Inspected> {
  let bytes: Uint8Array
  let mode = 0
  try {
    bytes = file === '-' ? await env.readStdin() : await readFile(file)
    if (file !== '-') mode = (await stat(file)).mode & 0o777
  } catch (cause) {
    throw new CaError(
      (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'not_found' : 'invalid_argument',
      `${file} can’t be read: ${(cause as Error).message}`,
      { cause },
    )
  }
  if (bytes.length > MAX_BYTES)
    throw new CaError('invalid_argument', `${file} has ${bytes.length} bytes; at most ${MAX_BYTES}`)
  try {
    return await inspectBytes(env, file, bytes, mode)
  } catch (error) {
    if (error instanceof CaError) throw new CaError(error.code, `${file}: ${error.message}`, { cause: error })
    throw error
  }
}

async function inspectBytes(env: CliEnv, file: string, bytes: Uint8Array, mode: number): Promise<Inspected> {
  const text = Buffer.from(bytes).toString('utf8').trim()
  if (text === '') throw new CaError('invalid_argument', 'it is empty')
  if (text.startsWith('{')) return inspectBundle(env, file, text)
  if (/^[\w-]+\.[\w-]*\.[\w-]*$/.test(text)) {
    const { inspectToken } = await import('../inspect/tokens.ts')
    return { file, findings: [inspectToken(text, env.clock.now())], privateKeys: [], leaves: [] }
  }
  const blocks = text.includes('-----BEGIN ') ? readPem(text, MAX_BYTES, 'text') : [asBlock(bytes)]
  return inspectBlocks(env, file, blocks, mode)
}

/** DER says nothing of what it is: it is what reads it without complaint. */
function asBlock(der: Uint8Array): PemBlock {
  const readers: [string, () => unknown][] = [
    ['CERTIFICATE', () => readCertificate(der)],
    ['PRIVATE KEY', () => PrivateKey.fromPem(Buffer.from(pem('PRIVATE KEY', der)))],
    ['PUBLIC KEY', () => createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })],
  ]
  for (const [label, read] of readers)
    try {
      read()
      return { label, der }
    } catch {
      // Then it is something else.
    }
  if (der[0] === 0x30) return { label: 'CERTIFICATE REQUEST', der }
  throw new CaError('invalid_argument', 'neither PEM nor DER, nor a bundle or a token')
}

async function inspectBlocks(env: CliEnv, file: string, blocks: readonly PemBlock[], mode: number): Promise<Inspected> {
  const { inspectCertificate, inspectChain, inspectCsr } = await import('../inspect/certificates.ts')
  const findings: Finding[] = []
  const privateKeys: Uint8Array[] = []
  const certificates: Uint8Array[] = []
  for (const { label, der } of blocks) {
    if (label === 'CERTIFICATE' || label === 'TRUSTED CERTIFICATE') {
      findings.push(inspectCertificate(der, env.clock.now()))
      certificates.push(der)
    } else if (label.endsWith('CERTIFICATE REQUEST')) findings.push(inspectCsr(der))
    else if (label.endsWith('PRIVATE KEY')) {
      const key = PrivateKey.fromPem(Buffer.from(pem(label, der)))
      privateKeys.push(key.publicKey.spki)
      findings.push({
        kind: 'private key',
        title: `private key, ${key.publicKey.algorithm.label}`,
        facts: [
          ['protection', mode === 0 ? 'none: it is not encrypted' : `not encrypted; file mode ${mode.toString(8)}`],
        ],
        problems: mode & 0o077 ? ['others than its owner can read it; make it 600'] : [],
      })
    } else if (label === 'PUBLIC KEY')
      findings.push({
        kind: 'public key',
        title: `public key, ${readPublicKey(der).algorithm.label}`,
        facts: [],
        problems: [],
      })
    else throw new CaError('invalid_argument', `a PEM block “${label}”, which nothing here explains`)
  }
  if (findings.length === 0) throw new CaError('invalid_argument', 'no PEM block')
  if (certificates.length > 1) findings.push(inspectChain(certificates))
  return { file, findings, privateKeys, leaves: certificates.slice(0, 1) }
}

/** A SPIFFE bundle document: JWKS with one certificate a key. */
async function inspectBundle(env: CliEnv, file: string, text: string): Promise<Inspected> {
  const { inspectCertificate } = await import('../inspect/certificates.ts')
  const document = asObject(parseStrictJson(text))
  const keys = document?.keys
  if (!document || !Array.isArray(keys))
    throw new CaError('invalid_argument', 'JSON, but no key set: it has no list “keys”')
  const problems: string[] = []
  const roots = keys.flatMap((entry, index) => {
    const key = asObject(entry)
    if (key?.use !== 'x509-svid') return []
    const [x5c, ...more] = Array.isArray(key.x5c) ? key.x5c : []
    if (typeof x5c !== 'string' || more.length > 0)
      problems.push(`key ${index + 1} does not hold exactly one certificate in x5c`)
    return typeof x5c === 'string' ? [inspectCertificate(Buffer.from(x5c, 'base64'), env.clock.now())] : []
  })
  if (keys.length === 0) problems.push('it holds no key: whoever follows it trusts nobody')
  const summary: Finding = {
    kind: 'trust bundle',
    title: `trust bundle of ${roots.length} X.509 ${roots.length === 1 ? 'root' : 'roots'}`,
    facts: [
      ['sequence', String(document.spiffe_sequence ?? '(none)')],
      [
        'ask again',
        document.spiffe_refresh_hint === undefined ? '(no hint)' : `every ${String(document.spiffe_refresh_hint)} s`,
      ],
      ['other keys', String(keys.length - roots.length)],
    ],
    problems,
  }
  return { file, findings: [summary, ...roots], privateKeys: [], leaves: [] }
}

/** A key and a certificate among the files: whether they belong together. */
function pairs(all: readonly Inspected[]): Inspected[] {
  const keys = all.flatMap(({ file, privateKeys }) => privateKeys.map((spki) => ({ file, spki })))
  const leaves = all.flatMap(({ file, leaves }) =>
    leaves.map((der) => ({
      file,
      spki: new Uint8Array(new X509Certificate(der).publicKey.export({ format: 'der', type: 'spki' })),
    })),
  )
  if (keys.length === 0 || leaves.length === 0) return []
  const findings = keys.map((key): Finding => {
    const own = leaves.find((leaf) => equalBytes(leaf.spki, key.spki))
    return own
      ? {
          kind: 'private key',
          title: `${key.file} is the key of the first certificate in ${own.file}`,
          facts: [],
          problems: [],
        }
      : {
          kind: 'private key',
          title: `${key.file} and the certificates`,
          facts: [],
          problems: [`${key.file} is not the key of any of them`],
        }
  })
  return [{ file: 'together', findings, privateKeys: [], leaves: [] }]
}

function report({ file, findings }: Inspected, named: boolean): string[] {
  const lines = named ? [`${file}:`] : []
  for (const { kind, title, facts, problems } of findings) {
    lines.push(kind === 'certificate' || kind === 'token' ? `${title}  (${kind})` : title)
    for (const [label, value] of facts) lines.push(`  ${label.padEnd(11)} ${value}`)
    for (const problem of problems) lines.push(`  ✘ ${problem}`)
  }
  return lines
}
