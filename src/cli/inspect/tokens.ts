import { relativeInWords } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { asObject, type Json } from '../../core/json.ts'
import { readClaims, readToken } from '../../jwt/jws.ts'
import { endInWords, momentInWords } from '../moments.ts'
import type { Finding } from './finding.ts'

/** A service-account token or any other JWT. Its signature is not checked: that needs the issuer's keys. */
export function inspectToken(text: string, now: Date): Finding {
  const problems: string[] = []
  const [header = '', payload = '', signature] = text.split('.')
  let algorithm = 'unknown'
  if (signature) {
    try {
      algorithm = readToken(text).algorithm.name
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      problems.push(error.message)
    }
  } else {
    const { alg } = readClaims({ payload: header })
    algorithm = `nothing, and its header names ${shown(alg)}`
    problems.push('it has no signature')
  }
  const claims = readClaims({ payload })
  const { iss, sub, aud, exp, nbf, iat } = claims
  const facts: [string, string][] = [
    ['issuer', shown(iss)],
    ['audience', Array.isArray(aud) ? aud.map(shown).join(', ') : shown(aud)],
    ['signed with', signature ? `${algorithm} (the signature is not checked here)` : algorithm],
  ]
  const at = (value: Json | undefined) => (typeof value === 'number' ? new Date(value * 1000) : undefined)
  const [begin, issued, end] = [at(nbf), at(iat), at(exp)]
  if (issued) facts.push(['issued', `${momentInWords(issued, now)} (${relativeInWords(issued, now)})`])
  if (end) facts.push(['valid', `until ${momentInWords(end, now)} (${endInWords(end, now)})`])
  else problems.push('it has no end (exp), as old service-account secrets hold: Alcazar refuses it')
  if (end && end <= now) problems.push(`it ${endInWords(end, now)}`)
  if (begin && begin > now) problems.push(`it is not valid yet: it begins ${relativeInWords(begin, now)}`)
  const kubernetes = asObject(claims['kubernetes.io'])
  if (kubernetes) {
    const bound = (['pod', 'node', 'secret'] as const).flatMap((kind) => {
      const object = asObject(kubernetes[kind])
      return object ? [`${kind} ${shown(object.name)}`] : []
    })
    facts.push(['bound to', bound.join(', ') || 'nothing: it can’t start a lineage of renewals by certificate'])
  }
  if (aud === undefined) problems.push('it has no audience')
  return { kind: 'token', title: shown(sub), facts, problems }
}

const shown = (value: Json | undefined): string =>
  typeof value === 'string' ? value : value === undefined ? '(none)' : JSON.stringify(value)
