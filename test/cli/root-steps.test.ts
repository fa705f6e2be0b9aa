import { describe, expect, test } from 'vitest'
import { activeRoot } from '../../src/authority/authority.ts'
import { NO_EVIDENCE } from '../../src/authority/gate.ts'
import { progressLines } from '../../src/cli/roots/progress.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { rotationView } from '../../src/service/rotation-view.ts'
import { World } from '../_support/a-world.ts'
import { Admin } from '../_support/an-admin.ts'
import { expectGolden } from '../_support/golden.ts'
import { beginWithNarrowRoot } from '../_support/narrow-root.ts'

const MANY = Array.from({ length: 13 }, (_, index) => `shop/cart-${String(index).padStart(2, '0')}`)

const states = ({ keeper }: Admin) =>
  keeper.set.authorities.filter(({ role }) => role === 'root').map(({ state }) => state)

/** A root is prepared, and thirteen workloads have not been sent it. */
async function prepared() {
  const admin = await Admin.start()
  await admin.issue(MANY)
  const { id } = await admin.keeper.roots.prepare({ by: 'admin', because: 'yearly' })
  return { admin, id }
}

test('refusals name the first ten in the way, the command for the others, and what is possible', async () => {
  const { admin } = await prepared()
  const texts: string[] = []
  const refused = async (...args: string[]) => {
    const { exit, out, err } = await admin.run(args)
    texts.push(admin.steady(`$ alcazar ${args.join(' ')}\n${err}exit ${exit}\n`))
    expect(out).toBe('')
  }
  await refused('root', 'activate')
  await refused('root', 'prepare')
  await refused('root', 'activate', 'dead', 'beef')
  await refused('root', 'activate', 'de')
  const signing = activeRoot(admin.keeper.set)?.id ?? ''
  await refused('root', 'revoke', signing.slice(0, 8))
  await refused('root', 'taint', 'dead', '--because', 'stolen', '--within', 'soon')
  await refused('root', 'taint', 'dead', '--because', 'stolen', '--within', '1s')
  await refused('root', 'taint', 'dead')
  await refused('root', 'activate', '--because', ' ')
  await refused('root', 'activate', '--yes-break', 'all')
  await refused('root', 'activate', '--yes-break', '12')
  await refused('root', 'activate', '--force')
  await refused('workloads', 'forget', 'shop/nobody', '--because', 'gone')
  expect(states(admin)).toEqual(['active', 'prepared'])
  expectGolden('root-refusals.txt', texts.join('\n'))
})

describe('--force', () => {
  test('names who breaks, asks for the id of the root, and goes through when it is typed', async () => {
    const { admin, id } = await prepared()
    const asked: string[] = []
    const { exit, out, err } = await admin.run(['root', 'activate', '--force'], {
      types: (question) => {
        asked.push(question)
        return `${shortId(id).toUpperCase()} `
      },
    })
    expect(asked).toEqual([`To activate all the same, type the id of the root (${shortId(id)}): `])
    for (const workload of MANY) expect(err).toContain(`  ${workload}  holds bundle 1, not 2 yet`)
    expect({ exit, out: out.split('\n')[0] }).toEqual({ exit: 0, out: `Root ${shortId(id)} signs.` })
    expect(states(admin)).toEqual(['old', 'active'])
    expect(admin.world.ledger.of('authority').at(-2)?.detail).toBe(
      'by the admin: asked by ada; FORCED, breaking 13 of 13 live workloads',
    )
  })

  test.each(['', '3f9a', 'yes', 'ffff ffff'])('does nothing when %j is typed instead', async (typed) => {
    const { admin, id } = await prepared()
    const { exit, err } = await admin.run(['root', 'activate', '--force'], { types: () => typed })
    expect(exit).toBe(2)
    expect(err.split('\n').at(-2)).toBe(`alcazar: that is not ${shortId(id)}; nothing was done`)
    expect(states(admin)).toEqual(['active', 'prepared'])
  })

  test('is not asked where the exact number is given', async () => {
    const { admin } = await prepared()
    expect(await admin.run(['root', 'activate', '--yes-break', '13'])).toMatchObject({ exit: 0 })
    expect(states(admin)).toEqual(['old', 'active'])
  })

  test('is refused by the server when the number changed while somebody typed', async () => {
    const { admin, id } = await prepared()
    const { exit, err } = await admin.run(['root', 'activate', '--force'], {
      types: () => {
        admin.world.issued.pop()
        return id
      },
    })
    expect(exit).toBe(6)
    expect(err).toMatch(
      /\nalcazar: the server said: 12 workloads would break if you activate root .{9} now, not 13; nothing was done\n$/,
    )
  })

  test('asks nothing where nobody breaks', async () => {
    const { admin } = await prepared()
    await admin.issue(MANY)
    const { exit, err } = await admin.run(['root', 'activate', '--force'])
    expect({ exit, err }).toEqual({ exit: 0, err: '' })
  })

  test('names a hundred, and how many more', async () => {
    const { admin } = await prepared()
    await admin.issue(Array.from({ length: 100 }, (_, index) => `mall/till-${index}`))
    await admin.run(['root', 'activate', '--yes-break', '13'])
    await admin.issue(Array.from({ length: 110 }, (_, index) => `mall/new-${index}`))
    const { err } = await admin.run(['root', 'rollback', '--force'])
    expect(err).toBe('')
    const revoke = await admin.run(['root', 'revoke', '--force'])
    expect(revoke.err.match(/^ {2}mall\/new-\d+ +stands on/gm)).toHaveLength(100)
    expect(revoke.err).toContain('  … 10 more: alcazar workloads\n')
    expect(revoke.err).toMatch(/say how many: --yes-break 110\n$/)
  })

  test('says when nobody can say who breaks', async () => {
    const { admin } = await prepared()
    admin.incomplete = 'the inventory is being read'
    const { err } = await admin.run(['root', 'activate', '--force'], { types: () => '' })
    expect(err).toContain('Nobody can say for sure, so there may be more: the inventory is being read\n')
  })
})

test('an id that several roots share the beginning of is refused, with all of them', async () => {
  const { admin } = await prepared()
  const { keeper } = admin
  const [first] = keeper.set.authorities
  const twin = { ...first, id: `${first?.id.slice(0, 6)}${'0'.repeat(34)}` }
  Object.defineProperty(keeper, 'change', {
    value: async (action: (change: unknown) => unknown) =>
      action({ set: { ...keeper.set, authorities: [...keeper.set.authorities, twin] } }),
  })
  const { exit, err } = await admin.run(['root', 'revoke', first?.id.slice(0, 4) as string])
  expect(exit).toBe(2)
  expect(err).toMatch(/^alcazar: the server said: 2 begin with .{4}: .{9}, .{9}; write more digits\n$/)
})

describe('a verb of which nobody knows whether it was done', () => {
  const DOUBT =
    'nobody knows whether this was done, because the disk failed in the middle of it: restart the server, and alcazar root status says'
  const STOPPED =
    'nothing is changed any more: nobody knows whether the last change is in the journal; restart the server, and it finds out'
  async function stopped(...args: string[]) {
    const { admin } = await prepared()
    await admin.issue(MANY)
    admin.world.store.faults.set(admin.world.store.writes + 1, 'in doubt, written')
    return { admin, ran: await admin.run(args) }
  }

  test('says so with exit code 7, and the next that this process changes nothing any more', async () => {
    const { admin, ran } = await stopped('root', 'activate')
    expect(ran).toEqual({ exit: 7, out: '', err: `alcazar: the server said: ${DOUBT}\n` })
    expect(await admin.run(['root', 'activate'])).toMatchObject({
      exit: 7,
      err: 'alcazar: the server said: this process changes no authority any more; restart it\n',
    })
    expect(states(admin)).toEqual(['active', 'prepared'])
    await admin.stop()
    await admin.serve()
    expect(states(admin)).toEqual(['old', 'active'])
    const { out } = await admin.run(['root', 'status'])
    expect(out).not.toContain(STOPPED)
    expect(out).toContain('next: it leaves the bundle')
  })

  test('makes no other verb look possible until the restart', async () => {
    const { admin } = await stopped('root', 'activate')
    const status = await admin.run(['root', 'status'])
    expect(status.out).toContain(`warning: ${STOPPED}\nROOT`)
    expect(status.out).not.toMatch(/next:|possible now/)
    const dryRun = await admin.run(['root', 'rotate', '--dry-run'])
    expect(dryRun.out).toContain(`Nothing was changed. And ${STOPPED}\n`)
    const { stopped: told, next } = JSON.parse((await admin.run(['root', 'rotate', '--dry-run', '-o', 'json'])).out)
    expect([told, next]).toEqual([STOPPED, { what: STOPPED, byItself: false }])
  })

  test('is told to who watches a rotation, and where nothing was on its way, too', async () => {
    const admin = await Admin.start()
    const { store } = admin.world
    const watching = { untilAskedToEnd: async () => undefined }
    store.faults.set(store.writes + 2, 'in doubt, not written')
    // The wish is written, and the new root is not.
    const { out } = await admin.run(['root', 'rotate'], watching)
    expect(out).toMatch(new RegExp(`^[0-9: Z-]+prepare +${STOPPED}\\n$`))
    expect(progressLines(rotationView(admin.keeper.seen()), 200)).toContain(`   ${STOPPED}`)
    const other = await Admin.start()
    other.world.store.faults.set(other.world.store.writes + 1, 'in doubt, not written')
    await other.run(['root', 'prepare'])
    expect((await other.run(['root', 'status'])).out).not.toMatch(/next:|possible now/)
    expect(other.world.events.told.filter(({ event }) => event === 'keeperStopped')).toHaveLength(1)
    await other.tick()
    expect(other.world.events.told.filter(({ event }) => event === 'rotationFailed')).toEqual([])
  })
})

test('the same verbs are there for authorities', async () => {
  const { admin } = await prepared()
  await admin.issue(MANY)
  for (const [verb, says] of [
    [
      'activate',
      /^Root .{9} signs.\nNext: alcazar root revoke [0-9a-f]{8} {4}waits for 13 live workloads, at the latest in 24 h\n$/,
    ],
    ['rollback', /^Root .{9} signs.\n/],
  ] as const)
    expect(await admin.run(['authority', verb])).toMatchObject({ exit: 0, out: expect.stringMatching(says) })
  await admin.later(25 * HOUR)
  expect(await admin.run(['authority', 'revoke'])).toMatchObject({
    exit: 0,
    out: expect.stringMatching(/^Done: bundle 3 has .{9} \(active\).\n/),
  })
})

test('a workload that is forgotten is cut off, and status says until when', async () => {
  const { admin } = await prepared()
  await admin.issue(['legacy/vm-17'], 3 * HOUR)
  expect(await admin.run(['workloads', 'forget', 'legacy/vm-17', '--because', 'scrapped'])).toMatchObject({
    exit: 0,
    out: 'legacy/vm-17 is cut off: it holds up nothing any more, and what it has renews nothing.\nThe last of its certificates ends in 3 h; until then it still works where it is trusted.\n',
  })
  expect(admin.keeper.set.forgotten).toMatchObject([{ workload: 'legacy/vm-17', until: admin.in(3 * HOUR) }])
  expect(admin.world.ledger.of('authority').at(-1)?.detail).toBe('legacy/vm-17, by the admin: scrapped')
  expect((await admin.run(['root', 'status'])).out).toContain('Cut off: legacy/vm-17, until 2030-01-01 03:00 UTC\n')
})

describe('taint of a root that can certify no other', () => {
  async function narrow() {
    const world = new World()
    await beginWithNarrowRoot(world, 365 * DAY)
    const admin = await Admin.start(world)
    await admin.issue(MANY)
    return { admin, id: activeRoot(admin.keeper.set)?.id as string }
  }
  const TAINT = ['--because', 'stolen']
  const unwatched = { untilAskedToEnd: async () => undefined }

  test('is refused where workloads would break, as status said before', async () => {
    const { admin, id } = await narrow()
    const { steps } = JSON.parse((await admin.run(['root', 'status', '-o', 'json'])).out).authorities[0]
    expect(steps).toMatchObject([{ verb: 'taint', open: false, inTheWay: 13 }])
    const { exit, err } = await admin.run(['root', 'taint', id, ...TAINT])
    expect(exit).toBe(6)
    expect(err).toMatch(/^alcazar: the server said: Not yet: 13 of 13 live workloads are in the way if you let root /)
    expect(states(admin)).toEqual(['active'])
  })

  test('is done when the number or the id is given', async () => {
    const byNumber = await narrow()
    await byNumber.admin.run(['root', 'taint', byNumber.id, ...TAINT, '--yes-break', '13'], unwatched)
    expect(states(byNumber.admin)).toEqual(['tainted', 'active'])
    const typed = await narrow()
    const options = { ...unwatched, types: () => typed.id }
    const { err } = await typed.admin.run(['root', 'taint', typed.id, ...TAINT, '--force'], options)
    expect(err).toContain(`If you taint root ${shortId(typed.id)} now, 13 live workloads break`)
    expect(states(typed.admin)).toEqual(['tainted', 'active'])
  })

  test('is done with the number that the server said, also where nobody was known to break', async () => {
    const { admin, id } = await narrow()
    const { keeper } = admin
    const { seen } = keeper
    Object.defineProperty(keeper, 'seen', { value: () => ({ ...seen.call(keeper), evidence: NO_EVIDENCE }) })
    await admin.run(['root', 'taint', id, ...TAINT, '--yes-break', '13'], unwatched)
    expect(states(admin)).toEqual(['tainted', 'active'])
  })
})

describe('taint', () => {
  async function stolen() {
    const admin = await Admin.start()
    await admin.issue([...MANY, 'billing/ledger-0'])
    const id = activeRoot(admin.keeper.set)?.id as string
    return { admin, id }
  }

  test('says what happens now, shows it, and ends with a report to paste', async () => {
    const { admin, id } = await stolen()
    admin.meanwhile = [
      () => admin.issue(MANY),
      () => admin.later(10 * MINUTE),
      async () => {
        await admin.issue(['billing/ledger-0'])
        await admin.tick()
      },
    ]
    const { exit, out, err } = await admin.run(['root', 'taint', id.slice(0, 8), '--because', 'laptop stolen'])
    expect({ exit, err }).toEqual({ exit: 0, err: '' })
    expectGolden('root-taint.txt', admin.steady(out))
  })

  test('goes on when nobody watches, and says so', async () => {
    const { admin, id } = await stolen()
    expect(
      await admin.run(['root', 'taint', id, '--because', 'stolen'], { untilAskedToEnd: async () => undefined }),
    ).toMatchObject({
      exit: 7,
      err: 'alcazar: stopped watching. The root leaves by itself, at the latest at 2030-01-01T01:00:00.000Z; alcazar root status shows it\n',
    })
    const { out } = await admin.run(['root', 'status'])
    expect(out).toContain('warning: declared compromised: stolen\n')
    expect(out).toMatch(
      /next: it leaves the bundle {4}closed: 14 live workloads in the way, at the latest in (60|59) min\n/,
    )
  })

  test('names who was cut off when its time was over', async () => {
    const { admin, id } = await stolen()
    admin.meanwhile = [
      () => admin.issue(MANY),
      async () => {
        await admin.later(30 * MINUTE)
        await admin.tick()
      },
    ]
    const { exit, out } = await admin.run([
      'root',
      'taint',
      id.slice(0, 4),
      id.slice(4, 8),
      '--because',
      'laptop stolen',
      '--within',
      '30m',
      '-o',
      'json',
    ])
    expect(exit).toBe(0)
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines[0]).toMatchObject({ done: false, tainted: { id, affected: 14 } })
    expect(lines.at(-1)).toEqual({
      root: id,
      because: 'laptop stolen',
      declaredAt: '2030-01-01T00:00:00.000Z',
      successor: activeRoot(admin.keeper.set)?.id,
      affected: 14,
      outAt: '2030-01-01T00:30:02.000Z',
      bundleSequence: 3,
      cutOff: 1,
      named: ['billing/ledger-0'],
      done: true,
    })
  })
})
