import { childrenOf, oid, readDer, sequence, set, TAG, utf8String } from './der.ts'
import { oidOf } from './der-values.ts'
import { OID } from './oids.ts'

/** The empty Name: every leaf's subject. */
export const EMPTY_NAME = sequence()

/**
 * `O=<trust domain>, CN=<role> <short id>`, as DER: a subject of its own for each authority, so that path building never has two
 * candidates. RFC 5280 Appendix A.1 bounds O to 64 characters; a longer trust domain is left out rather than cut.
 */
export function authorityName(trustDomain: string, commonName: string): Uint8Array {
  const attribute = (type: string, value: string) => set(sequence(oid(type), utf8String(value)))
  return trustDomain.length <= 64
    ? sequence(attribute(OID.organization, trustDomain), attribute(OID.commonName, commonName))
    : sequence(attribute(OID.commonName, commonName))
}

/** The common name of a Name (DER), where it has one in UTF-8 or ASCII. */
export function commonNameOf(name: Uint8Array): string | undefined {
  if (name.length === 0) return undefined
  for (const attributes of childrenOf(readDer(name, TAG.sequence)))
    for (const attribute of childrenOf(attributes)) {
      const [type, value] = childrenOf(attribute)
      if (value && oidOf(type) === OID.commonName) return Buffer.from(value.content).toString('utf8')
    }
  return undefined
}
