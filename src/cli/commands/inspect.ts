import { createPrivateKey, createPublicKey } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { equalBytes } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import { asObject, parseStrictJson } from '../../core/json.ts'
import { PrivateKey } from '../../keys/private-key.ts'
import { readBoundedInput } from '../../storage/bounded-file.ts'
import { readCertificate } from '../../x509/certificate.ts'
import { readCrl } from '../../x509/crl.ts'
import { readCsrDer } from '../../x509/csr.ts'
import { CRL_LABEL, type PemBlock, pem, readPem } from '../../x509/pem.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { fileFault } from '../file-fault.ts'
import type { Finding } from '../inspect/finding.ts'
import { outputOption } from '../output-option.ts'

/** The largest CRL as PEM. */
const MAX_BYTES = 9 * 1024 * 1024

/** What a file held: what is said of it, and what other files may be compared with. */
type Inspected = {
  readonly file: string
  readonly findings: readonly Finding[]
  readonly privateKeys: readonly Uint8Array[]
  /** What names a key of its own: the first certificate, and CSRs. */
  readonly holders: readonly Holder[]
}

type Holder = { readonly what: 'first certificate' | 'CSR'; readonly spki: Uint8Array }

export const inspect: Verb = {
  name: 'inspect',
  summary:
    'Explain certificates, CSRs, CRLs, keys, bundles and tokens: whose they are, until when, what is wrong with them',
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
    const unread: { file: string; error: CaError }[] = []
    for (const file of files)
      try {
        inspected.push(await inspectFile(env, file))
      } catch (error) {
        if (!(error instanceof CaError)) throw error
        unread.push({ file, error })
      }
    const all = [...inspected, ...pairs(inspected)]
    const wrong = all.flatMap(({ findings }) => findings).reduce((count, { problems }) => count + problems.length, 0)
    const data = [
      ...all.map(({ file, findings }) => ({
        file,
        findings: findings.map((one) => ({ ...one, facts: Object.fromEntries(one.facts) })),
      })),
      ...unread.map(({ file, error }) => ({ file, error: error.message })),
    ]
    print(env, options, data, () =>
      all.flatMap((one, index) => [...(index === 0 ? [] : ['']), ...report(one, all.length > 1)]),
    )
    const [first] = unread
    if (first) throw new CaError(first.error.code, unread.map(({ error }) => error.message).join('\n'))
    if (wrong > 0)
      throw new CaError('wrong_state', wrong === 1 ? 'one thing is wrong with it' : `${wrong} things are wrong`)
  },
}

async function inspectFile(env: CliEnv, file: string): Promise<Inspected> {
  let bytes: Uint8Array
  let mode = 0
  try {
    const bounds = { what: file, atMost: MAX_BYTES }
    bytes = file === '-' ? await env.readStdin(bounds) : await readBoundedInput(file, bounds)
    if (file !== '-') mode = (await stat(file)).mode & 0o777
  } catch (cause) {
    if (cause instanceof CaError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new CaError('not_found', `${file} is not there`, { cause })
    throw fileFault(`${file} can’t be read`, cause)
  }
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
  // Without its signature it is known by a header that begins with a brace.
  if (/^[\w-]+\.[\w-]*\.[\w-]*$/.test(text) || /^e[w-z][\w-]*\.[\w-]+$/.test(text)) {
    const { inspectToken } = await import('../inspect/tokens.ts')
    return { file, findings: [inspectToken(text, env.clock.now())], privateKeys: [], holders: [] }
  }
  if (/^(-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED)\r?$/m.test(text))
    throw new CaError(
      'invalid_argument',
      'an encrypted key: Alcazar reads only keys that need no passphrase; openssl pkey decrypts it',
    )
  const blocks = text.includes('-----BEGIN ') ? readPem(text, MAX_BYTES, 'text') : [asBlock(bytes)]
  return inspectBlocks(env, file, blocks, mode)
}

/** DER says nothing of what it is: it is what reads it without complaint. */
function asBlock(der: Uint8Array): PemBlock {
  const readers: [string, () => unknown][] = [
    ['CERTIFICATE', () => readCertificate(der)],
    [CRL_LABEL, () => readCrl(der)],
    ['PRIVATE KEY', () => publicPartOf(pem('PRIVATE KEY', der))],
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
  const { inspectCertificate, inspectChain, inspectCsr, inspectKey } = await import('../inspect/certificates.ts')
  const findings: Finding[] = []
  const privateKeys: Uint8Array[] = []
  const certificates: Uint8Array[] = []
  const holders: Holder[] = []
  for (const { label, der } of blocks) {
    if (label === 'CERTIFICATE' || label === 'TRUSTED CERTIFICATE') {
      findings.push(inspectCertificate(der, env.clock.now()))
      if (certificates.length === 0)
        holders.push({ what: 'first certificate', spki: readCertificate(der).tbs.publicKey })
      certificates.push(der)
    } else if (label.endsWith('CERTIFICATE REQUEST')) {
      findings.push(inspectCsr(der))
      holders.push({ what: 'CSR', spki: readCsrDer(der).publicKey })
    } else if (label === CRL_LABEL) {
      const { inspectCrl } = await import('../inspect/crls.ts')
      findings.push(inspectCrl(der, env.clock.now()))
    } else if (label.endsWith('PRIVATE KEY')) {
      const spki = publicPartOf(pem(label, der))
      const { text, problems } = inspectKey(spki)
      if (problems.length === 0) PrivateKey.fromPem(Buffer.from(pem(label, der)))
      privateKeys.push(spki)
      findings.push({
        kind: 'private key',
        title: `private key, ${text}`,
        facts: [
          ['protection', mode === 0 ? 'none: it is not encrypted' : `not encrypted; file mode ${mode.toString(8)}`],
        ],
        problems: [...problems, ...(mode & 0o077 ? ['others than its owner can read it; make it 600'] : [])],
      })
    } else if (label === 'PUBLIC KEY') {
      const { text, problems } = inspectKey(der)
      findings.push({ kind: 'public key', title: `public key, ${text}`, facts: [], problems })
    } else throw new CaError('invalid_argument', `a PEM block “${label}”, which nothing here explains`)
  }
  if (findings.length === 0) throw new CaError('invalid_argument', 'no PEM block')
  if (certificates.length > 1) findings.push(inspectChain(certificates))
  return { file, findings, privateKeys, holders }
}

/** @throws CaError `invalid_argument`: not a private key */
function publicPartOf(keyPem: string): Uint8Array {
  try {
    const key = createPrivateKey(keyPem)
    return new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }))
  } catch {
    // OpenSSL's reason may quote its input.
    throw new CaError('invalid_argument', 'not a private key')
  }
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
  return { file, findings: [summary, ...roots], privateKeys: [], holders: [] }
}

/** A key and a certificate or a CSR among the files: whether they belong together. */
function pairs(all: readonly Inspected[]): Inspected[] {
  const keys = all.flatMap(({ file, privateKeys }) => privateKeys.map((spki) => ({ file, spki })))
  const holders = all.flatMap(({ file, holders }) => holders.map((holder) => ({ file, ...holder })))
  if (keys.length === 0 || holders.length === 0) return []
  const findings = keys.map((key): Finding => {
    const own = holders.filter((holder) => equalBytes(holder.spki, key.spki))
    const others = holders.some(({ what }) => what === 'CSR') ? 'certificates and CSRs' : 'certificates'
    return own.length > 0
      ? {
          kind: 'private key',
          title: `${key.file} is the key of ${own.map(({ what, file }) => `the ${what} in ${file}`).join(' and ')}`,
          facts: [],
          problems: [],
        }
      : {
          kind: 'private key',
          title: `${key.file} and the ${others}`,
          facts: [],
          problems: [`${key.file} is not the key of any of them`],
        }
  })
  return [{ file: 'together', findings, privateKeys: [], holders: [] }]
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
