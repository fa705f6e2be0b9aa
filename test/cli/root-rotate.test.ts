import { describe, expect, test } from 'vitest'
import { activeRoot } from '../../src/authority/authority.ts'
import { bar, progressLine, progressLines } from '../../src/cli/roots/progress.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { type NamespaceView, type RotationView, rotationView } from '../../src/service/rotation-view.ts'
import { Admin } from '../_support/an-admin.ts'
import { expectGolden } from '../_support/golden.ts'
import { odd } from '../_support/odd-certificates.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

const SHOP = ['shop/cart-0', 'shop/cart-1', 'shop/till-0', 'shop/till-1']
const ALL = [...SHOP, 'billing/ledger-0', 'billing/ledger-1']

/** A whole rotation: two renew late, then all, then all again under the new root. */
async function rotating(): Promise<Admin> {
  const admin = await Admin.start()
  await admin.issue(ALL)
  admin.meanwhile = [
    () => admin.issue(SHOP),
    () => undefined,
    async () => {
      await admin.issue(ALL)
      await admin.tick()
    },
    () => admin.issue(SHOP),
    () => admin.later(HOUR),
    async () => {
      await admin.issue(ALL)
      await admin.tick()
    },
  ]
  return admin
}

/** What is drawn, one picture under the other, without what moves the cursor. */
const pictures = (out: string): string =>
  out
    .replaceAll('\u001b[0J', '----\n')
    .replaceAll('\u001b[2K', '')
    .split('\u001b[')
    .map((part, index) => (index === 0 ? part : part.replace(/^\d+A/, '')))
    .join('')

test('a rotation is drawn from its beginning to its end, and then says what became of it', async () => {
  const admin = await rotating()
  const { exit, out, err } = await admin.run(['root', 'rotate', '--because', 'yearly'], { columns: 100 })
  expect({ exit, err }).toEqual({ exit: 0, err: '' })
  expectGolden('root-rotate.txt', pictures(admin.steady(out)))
})

test('each picture is drawn over the one before, line by line, and no line is longer than the terminal', async () => {
  const admin = await rotating()
  const { out } = await admin.run(['root', 'rotate'], { columns: 50 })
  const drawn = out.split('\u001b[0J').slice(0, -1)
  expect(drawn.length).toBeGreaterThan(5)
  for (const [index, picture] of drawn.entries()) {
    const before = drawn[index - 1]?.split('\n').length
    expect(picture.startsWith(before === undefined ? '\u001b[2K' : `\u001b[${before - 1}A\u001b[2K`)).toBe(true)
    for (const line of picture.split('\n').slice(0, -1))
      expect([...(line.split('\u001b[2K')[1] ?? '')].length).toBeLessThanOrEqual(50)
  }
  expect(out).toContain('…\n')
})

test('without a terminal it is a line for each step', async () => {
  const admin = await rotating()
  const { exit, out } = await admin.run(['root', 'rotate'])
  expect(exit).toBe(0)
  expectGolden('root-rotate-lines.txt', admin.steady(out))
})

test('as JSON it is a line for each change, and the last one says that it is done', async () => {
  const admin = await rotating()
  const { exit, out } = await admin.run(['root', 'rotate', '--output', 'json'])
  expect(exit).toBe(0)
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RotationView & { done: boolean; replaced?: boolean })
  expect(lines.map(({ phase, ready, done }) => [phase, ready, done])).toEqual([
    ['distribute', 0, false],
    ['distribute', 4, false],
    ['renew', 0, false],
    ['renew', 4, false],
    ['none', 6, true],
  ])
  expect(lines.at(-1)).toMatchObject({ replaced: true, bundleSequence: 3 })
})

test('with nobody alive it is over before the first look', async () => {
  const admin = await Admin.start()
  const before = activeRoot(admin.keeper.set)?.id as string
  const { exit, out } = await admin.run(['root', 'rotate'])
  const after = activeRoot(admin.keeper.set)?.id as string
  expect({ exit, out }).toEqual({
    exit: 0,
    out: `Done: root ${shortId(after)} signs, and ${shortId(before)} is out of the bundle. The bundle is 3; it took 0 s.\n`,
  })
})

test('Ctrl-C ends the watching, says that the rotation goes on, and a second run joins it', async () => {
  const admin = await rotating()
  let ask = () => {}
  const asked = new Promise<void>((resolve) => {
    ask = resolve
  })
  const rest = admin.meanwhile
  admin.meanwhile = [...rest.slice(0, 1), () => void ask(), ...rest.slice(1)]
  const stopped = await admin.run(['root', 'rotate', '--because', 'yearly'], { untilAskedToEnd: () => asked })
  expect(stopped).toMatchObject({
    exit: 7,
    err: 'alcazar: stopped watching. The rotation goes on by itself where it is safe; run alcazar root rotate to watch again, or go back with alcazar root rollback\n',
  })
  expect(admin.keeper.set.rotation).toMatchObject({ because: 'yearly' })
  const again = await admin.run(['root', 'rotate', '--because', 'another'])
  expect(again).toMatchObject({ exit: 0, out: expect.stringMatching(/Done: root .* signs/) })
  expect(admin.world.ledger.of('authority').filter(({ what }) => what === 'rotation begun')).toHaveLength(1)
})

test('begun by two admins at once it is one rotation, which both watch to its end', async () => {
  const admin = await rotating()
  const before = activeRoot(admin.keeper.set)?.id as string
  const both = await Promise.all(['hers', 'his'].map((because) => admin.run(['root', 'rotate', '--because', because])))
  const after = activeRoot(admin.keeper.set)?.id as string
  expect(after).not.toBe(before)
  for (const { exit, out } of both) {
    expect(exit).toBe(0)
    expect(out).toContain(`Done: root ${shortId(after)} signs, and ${shortId(before)} is out of the bundle.`)
  }
  const said = admin.world.ledger.of('authority').map(({ what }) => what)
  for (const what of ['rotation begun', 'root prepared', 'root activated'])
    expect(said.filter((one) => one === what)).toHaveLength(1)
})

test('at a terminal Ctrl-C stays on a line of its own', async () => {
  const admin = await rotating()
  const stopped = await admin.run(['root', 'rotate'], { untilAskedToEnd: async () => undefined, columns: 100 })
  expect(stopped.err).toMatch(/^\nalcazar: stopped watching\. The rotation goes on/)
})

describe('a server that goes away in the middle', () => {
  test('is waited for, and watched again', async () => {
    const admin = await rotating()
    const rest = admin.meanwhile
    admin.meanwhile = [
      ...rest.slice(0, 1),
      () => admin.stop(),
      ...Array.from({ length: 30 }, () => () => undefined),
      () => admin.serve(),
      ...rest.slice(1),
    ]
    const { exit, out, err } = await admin.run(['root', 'rotate'])
    expect(exit).toBe(0)
    expect(err).toMatch(
      /^alcazar: no server answers at .*\n {2}Perhaps it restarts: trying again for 60 s. What was begun stands in the journal.\nalcazar: the server is back\n$/,
    )
    expect(out).toMatch(/Done: root .* signs/)
  })

  test('leaves the picture above what is said of it', async () => {
    const admin = await rotating()
    const rest = admin.meanwhile
    admin.meanwhile = [...rest.slice(0, 1), () => admin.stop(), () => admin.serve(), ...rest.slice(1)]
    const { exit, out } = await admin.run(['root', 'rotate'], { columns: 100 })
    expect(exit).toBe(0)
    const isFresh = (picture: string) => picture.startsWith('\u001b[2K')
    const fresh = out.split('\u001b[0J').slice(0, -1).map(isFresh)
    expect(fresh).toEqual([true, false, true, ...fresh.slice(3).fill(false)])
  })

  test('but not for longer than a minute', async () => {
    const admin = await rotating()
    admin.meanwhile = [() => admin.stop()]
    const { exit, err } = await admin.run(['root', 'rotate'])
    expect(exit).toBe(7)
    expect(err).toMatch(
      /\nalcazar: the server did not come back within 60 s; when it runs again it goes on where it was. The rotation goes on by itself /,
    )
    expect(admin.world.clock.now()).toEqual(new Date('2030-01-01T00:01:01Z'))
  })
})

test('a server whose answers take long is asked less often', async () => {
  const admin = await rotating()
  const { clock } = admin.world
  const slept: number[] = []
  let elapsed = 0
  await admin.run(['root', 'rotate'], {
    clock: {
      now: () => clock.now(),
      // Each question takes 150 ms.
      elapsed: () => {
        elapsed += 150
        return elapsed
      },
      after: (ms, action) => clock.after(ms, action),
      sleep: async (ms) => {
        slept.push(ms)
        await admin.meanwhile.shift()?.()
        await clock.advance(ms)
      },
    },
  })
  expect(slept.slice(0, 3)).toEqual([1000, 1500, 1500])
})

test('one that is taken back meanwhile is told, with exit code 6', async () => {
  const admin = await rotating()
  const root = activeRoot(admin.keeper.set)?.id as string
  admin.meanwhile = [() => admin.keeper.roots.rollback({ by: 'admin', because: 'not now' })]
  expect(await admin.run(['root', 'rotate'])).toMatchObject({
    exit: 6,
    err: `alcazar: the rotation was taken back meanwhile: root ${shortId(root)} signs\n`,
  })
})

test('what was begun step by step is taken up, and ends on the root that signs by then', async () => {
  const admin = await Admin.start()
  await admin.issue(ALL)
  await admin.run(['root', 'prepare'])
  await admin.issue(ALL)
  await admin.run(['root', 'activate'])
  const { id } = activeRoot(admin.keeper.set) ?? { id: '' }
  admin.meanwhile = [() => admin.issue(ALL), admin.tick]
  expect(await admin.run(['root', 'rotate'])).toMatchObject({
    exit: 0,
    out: expect.stringContaining(`Done: root ${shortId(id)} signs, and `),
  })
})

test('a single workload is not spoken of as several', async () => {
  const admin = await Admin.start()
  await admin.issue(['shop/cart-0'])
  expect((await admin.run(['root', 'rotate', '--dry-run'])).out).toContain(
    '  2  distribute  1 live workload gets the new bundle with its next certificate\n',
  )
  const view = () => rotationView(admin.keeper.seen())
  await admin.keeper.roots.rotate({ by: 'admin', because: 'yearly' })
  await admin.tick()
  expect(progressLine(view())).toContain('  0 / 1 workload holds bundle 2; waits for shop/cart-0; next: ')
  await admin.issue(['shop/cart-0'])
  await admin.tick()
  expect(progressLine(view())).toContain('  0 / 1 workload is free of ')
  await admin.issue(['shop/cart-0'])
  expect(progressLine(view())).toContain('  1 / 1 workload needs no more of ')
})

test('what is left out of a list is counted, one as one', async () => {
  const admin = await Admin.start()
  await admin.issue(Array.from({ length: 9 }, (_, n) => `shop-${n}/cart-0`))
  await admin.keeper.roots.rotate({ by: 'admin', because: 'yearly' })
  await admin.tick()
  const view = rotationView(admin.keeper.seen())
  expect(progressLines(view, 80)).toContain('   … 1 more namespace waits')
  const [one] = view.namespaces
  const ten = { ...view, namespaces: [...view.namespaces, { ...one, namespace: 'tax' } as NamespaceView] }
  expect(progressLines(ten, 80)).toContain('   … 2 more namespaces wait')
})

test('where it is not known who is alive no bar is full, and until when comes first', async () => {
  const admin = await Admin.start()
  await admin.keeper.roots.rotate({ by: 'admin', because: 'yearly' })
  admin.incomplete = 'what the CA issued before its import is unknown until 2030-01-02 01:52 UTC'
  await admin.tick()
  const evidence = { ...admin.evidence, unknownUntil: new Date('2030-01-02T01:52:00Z') }
  const lines = progressLines(rotationView({ ...admin.keeper.seen(), evidence }), 120)
  expect(lines.slice(2, 5)).toEqual([
    ` distribute ▕${'░'.repeat(24)}▏ 0 / 0 workloads hold bundle 2`,
    `   closed: ${admin.incomplete}`,
    expect.stringMatching(/^ {3}next: root .{9} signs, at the latest in 25 h$/),
  ])
})

test('a bar is full only when nothing is left, and where there is nothing', () => {
  expect(bar(0, 0)).toBe(`▕${'█'.repeat(24)}▏`)
  expect(bar(9_999, 10_000)).toBe(`▕${'█'.repeat(23)}░▏`)
})

describe('--dry-run', () => {
  test('says each step, and whom forcing it would break', async () => {
    const admin = await Admin.start()
    await admin.issue(ALL)
    const texts: string[] = []
    const dry = async () => {
      const { exit, out } = await admin.run(['root', 'rotate', '--dry-run'])
      expect(exit).toBe(0)
      texts.push(admin.steady(out))
    }
    await dry()
    expect(admin.keeper.set).toMatchObject({ bundleSequence: 1, rotation: undefined, authorities: [{}, {}] })
    await admin.keeper.roots.rotate({ by: 'admin', because: 'yearly' })
    await admin.tick()
    await admin.issue(SHOP)
    await dry()
    await admin.issue(ALL)
    await admin.tick()
    await admin.issue(SHOP)
    await dry()
    expectGolden('root-rotate-dry-run.txt', texts.join('\n'))
  })
})

describe('--if-due', () => {
  test('does nothing before the root is due, and says so', async () => {
    const admin = await Admin.start()
    expect(await admin.run(['root', 'rotate', '--if-due'])).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/^Not due: root .{9} is due by its age in 9 years. Nothing was done.\n$/),
    })
    const { out } = await admin.run(['root', 'rotate', '--if-due', '-o', 'json'])
    expect(JSON.parse(out)).toMatchObject({ done: true, replaced: false, phase: 'none' })
    expect(admin.keeper.set.rotation).toBeUndefined()
  })

  test('never replaces a root whose key is elsewhere: its keeper does', async () => {
    const admin = await Admin.start()
    const { id } = await admin.keeper.offline.signRequest()
    const key = admin.world.store.keys.get(id) as PrivateKey
    const company = await odd('company root', 'itself', { notAfter: new Date('2040-01-01T00:00:00Z') })
    const online = await odd('online', company, { key, notAfter: new Date('2031-01-01T00:00:00Z') })
    const wish = { by: 'admin', because: 'a test' } as const
    const { id: root } = await admin.keeper.offline.prepare([online.certificate, company.certificate], wish)
    await admin.keeper.roots.activate(undefined, wish)
    await admin.keeper.roots.revoke(undefined, wish)
    expect(await admin.run(['root', 'rotate', '--if-due'])).toMatchObject({
      exit: 0,
      out: `Not due: nothing: the key of root ${shortId(root)} is elsewhere, so its keeper replaces it. Nothing was done.\n`,
    })
    expect(activeRoot(admin.keeper.set)?.id).toBe(root)
    expect(admin.keeper.set.rotation).toBeUndefined()
  })

  test('does nothing with a plugged-in CA', async () => {
    const admin = await Admin.start({ kind: 'plugged-in', ca: (await aPluggedCa()).a })
    expect(await admin.run(['root', 'rotate', '--if-due'])).toMatchObject({
      exit: 0,
      out: 'Not due: nothing: the roots are those of the plugged-in CA’s files. Nothing was done.\n',
    })
  })

  test('joins one that is on its way, due or not', async () => {
    const admin = await rotating()
    await admin.keeper.roots.rotate({ by: 'admin', because: 'yearly' })
    expect(await admin.run(['root', 'rotate', '--if-due'])).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/Done: root .* signs/),
    })
  })

  test('goes the whole way when it is', async () => {
    const admin = await Admin.start()
    const { notAfter } = (activeRoot(admin.keeper.set) as NonNullable<ReturnType<typeof activeRoot>>).certificate.tbs
    await admin.world.clock.advance(notAfter.getTime() - admin.world.clock.now().getTime() - 180 * DAY + MINUTE)
    expect(await admin.run(['root', 'rotate', '--if-due'])).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/^Done: root .* signs/),
    })
  })
})
