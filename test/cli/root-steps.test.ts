import { describe, expect, test } from 'vitest'
import { activeRoot } from '../../src/authority/authority.ts'
import { progressLines } from '../../src/cli/roots/progress.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { rotationView } from '../../src/service/rotation-view.ts'
import { World } from '../_support/a-world.ts'
import { Admin } from '../_support/an-admin.ts'
import { expectGolden } from '../_support/golden.ts'
import { beginWithNarrowRoot } from '../_support/narrow-root.ts'
import { NO_EVIDENCE } from '../_support/no-evidence.ts'

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

test('the command that a refusal names lists exactly those in the way', async () => {
  const { admin } = await prepared()
  const listed = async () => {
    const { err } = await admin.run(['root', verb])
    const [, more = ''] = /… 3 more: alcazar (.*)\n/.exec(err) ?? []
    const { out } = await admin.run(more.split(' '))
    return [...out.matchAll(/^ {13}(shop\/cart-\S+) /gm)].map(([, name]) => name)
  }
  let verb = 'activate'
  expect(await listed()).toEqual(MANY)
  await admin.issue([...MANY, 'billing/ledger-0'])
  await admin.run(['root', 'activate'])
  await admin.issue(['billing/ledger-0'])
  verb = 'revoke'
  expect(await listed()).toEqual(MANY)
})

test('status lists as many who are in the way as are asked for, and says where to see the others', async () => {
  const { admin } = await prepared()
  const lines = async (limit: string) => (await admin.run(['root', 'status', '--limit', limit])).out.match(/cart-/g)
  expect([(await lines('1'))?.length, (await lines('12'))?.length, (await lines('13'))?.length]).toEqual([1, 12, 13])
  expect((await admin.run(['root', 'status'])).out).toContain('… 3 more: alcazar root status --limit 2000\n')
  expect((await admin.run(['authority', 'status', '--limit', '13'])).out).not.toContain('more:')
  for (const limit of ['0', '2001', 'all'])
    expect(await admin.run(['root', 'status', '--limit', limit])).toMatchObject({
      exit: 2,
      err: `alcazar: --limit is a whole number from 1 to 2000, not "${limit}"\n`,
    })
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

  test.each(['0', '12', '14', '1000'])('does nothing where 13 would break and --yes-break is %s', async (number) => {
    const { admin } = await prepared()
    const { exit, err } = await admin.run(['root', 'activate', '--yes-break', number])
    expect(exit).toBe(6)
    expect(err.split('\n').at(-2)).toBe(
      `alcazar: 13 live workloads would break, not ${Number(number).toLocaleString('en-US')}; nothing was done`,
    )
    expect(states(admin)).toEqual(['active', 'prepared'])
  })

  test.each([0, 12, 14])('goes through the server with the exact number alone, not with %d', async (breaks) => {
    const { admin } = await prepared()
    await expect(
      admin.keeper.roots.activate(undefined, { by: 'admin', because: 'a test' }, { breaks }),
    ).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(
        new RegExp(`^13 workloads would break if you activate root .{9} now, not ${breaks}; nothing was done$`),
      ),
    })
    expect(states(admin)).toEqual(['active', 'prepared'])
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

  test('says what fails, for whom and from when: renewals first', async () => {
    const texts: string[] = []
    const said = async (admin: Admin, ...args: string[]) => {
      const { err } = await admin.run(['root', ...args, '--force'], { types: () => 'no' })
      texts.push(admin.steady(`$ alcazar root ${args.join(' ')} --force\n${err}`))
    }
    const { admin } = await prepared()
    await said(admin, 'activate')
    // As where the root that signs is kept elsewhere: nobody certified the new one.
    Object.assign(admin.keeper.set.authorities.at(-1) as object, { cross: [] })
    await said(admin, 'activate')
    admin.world.issued.splice(1)
    await admin.run(['root', 'activate', '--yes-break', '1'])
    await said(admin, 'revoke')
    const [old, active] = admin.keeper.set.authorities.filter(({ role }) => role === 'root')
    Object.assign(old as object, { state: 'tainted' })
    await said(admin, 'revoke')
    for (const root of [old, active]) Object.assign(root as object, { key: 'elsewhere' })
    await said(admin, 'taint', active?.id as string, '--because', 'stolen')
    expectGolden('root-force.txt', texts.join('\n'))
  })
})

describe('--force where nobody can say who breaks', () => {
  const reading = 'the inventory is being read'
  async function blind() {
    const all = await prepared()
    all.admin.incomplete = reading
    return all
  }

  test('says so, and goes through when the id is typed; the ledger says that nobody knew', async () => {
    const { admin, id } = await blind()
    const asked: string[] = []
    const { exit, err } = await admin.run(['root', 'activate', '--force'], {
      types: (question) => {
        asked.push(question)
        return id
      },
    })
    expect(exit).toBe(0)
    expect(err.split('\n').slice(0, 2)).toEqual([
      `Nobody can say who breaks if you activate root ${shortId(id)} now: ${reading}.`,
      'Known so far, and there may be more: 13 live workloads.',
    ])
    expect(asked).toEqual([`To activate without knowing who breaks, type the id of the root (${shortId(id)}): `])
    expect(admin.world.ledger.of('authority').at(-2)?.detail).toBe(
      `by the admin: asked by ada; FORCED, breaking nobody knows whom (${reading}), as far as is known 13 of 13 live workloads`,
    )
  })

  test('takes no number for an answer, not even that of those who are known', async () => {
    const { admin } = await blind()
    for (const number of ['13', '0']) {
      const { exit, err } = await admin.run(['root', 'activate', '--yes-break', number])
      expect(exit).toBe(6)
      expect(err.split('\n').at(-2)).toBe(
        'alcazar: nobody can say how many would break, so no number is right: wait until it is known, or say --yes-break unknown; nothing was done',
      )
    }
    expect(states(admin)).toEqual(['active', 'prepared'])
  })

  test('needs it to be said by itself where there is no terminal', async () => {
    const { admin } = await blind()
    const { exit, err } = await admin.run(['root', 'activate', '--force'])
    expect(exit).toBe(2)
    expect(err).toMatch(
      /\nalcazar: stdin is no terminal on which to type the root’s id; if they may break, whoever they are, say so: --yes-break unknown\n$/,
    )
    expect(await admin.run(['root', 'activate', '--yes-break', 'unknown'])).toMatchObject({ exit: 0 })
    expect(states(admin)).toEqual(['old', 'active'])
  })

  test('is no way around a number that is known', async () => {
    const { admin } = await prepared()
    const { exit, err } = await admin.run(['root', 'activate', '--yes-break', 'unknown'])
    expect(exit).toBe(6)
    expect(err).toMatch(/\nalcazar: 13 live workloads would break, not an unknown number; nothing was done\n$/)
    expect(states(admin)).toEqual(['active', 'prepared'])
  })

  test('is refused by the server when it became so, or is so no more, while somebody typed', async () => {
    const { admin, id } = await prepared()
    const typing = (incomplete: string | undefined) => ({
      types: () => {
        admin.incomplete = incomplete
        return id
      },
    })
    const before = await admin.run(['root', 'activate', '--force'], typing(reading))
    expect(before.exit).toBe(6)
    expect(before.err.split('\n').at(-2)).toBe(
      `alcazar: the server said: Nobody can say who breaks if you activate root ${shortId(id)} now: ${reading}. So no number is right; wait until it is known, or say --yes-break unknown. Nothing was done`,
    )
    const after = await admin.run(['root', 'activate', '--force'], typing(undefined))
    expect(after.exit).toBe(6)
    expect(after.err.split('\n').at(-2)).toBe(
      `alcazar: the server said: 13 workloads would break if you activate root ${shortId(id)} now, not an unknown number; nothing was done`,
    )
    expect(states(admin)).toEqual(['active', 'prepared'])
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
    ['rollback', /^Rolled back: .{9} signs; .{9} leaves when nothing stands on it \(now\)\. Nothing to do\.\n$/],
  ] as const)
    expect(await admin.run(['authority', verb])).toMatchObject({ exit: 0, out: expect.stringMatching(says) })
  await admin.later(25 * HOUR)
  expect(await admin.run(['authority', 'revoke'])).toMatchObject({
    exit: 0,
    out: expect.stringMatching(/^Done: bundle 3 has .{9} \(active\).\n/),
  })
})

test('a rollback says what it took back, and offers no command that would begin another rotation', async () => {
  const admin = await Admin.start()
  const first = shortId(activeRoot(admin.keeper.set)?.id ?? '')
  await admin.run(['root', 'prepare'])
  const prepared = shortId(admin.keeper.set.authorities.at(-1)?.id ?? '')
  expect((await admin.run(['root', 'rollback'])).out).toBe(
    `Prepared root ${prepared} is discarded; ${first} signs on.\n`,
  )
  await admin.run(['root', 'prepare'])
  await admin.run(['root', 'activate'])
  const second = shortId(activeRoot(admin.keeper.set)?.id ?? '')
  await admin.issue(MANY)
  expect((await admin.run(['root', 'rollback'])).out).toBe(
    `Rolled back: ${first} signs; ${second} leaves when nothing stands on it (13 live workloads in the way, at the latest in 24 h). Nothing to do.\n`,
  )
})

test('where nobody knows who asks, and why, the ledger says that no reason was given', async () => {
  const admin = await Admin.start()
  expect(await admin.run(['root', 'prepare'], { environment: {} })).toMatchObject({ exit: 0 })
  expect(admin.world.ledger.of('authority').at(-1)?.detail).toMatch(/; by the admin: no reason given$/)
})

test('a workload that is forgotten is cut off, and status says until when', async () => {
  const { admin } = await prepared()
  await admin.issue(['legacy/vm-17'], 3 * HOUR)
  expect(await admin.run(['workloads', 'forget', 'legacy/vm-17', '--because', 'scrapped'])).toMatchObject({
    exit: 0,
    out: 'legacy/vm-17 is cut off: it holds up nothing any more, and what it has renews nothing.\nThat still works where it is trusted, until it ends.\n',
  })
  expect(admin.keeper.set.forgotten).toMatchObject([{ workload: 'legacy/vm-17', until: admin.in(30 * DAY) }])
  expect(admin.world.ledger.of('authority').at(-1)?.detail).toBe('legacy/vm-17, by the admin: scrapped')
  expect((await admin.run(['root', 'status'])).out).toContain(
    'Cut off: what legacy/vm-17 held before today 00:00:00 UTC (until 2030-01-31 00:00 UTC)\n',
  )
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
      err: 'alcazar: stopped watching. The root leaves by itself, at the latest today 01:00 UTC; alcazar root status shows it\n',
    })
    const { out } = await admin.run(['root', 'status'])
    expect(out).toContain('warning: declared compromised: stolen\n')
    expect(out).toMatch(
      /next: it leaves the bundle {4}closed: 14 live workloads in the way, at the latest in (60|59) min\n/,
    )
  })

  test('names who was cut off as the server saw it, not as it was at the last look', async () => {
    const { admin, id } = await stolen()
    // All between two looks.
    admin.meanwhile = [
      async () => {
        await admin.issue(MANY.slice(1))
        await admin.later(30 * MINUTE)
        await admin.tick()
        await admin.later(10 * MINUTE)
      },
    ]
    const taint = ['root', 'taint', id.slice(0, 8), '--because', 'laptop stolen', '--within', '30m']
    const { out } = await admin.run(taint)
    expect(out).toContain('out of bundle  2030-01-01 00:30:00 UTC, 30 min later, with bundle 3\n')
    expect(out).toContain(`cut off        2: billing/ledger-0, ${MANY[0]}\n`)
  })

  test('of a root that was discarded says what leaves for having certified it, and waits for that', async () => {
    const { admin, id } = await stolen()
    const { id: discarded } = await admin.keeper.roots.prepare({ by: 'admin', because: 'a try' })
    await admin.keeper.roots.rollback({ by: 'admin', because: 'not now' })
    admin.meanwhile = [
      () => admin.issue([...MANY, 'billing/ledger-0']),
      () => admin.later(60 * MINUTE),
      () => admin.tick(),
    ]
    const { out, err } = await admin.run(['root', 'taint', discarded, '--because', 'laptop stolen'])
    expect(err).toBe('')
    expect(out).toContain(
      `  out          root ${shortId(discarded)} is not in the bundle, but its key was certified: root ${shortId(id)} leaves the bundle when nothing stands on it, at the latest`,
    )
    expect(out).toContain(`affected     ${MANY.length + 1} live workloads\n`)
    expect(out).toMatch(/\nout of bundle {2}2030-01-01 01:00:\d\d UTC, 60 min later, with bundle 5\n/)
    expect(admin.keeper.set.authorities.find((one) => one.id === id)?.state).toBe('revoked')
  })

  test('names who was in the way at the last look where the server was restarted since', async () => {
    const { admin, id } = await stolen()
    admin.meanwhile = [
      () => admin.issue(MANY),
      async () => {
        await admin.later(30 * MINUTE)
        await admin.tick()
        await admin.stop()
        await admin.serve()
      },
    ]
    const { out } = await admin.run(['root', 'taint', id, '--because', 'laptop stolen', '--within', '30m'])
    expect(out).toContain('cut off        1: billing/ledger-0\n')
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
      outAt: '2030-01-01T00:30:01.000Z',
      bundleSequence: 3,
      cutOff: 1,
      named: ['billing/ledger-0'],
      done: true,
    })
  })
})
