import { describe, expect, test } from 'vitest'
import { readTbs } from '../../src/x509/certificate.ts'
import { readTbsCrl } from '../../src/x509/crl.ts'
import { CRL_RULES, lintCrl } from '../../src/x509/crl-lint.ts'
import { anEntry, aTbsCrl, authorityKey, type CrlFields, crlNumber } from '../_support/a-crl.ts'
import { aName, aTbs, extension, type Fields, keyUsage, subjectKeyId, utcTime } from '../_support/a-tbs.ts'
import { constructed, primitive } from '../_support/der-tree.ts'

/** The issuing authority of the CRL made by hand: its key identifier is the one that the CRL names. */
const issuer = (change: Partial<Fields> = {}) =>
  readTbs(
    aTbs('issuing', {
      validity: constructed(0x30, utcTime('300101000000Z'), utcTime('300201000000Z')),
      ...change,
      extensions: { subjectKeyId: subjectKeyId(false, Buffer.alloc(20, 7)), ...change.extensions },
    }),
  )
const faults = (change: Partial<CrlFields> = {}, of = issuer()) => lintCrl(readTbsCrl(aTbsCrl(change)), of)

const key = (byte: number) => authorityKey(primitive(0x80, Buffer.alloc(20, byte)))
const broken: readonly (readonly [what: string, found: string[], says: string])[] = [
  [
    'another issuer',
    faults({ issuer: aName('other') }),
    'the issuer is named, as in its certificate (RFC 5280 §5.1.2.3)',
  ],
  [
    'no issuer',
    faults({ issuer: constructed(0x30) }, issuer({ subject: constructed(0x30) })),
    'the issuer is named, as in its certificate (RFC 5280 §5.1.2.3)',
  ],
  [
    'an issuer that may sign certificates alone',
    faults({}, issuer({ extensions: { keyUsage: keyUsage([2, 0x04]) } })),
    'the issuer may sign CRLs (RFC 5280 §4.2.1.3)',
  ],
  [
    'an issuer without key usage',
    faults({}, issuer({ extensions: { keyUsage: undefined } })),
    'the issuer may sign CRLs (RFC 5280 §4.2.1.3)',
  ],
  [
    'another key',
    faults({ extensions: { authorityKeyId: key(9) } }),
    'the issuer’s key is identified (RFC 5280 §5.2.1)',
  ],
  [
    'a key without a name',
    faults(
      { extensions: { authorityKeyId: authorityKey(primitive(0x80, [])) } },
      issuer({ extensions: { subjectKeyId: undefined } }),
    ),
    'the issuer’s key is identified (RFC 5280 §5.2.1)',
  ],
  [
    'an end that is its begin',
    faults({ nextUpdate: utcTime('300101000000Z') }),
    'thisUpdate is before nextUpdate (RFC 5280 §5.1.2.5)',
  ],
  [
    'an end after its issuer’s',
    faults({ nextUpdate: utcTime('300201000001Z') }),
    'it lasts no longer than its issuer, and begins no sooner',
  ],
  [
    'a begin before its issuer’s',
    faults({ thisUpdate: utcTime('291231235959Z') }),
    'it lasts no longer than its issuer, and begins no sooner',
  ],
  ['the serial number zero', faults({ entries: [anEntry('00')] }), 'serial numbers are above zero (RFC 5280 §4.1.2.2)'],
  ...(
    [
      ['an extension nobody here knows', { more: extension('2a03', constructed(0x30)) }],
      ['a critical number', { number: crlNumber('07', true) }],
      [
        'a critical key identifier',
        { authorityKeyId: extension('551d23', constructed(0x30, primitive(0x80, Buffer.alloc(20, 7))), true) },
      ],
    ] as const
  ).map(
    ([what, extensions]) =>
      [
        what,
        faults({ extensions }),
        'no extension is there but the authority key identifier and the CRL number, and neither is critical (RFC 5280 §5.2.1, §5.2.3)',
      ] as const,
  ),
]

describe('a CRL', () => {
  test('that is sound has nothing wrong with it', () => {
    expect(faults()).toEqual([])
    expect(
      faults({ extensions: { authorityKeyId: key(9) } }, issuer({ extensions: { subjectKeyId: undefined } })),
    ).toEqual([])
  })

  test.each(broken)('with %s is told which rule it breaks', (_, found, says) => {
    expect(found).toEqual([says])
  })

  test('has no rule that nothing here breaks', () => {
    const shown = new Set(broken.map(([, , says]) => says))
    expect(CRL_RULES.map(({ says }) => says).filter((says) => !shown.has(says))).toEqual([])
  })
})
