import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import { readPem } from '../../src/x509/pem.ts'
import {
  type BundleName,
  type ChainName,
  type CrossedChains,
  crossedChains,
  eachPair,
  unexpected,
  writeChains,
} from '../_support/crossed-chains.ts'
import { buildGo, testWithGo } from '../_support/go-command.ts'
import { testWithOpenssl } from '../_support/openssl-command.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { scratch } from '../_support/scratch.ts'

let made: CrossedChains

beforeAll(async () => {
  made = await crossedChains()
})

const ders = (pem: string) => readPem(pem, 1024 * 1024, 'nothing else').map(({ der }) => der)
const line = (chain: string, bundle: string, refusal: string | undefined) =>
  `${chain} ${bundle} ${refusal === undefined ? 'accepts' : `refuses: ${refusal}`}\n`

describe('under a root that replaces another, with its cross-certificate or without,', () => {
  testWithOpenssl.each(['sslserver', 'sslclient'])(
    'OpenSSL takes what it should as %s, and nothing else',
    (purpose) => {
      const said = eachPair().map(({ chain, bundle }) => {
        const word = opensslSays(made.chains[chain].certificates.join(''), bundle, purpose)
        return line(chain, bundle, word === 'OK' ? undefined : word)
      })
      expect(unexpected(said.join(''))).toEqual([])
    },
  )

  test.each(['server', 'client'] as const)('Node takes what it should of a %s, and nothing else', async (role) => {
    const said = await Promise.all(
      eachPair().map(async ({ chain, bundle }) => line(chain, bundle, await nodeRefuses(chain, bundle, role))),
    )
    expect(unexpected(said.join(''))).toEqual([])
  })

  testWithGo('Go takes what it should, and nothing else', { timeout: 240_000 }, async () => {
    const folder = scratch()
    await writeChains(folder, made)
    const program = join(folder, 'verify-chains')
    buildGo('verify-chains', program)
    expect(unexpected(execFileSync(program, [folder], { encoding: 'utf8' }))).toEqual([])
  })
})

describe('OpenSSL takes the first candidate and never goes back, so', () => {
  const leafIssuingAnd = (...crosses: number[]) => {
    const { certificates } = made.chains['newest-crossed-twice']
    return [0, 1, ...crosses].map((at) => certificates[at]).join('')
  }

  testWithOpenssl(
    'a cross-certificate by the oldest root comes first: with the other first, who trusts only the old root refuses',
    () => {
      expect(opensslSays(leafIssuingAnd(2, 3), 'old')).toBe('OK')
      expect(opensslSays(leafIssuingAnd(3, 2), 'old')).toBe('unable to get local issuer certificate')
    },
  )

  testWithOpenssl('cross-certificates come before the roots: behind them they are not seen', () => {
    const { certificates } = made.chains['new-crossed']
    const [leaf, issuing, cross] = certificates
    expect(opensslSays([leaf, issuing, made.bundles.both, cross].join(''), 'old')).toBe(
      'self-signed certificate in certificate chain',
    )
  })
})

function opensslSays(chain: string, bundle: BundleName, purpose = 'sslserver'): string {
  const [leaf, ...untrusted] = ders(chain)
  const strict = ['-x509_strict', '-purpose', purpose]
  return opensslVerify([leaf as Uint8Array], untrusted, ders(made.bundles[bundle]), new Date(), strict)[0] as string
}

/** Why one side of a TLS connection refuses the chain of the other, which has that role; nothing if it doesn't. */
async function nodeRefuses(
  chain: ChainName,
  bundle: BundleName,
  role: 'server' | 'client',
): Promise<string | undefined> {
  const { key, certificates } = made.chains[chain]
  const pem = certificates.join('')
  const ca = made.bundles[bundle]
  const refusal = Promise.withResolvers<string | undefined>()
  const listener = createServer(
    { requestCert: role === 'client' },
    () => role === 'client' && refusal.resolve(undefined),
  )
  key.answerOn(listener, pem, role === 'client' ? { ca } : {})
  const client =
    role === 'server'
      ? { ca, checkServerIdentity: () => undefined }
      : { secureContext: key.secureContext(pem, {}), rejectUnauthorized: false }
  listener.on('tlsClientError', ({ message }) => role === 'client' && refusal.resolve(message))
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const socket = connect({ host: '127.0.0.1', port, ...client }, () => role === 'server' && refusal.resolve(undefined))
  socket.on('error', ({ message }) => role === 'server' && refusal.resolve(message))
  try {
    return await refusal.promise
  } finally {
    socket.destroy()
    listener.close()
  }
}
