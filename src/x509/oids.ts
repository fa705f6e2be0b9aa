/** Object identifiers that certificates use, by the name their standards give them. */
export const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  anyExtendedKeyUsage: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  /**
   * Our lineage extension. 32473 is the number set aside for examples (RFC 5612) until the project has one of its own. No arc may
   * reach 2^28: Go refuses such certificates.
   */
  lineage: '1.3.6.1.4.1.32473.1.1',
} as const

/** Extensions that only CRLs and their entries have; a certificate that carries one is none of ours. */
export const CRL_OID = { cRLNumber: '2.5.29.20', reasonCode: '2.5.29.21' } as const

/** Bits of KeyUsage (RFC 5280 §4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const
