/** Every refusal of a SPIFFE name in one place, each saying what would have been accepted. */
export const REFUSALS = {
  scheme: 'a SPIFFE ID begins with spiffe://',
  idTooLong: 'a SPIFFE ID has at most 2048 bytes',
  trustDomainMissing: 'a trust domain has at least one character',
  trustDomainTooLong: 'a trust domain has at most 255 bytes',
  trustDomainCharacter: 'a trust domain has only lower-case letters, digits, dots, dashes and underscores',
  pathCharacter: 'a path segment has only letters, digits, dots, dashes and underscores',
  emptySegment: 'a path has no empty segment',
  dotSegment: 'a path has no segment that is . or ..',
  trailingSlash: 'a path does not end with a slash',
  noPath: 'a workload’s SPIFFE ID has a path',
  notServiceAccount:
    'the SPIFFE ID of a service account is spiffe://<trust domain>/ns/<namespace>/sa/<service account>',
} as const
