import { equalBytes } from '../core/bytes.ts'
import type { Tbs } from './certificate.ts'
import type { TbsCrl } from './crl.ts'
import { EMPTY_NAME } from './name.ts'
import { CRL_OID, KEY_USAGE, OID } from './oids.ts'

type CrlRule = {
  /** What a CRL that breaks it is told, with the clause it breaks. */
  readonly says: string
  readonly holds: (crl: TbsCrl, issuer: Tbs) => boolean
}

const KNOWN: readonly string[] = [OID.authorityKeyIdentifier, CRL_OID.cRLNumber]

/** Every rule a CRL of ours obeys besides those that the reader holds. What breaks one is not signed. */
export const CRL_RULES: readonly CrlRule[] = [
  {
    says: 'the issuer is named, as in its certificate (RFC 5280 §5.1.2.3)',
    holds: (crl, issuer) => !equalBytes(crl.issuer, EMPTY_NAME) && equalBytes(crl.issuer, issuer.subject),
  },
  {
    says: 'the issuer may sign CRLs (RFC 5280 §4.2.1.3)',
    holds: (_crl, issuer) => issuer.keyUsage?.has(KEY_USAGE.cRLSign) === true,
  },
  {
    says: 'the issuer’s key is identified (RFC 5280 §5.2.1)',
    holds: ({ authorityKeyId }, { subjectKeyId }) =>
      authorityKeyId.length > 0 && (subjectKeyId === undefined || equalBytes(authorityKeyId, subjectKeyId)),
  },
  { says: 'thisUpdate is before nextUpdate (RFC 5280 §5.1.2.5)', holds: (crl) => crl.thisUpdate < crl.nextUpdate },
  {
    says: 'it lasts no longer than its issuer, and begins no sooner',
    holds: (crl, issuer) => crl.thisUpdate >= issuer.notBefore && crl.nextUpdate <= issuer.notAfter,
  },
  { says: 'serial numbers are above zero (RFC 5280 §4.1.2.2)', holds: (crl) => crl.entries.every(isPositive) },
  {
    says: 'no extension is there but the authority key identifier and the CRL number, and neither is critical (RFC 5280 §5.2.1, §5.2.3)',
    holds: (crl) => [...crl.extensions].every(([id, { critical }]) => KNOWN.includes(id) && !critical),
  },
]

const isPositive = ({ serial }: TbsCrl['entries'][number]): boolean => serial !== '00'

/** What is wrong with a CRL as one of that issuer; empty if nothing. */
export function lintCrl(crl: TbsCrl, issuer: Tbs): string[] {
  return CRL_RULES.filter(({ holds }) => !holds(crl, issuer)).map(({ says }) => says)
}
