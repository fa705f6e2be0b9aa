import { CaError } from '../core/errors.ts'
import {
  checkDer,
  childrenOf,
  expectTag,
  generalizedTime,
  readDer,
  sequence,
  TAG,
  unsignedInteger,
  utf8String,
} from './der.ts'
import { smallIntegerOf, timeOf } from './der-values.ts'

/**
 * What a renewal by client certificate must know, carried in the certificate itself so that any replica can renew it without
 * shared state:
 *
 *     Lineage ::= SEQUENCE {
 *       version            INTEGER (1),
 *       podName            UTF8String (SIZE (1..253)),
 *       podUid             UTF8String (SIZE (1..64)),
 *       serviceAccountUid  UTF8String (SIZE (1..64)),
 *       renewableUntil     GeneralizedTime }
 *
 * It is copied unchanged at each renewal; only a fresh token starts another.
 */
export type Lineage = {
  readonly podName: string
  readonly podUid: string
  readonly serviceAccountUid: string
  /** Whole seconds. Past it only a token helps. */
  readonly renewableUntil: Date
}

export function writeLineage(lineage: Lineage): Uint8Array {
  return sequence(
    unsignedInteger(Uint8Array.of(1)),
    utf8String(checked(lineage.podName, 253)),
    utf8String(checked(lineage.podUid, 64)),
    utf8String(checked(lineage.serviceAccountUid, 64)),
    generalizedTime(lineage.renewableUntil),
  )
}

/**
 * Reads the extension's value; anything but the exact form is refused.
 * @throws CaError `invalid_argument`
 */
export function readLineage(value: Uint8Array): Lineage {
  checkDer(value)
  const [version, podName, podUid, serviceAccountUid, renewableUntil, ...more] = childrenOf(
    readDer(value, TAG.sequence),
  )
  if (smallIntegerOf(version) !== 1 || more.length > 0)
    throw new CaError('invalid_argument', 'a lineage of another version')
  const text = (field: typeof podName, max: number) =>
    checked(Buffer.from(expectTag(field, TAG.utf8String).content).toString('latin1'), max)
  return {
    podName: text(podName, 253),
    podUid: text(podUid, 64),
    serviceAccountUid: text(serviceAccountUid, 64),
    renewableUntil: timeOf(expectTag(renewableUntil, TAG.generalizedTime)),
  }
}

/** The names and UIDs of Kubernetes are printable ASCII; nothing else gets in or out. */
function checked(text: string, max: number): string {
  if (text.length === 0 || text.length > max || !/^[\x21-\x7e]+$/.test(text))
    throw new CaError('invalid_argument', `a lineage holds names of 1 to ${max} printable characters`)
  return text
}
