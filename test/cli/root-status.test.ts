import { expect, test } from 'vitest'
import { activeRoot } from '../../src/authority/authority.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { Admin } from '../_support/an-admin.ts'
import { expectGolden } from '../_support/golden.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

const WORKLOADS = ['shop/cart-0', 'shop/cart-1', 'billing/ledger-0']

/** Every state that roots can be in, one after the other, as the table shows them. */
test('the tables of status are what the golden file holds', async () => {
  const admin = await Admin.start()
  const texts: string[] = []
  const show = async (what: string, ...args: string[]) => {
    const { exit, out, err } = await admin.run(args.length > 0 ? args : ['root', 'status'])
    expect({ exit, err }).toEqual({ exit: 0, err: '' })
    texts.push(`== ${what}\n${admin.steady(out)}`)
  }
  await show('nobody is alive')
  await admin.issue(WORKLOADS)
  await admin.issue(['shop/cart-1'], 30 * HOUR)
  await show('one root signs')
  await show('prepare', 'root', 'prepare', '--because', 'yearly')
  await show('prepared, nobody was sent it')
  admin.incomplete = 'the inventory is being read'
  await show('and not all are known')
  admin.incomplete = undefined
  await admin.issue(WORKLOADS)
  await show('prepared, everybody was')
  await show('activate', 'root', 'activate', '--because', 'yearly')
  await show('old, all stand on it')
  await admin.issue(['shop/cart-0'])
  await show('old, two stand on it')
  await show('rollback', 'root', 'rollback')
  await show('signs again, the other leaves by itself')
  await admin.later(25 * HOUR)
  await admin.tick()
  await show('it is out')
  await show('all authorities', 'authority', 'status')
  await admin.later(3650 * DAY - 12 * DAY)
  await show('it ends soon')
  expectGolden('root-status.txt', texts.join('\n'))
})

test('a root that was made elsewhere is as old as its certificate', async () => {
  const admin = await Admin.start({ kind: 'plugged-in', ca: (await aPluggedCa()).a })
  const { notBefore } = activeRoot(admin.keeper.set)?.certificate.tbs ?? { notBefore: new Date() }
  await admin.world.clock.advance(notBefore.getTime() + 400 * DAY - admin.world.clock.now().getTime())
  const { out } = await admin.run(['root', 'status'])
  expect(out).toMatch(/^ROOT +STATE +AGE +ENDS IN .*\n.{9} {2}active {2}400 days {2}/)
})

test('a rotation by the schedule is what comes next, where it is before the root is due by its age', async () => {
  const admin = await Admin.start()
  const next = async () => /next: a new root(.*?) {4}/.exec((await admin.run(['root', 'status'])).out)?.[1]
  expect(await next()).toMatch(/^, by itself in \d+ years$/)
  admin.rotationScheduled = '2040-01-01T00:00:00.000Z'
  expect(await next()).toMatch(/^, by itself in \d+ years$/)
  admin.rotationScheduled = plus(admin.world.clock.now(), 2 * HOUR).toISOString()
  expect(await next()).toBe(', by the schedule today 02:00 UTC')
  expect(JSON.parse((await admin.run(['root', 'status', '--output', 'json'])).out)).toMatchObject({
    rotationScheduled: admin.rotationScheduled,
  })
})

test('what was made here is as old as that, not as its certificate, which is dated back', async () => {
  const admin = await Admin.start()
  await admin.world.clock.advance(6 * SECOND)
  const { out } = await admin.run(['root', 'status'])
  expect(out).toMatch(/^ROOT .*\n.{9} {2}active {2}6 s {2,}10 years.*\n {2}issuing {2}.{9} {2}active {2}6 s old/)
})

test('as JSON it is what the server says', async () => {
  const admin = await Admin.start()
  await admin.issue(WORKLOADS)
  const { out } = await admin.run(['root', 'status', '--output', 'json'])
  expect(JSON.parse(out)).toMatchObject({
    live: 3,
    bundleSequence: 1,
    rotating: false,
    authorities: [
      { role: 'root', state: 'active', key: 'file', live: 3, dueAt: '2039-07-03T00:00:00.000Z' },
      { role: 'issuing', state: 'active', key: 'memory', live: 3 },
    ],
  })
})

test('the roots of a plugged-in CA are its files', async () => {
  const admin = await Admin.start({ kind: 'plugged-in', ca: (await aPluggedCa()).a })
  const { out } = await admin.run(['root', 'status'])
  expect(out).toContain('next: its files are replaced by whoever plugged it in; or alcazar import')
  expect(await admin.run(['root', 'rotate'])).toMatchObject({
    exit: 6,
    err: expect.stringMatching(
      /^alcazar: the server said: the CA is plugged in, so its roots are replaced by its files/,
    ),
  })
})

test('what the files of a plugged-in CA ask for waits at its gate, and is forced like any step', async () => {
  const { a, abSignedByB, b } = await aPluggedCa()
  const admin = await Admin.start({ kind: 'plugged-in', ca: a })
  const texts: string[] = []
  const show = async (what: string, ...args: string[]) => {
    const { exit, out } = await admin.run(args.length > 0 ? args : ['root', 'status'])
    expect(exit).toBe(0)
    texts.push(`== ${what}\n${admin.steady(out)}`)
  }
  await admin.issue(WORKLOADS)
  await admin.keeper.takePluggedCa(abSignedByB)
  await show('B is to sign, nobody was sent it')
  await admin.stop()
  admin.world.source = { kind: 'plugged-in', ca: abSignedByB }
  await admin.serve()
  await show('restarted: the key under A is gone')
  expect(await admin.run(['root', 'activate', '--yes-break', '2'])).toMatchObject({
    exit: 6,
    err: expect.stringContaining('3 live workloads would break, not 2; nothing was done'),
  })
  await show('forced', 'root', 'activate', '--yes-break', '3', '--because', 'the key of A is lost')
  await admin.keeper.takePluggedCa(b)
  await show('A left the files')
  await admin.later(25 * HOUR)
  await admin.tick()
  await show('nobody stood on it any more')
  expectGolden('root-status-plugged-in.txt', texts.join('\n'))
})

test('who refused our own certificate is listed, the last ones by address', async () => {
  const admin = await Admin.start()
  const at = (minutes: number) => plus(admin.world.clock.now(), -minutes * MINUTE).toISOString()
  admin.refusing = [
    { address: '10.0.0.7', alert: 'unknown CA', times: 14, last: at(2) },
    { address: '2001:db8::1', alert: 'bad certificate', times: 1, last: at(90) },
  ]
  const { out } = await admin.run(['root', 'status'])
  expect(out).toContain(
    [
      '2 client addresses refused our own certificate within a day; is their root-cert.pem an older one?',
      '  10.0.0.7     unknown CA, 14 times     last 2 min ago',
      '  2001:db8::1  bad certificate, 1 time  last 90 min ago',
    ].join('\n'),
  )
  admin.refusing = Array.from({ length: 12 }, (_, n) => ({
    address: `10.0.0.${n}`,
    alert: 'unknown CA',
    times: 1,
    last: at(1),
  }))
  expect((await admin.run(['root', 'status'])).out).toMatch(
    /10\.0\.0\.9 .*\n {2}… 2 more: alcazar root status --output json\n$/,
  )
})

test('without a server it says how to start one', async () => {
  const admin = await Admin.start()
  await admin.stop()
  for (const verb of ['status', 'rotate', 'prepare', 'activate', 'rollback', 'revoke'])
    expect(await admin.run(['root', verb])).toMatchObject({
      exit: 7,
      out: '',
      err: expect.stringMatching(
        /^alcazar: no server answers at .*admin\.sock; start one \(alcazar serve; npm start for dev mode\), or name another/,
      ),
    })
})
