import { describe, expect, test } from 'vitest'
import { dumpDer } from '../_support/der-dump.ts'
import { fixedTbs } from '../_support/fixed-authorities.ts'
import { expectGolden } from '../_support/golden.ts'

/** What each profile signs, and a CRL, at 2030-01-01, with a seeded serial and keys that stay the same. UPDATE_GOLDEN=1 writes the files anew. */
describe('what is signed is, as a file shows it,', async () => {
  const made = await fixedTbs()

  test.each([
    ['a root', 'profile-root.txt', made.root],
    ['a cross-certificate', 'profile-cross.txt', made.cross],
    ['an issuing authority', 'profile-issuing.txt', made.issuing],
    ['a serving certificate', 'profile-serving.txt', made.serving],
    ['a CRL', 'crl.txt', made.crl],
    ['an SVID', 'profile-svid.txt', made.svid],
    ['an SVID for an RSA key', 'profile-svid-rsa.txt', made.svidWithRsaKey],
    ['an SVID with a lineage', 'profile-svid-lineage.txt', made.svidWithLineage],
  ])('%s', (_, file, tbs) => {
    expectGolden(file, dumpDer(tbs))
  })

  test('the same again for the same time, chance and keys', async () => {
    expect(await fixedTbs()).toEqual(made)
  })
})
