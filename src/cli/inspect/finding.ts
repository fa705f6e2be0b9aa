/** One thing found in a file: what it is, what it says, and what is wrong with it. */
export type Finding = {
  readonly kind:
    | 'certificate'
    | 'certificate request'
    | 'certificate revocation list'
    | 'private key'
    | 'public key'
    | 'trust bundle'
    | 'token'
    | 'chain'
  /** The one line that names it. */
  readonly title: string
  readonly facts: readonly (readonly [label: string, value: string])[]
  readonly problems: readonly string[]
}
