import { sha256Hex } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Certificate, readCertificate } from '../x509/certificate.ts'
import { readCrl } from '../x509/crl.ts'
import {
  AUTHORITY_STATES,
  type Authority,
  type AuthoritySet,
  type CrossCertificate,
  type Forgotten,
  faultOf,
  KEY_HOMES,
  type OnlineCa,
  type OpenRequest,
  ORIGINS,
  publicKeyOf,
  type Revocation,
  type Rotation,
  type SignedCrl,
  type Taint,
} from './authority.ts'
import { isSerial } from './revocations.ts'
import { rootAbove } from './root-above.ts'

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
  /**
   * That revision `expected` is the last still, and nobody else may write.
   * @throws JournalInDoubt: somebody else may, or did · CaError as `read`; `dependency_unavailable`: that can't be found out now
   */
  confirm(expected: number): Promise<void>
}

/** Nobody knows whether a write took place, or whether somebody else writes. Who keeps the journal stops; the next start reads what there is. */
export class JournalInDoubt extends Error {
  override readonly name = 'JournalInDoubt'
}

/** The journal's text format. A newer one gets a greater number, and this program then refuses to touch it. */
const FORMAT = 2

/**
 * The journal as text: JSON, with a digest over its body so that damage is noticed and never guessed at.
 * @throws CaError `wrong_state`: it would be one that `readJournal` refuses
 */
export function printJournal(revision: number, set: AuthoritySet): string {
  const fault = faultOf(set)
  if (fault !== undefined)
    throw new CaError('wrong_state', `nothing was changed, for after it the journal would be of no use: ${fault}`)
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
      ...(authority.role === 'root'
        ? {
            bundledSince: authority.bundledSince,
            cross: authority.cross.map(({ by, certificate }) => ({ by, certificate: base64(certificate.der) })),
            ...(authority.online && { online: printOnline(authority.online) }),
            ...(authority.wasInTheClear && { wasInTheClear: true }),
          }
        : { root: authority.root }),
      ...(authority.taint && {
        taint: {
          at: authority.taint.at.toISOString(),
          because: authority.taint.because,
          leavesAt: authority.taint.leavesAt.toISOString(),
        },
      }),
    })),
    ...(set.rotation && { rotation: { ...set.rotation, since: set.rotation.since.toISOString() } }),
    forgotten: set.forgotten.map(({ workload, at, until }) => ({
      workload,
      at: at.toISOString(),
      until: until.toISOString(),
    })),
    ...(set.othersUntil && { othersUntil: set.othersUntil.toISOString() }),
    ...(set.exportDisabled && { exportDisabled: true }),
    revocations: set.revocations.map(({ serial, issuer, at, until, because }) => ({
      serial,
      issuer,
      at: at.toISOString(),
      until: until.toISOString(),
      because,
    })),
    crls: set.crls.map(({ id, crl }) => ({ id, der: base64(crl.der) })),
    ...(set.request && { request: { id: set.request.id, key: set.request.key } }),
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
    const set: AuthoritySet = {
      trustDomain: TrustDomain.parse(string(body.trustDomain)),
      origin: oneOf(ORIGINS, body.origin),
      bundleSequence: number(body.bundleSequence),
      authorities: list(body.authorities).map((one) => readAuthority(one, number(body.bundleSequence))),
      rotation: body.rotation === undefined ? undefined : readRotation(body.rotation),
      forgotten: body.forgotten === undefined ? [] : list(body.forgotten).map(readForgotten),
      othersUntil: body.othersUntil === undefined ? undefined : date(body.othersUntil),
      exportDisabled: flag(body.exportDisabled),
      revocations: body.revocations === undefined ? [] : list(body.revocations).map(readRevocation),
      crls: body.crls === undefined ? [] : list(body.crls).map(readSignedCrl),
      request: body.request === undefined ? undefined : readRequest(body.request),
    }
    const fault = faultOf(set)
    if (fault !== undefined) throw damaged(fault)
    return { revision: number(body.revision), set: body.format === 1 ? withKnownRoots(set) : set }
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument') throw damaged(error.message, error)
    throw error
  }
}

/** Format 1 did not say under which root an issuing authority was made: its path does. */
function withKnownRoots(set: AuthoritySet): AuthoritySet {
  return {
    ...set,
    authorities: set.authorities.map((one) =>
      one.role === 'issuing' && one.root === undefined ? { ...one, root: rootAbove(set, one)?.id } : one,
    ),
  }
}

/** Of format 1 nobody is known to hold a bundle before the last one. */
function readAuthority(json: Json, bundleSequence: number): Authority {
  const record = asObject(json) ?? {}
  const role = oneOf(['root', 'issuing'], record.role)
  const certificate = readBase64(record.certificate)
  return {
    id: string(record.id),
    role,
    state: oneOf(AUTHORITY_STATES, record.state),
    key: oneOf(KEY_HOMES, record.key),
    createdAt: date(record.createdAt),
    certificate,
    publicKey: publicKeyOf(certificate),
    intermediates: list(record.intermediates).map(readBase64),
    root: record.root === undefined ? undefined : string(record.root),
    cross: record.cross === undefined ? [] : list(record.cross).map(readCross),
    bundledSince: role === 'issuing' ? 0 : readBundledSince(record.bundledSince, bundleSequence),
    taint: record.taint === undefined ? undefined : readTaint(record.taint),
    online: record.online === undefined ? undefined : readOnline(record.online),
    wasInTheClear: flag(record.wasInTheClear),
  }
}

const printOnline = ({ certificate, intermediates, key }: OnlineCa) => ({
  certificate: base64(certificate.der),
  intermediates: intermediates.map(({ der }) => base64(der)),
  key,
})

function readOnline(json: Json): OnlineCa {
  const { certificate, intermediates, key } = asObject(json) ?? {}
  return {
    certificate: readBase64(certificate),
    intermediates: list(intermediates).map(readBase64),
    key: oneOf(KEY_HOMES, key),
  }
}

function readBundledSince(json: Json | undefined, bundleSequence: number): number {
  if (json === undefined) return bundleSequence
  const since = number(json)
  if (since > bundleSequence) throw new CaError('invalid_argument', 'a root is in a bundle that was not made yet')
  return since
}

function readCross(json: Json): CrossCertificate {
  const { by, certificate } = asObject(json) ?? {}
  return { by: string(by), certificate: readBase64(certificate) }
}

function readTaint(json: Json): Taint {
  const { at, because, leavesAt } = asObject(json) ?? {}
  return { at: date(at), because: string(because), leavesAt: date(leavesAt) }
}

function readRotation(json: Json): Rotation {
  const { to, since, by, because, backTo } = asObject(json) ?? {}
  return {
    to: to === undefined ? undefined : string(to),
    since: date(since),
    by: oneOf(['admin', 'clock'], by),
    because: string(because),
    ...(backTo !== undefined && { backTo: string(backTo) }),
  }
}

function readForgotten(json: Json): Forgotten {
  const { workload, at, until } = asObject(json) ?? {}
  return { workload: string(workload), at: date(at), until: date(until) }
}

function readRevocation(json: Json): Revocation {
  const { serial, issuer, at, until, because } = asObject(json) ?? {}
  const read = string(serial)
  // One that no certificate has would keep every CRL of its issuer from being signed.
  if (!isSerial(read)) throw new CaError('invalid_argument', 'a revocation is of no serial number')
  return { serial: read, issuer: string(issuer), at: date(at), until: date(until), because: string(because) }
}

function readSignedCrl(json: Json): SignedCrl {
  const { id, der } = asObject(json) ?? {}
  return { id: string(id), crl: readCrl(Buffer.from(string(der), 'base64')) }
}

function readRequest(json: Json): OpenRequest {
  const { id, key } = asObject(json) ?? {}
  return { id: string(id), key: oneOf(KEY_HOMES, key) }
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

/** Stands there only where it is true. */
function flag(value: Json | undefined): boolean {
  if (value !== undefined && value !== true) throw new CaError('invalid_argument', 'a mark is something else than true')
  return value === true
}

function oneOf<T extends string>(all: readonly T[], value: Json | undefined): T {
  const found = all.find((one) => one === value)
  if (!found)
    throw new CaError('invalid_argument', `${JSON.stringify(value) ?? 'nothing'} is none of ${all.join(', ')}`)
  return found
}
