import { colonHex, hex } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import { signatureScheme } from '../../keys/algorithms.ts'
import { type CrlEntry, readCrl } from '../../x509/crl.ts'
import { nameInWords } from '../../x509/second-reader.ts'
import { endInWords, momentInWords } from '../moments.ts'
import type { Finding } from './finding.ts'

/** How many of its entries are told one by one. */
const SHOWN = 10

/** A CRL. Its signature is not checked: that needs its issuer's certificate. @throws CaError `invalid_argument`: not a CRL */
export function inspectCrl(der: Uint8Array, now: Date): Finding {
  const { tbs, signatureAlgorithm } = readCrl(der)
  const { thisUpdate, nextUpdate, entries } = tbs
  const issuer = nameInWords(tbs.issuer)
  const scheme = signatureScheme(signatureAlgorithm)
  const problems: string[] = []
  if (!scheme) problems.push('it is signed with an algorithm that is not accepted here')
  if (now < thisUpdate) problems.push(`it is not valid yet: it begins ${relativeInWords(thisUpdate, now)}`)
  if (now >= nextUpdate)
    problems.push(`it ${endInWords(nextUpdate, now)}: verifiers that check revocation refuse all that this CA signed`)
  const shown = entries
    .slice(0, SHOWN)
    .map((entry, index): [string, string] => [`revoked ${index + 1}`, entryText(entry, now)])
  return {
    kind: 'certificate revocation list',
    title: `CRL ${tbs.number} of ${issuer}`,
    facts: [
      ['issuer', issuer],
      ['issuer key', colonHex(hex(tbs.authorityKeyId))],
      ['number', String(tbs.number)],
      [
        'signed with',
        `${scheme?.label ?? 'an algorithm that is not accepted here'} (the signature is not checked here)`,
      ],
      [
        'valid',
        `from ${momentInWords(thisUpdate, now)} until ${momentInWords(nextUpdate, now)} (${endInWords(nextUpdate, now)})`,
      ],
      ['revokes', entries.length === 1 ? '1 certificate' : `${entries.length || 'no'} certificates`],
      ...shown,
      ...(entries.length > SHOWN ? ([['and', `${entries.length - SHOWN} more`]] as const) : []),
    ],
    problems,
  }
}

function entryText({ serial, revokedAt, reason }: CrlEntry, now: Date): string {
  return `${colonHex(serial)} ${momentInWords(revokedAt, now)}${reason ? ` (${reason})` : ''}`
}
