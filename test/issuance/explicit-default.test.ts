import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { leadsTo } from '../../src/authority/path.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { boolean, octetString, oid, sequence } from '../../src/x509/der.ts'
import { certificatePem } from '../../src/x509/pem.ts'
import { confirmReading } from '../../src/x509/second-reader.ts'
import { NOW } from '../_support/authority-sets.ts'
import { buildGo, testWithGo } from '../_support/go-command.ts'
import { odd } from '../_support/odd-certificates.ts'
import { testWithOpenssl } from '../_support/openssl-command.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { scratch } from '../_support/scratch.ts'

/** Not critical, and says so, though DER leaves a default out (X.690 §11.5): some PKIs write their CAs like that. */
const NOT_CRITICAL = sequence(oid('1.2.3.4'), boolean(false), octetString(octetString(Uint8Array.of(1))))

let root: Certificate
let below: Certificate

beforeAll(async () => {
  const years = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2049-12-31T00:00:00Z') }
  const made = await odd('root', 'itself', { extensions: [NOT_CRITICAL], ...years })
  root = made.certificate
  below = (await odd('below', made, { extensions: [NOT_CRITICAL], ...years })).certificate
})

describe('a CA whose extension is explicitly not critical is taken', () => {
  test('by our readers, as not critical', () => {
    expect(root.tbs.extensions.get('1.2.3.4')?.critical).toBe(false)
    expect(() => confirmReading(root)).not.toThrow()
    expect(leadsTo([below], [root], NOW)).toBe(true)
  })

  test('by Node', () => {
    const [top, other] = [root, below].map(({ der }) => new X509Certificate(Buffer.from(der)))
    expect(top && other?.checkIssued(top) && other.verify(top.publicKey)).toBe(true)
  })

  testWithOpenssl('by OpenSSL, however strict', () => {
    expect(opensslVerify([below.der], [], [root.der], NOW, ['-x509_strict'])).toEqual(['OK'])
  })

  testWithGo('by Go', { timeout: 240_000 }, () => {
    const folder = scratch()
    for (const [name, certificate] of Object.entries({ chains: below, bundles: root })) {
      mkdirSync(join(folder, name))
      writeFileSync(join(folder, name, 'explicit.pem'), certificatePem(certificate.der))
    }
    writeFileSync(join(folder, 'pairs'), 'explicit explicit\n')
    const program = join(folder, 'verify-chains')
    buildGo('verify-chains', program)
    expect(execFileSync(program, [folder], { encoding: 'utf8' })).toBe('explicit explicit accepts\n')
  })
})
