import { describe, expect, test } from 'vitest'
import { readPublicKey, verifySignature } from '../../src/keys/public-key.ts'
import { MAX_CSR_BYTES, readCsrDer, readCsrPem, writeCsrInfo, writeCsrPem } from '../../src/x509/csr.ts'
import { pem } from '../../src/x509/pem.ts'
import { aCsr } from '../_support/csr.ts'
import { childrenOf, constructed, encode, primitive, type Tree, treeOf } from '../_support/der-tree.ts'
import { openssl, opensslBytes, testWithOpenssl } from '../_support/openssl-command.ts'

const refusal = (message: string) => expect.objectContaining({ code: 'bad_csr', message })
const notDer = (why: string) => refusal(`the CSR is not DER as expected: ${why}`)
const notPem = (why: string) => refusal(`the CSR is not PEM as expected: ${why}`)

const { pem: goodPem, key } = await aCsr()
const good = Buffer.from(goodPem.replace(/-----[^-]+-----|\s/g, ''), 'base64')

/** The parts of a sound CSR, to be put together again otherwise. */
const parts = (() => {
  const [info, algorithm, signature] = childrenOf(treeOf(good))
  const [version, subject, publicKey, attributes] = childrenOf(info)
  return { info, algorithm, signature, version, subject, publicKey, attributes } as Record<string, Tree>
})()
const withInfo = (...fields: (Tree | undefined)[]) =>
  encode(sequence(sequence(...fields), parts.algorithm, parts.signature))

describe('a CSR', () => {
  test('gives its key, what was signed and the signature, byte for byte', () => {
    const csr = readCsrPem(goodPem)
    expect(csr.publicKey).toEqual(Buffer.from(key.publicKey.spki))
    expect(Buffer.from(csr.signed)).toEqual(Buffer.from(writeCsrInfo(key.publicKey.spki)))
    expect(verifySignature(key.publicKey, csr.signatureAlgorithm, csr.signed, csr.signature)).toBe(true)
  })

  test('is the same from DER and under its older label', () => {
    expect(readCsrDer(good)).toEqual(readCsrPem(goodPem))
    expect(readCsrPem(pem('NEW CERTIFICATE REQUEST', good))).toEqual(readCsrPem(goodPem))
  })

  test('may leave its attributes out, as old clients do', () => {
    const der = withInfo(parts.version, parts.subject, parts.publicKey)
    expect(readCsrDer(der).publicKey).toEqual(Buffer.from(key.publicKey.spki))
  })
})

describe('as PEM, is refused', () => {
  test.each([
    ['when it is empty', '', refusal('the CSR is empty; expected PEM “CERTIFICATE REQUEST”')],
    [
      'when it is white space',
      ' \r\n',
      notPem('no PEM block; expected “CERTIFICATE REQUEST” or “NEW CERTIFICATE REQUEST”'),
    ],
    ['when it is no PEM', 'please', notPem('text outside the PEM block')],
    ['when it is DER', good.toString('latin1'), notPem('text outside the PEM block')],
    ['when it is base64 without its frame', good.toString('base64'), notPem('text outside the PEM block')],
    ['with two blocks', goodPem + goodPem, notPem('2 PEM blocks; expected one')],
    ['with text before it', `hello\n${goodPem}`, notPem('text outside the PEM block')],
    ['with text after it', `${goodPem}hello`, notPem('text outside the PEM block')],
    [
      'as a certificate',
      pem('CERTIFICATE', good),
      notPem('a PEM block “CERTIFICATE”; expected “CERTIFICATE REQUEST” or “NEW CERTIFICATE REQUEST”'),
    ],
    ['with a header', goodPem.replace('\n', '\nX: y\n\n'), notPem('a PEM block with a header or without its end')],
    ['cut off', goodPem.slice(0, 200), notPem('a PEM block “CERTIFICATE REQUEST” without its end')],
  ])('%s', (_, text, expected) => {
    expect(() => readCsrPem(text)).toThrow(expected)
  })

  test('over 64 KiB, and taken up to there', () => {
    const padded = goodPem + '\n'.repeat(MAX_CSR_BYTES - goodPem.length)
    expect(MAX_CSR_BYTES).toBe(65_536)
    expect(readCsrPem(padded).publicKey).toEqual(Buffer.from(key.publicKey.spki))
    expect(() => readCsrPem(`${padded}\n`)).toThrow(notPem('65537 bytes; at most 65536'))
  })
})

describe('as DER, is refused', () => {
  test('over 64 KiB before anything of it is read', () => {
    expect(() => readCsrDer(Buffer.alloc(MAX_CSR_BYTES + 1))).toThrow(refusal('the CSR has 65537 bytes; at most 65536'))
    expect(() => readCsrDer(Buffer.alloc(MAX_CSR_BYTES))).toThrow(notDer('an end-of-contents marker (BER)'))
  })

  test.each([
    ['empty', Buffer.alloc(0), notDer('ends within a header')],
    ['with bytes after it', Buffer.concat([good, Buffer.of(0)]), notDer('bytes after the end of the value')],
    ['cut off', good.subarray(0, -1), notDer('a length beyond the end')],
    ['with an indefinite length', indefinite(good), notDer('an indefinite length (BER)')],
    ['with a length that is not minimal', longer(good), notDer('a length that is not minimal (BER)')],
    ['as something else', encode(primitive(0x02, [1])), notDer('expected tag 0x30, found 0x2')],
    ['without anything in it', encode(sequence()), notDer('expected tag 0x30, found nothing')],
    ['without a signature', encode(sequence(parts.info, parts.algorithm)), notDer('expected tag 0x3, found nothing')],
    [
      'with a field after its signature',
      encode(sequence(parts.info, parts.algorithm, parts.signature, primitive(0x05, []))),
      refusal('a CSR with more fields than PKCS#10 has'),
    ],
    [
      'with a field after its attributes',
      withInfo(parts.version, parts.subject, parts.publicKey, parts.attributes, primitive(0x05, [])),
      refusal('a CSR with more fields than PKCS#10 has'),
    ],
    [
      'with another field in place of its attributes',
      withInfo(parts.version, parts.subject, parts.publicKey, constructed(0xa1)),
      notDer('expected tag 0xa0, found 0xa1'),
    ],
    [
      'of version 2',
      withInfo(primitive(0x02, [1]), parts.subject, parts.publicKey, parts.attributes),
      refusal('a CSR of a version other than 1 (0)'),
    ],
    [
      'of a negative version',
      withInfo(primitive(0x02, [0xff]), parts.subject, parts.publicKey, parts.attributes),
      notDer('an INTEGER out of range'),
    ],
    [
      'without a version',
      withInfo(parts.subject, parts.publicKey, parts.attributes),
      notDer('expected tag 0x2, found 0x30'),
    ],
    ['without a key', withInfo(parts.version, parts.subject), notDer('expected tag 0x30, found nothing')],
    [
      'with a signature that is not of whole bytes',
      encode(sequence(parts.info, parts.algorithm, primitive(0x03, [1, 0x80]))),
      notDer('a BIT STRING that is not of whole bytes'),
    ],
    [
      'with BER deep in an attribute that nobody reads',
      withInfo(
        parts.version,
        parts.subject,
        parts.publicKey,
        constructed(0xa0, sequence(sequence(primitive(0x01, [1])))),
      ),
      notDer('a BOOLEAN is 00 or FF'),
    ],
    [
      'with a name in pieces',
      withInfo(parts.version, sequence(constructed(0x2c, primitive(0x0c, [65]))), parts.publicKey, parts.attributes),
      notDer('a string in pieces (BER)'),
    ],
    [
      'with attributes nested deeper than 16',
      withInfo(parts.version, parts.subject, parts.publicKey, constructed(0xa0, nested(14))),
      notDer('nested deeper than 16'),
    ],
  ])('%s', (_, der, expected) => {
    expect(() => readCsrDer(der)).toThrow(expected)
    expect(() => readCsrPem(pem('CERTIFICATE REQUEST', der))).toThrow(expect.objectContaining({ code: 'bad_csr' }))
  })

  test('and taken with attributes nested 16 deep', () => {
    const der = withInfo(parts.version, parts.subject, parts.publicKey, constructed(0xa0, nested(13)))
    expect(readCsrDer(der).publicKey).toEqual(Buffer.from(key.publicKey.spki))
  })
})

describe('made by openssl req', () => {
  const asking = [
    '-subj',
    '/O=evil/CN=admin',
    '-addext',
    'subjectAltName=URI:spiffe://cluster.local/ns/kube-system/sa/admin,DNS:*.example.org',
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=keyCertSign',
  ]

  testWithOpenssl.each([
    ['EC P-256', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'ecdsa-p256'],
    ['EC P-384 and SHA-384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-sha384'], 'ecdsa-p384'],
    ['EC P-521 and SHA-512', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-521', '-sha512'], 'ecdsa-p521'],
    ['RSA 2048', ['-newkey', 'rsa:2048'], 'rsa-2048'],
    ['RSA 2048 and SHA-512', ['-newkey', 'rsa:2048', '-sha512'], 'rsa-2048'],
    ['Ed25519', ['-newkey', 'ed25519'], 'ed25519'],
  ] as const)('with %s is read, proves its key, and of all it asks for nothing comes out', (_, kind, name) => {
    const text = opensslBytes(['req', '-new', ...kind, '-noenc', '-keyout', '/dev/null', ...asking]).toString()
    const csr = readCsrPem(text)
    const publicKey = readPublicKey(csr.publicKey)
    expect(publicKey.algorithm.name).toBe(name)
    expect(verifySignature(publicKey, csr.signatureAlgorithm, csr.signed, csr.signature)).toBe(true)
    expect(Object.keys(csr).sort()).toEqual(['publicKey', 'signature', 'signatureAlgorithm', 'signed'])
    const theirs = openssl(['req', '-noout', '-pubkey'], text)
    expect(Buffer.from(csr.publicKey)).toEqual(opensslBytes(['pkey', '-pubin', '-outform', 'DER'], theirs))
  })
})

describe('made by Alcazar', () => {
  testWithOpenssl('is one that OpenSSL verifies, with an empty subject and nothing asked for', () => {
    expect(openssl(['req', '-verify', '-noout', '-subject'], goodPem)).toContain('subject=')
    const text = openssl(['req', '-text', '-noout'], goodPem)
    expect(text).toContain('Subject: \n')
    expect(text).toMatch(/Attributes:\s+\(none\)/)
  })

  test('frames exactly the bytes that were signed', () => {
    const info = writeCsrInfo(key.publicKey.spki)
    const csr = readCsrPem(writeCsrPem(info, key.publicKey.algorithm.signatureAlgorithm, Uint8Array.of(1, 2, 3)))
    expect(csr.signed).toEqual(Buffer.from(info))
    expect(csr.signature).toEqual(Buffer.from([1, 2, 3]))
  })
})

function sequence(...children: (Tree | undefined)[]): Tree {
  return constructed(0x30, ...children.filter((child) => child !== undefined))
}

function nested(depth: number): Tree {
  let tree = sequence()
  for (let n = 1; n < depth; n++) tree = sequence(tree)
  return tree
}

/** The outermost value with the BER length that ends in two zeros. */
function indefinite(der: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x30, 0x80]), der.subarray(2 + ((der[1] as number) & 0x7f)), Buffer.alloc(2)])
}

/** The outermost value with a zero before its length. */
function longer(der: Buffer): Buffer {
  const count = (der[1] as number) & 0x7f
  return Buffer.concat([
    Buffer.from([0x30, 0x80 | (count + 1), 0]),
    der.subarray(2, 2 + count),
    der.subarray(2 + count),
  ])
}
