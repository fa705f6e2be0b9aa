import { beforeAll, describe, expect, test } from 'vitest'
import { printJournal, readJournal } from '../../src/authority/journal.ts'
import { sha256Hex } from '../../src/core/bytes.ts'
import { CaError } from '../../src/core/errors.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'

type Body = Record<string, unknown> & { authorities: Record<string, unknown>[] }

let text: string
/** One with all that a rotation leaves in it. */
let rotating: string

beforeAll(async () => {
  const root = await odd('root', 'itself')
  const between = await odd('between', root)
  const issuing = issuingOf(await odd('issuing', between, { pathLength: 0 }), { intermediates: [between.certificate] })
  const named = { ...issuing, root: rootOf(root).id }
  const old = await odd('old root', 'itself')
  const cross = await odd('root', old, { key: root.key, pathLength: 1 })
  const crossed = rootOf(root, { cross: [{ by: rootOf(old).id, certificate: cross.certificate }] })
  text = printJournal(7, aSet([crossed, named, rootOf(old)], { origin: 'plugged-in', bundleSequence: 3 }))
  const at = new Date('2030-01-01T00:00:00Z')
  const taint = { at, because: 'laptop stolen', leavesAt: new Date('2030-01-01T01:00:00Z') }
  const other = await odd('other', 'itself')
  const crosses = [{ by: rootOf(root).id, certificate: (await odd('other', root, { key: other.key })).certificate }]
  rotating = printJournal(
    8,
    aSet(
      [
        rootOf(root, { state: 'tainted', taint }),
        rootOf(other, { cross: crosses, bundledSince: 2 }),
        issuingOf(await odd('under other', other, { pathLength: 0 }), { root: rootOf(other).id }),
      ],
      {
        bundleSequence: 2,
        rotation: { to: rootOf(other).id, since: at, by: 'admin', because: 'yearly' },
        forgotten: [{ workload: 'shop/cart', at, until: taint.leavesAt }],
      },
    ),
  )
})

/** The journal with its body changed, and a digest that fits. */
function changed(change: (body: Body) => void, journal = text): string {
  const { body } = JSON.parse(journal) as { body: Body }
  change(body)
  return JSON.stringify({ digest: sha256Hex(JSON.stringify(body)), body })
}

function refusal(journal: string): CaError {
  try {
    readJournal(journal)
  } catch (error) {
    if (error instanceof CaError) return error
    throw error
  }
  expect.fail('the journal was read')
}

test('reads back what it printed', () => {
  const { revision, set } = readJournal(text)
  expect(revision).toBe(7)
  expect(set).toMatchObject({ origin: 'plugged-in', bundleSequence: 3, trustDomain: { name: 'cluster.local' } })
  expect(printJournal(7, set)).toBe(text)
})

test('takes records from before roots were named and crossed', () => {
  const before = changed((body) => {
    for (const authority of body.authorities) {
      delete authority.root
      delete authority.cross
    }
  })
  expect(readJournal(before).set.authorities.map(({ root, cross }) => [root, cross])).toEqual([
    [undefined, []],
    [undefined, []],
    [undefined, []],
  ])
})

test('holds no private key', () => {
  expect(text).not.toMatch(/PRIVATE|key\.pem/)
})

test('notices every single flipped bit', () => {
  const bytes = Buffer.from(text)
  const unnoticed: string[] = []
  for (let at = 0; at < bytes.length; at++)
    for (let bit = 0; bit < 8; bit++) {
      bytes[at] = (bytes[at] as number) ^ (1 << bit)
      const journal = bytes.toString('utf8')
      bytes[at] = (bytes[at] as number) ^ (1 << bit)
      try {
        readJournal(journal)
        unnoticed.push(`byte ${at}, bit ${bit}: ${JSON.stringify(journal.slice(at - 10, at + 10))}`)
      } catch (error) {
        if (!(error instanceof CaError) || error.code !== 'wrong_state') unnoticed.push(`byte ${at}: ${String(error)}`)
      }
    }
  expect(unnoticed).toEqual([])
})

test('notices wherever it is cut off', () => {
  const whole = text.trimEnd()
  const unnoticed = []
  for (let length = 0; length < whole.length; length++)
    if (!/damaged/.test(refusal(whole.slice(0, length)).message)) unnoticed.push(length)
  expect(unnoticed).toEqual([])
})

test('leaves a journal of a newer format alone, and says what to run', () => {
  expect(
    refusal(
      changed((body) => {
        body.format = 3
      }),
    ),
  ).toMatchObject({
    code: 'wrong_state',
    message: 'the journal has format 3, and this version knows 2: it was written by a newer Alcazar; run that one',
  })
})

describe('is never left without one root that signs, by whatever asks for it:', () => {
  const states =
    (...wanted: string[]) =>
    (body: Body) => {
      const [root] = body.authorities as [Record<string, unknown>]
      const issuing = body.authorities.filter(({ role }) => role === 'issuing')
      body.authorities = [...wanted.map((state, at) => ({ ...root, id: `${at}`.repeat(40), state })), ...issuing]
    }
  const twice = (body: Body) => {
    states('active', 'old')(body)
    for (const authority of body.authorities) if (authority.role === 'root') authority.id = 'a'.repeat(40)
  }
  const cases: [string, (body: Body) => void, string][] = [
    ['none is active', states('old', 'revoked'), '0 roots are active, not one'],
    ['there is none', states(), '0 roots are active, not one'],
    ['two are active', states('active', 'old', 'active'), '2 roots are active, not one'],
    ['one is there twice', twice, 'root aaaa aaaa stands in the bundle twice'],
  ]

  test.each(cases)('%s', (_what, change, why) => {
    expect(refusal(changed(change, rotating))).toMatchObject({
      code: 'wrong_state',
      message: `the journal is damaged: ${why}; put back a copy that is whole`,
    })
    // A plugged-in CA’s files have the last word on its roots; so it can be read here.
    const { set } = readJournal(
      changed((body) => {
        change(body)
        body.origin = 'plugged-in'
      }, rotating),
    )
    for (const origin of ['own', 'dev'] as const)
      expect(() => printJournal(8, { ...set, origin })).toThrow(
        expect.objectContaining({
          code: 'wrong_state',
          message: `nothing was changed, for after it the journal would be of no use: ${why}`,
        }),
      )
  })

  test('what left the bundle may be there twice', () => {
    const journal = changed((body) => {
      twice(body)
      Object.assign(body.authorities[1] as object, { state: 'revoked' })
    }, rotating)
    expect(readJournal(journal).set.authorities).toHaveLength(3)
  })
})

test('knows a newer format even where it has another digest', () => {
  expect(refusal('{"digest":"blake3:…","body":{"format":9}}')).toMatchObject({
    code: 'wrong_state',
    message: expect.stringContaining('newer'),
  })
})

describe('calls a journal damaged', () => {
  test.each(['revision', 'trustDomain', 'origin', 'bundleSequence', 'authorities'])('without its %s', (field) => {
    const journal = changed((body) => {
      delete body[field]
    })
    expect(refusal(journal)).toMatchObject({ code: 'wrong_state', message: expect.stringContaining('damaged') })
  })

  test.each(['id', 'role', 'state', 'key', 'createdAt', 'certificate', 'intermediates'])(
    'with an authority without its %s',
    (field) => {
      const journal = changed((body) => {
        delete body.authorities[1]?.[field]
      })
      expect(refusal(journal)).toMatchObject({ code: 'wrong_state', message: expect.stringContaining('damaged') })
    },
  )

  test.each([
    ['a state that there is not', 'state', 'retired', '"retired" is none of prepared, active, old, tainted, revoked'],
    ['a role that there is not', 'role', 'leaf', '"leaf" is none of root, issuing'],
    [
      'a key kept where none is',
      'key',
      'paper',
      '"paper" is none of memory, file, sealed, pkcs11, plugged-in, elsewhere',
    ],
    ['a time that is none', 'createdAt', 'yesterday', 'a time is missing'],
    ['something else than a certificate', 'certificate', 'bm90IGEgY2VydGlmaWNhdGU=', 'DER'],
    ['an intermediate that is no text', 'intermediates', [1], 'a text is missing'],
    ['a root that is no text', 'root', 1, 'a text is missing'],
    ['cross-certificates that are no list', 'cross', {}, 'a list is missing'],
    ['a cross-certificate that is nothing', 'cross', [null], 'a text is missing'],
    ['a cross-certificate by nobody', 'cross', [{ certificate: 'bm90IGEgY2VydGlmaWNhdGU=' }], 'a text is missing'],
    ['a cross-certificate that is none', 'cross', [{ by: 'a', certificate: 'bm90IGEgY2VydGlmaWNhdGU=' }], 'DER'],
  ])('with %s', (_what, field, value, message) => {
    const journal = changed((body) => {
      ;(body.authorities[0] as Record<string, unknown>)[field] = value
    })
    expect(refusal(journal)).toMatchObject({ code: 'wrong_state', message: expect.stringContaining(message) })
  })

  test.each([
    ['revision', 0],
    ['revision', 1.5],
    ['revision', '7'],
    ['bundleSequence', 0],
    ['bundleSequence', -1],
    ['bundleSequence', Number.MAX_SAFE_INTEGER + 1],
  ])('with the %s %j', (field, value) => {
    const journal = changed((body) => {
      body[field] = value
    })
    expect(refusal(journal).message).toContain('a number is missing')
  })

  test('of a trust domain that cannot be', () => {
    const journal = changed((body) => {
      body.trustDomain = 'Cluster.Local'
    })
    expect(refusal(journal).message).toContain('damaged: a trust domain has only lower-case letters')
  })

  test.each([
    ['nothing', ''],
    ['no JSON', 'journal'],
    ['something else in JSON', '[]'],
    ['no body', '{"digest":"00"}'],
    ['no digest', '{"body":{"format":1}}'],
  ])('that is %s', (_what, journal) => {
    expect(refusal(journal)).toMatchObject({ code: 'wrong_state', message: expect.stringContaining('damaged') })
  })

  test('with two records one after the other', () => {
    expect(refusal(text + text).message).toContain('damaged: not JSON')
  })

  test('with two bodies, of which readers might take either', () => {
    const { body } = JSON.parse(text) as { body: Body }
    const digest = sha256Hex(JSON.stringify(body))
    expect(refusal(`{"body":{"format":1},"digest":"${digest}","body":${JSON.stringify(body)}}`).message).toContain(
      'a key twice',
    )
  })
})

test('says what to do about damage', () => {
  expect(refusal('{}').message).toBe('the journal is damaged: it is not one; put back a copy that is whole')
})

describe('a root whose key is elsewhere', () => {
  test('keeps what signs for it, and that its key was in the clear', async () => {
    const root = await odd('company root', 'itself')
    const between = await odd('between', root)
    const online = await odd('online', between)
    const record = rootOf(root, {
      key: 'elsewhere',
      online: { certificate: online.certificate, intermediates: [between.certificate], key: 'sealed' },
      wasInTheClear: true,
    })
    const othersUntil = new Date('2030-01-02T00:00:00Z')
    const { set } = readJournal(printJournal(1, aSet([record], { exportDisabled: true, othersUntil })))
    expect(set).toMatchObject({ exportDisabled: true, othersUntil })
    const [again] = set.authorities
    expect(again).toMatchObject({ key: 'elsewhere', wasInTheClear: true, online: { key: 'sealed' } })
    expect(again?.online?.certificate.der).toEqual(Buffer.from(online.certificate.der))
    expect(again?.online?.intermediates.map(({ der }) => der)).toEqual([Buffer.from(between.certificate.der)])
  })

  test('is nothing that a journal without it knows of: nothing signs for a root, nothing was in the clear, and keys may be exported', () => {
    const { set } = readJournal(text)
    expect(text).not.toMatch(/online|wasInTheClear|exportDisabled|othersUntil/)
    expect(set).toMatchObject({ exportDisabled: false, othersUntil: undefined })
    for (const one of set.authorities) expect(one).toMatchObject({ online: undefined, wasInTheClear: false })
  })

  test.each([
    ['online', 'elsewhere'],
    ['online', { certificate: 'AAAA', intermediates: [], key: 'sealed' }],
    ['wasInTheClear', 'no'],
  ])('is damaged with %s %j', (field, value) => {
    const journal = changed(({ authorities: [root = {}] }) => {
      root[field] = value
    })
    expect(refusal(journal)).toMatchObject({ code: 'wrong_state', message: expect.stringContaining('damaged') })
  })

  test('is damaged with a mark that is no mark', () => {
    const journal = changed((body) => {
      body.exportDisabled = false
    })
    expect(refusal(journal)).toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('a mark is something else than true'),
    })
  })
})
describe('what a rotation leaves in it', () => {
  test('is read back', () => {
    const { set } = readJournal(rotating)
    expect(printJournal(8, set)).toBe(rotating)
    expect(set).toMatchObject({
      rotation: { to: set.authorities[1]?.id, by: 'admin', because: 'yearly' },
      forgotten: [{ workload: 'shop/cart', until: new Date('2030-01-01T01:00:00Z') }],
      authorities: [
        { state: 'tainted', taint: { because: 'laptop stolen', leavesAt: new Date('2030-01-01T01:00:00Z') } },
        { bundledSince: 2, cross: [{ by: set.authorities[0]?.id }] },
        { root: set.authorities[1]?.id, bundledSince: 0, cross: [] },
      ],
    })
  })

  test('is read of a rotation that is taken back', () => {
    const back = changed(({ rotation }) => Object.assign(rotation as object, { backTo: 'ab'.repeat(20) }), rotating)
    const { set } = readJournal(back)
    expect(set.rotation).toMatchObject({ because: 'yearly', backTo: 'ab'.repeat(20) })
    expect(readJournal(printJournal(8, set)).set).toEqual(set)
  })

  test('is read of a rotation that has no root yet', () => {
    const { set } = readJournal(changed(({ rotation }) => delete (rotation as { to?: string }).to, rotating))
    expect(set.rotation).toMatchObject({ to: undefined, because: 'yearly' })
  })

  const inside = (body: Body, path: string): [Record<string, unknown>, string] => {
    const keys = path.split('.')
    const last = keys.pop() as string
    return [keys.reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, body), last]
  }

  test.each([
    ['authorities.0.taint.at', 'yesterday', 'a time is missing'],
    ['authorities.0.taint.because', 7, 'a text is missing'],
    ['authorities.0.taint.leavesAt', undefined, 'a text is missing'],
    ['authorities.0.taint', 'yes', 'a text is missing'],
    ['authorities.1.bundledSince', 0, 'a number is missing'],
    ['authorities.1.bundledSince', '2', 'a number is missing'],
    ['authorities.1.bundledSince', 3, 'a root is in a bundle that was not made yet'],
    ['authorities.1.cross', {}, 'a list is missing'],
    ['authorities.1.cross.0.by', undefined, 'a text is missing'],
    ['authorities.1.cross.0.certificate', 'AAAA', 'DER'],
    ['authorities.2.root', 7, 'a text is missing'],
    ['rotation.to', 7, 'a text is missing'],
    ['rotation.since', undefined, 'a text is missing'],
    ['rotation.by', 'chance', '"chance" is none of admin, clock'],
    ['rotation.because', undefined, 'a text is missing'],
    ['rotation.backTo', 7, 'a text is missing'],
    ['rotation', 'yes', 'a text is missing'],
    ['forgotten', {}, 'a list is missing'],
    ['forgotten.0.workload', undefined, 'a text is missing'],
    ['forgotten.0.at', 'never', 'a time is missing'],
    ['forgotten.0.until', undefined, 'a text is missing'],
    ['revocations', {}, 'a list is missing'],
    ['revocations', [{}], 'a text is missing'],
    ['revocations', [{ serial: 'xy' }], 'a revocation is of no serial number'],
    ['revocations', [{ serial: '4a', issuer: 7 }], 'a text is missing'],
    ['revocations', [{ serial: '4a', issuer: 'ab', at: 'never' }], 'a time is missing'],
    ['revocations', [{ serial: '4a', issuer: 'ab', at: '2030-01-01', until: 7 }], 'a text is missing'],
    ['revocations', [{ serial: '4a', issuer: 'ab', at: '2030-01-01', until: '2030-01-01' }], 'a text is missing'],
    ['crls', 'none', 'a list is missing'],
    ['crls', [{}], 'a text is missing'],
    ['crls', [{ id: 'ab', der: 'AAAA' }], 'DER'],
  ])('is damaged with %s: %j', (path, value, message) => {
    const journal = changed((body) => {
      const [at, key] = inside(body, path)
      if (value === undefined) delete at[key]
      else at[key] = value
    }, rotating)
    expect(refusal(journal)).toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(new RegExp(`^the journal is damaged: .*${message}`)),
    })
  })
})

describe('a journal of format 1', () => {
  const old = () =>
    changed((body) => {
      body.format = 1
      delete body.forgotten
      delete body.revocations
      delete body.crls
      for (const authority of body.authorities) {
        delete authority.bundledSince
        delete authority.cross
        delete authority.root
      }
    })

  test('is read: nobody is known to hold an older bundle than the last, and an issuing authority stands where its path leads', () => {
    const { revision, set } = readJournal(old())
    const [root, issuing] = set.authorities
    expect(revision).toBe(7)
    expect(set).toMatchObject({ rotation: undefined, forgotten: [], revocations: [], crls: [], bundleSequence: 3 })
    expect(root).toMatchObject({ bundledSince: 3, cross: [], taint: undefined, root: undefined })
    expect(issuing).toMatchObject({ bundledSince: 0, root: root?.id })
  })

  test('leaves open under which root one stands whose path leads to none', () => {
    const { body } = JSON.parse(old()) as { body: Body }
    body.authorities.shift()
    const orphan = JSON.stringify({ digest: sha256Hex(JSON.stringify(body)), body })
    expect(readJournal(orphan).set.authorities[0]?.root).toBeUndefined()
  })

  test('is written in today’s format', () => {
    expect(JSON.parse(printJournal(8, readJournal(old()).set))).toMatchObject({ body: { format: 2 } })
  })
})
