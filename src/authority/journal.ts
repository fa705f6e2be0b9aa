import { sha256Hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Certificate, readCertificate } from '../x509/certificate.ts'
import {
  AUTHORITY_STATES,
  type Authority,
  type AuthoritySet,
  type CrossCertificate,
  KEY_HOMES,
  ORIGINS,
  publicKeyOf,
} from './authority.ts'

/** The durable state of all authorities. Whoever changes it says which revision it has seen. */
export interface Journal {
  /**
   * The state now.
   * @throws CaError `wrong_state`: there is something, and it is damaged, or made by a newer version
   */
  read(): Promise<{ readonly revision: number; readonly set: AuthoritySet } | undefined>
  /**
   * Replaces revision `expected` and is durable when it resolves. Gives the new revision.
   * @throws CaError `conflict`: somebody else was faster; nothing was written
   * @throws JournalInDoubt
   */
  write(expected: number, set: AuthoritySet): Promise<number>
}

/** Nobody knows whether a write took place. Who keeps the journal stops; the next start reads what there is. */
export class JournalInDoubt extends Error {
  override readonly name = 'JournalInDoubt'
}

/** The journal's text format. A newer one gets a greater number, and this program then refuses to touch it. */
const FORMAT = 1

/** The journal as text: JSON, with a digest over its body so that damage is noticed and never guessed at. */
export function printJournal(revision: number, set: AuthoritySet): string {
  const body = {
    format: FORMAT,
    revision,
    trustDomain: set.trustDomain.name,
    origin: set.origin,
    bundleSequence: set.bundleSequence,
    authorities: set.authorities.map((authority) => ({
      id: authority.id,
      role: authority.role,
      state: authority.state,
      key: authority.key,
      createdAt: authority.createdAt.toISOString(),
      certificate: base64(authority.certificate.der),
      intermediates: authority.intermediates.map((one) => base64(one.der)),
      ...(authority.root !== undefined && { root: authority.root }),
      ...(authority.cross.length > 0 && {
        cross: authority.cross.map(({ by, certificate }) => ({ by, certificate: base64(certificate.der) })),
      }),
    })),
  }
  return `${JSON.stringify({ digest: sha256Hex(JSON.stringify(body)), body }, null, 2)}\n`
}

/** @throws CaError `wrong_state` */
export function readJournal(text: string): { revision: number; set: AuthoritySet } {
  const damaged = (why: string, cause?: unknown) =>
    new CaError('wrong_state', `the journal is damaged: ${why}; put back a copy that is whole`, { cause })
  try {
    const outer = asObject(parseStrictJson(text))
    const body = asObject(outer?.body)
    if (!outer || !body) throw damaged('it is not one')
    if (typeof body.format === 'number' && body.format > FORMAT)
      throw new CaError(
        'wrong_state',
        `the journal has format ${body.format}, and this version knows ${FORMAT}: it was written by a newer Alcazar; run that one`,
      )
    if (sha256Hex(JSON.stringify(body)) !== outer.digest) throw damaged('its digest does not fit')
    return {
      revision: number(body.revision),
      set: {
        trustDomain: TrustDomain.parse(string(body.trustDomain)),
        origin: oneOf(ORIGINS, body.origin),
        bundleSequence: number(body.bundleSequence),
        authorities: list(body.authorities).map(readAuthority),
      },
    }
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument') throw damaged(error.message, error)
    throw error
  }
}

function readAuthority(json: Json): Authority {
  const record = asObject(json) ?? {}
  const certificate = readBase64(record.certificate)
  return {
    id: string(record.id),
    role: oneOf(['root', 'issuing'], record.role),
    state: oneOf(AUTHORITY_STATES, record.state),
    key: oneOf(KEY_HOMES, record.key),
    createdAt: date(record.createdAt),
    certificate,
    publicKey: publicKeyOf(certificate),
    intermediates: list(record.intermediates).map(readBase64),
    // These two came later: a journal without them is whole.
    root: record.root === undefined ? undefined : string(record.root),
    cross: record.cross === undefined ? [] : list(record.cross).map(readCross),
  }
}

function readCross(json: Json): CrossCertificate {
  const record = asObject(json) ?? {}
  return { by: string(record.by), certificate: readBase64(record.certificate) }
}

const readBase64 = (value: Json | undefined): Certificate => readCertificate(Buffer.from(string(value), 'base64'))

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

function string(value: Json | undefined): string {
  if (typeof value !== 'string') throw new CaError('invalid_argument', 'a text is missing')
  return value
}

function number(value: Json | undefined): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw new CaError('invalid_argument', 'a number is missing')
  return value
}

function date(value: Json | undefined): Date {
  const time = new Date(string(value))
  if (Number.isNaN(time.getTime())) throw new CaError('invalid_argument', 'a time is missing')
  return time
}

function list(value: Json | undefined): Json[] {
  if (!Array.isArray(value)) throw new CaError('invalid_argument', 'a list is missing')
  return value
}

function oneOf<T extends string>(all: readonly T[], value: Json | undefined): T {
  const found = all.find((one) => one === value)
  if (!found)
    throw new CaError('invalid_argument', `${JSON.stringify(value) ?? 'nothing'} is none of ${all.join(', ')}`)
  return found
}
