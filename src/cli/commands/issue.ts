import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { Option } from 'commander'
import { parseAddress } from '../../config/texts.ts'
import { colonHex, equalBytes } from '../../core/bytes.ts'
import { durationInWords, MINUTE, parseDuration, relativeInWords, SECOND } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { ServerDescription } from '../../endpoints/admin/routes.ts'
import { readClaims } from '../../jwt/jws.ts'
import { KEY_ALGORITHM_NAMES, keyAlgorithm } from '../../keys/algorithms.ts'
import { PrivateKey } from '../../keys/private-key.ts'
import { readBoundedInput } from '../../storage/bounded-file.ts'
import { readCertificate } from '../../x509/certificate.ts'
import { writeCsrInfo, writeCsrPem } from '../../x509/csr.ts'
import { commonNameOf } from '../../x509/name.ts'
import { readPem } from '../../x509/pem.ts'
import { call, type Target } from '../client.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { fileFault } from '../file-fault.ts'
import { IDENTITY_FILES, prepareDirectory, refuseForeignFiles, writeIdentity } from '../identity-files.ts'
import { devToken, LocalServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
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
  renewAt: string
}

export const issue: Verb = {
  name: 'issue',
  summary:
    'Get a certificate for a service account: make a key, send a CSR, write key.pem, cert-chain.pem and root-cert.pem',
  define(command) {
    command
      .option('-n, --namespace <name>', 'namespace of the service account (dev mode, which issues the token too)')
      .option('-s, --service-account <name>', 'name of the service account (dev mode)')
      .requiredOption('--out <dir>', 'directory to write the three files to; it is made if it is missing')
      .addOption(
        new Option(
          '--token <file>',
          'a service-account token; outside dev mode it is required, and says who you are',
        ).conflicts(['namespace', 'serviceAccount']),
      )
      .option('--server <host:port>', 'the server to ask; default: the one running on this machine')
      .option('--root-cert <file>', 'the roots to trust that server by; needed with --server')
      .option('--ttl <duration>', 'lifetime to ask for, for example 1h; default: the server’s')
      .addOption(
        new Option('--key-algorithm <name>', 'kind of key to make')
          .choices(KEY_ALGORITHM_NAMES)
          .default('ecdsa-p256', 'ecdsa-p256'),
      )
      .option('--force', 'replace files in --out that hold another identity')
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
      .addHelpText('after', '\nExample:\n  npx alcazar issue --namespace shop --service-account cart --out ./cart')
  },
  async run(env, _args, options) {
    const out = options.out as string
    const local = new LocalServer(env, options, '--state-directory, or with --server and --root-cert')
    const ttlSeconds = options.ttl === undefined ? undefined : Math.ceil(parseDuration(options.ttl as string) / SECOND)
    const server = await serverOf(options, local)
    const bearer = await tokenOf(options, local)
    await prepareDirectory(out)
    if (!options.force) {
      const path = pathOf(bearer)
      await refuseForeignFiles(out, (id) => path === undefined || id.endsWith(path))
    }
    const key = await PrivateKey.generate(keyAlgorithm(options.keyAlgorithm as string))
    const issued = await ask(server, bearer, key, ttlSeconds, options.token as string | undefined)
    // Of the identity only the server knows all: the trust domain.
    if (!options.force) await refuseForeignFiles(out, (id) => id === issued.spiffeId)
    await writeIdentity(out, key, issued)
    const { certificateChain: _chain, trustBundle: _bundle, ...facts } = issued
    const files = IDENTITY_FILES.map((name) => join(out, name))
    print(env, options, { ...facts, files }, () => report(env, issued, key, files))
  },
}

async function ask(
  server: Target,
  bearer: string,
  key: PrivateKey,
  ttlSeconds: number | undefined,
  tokenFile: string | undefined,
): Promise<Issued> {
  const info = writeCsrInfo(key.publicKey.spki)
  const csr = writeCsrPem(info, key.publicKey.algorithm.signatureAlgorithm, await key.sign(info))
  const body = { csr, ...(ttlSeconds !== undefined && { ttlSeconds }) }
  try {
    return (await call(server, 'POST', '/v1/certificates', body, { authorization: `Bearer ${bearer}` })) as Issued
  } catch (error) {
    // A server does not tell callers why it does not believe them.
    if (error instanceof CaError && error.code === 'unauthenticated')
      throw new CaError(
        'unauthenticated',
        `${error.message}; why is what ${tokenFile === undefined ? '' : `alcazar inspect ${tokenFile} may show, and `}alcazar ledger list --refused tells the server’s admin`,
        { cause: error },
      )
    throw error
  }
}

/** Where the identity of the token's account is, in whatever trust domain; nothing where the token is none. */
function pathOf(bearer: string): string | undefined {
  try {
    const { sub } = readClaims({ payload: bearer.split('.')[1] ?? '' })
    const [, namespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(String(sub)) ?? []
    return account && `/ns/${namespace}/sa/${account}`
  } catch {
    return undefined // the server says what it is
  }
}

async function serverOf(options: Readonly<Record<string, unknown>>, local: LocalServer): Promise<Target> {
  if (options.server !== undefined) {
    if (options.rootCert === undefined)
      throw new CaError('invalid_argument', '--server needs --root-cert: the roots by which that server is trusted')
    return {
      kind: 'https',
      ...parseAddress(options.server as string),
      ...(await rootsOf(options.rootCert as string)),
    }
  }
  const { caAddress, trustBundle } = (await local.call('GET', '/v1/server')) as ServerDescription
  return { kind: 'https', ...parseAddress(caAddress), rootsPem: trustBundle }
}

async function rootsOf(file: string): Promise<{ rootsPem: string; rootsFile: string }> {
  const rootsPem = await readText(file, '--root-cert')
  try {
    // Node takes a text without certificates as roots, and then trusts nobody.
    if (!rootsPem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('none is there')
    createSecureContext({ ca: rootsPem })
  } catch (cause) {
    throw new CaError('invalid_argument', `--root-cert ${file}: it holds no certificates in PEM`, { cause })
  }
  return { rootsPem, rootsFile: file }
}

async function tokenOf(options: Readonly<Record<string, unknown>>, local: LocalServer): Promise<string> {
  if (options.token !== undefined) {
    const bearer = (await readText(options.token as string, '--token')).trim()
    if (bearer === '') throw new CaError('invalid_argument', `--token ${options.token as string}: it is empty`)
    // No header could carry it.
    if (!/^[\x21-\x7e]+$/.test(bearer))
      throw new CaError('invalid_argument', `${options.token as string} holds no token: a token is one line`)
    return bearer
  }
  const { namespace, serviceAccount } = options
  if (typeof namespace !== 'string' || typeof serviceAccount !== 'string')
    throw new CaError(
      'invalid_argument',
      'say who the certificate is for: --namespace and --service-account in dev mode, else --token FILE',
    )
  return await devToken(local, namespace, serviceAccount)
}

function report(env: CliEnv, issued: Issued, key: PrivateKey, files: readonly string[]): string[] {
  const now = env.clock.now()
  const chain = readPem(issued.certificateChain, 1024 * 1024, 'text').map((block) => readCertificate(block.der))
  const roots = readPem(issued.trustBundle, 1024 * 1024, 'text').map((block) => readCertificate(block.der))
  const names = chain.slice(1).map((one) => commonNameOf(one.tbs.subject) ?? 'CA')
  const [root] = roots.filter((one) => equalBytes(one.tbs.subject, chain.at(-1)?.tbs.issuer ?? new Uint8Array()))
  const [end, renewal] = [new Date(issued.notAfter), new Date(issued.renewAt)]
  const [keyFile, chainFile, rootFile] = files
  return [
    issued.spiffeId,
    `  serial ${colonHex(issued.serial)}`,
    `  key    ${key.publicKey.algorithm.label}    ${validity(end.getTime() - now.getTime())} (until ${momentInWords(end, now)})`,
    `  renew  ${relativeInWords(renewal, now)} (${momentInWords(renewal, now)})`,
    `  chain  ${['leaf', ...names, commonNameOf(root?.tbs.subject ?? new Uint8Array()) ?? 'root'].join(' ← ')}`,
    `  wrote  ${keyFile}  ${chainFile}  ${rootFile}`,
    `Try it:  openssl verify -CAfile ${rootFile} -untrusted ${chainFile} ${chainFile}`,
  ]
}

function validity(left: number): string {
  if (left <= 0) return 'ended already'
  const unit = left > 2 * MINUTE ? MINUTE : SECOND
  return `valid ${durationInWords(Math.ceil(left / unit) * unit)}`
}

/** Of a token, and of roots. */
const MAX_FILE_BYTES = 1024 * 1024

async function readText(path: string, flag: string): Promise<string> {
  try {
    return (await readBoundedInput(path, { what: `${flag} ${path}`, atMost: MAX_FILE_BYTES })).toString('utf8')
  } catch (cause) {
    if (cause instanceof CaError) throw cause
    throw fileFault(`${flag} ${path}`, cause)
  }
}
