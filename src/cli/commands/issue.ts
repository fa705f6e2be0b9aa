import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Option } from 'commander'
import { parseAddress } from '../../config/schema.ts'
import { colonHex } from '../../core/bytes.ts'
import { durationInWords, MINUTE, parseDuration, SECOND } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { KEY_ALGORITHM_NAMES, keyAlgorithm } from '../../keys/algorithms.ts'
import { PrivateKey } from '../../keys/private-key.ts'
import { isMissing, writeDurably } from '../../storage/durable-file.ts'
import { readCertificate, urisOf } from '../../x509/certificate.ts'
import { writeCsrInfo, writeCsrPem } from '../../x509/csr.ts'
import { commonNameOf } from '../../x509/name.ts'
import { readPem } from '../../x509/pem.ts'
import { call, type SocketTarget, type Target } from '../client.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { describeServer, devToken, localServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { momentInWords } from '../moments.ts'
import { outputOption } from '../output-option.ts'

type Issued = {
  spiffeId: string
  serial: string
  notBefore: string
  notAfter: string
  certificateChain: string
  trustBundle: string
  bundleSequence: number
}

const KEY = 'key.pem'
const CHAIN = 'cert-chain.pem'
const ROOTS = 'root-cert.pem'

export const issue: Verb = {
  name: 'issue',
  summary:
    'Get a certificate for a service account: make a key, send a CSR, write key.pem, cert-chain.pem and root-cert.pem',
  define(command) {
    command
      .option('-n, --namespace <name>', 'namespace of the service account (dev mode, which issues the token too)')
      .option('-s, --service-account <name>', 'name of the service account (dev mode)')
      .requiredOption('--out <dir>', 'directory to write the three files to; it is made if it is missing')
      .option('--token <file>', 'a service-account token; outside dev mode it is required, and says who you are')
      .option('--server <host:port>', 'the server to ask; default: the one running on this machine')
      .option('--root-cert <file>', 'the roots to trust that server by; needed with --server')
      .option('--ttl <duration>', 'lifetime to ask for, for example 1h; default: the server’s')
      .addOption(
        new Option('--key-algorithm <name>', 'kind of key to make').choices(KEY_ALGORITHM_NAMES).default('ecdsa-p256'),
      )
      .option('--force', 'replace files in --out that hold another identity', false)
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
      .addHelpText('after', '\nExample:\n  npx alcazar issue --namespace shop --service-account cart --out ./cart')
  },
  async run(env, _args, options) {
    const out = options.out as string
    const local = localServer(env, options)
    const ttlSeconds = options.ttl === undefined ? undefined : Math.ceil(parseDuration(options.ttl as string) / SECOND)
    const server = await serverOf(options, local)
    const bearer = await tokenOf(options, local)
    const key = await PrivateKey.generate(keyAlgorithm(options.keyAlgorithm as string))
    const info = writeCsrInfo(key.publicKey.spki)
    const csr = writeCsrPem(info, key.publicKey.algorithm.signatureAlgorithm, await key.sign(info))
    const issued = (await call(
      server,
      'POST',
      '/v1/certificates',
      { csr, ...(ttlSeconds !== undefined && { ttlSeconds }) },
      { authorization: `Bearer ${bearer}` },
    )) as Issued
    if (!options.force) await refuseForeignFiles(out, issued.spiffeId)
    await mkdir(out, { recursive: true, mode: 0o755 })
    await key.store((pem) => writeDurably(join(out, KEY), pem, 0o600))
    await writeDurably(join(out, CHAIN), issued.certificateChain, 0o644)
    await writeDurably(join(out, ROOTS), issued.trustBundle, 0o644)
    const { certificateChain: _chain, trustBundle: _bundle, ...facts } = issued
    const files = [KEY, CHAIN, ROOTS].map((name) => join(out, name))
    print(env, options, { ...facts, files }, () => report(env, issued, key, files))
  },
}

async function serverOf(options: Readonly<Record<string, unknown>>, local: SocketTarget): Promise<Target> {
  if (options.server !== undefined) {
    if (options.rootCert === undefined)
      throw new CaError('invalid_argument', '--server needs --root-cert: the roots by which that server is trusted')
    return {
      kind: 'https',
      ...parseAddress(options.server as string),
      rootsPem: await readText(options.rootCert as string, '--root-cert'),
    }
  }
  const { caAddress, trustBundle } = await describeServer(local)
  return { kind: 'https', ...parseAddress(caAddress), rootsPem: trustBundle }
}

async function tokenOf(options: Readonly<Record<string, unknown>>, local: SocketTarget): Promise<string> {
  if (options.token !== undefined) return (await readText(options.token as string, '--token')).trim()
  const { namespace, serviceAccount } = options
  if (typeof namespace !== 'string' || typeof serviceAccount !== 'string')
    throw new CaError(
      'invalid_argument',
      'say who the certificate is for: --namespace and --service-account in dev mode, else --token FILE',
    )
  try {
    return await devToken(local, namespace, serviceAccount)
  } catch (error) {
    if (error instanceof CaError && error.code === 'not_found')
      throw new CaError(
        'permission_denied',
        'the server is not in dev mode, so it gives no tokens; bring one with --token FILE (kubectl create token … --audience istio-ca)',
        { cause: error },
      )
    throw error
  }
}

/** What is there may be somebody's only key: it is replaced only by the next one of the same identity. */
async function refuseForeignFiles(out: string, spiffeId: string): Promise<void> {
  const found = await Promise.all([KEY, CHAIN].map((name) => readFile(join(out, name), 'utf8').catch(ignoreMissing)))
  const [key, chain] = found
  if (key === undefined && chain === undefined) return
  const holder = chain === undefined ? undefined : identityIn(chain)
  if (holder !== spiffeId)
    throw new CaError(
      'conflict',
      `${out} holds ${holder ? `files of ${holder}` : 'a key of somebody else'}; choose another --out, or replace them with --force`,
    )
}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error
  return undefined
}

function identityIn(chain: string): string | undefined {
  try {
    const [leaf] = readPem(chain, 1024 * 1024, 'text')
    return leaf && urisOf(readCertificate(leaf.der).tbs)[0]
  } catch {
    return undefined // not ours to understand, so not ours to replace
  }
}

function report(env: CliEnv, issued: Issued, key: PrivateKey, files: readonly string[]): string[] {
  const now = env.clock.now()
  const chain = readPem(issued.certificateChain, 1024 * 1024, 'text').map((block) => readCertificate(block.der))
  const roots = readPem(issued.trustBundle, 1024 * 1024, 'text').map((block) => readCertificate(block.der))
  const names = chain.slice(1).map((one) => commonNameOf(one.tbs.subject) ?? 'CA')
  const [root] = roots.filter(
    (one) => equalBytes(one.tbs.subject, chain.at(-1)?.tbs.issuer ?? new Uint8Array()),
  )
  const end = new Date(issued.notAfter)
  const [keyFile, chainFile, rootFile] = files
  return [
    issued.spiffeId,
    `  serial ${colonHex(issued.serial)}`,
    `  key    ${key.publicKey.algorithm.label}    valid ${durationInWords(Math.ceil((end.getTime() - now.getTime()) / MINUTE) * MINUTE)} (until ${momentInWords(end, now)})`,
    `  chain  ${['leaf', ...names, commonNameOf(root?.tbs.subject ?? new Uint8Array()) ?? 'root'].join(' ← ')}`,
    `  wrote  ${keyFile}  ${chainFile}  ${rootFile}`,
    `Try it:  openssl verify -CAfile ${rootFile} -untrusted ${chainFile} ${chainFile}`,
  ]
}

async function readText(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new CaError('invalid_argument', `${flag}: ${(cause as Error).message}`, { cause })
  }
}
