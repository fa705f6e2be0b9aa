import { generateKeyPairSync, generatePrimeSync, type KeyObject, sign } from 'node:crypto'
import { bitString, contextTag, oid, sequence, tlv, unsignedInteger } from '../../src/x509/der.ts'
import { pem } from '../../src/x509/pem.ts'
import { aCsr } from './csr.ts'

/** A request that must be refused: what is wrong with it, its text, and what the refusal has to say. */
export type BadCsr = readonly [what: string, csr: string, says: RegExp]

const csrPem = (der: Uint8Array) => pem('CERTIFICATE REQUEST', der)
const derOf = (text: string) => Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64')

/** Every bad CSR that issue 3 lists, each wrong in one way only. */
export async function badCsrs(): Promise<readonly BadCsr[]> {
  const good = (await aCsr()).pem
  const der = derOf(good)
  return [
    ['empty', '', /^the CSR is empty; expected PEM “CERTIFICATE REQUEST”$/],
    ['not PEM', der.toString('base64'), /text outside the PEM block/],
    ['only white space', ' \n\n', /no PEM block; expected “CERTIFICATE REQUEST”/],
    ['two PEM blocks', good + good, /2 PEM blocks; expected one/],
    ['text before the PEM block', `my request:\n${good}`, /text outside the PEM block/],
    ['text after the PEM block', `${good}thanks\n`, /text outside the PEM block/],
    ['a PEM block of another kind', pem('CERTIFICATE', der), /“CERTIFICATE”; expected “CERTIFICATE REQUEST”/],
    ['a PEM block without its end', good.replace(/-----END.*\n/, ''), /without its end/],
    ['bytes after the request', csrPem(Buffer.concat([der, Buffer.of(0)])), /bytes after the end/],
    ['an indefinite length (BER)', csrPem(indefinite(der)), /indefinite length \(BER\)/],
    ['a length that is not minimal (BER)', csrPem(wideLength(der)), /not minimal \(BER\)/],
    ['nested a thousand deep', csrPem(nested(der, 1000)), /nested deeper than 16/],
    ['more than 64 KiB', csrPem(nested(Buffer.alloc(48 * 1024), 1)), /bytes; at most 65536/],
    ['truncated', csrPem(der.subarray(0, -1)), /beyond the end/],
    ['a changed signature', csrPem(withLastBit(der)), /own signature does not verify/],
    ['a signature by another key', await mixed(), /own signature does not verify/],
    ['signed with ECDSA and SHA-1', request(ec('P-256'), 'sha1', '1.2.840.10045.4.1'), /signed with an algorithm/],
    ['signed with RSA and SHA-1', request(rsa(2048), 'sha1', '1.2.840.113549.1.1.5'), /signed with an algorithm/],
    ['signed with RSA and MD5', request(rsa(2048), 'md5', '1.2.840.113549.1.1.4'), /signed with an algorithm/],
    ['RSA of 1024 bits', request(rsa(1024), 'sha256', RSA_SHA256), /RSA with 1024 bits; accepted are 2048/],
    ['RSA of 8200 bits', rsaCsr((1n << 8199n) | 1n), /RSA with 8200 bits/],
    [
      'RSA with the exponent 3',
      request(rsa(2048, 3), 'sha256', RSA_SHA256),
      /public exponent 3; accepted are odd ones from 65537/,
    ],
    ['RSA with a small factor', rsaCsr(751n * prime(2039)), /small factor 751/],
    ['RSA of a broken generator', rsaCsr(rocaModulus()), /broken generator \(ROCA/],
    ['RSA of close primes', rsaCsr(closePrimes()), /primes are close together \(Fermat/],
    ...['prime192v1', 'secp224r1', 'secp256k1', 'brainpoolP256r1'].map(
      (curve): BadCsr => [
        `a key on ${curve}`,
        request(ec(curve), 'sha256', ECDSA_SHA256),
        /not on P-256, P-384 or P-521|unreadable, of an unknown kind/,
      ],
    ),
    [
      'explicit curve parameters',
      request(ec('P-256', 'explicit'), 'sha256', ECDSA_SHA256),
      /not on P-256, P-384 or P-521|unreadable, of an unknown kind/,
    ],
    ['a point that is not on the curve', csrPem(offCurve(der)), /a point that is not on its curve/],
    ['an X25519 key', x25519Csr(der), /kind x25519; accepted are ecdsa-p256/],
    ['a DSA key', dsaCsr(), /kind dsa; accepted are|unreadable, of an unknown kind/],
    [
      'no public key',
      csrPem(sequence(sequence(tlv(2, Buffer.of(0)), sequence()), sequence(), bitString(Buffer.of(1)))),
      /the CSR is/,
    ],
  ]
}

const RSA_SHA256 = '1.2.840.113549.1.1.11'
const ECDSA_SHA256 = '1.2.840.10045.4.3.2'

const ec = (namedCurve: string, paramEncoding: 'named' | 'explicit' = 'named') =>
  generateKeyPairSync('ec', { namedCurve, paramEncoding })
const rsa = (modulusLength: number, publicExponent = 65537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent })

/** A CSR that is sound but for its key or its digest. */
function request(
  { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject },
  digest: string,
  algorithm: string,
): string {
  const signed = info(publicKey.export({ format: 'der', type: 'spki' }))
  const parameters = publicKey.asymmetricKeyType === 'rsa' ? [tlv(0x05)] : []
  return csrPem(sequence(signed, sequence(oid(algorithm), ...parameters), bitString(sign(digest, signed, privateKey))))
}

/** A CSR over any numbers; nobody knows the private key, so its signature is no signature. */
function rsaCsr(modulus: bigint, exponent = 65537n): string {
  const bytes = (value: bigint) => {
    const digits = value.toString(16)
    return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex')
  }
  const key = sequence(unsignedInteger(bytes(modulus)), unsignedInteger(bytes(exponent)))
  const kind = sequence(oid('1.2.840.113549.1.1.1'), tlv(0x05))
  const sha256 = sequence(oid(RSA_SHA256), tlv(0x05))
  return csrPem(sequence(info(sequence(kind, bitString(key))), sha256, bitString(Buffer.alloc(256, 1))))
}

function x25519Csr(like: Buffer): string {
  const spki = sequence(sequence(oid('1.3.101.110')), bitString(Buffer.alloc(32, 9)))
  const [, algorithm, signature] = topLevel(like)
  return csrPem(sequence(info(spki), algorithm as Buffer, signature as Buffer))
}

function dsaCsr(): string {
  const number = (bits: number) => unsignedInteger(Buffer.concat([Buffer.of(0x80), Buffer.alloc(bits / 8 - 1, 1)]))
  const spki = sequence(
    sequence(oid('1.2.840.10040.4.1'), sequence(number(2048), number(256), number(2048))),
    bitString(number(2048)),
  )
  const sha256 = sequence(oid('2.16.840.1.101.3.4.3.2'))
  return csrPem(sequence(info(spki), sha256, bitString(Buffer.alloc(64, 1))))
}

const info = (spki: Uint8Array) => sequence(tlv(2, Buffer.of(0)), sequence(), spki, tlv(contextTag(0, 'constructed')))

async function mixed(): Promise<string> {
  const [own, other] = [topLevel(derOf((await aCsr()).pem)), topLevel(derOf((await aCsr()).pem))]
  return csrPem(sequence(own[0] as Buffer, own[1] as Buffer, other[2] as Buffer))
}

/** The values inside the outermost SEQUENCE. */
function topLevel(der: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = headerOf(der, 0); at < der.length; ) {
    const end = at + headerOf(der, at) + lengthOf(der, at)
    parts.push(der.subarray(at, end))
    at = end
  }
  return parts
}

const headerOf = (der: Buffer, at: number) =>
  (der[at + 1] as number) < 0x80 ? 2 : 2 + ((der[at + 1] as number) & 0x7f)
const lengthOf = (der: Buffer, at: number) => {
  const first = der[at + 1] as number
  return first < 0x80 ? first : der.readUIntBE(at + 2, first & 0x7f)
}

const indefinite = (der: Buffer) =>
  Buffer.concat([Buffer.of(0x30, 0x80), der.subarray(headerOf(der, 0)), Buffer.of(0, 0)])

function wideLength(der: Buffer): Buffer {
  const content = der.subarray(headerOf(der, 0))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([Buffer.of(0x30, 0x84), length, content])
}

function nested(inner: Uint8Array, depth: number): Uint8Array {
  let value = inner
  for (let level = 0; level < depth; level++) value = sequence(value)
  return value
}

function withLastBit(der: Buffer): Buffer {
  const changed = Buffer.from(der)
  changed.writeUInt8((changed.at(-1) as number) ^ 1, changed.length - 1)
  return changed
}

/** The last byte of the public point lies right before the attributes and the signature's algorithm. */
function offCurve(der: Buffer): Buffer {
  const start = der.indexOf(Buffer.from('03420004', 'hex'))
  const changed = Buffer.from(der)
  const last = start + 3 + 64
  changed.writeUInt8((changed[last] as number) ^ 1, last)
  return changed
}

const prime = (bits: number): bigint => generatePrimeSync(bits, { bigint: true })

/** Two primes of 1024 bits with so little between them that Fermat's method finds them. */
function closePrimes(): bigint {
  const p = prime(1024)
  for (let q = p + 2n; ; q += 2n) if (isProbablyPrime(q)) return p * q
}

/** As Infineon's generator made them: modulo every small prime a power of 65537. */
function rocaModulus(): bigint {
  const primes = primesBelow(168).slice(1).map(BigInt)
  const product = primes.reduce((all, one) => all * one, 1n)
  for (let k = (1n << 2047n) / product + 1n; ; k++) {
    const modulus = product * k + 65537n
    if (modulus % 2n === 1n && primesBelow(752).every((small) => modulus % BigInt(small) !== 0n)) return modulus
  }
}

function primesBelow(limit: number): number[] {
  const primes: number[] = []
  for (let n = 2; n < limit; n++) if (primes.every((one) => n % one !== 0)) primes.push(n)
  return primes
}

/** Fermat's little theorem to the base 2: good enough for a number nobody chose. */
function isProbablyPrime(candidate: bigint): boolean {
  if (primesBelow(752).some((small) => candidate % BigInt(small) === 0n)) return false
  let result = 1n
  let base = 2n
  for (let exponent = candidate - 1n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % candidate
    base = (base * base) % candidate
  }
  return result === 1n
}
