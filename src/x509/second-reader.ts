import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  Name,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from '@peculiar/x509'
import { equalBytes } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { type Certificate, urisOf } from './certificate.ts'

/**
 * The same bytes through @peculiar/x509, which shares no code with our own reader. Too slow for each request (0.7 ms a certificate), so it
 * confirms what enters rarely and matters most, CA certificates, and it explains to people.
 */
export type SecondReading = {
  /** As people write a Name: `O=cluster.local, CN=root 3f9a 21c4`. */
  readonly subject: string
  readonly issuer: string
  /** The same as DER, as this reader writes what it understood. */
  readonly subjectDer: Uint8Array
  readonly issuerDer: Uint8Array
  /** Hex, without the zero that only keeps it positive. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: Uint8Array
  readonly ca: boolean
  readonly pathLength: number | undefined
  readonly uris: readonly string[]
}

/** @throws CaError `invalid_argument` */
export function readAgain(der: Uint8Array): SecondReading {
  return orRefuse(() => {
    const seen = new X509Certificate(Buffer.from(der))
    const constraints = seen.getExtension(BasicConstraintsExtension)
    return {
      subject: seen.subject,
      issuer: seen.issuer,
      subjectDer: new Uint8Array(seen.subjectName.toArrayBuffer()),
      issuerDer: new Uint8Array(seen.issuerName.toArrayBuffer()),
      serial: seen.serialNumber,
      notBefore: seen.notBefore,
      notAfter: seen.notAfter,
      publicKey: new Uint8Array(seen.publicKey.rawData),
      ca: constraints?.ca ?? false,
      pathLength: constraints?.pathLength,
      uris: urisAmong(seen.getExtension(SubjectAlternativeNameExtension)),
    }
  })
}

/**
 * That both readers see the same certificate: what one of them overlooks, the other's user would not.
 * @throws CaError `invalid_argument`
 */
export function confirmReading({ der, tbs }: Certificate): void {
  const seen = readAgain(der)
  const agree =
    seen.serial === tbs.serial.replace(/^00(?=[89a-f])/, '') &&
    equalBytes(seen.subjectDer, tbs.subject) &&
    equalBytes(seen.issuerDer, tbs.issuer) &&
    seen.notBefore.getTime() === tbs.notBefore.getTime() &&
    seen.notAfter.getTime() === tbs.notAfter.getTime() &&
    equalBytes(seen.publicKey, tbs.publicKey) &&
    seen.ca === (tbs.basicConstraints?.ca ?? false) &&
    seen.pathLength === tbs.basicConstraints?.pathLength &&
    seen.uris.join('\n') === urisOf(tbs).join('\n')
  if (!agree) throw new CaError('invalid_argument', 'a certificate that two readers understand differently')
}

/** What a CSR asks for besides its key; Alcazar ignores all of it. @throws CaError `invalid_argument` */
export function readCsrAgain(der: Uint8Array): {
  readonly subject: string
  readonly names: readonly string[]
  readonly ca: boolean
} {
  return orRefuse(() => {
    const { subject, extensions } = new Pkcs10CertificateRequest(Buffer.from(der))
    const names = extensions.find((one) => one instanceof SubjectAlternativeNameExtension)?.names.items ?? []
    const ca = extensions.some((one) => one instanceof BasicConstraintsExtension && one.ca)
    return { subject, names: names.map(({ type, value }) => `${type}:${value}`), ca }
  })
}

/** A Name (DER) as people write it. @throws CaError `invalid_argument` */
export const nameInWords = (name: Uint8Array): string => orRefuse(() => new Name(Buffer.from(name)).toString())

function urisAmong(extension: SubjectAlternativeNameExtension | null): string[] {
  return (extension?.names.items ?? []).filter(({ type }) => type === 'url').map(({ value }) => value)
}

function orRefuse<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new CaError('invalid_argument', 'unreadable to a second reader', { cause })
  }
}
