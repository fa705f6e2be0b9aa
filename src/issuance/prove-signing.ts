import { verifyPath } from '../authority/path.ts'
import { MINUTE } from '../core/duration.ts'
import type { Certificate } from '../x509/certificate.ts'
import { type Making, makeServing, type Parent } from './ca-certificates.ts'

/**
 * Signs a throw-away certificate that names nobody and checks that it leads to the published roots.
 * @throws CaError: it does not, or there is no signature
 */
export async function proveSigning(
  parent: Parent,
  intermediates: readonly Certificate[],
  roots: readonly Certificate[],
  making: Making,
): Promise<void> {
  const throwaway = await makeServing(['self-check.invalid'], parent.signer.publicKey, parent, MINUTE, making)
  verifyPath([throwaway, parent.certificate, ...intermediates], roots, making.clock.now())
}
