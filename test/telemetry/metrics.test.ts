import { beforeAll, describe, expect, test } from 'vitest'
import type { Authority, AuthoritySet } from '../../src/authority/authority.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { TrustBundle } from '../../src/spiffe/trust-bundle.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { CLOSED, type SomeArguments, someArguments } from '../_support/every-event.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { expectGolden } from '../_support/golden.ts'
import { everyMetric, type Family, isOurs, someMetrics } from '../_support/metrics-list.ts'
import { odd } from '../_support/odd-certificates.ts'

let every: Family[]
let given: SomeArguments

beforeAll(async () => {
  every = await everyMetric()
  given = await someArguments()
})

/** Citadel 1.4's server metrics, and those that istiod added. */
const CITADEL = {
  citadel_server_csr_count: 'counter',
  citadel_server_authentication_failure_count: 'counter',
  citadel_server_csr_parsing_err_count: 'counter',
  citadel_server_id_extraction_err_count: 'counter',
  citadel_server_csr_sign_err_count: 'counter',
  citadel_server_success_cert_issuance_count: 'counter',
  citadel_server_root_cert_expiry_timestamp: 'gauge',
  citadel_server_root_cert_expiry_seconds: 'gauge',
  citadel_server_cert_chain_expiry_timestamp: 'gauge',
  citadel_server_cert_chain_expiry_seconds: 'gauge',
}

const labelled = (label: string) => every.filter(isOurs).filter(({ labels }) => labels.includes(label))

describe('the list of metrics', () => {
  test('is what the golden file says: names, types, labels and help are API', () => {
    const lines = every
      .filter(isOurs)
      .map(({ name, type, labels, help }) => `${name}{${labels.join()}} ${type}: ${help}\n`)
      .sort()
    expectGolden('metrics.txt', lines.join(''))
  })

  test('has exactly Citadel’s and istiod’s names, with their types', () => {
    const found = every.filter(({ name }) => name.startsWith('citadel_'))
    expect(Object.fromEntries(found.map(({ name, type }) => [name, type]))).toEqual(CITADEL)
  })

  test('has besides our own only what every Node process shows', () => {
    const others = every.filter((family) => !isOurs(family)).map(({ name }) => name)
    expect(others.length).toBeGreaterThan(0)
    expect(others.filter((name) => !/^(process|nodejs)_/.test(name))).toEqual([])
  })

  test('is the same before anything happened: a name that is missing until then can’t be alerted on', async () => {
    const before = (await someMetrics(given).families()).filter(isOurs).map(({ name }) => name)
    expect(before).toEqual(every.filter(isOurs).map(({ name }) => name))
  })

  test('comes in the text format of Prometheus', async () => {
    expect((await new Metrics(new FakeClock()).text()).type).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  test('names every metric once', () => {
    const names = every.map(({ name }) => name)
    expect(names).toEqual([...new Set(names)])
  })
})

describe('labels', () => {
  test('no others than these', () => {
    const labels = new Set(every.filter(isOurs).flatMap((family) => family.labels))
    expect([...labels].sort()).toEqual([...Object.keys(CLOSED), 'authority', 'error', 'outcome', 'version'].sort())
  })

  test.each(Object.entries(CLOSED))('%s has every value of its closed list, and no other', (label, values) => {
    for (const { name, samples } of labelled(label)) {
      const found = new Set(samples.map(({ labels }) => labels[label]))
      expect([...found].sort(), name).toEqual([...values])
    }
  })

  test('error has Citadel’s values and no other', () => {
    const [family] = labelled('error')
    const values = new Set(family?.samples.map(({ labels }) => labels.error))
    expect([...values].sort()).toEqual(['CA_NOT_READY', 'CERT_GEN_ERROR', 'CSR_ERROR', 'TTL_ERROR', 'UNKNOWN'])
  })

  test('outcome is one of two, of a request, of a lookup and of a job', () => {
    const values = labelled('outcome').map(({ name, samples }) => [
      name,
      [...new Set(samples.map(({ labels }) => labels.outcome))].sort().join(),
    ])
    expect(Object.fromEntries(values)).toEqual({
      alcazar_svid_duration_seconds: 'issued,refused',
      alcazar_cluster_lookups_total: 'failed,ok',
      alcazar_scheduled_runs_total: 'failed,ok',
    })
  })

  test('hold nothing of a request or a workload', () => {
    const { context, issued } = given
    const values = new Set(every.flatMap(({ samples }) => samples.flatMap(({ labels }) => Object.values(labels))))
    const { tbs, entitlement } = issued.svid.prepared
    for (const value of [context.requestId, context.peer, tbs.serial, entitlement.id.uri, 'shop', 'cart'])
      expect(values).not.toContain(value)
  })

  test('stay few: a server that has seen everything shows less than 2,000 samples', () => {
    expect(every.flatMap(({ samples }) => samples).length).toBeLessThan(2000)
  })
})

describe('gauges', () => {
  test('show since when another root should have signed, where that is ours to see to', async () => {
    const root = await odd('root', 'itself', {
      notBefore: given.clock.now(),
      notAfter: plus(given.clock.now(), 100 * DAY),
    })
    const overdue = async (change: Partial<Authority>, set: Partial<AuthoritySet> = {}) => {
      const { value } = someMetrics(given, undefined, { authorities: () => aSet([rootOf(root, change)], set) })
      return value('alcazar_root_replacement_overdue_seconds')
    }
    expect(await overdue({})).toBe((-90 * DAY) / 1000)
    expect(await overdue({ key: 'elsewhere' })).toBe(0)
    expect(await overdue({ key: 'elsewhere', wasInTheClear: true })).toBe((-90 * DAY) / 1000)
    expect(await overdue({ state: 'old' })).toBe(0)
    expect(await overdue({}, { origin: 'plugged-in' })).toBe(0)
  })

  const end = (date: Date | undefined) => (date?.getTime() ?? Number.NaN) / 1000

  test('show when the root ends, in Unix seconds and in seconds from now', async () => {
    const { value } = someMetrics(given)
    const rootEnd = end(given.roots[0]?.certificate.tbs.notAfter)
    expect(await value('citadel_server_root_cert_expiry_timestamp')).toBe(rootEnd)
    expect(await value('citadel_server_root_cert_expiry_seconds')).toBe(rootEnd - end(given.clock.now()))
  })

  test('show when the issuing authority ends', async () => {
    const { value } = someMetrics(given)
    const chainEnd = end(given.authority.certificate.tbs.notAfter)
    expect(await value('citadel_server_cert_chain_expiry_timestamp')).toBe(chainEnd)
    expect(await value('citadel_server_cert_chain_expiry_seconds')).toBe(chainEnd - end(given.clock.now()))
  })

  test('count down with the clock', async () => {
    const own = await someArguments()
    const { value } = someMetrics(own)
    const before = await value('citadel_server_cert_chain_expiry_seconds')
    await own.clock.advance(3_600_000)
    expect(await value('citadel_server_cert_chain_expiry_seconds')).toBe((before as number) - 3600)
  })

  test('show of several roots the one that ends first', async () => {
    const sooner = rootOf(await odd('sooner', 'itself', { notAfter: new Date('2030-06-01T00:00:00Z') }))
    const active = given.active.get()
    if (!active) expect.fail('there is an active authority')
    const { trustDomain, sequence, roots } = active.bundle
    const bundle = new TrustBundle(trustDomain, sequence, [...roots, sooner.certificate.der])
    const { value } = someMetrics(given, () => ({ ...active, bundle }))
    expect(await value('citadel_server_root_cert_expiry_timestamp')).toBe(end(new Date('2030-06-01T00:00:00Z')))
    expect(await value('alcazar_bundle_roots')).toBe(2)
  })

  test.each([
    'citadel_server_root_cert_expiry_timestamp',
    'citadel_server_root_cert_expiry_seconds',
    'citadel_server_cert_chain_expiry_timestamp',
    'citadel_server_cert_chain_expiry_seconds',
  ])('%s is negative while there is no authority, as Citadel’s was', async (name) => {
    const { value } = someMetrics(given, () => undefined)
    expect(await value(name)).toBeLessThan(0)
  })

  test.each([
    [true, 1],
    [false, 0],
  ])('alcazar_ready, when ready is %s, is %i', async (ready, shown) => {
    const { value } = someMetrics(given, undefined, { ready: async () => ready })
    expect(await value('alcazar_ready')).toBe(shown)
  })

  test.each([
    [2500, 2.5],
    [0, 0],
    [undefined, -1],
    [Number.POSITIVE_INFINITY, -1],
  ])('alcazar_cluster_watch_silence_seconds, when the watch was silent for %s ms, is %d', async (silence, shown) => {
    const { value } = someMetrics(given, undefined, { watchSilenceMs: () => silence })
    expect(await value('alcazar_cluster_watch_silence_seconds')).toBe(shown)
  })

  test('show what is left of every authority, and no more of one that is gone', async () => {
    const now = new FakeClock().now().getTime()
    const root = await odd('root', 'itself', { notAfter: new Date(now + 40 * DAY) })
    const ca = await odd('ca', root, { notAfter: new Date(now + 20 * DAY) })
    const ended = await odd('ended', ca, { notAfter: new Date(now - DAY) })
    let set = aSet([
      rootOf(root),
      issuingOf(ended, { state: 'old' }),
      issuingOf(await odd('signs', ca, { notAfter: new Date(now + 10 * DAY) }), { intermediates: [ca.certificate] }),
    ])
    const { families } = someMetrics(await someArguments(), undefined, { authorities: () => set })
    const left = async () =>
      (await families())
        .find(({ name }) => name === 'alcazar_authority_remaining_seconds')
        ?.samples.map(({ labels, value }) => `${labels.role} ${labels.state} ${value / 86_400}`)
        .sort()
    expect(await left()).toEqual(['intermediate active 20', 'issuing active 10', 'issuing old -1', 'root active 40'])
    set = aSet([rootOf(root, { state: 'old' }), rootOf(ca), rootOf(ended, { state: 'revoked' })])
    expect(await left()).toEqual(['root active 20', 'root old 40'])
  })

  test('names an authority as the log does', async () => {
    const [root] = given.roots
    const { value } = someMetrics(given, undefined, { authorities: () => aSet(given.roots) })
    const left = ((root?.certificate.tbs.notAfter.getTime() ?? 0) - given.clock.now().getTime()) / 1000
    const labels = { role: 'root', state: 'active', authority: shortId(root?.id ?? '') }
    expect(await value('alcazar_authority_remaining_seconds', labels)).toBe(left)
  })

  test('of one key with two certificates show the one that ends first', async () => {
    const now = new FakeClock().now().getTime()
    const first = await odd('root', 'itself', { notAfter: new Date(now + 40 * DAY) })
    const again = await odd('root', 'itself', { key: first.key, notAfter: new Date(now + 400 * DAY) })
    for (const roots of [
      [first, again],
      [again, first],
    ]) {
      const { value } = someMetrics(await someArguments(), undefined, {
        authorities: () => aSet(roots.map((one) => rootOf(one))),
      })
      expect(await value('alcazar_authority_remaining_seconds')).toBe((40 * DAY) / 1000)
    }
  })

  test('show how long a renewal is overdue', async () => {
    const own = await someArguments()
    const { value } = someMetrics(own)
    const { notBefore, notAfter } = own.authority.certificate.tbs
    const due = notAfter.getTime() - (notAfter.getTime() - notBefore.getTime()) / 6
    const overdue = () => value('alcazar_issuing_renewal_overdue_seconds')
    expect(await overdue()).toBeCloseTo((own.clock.now().getTime() - due) / 1000)
    own.clock.jump(due - own.clock.now().getTime() + 5000)
    expect(await overdue()).toBeCloseTo(5)
    expect(await someMetrics(own, () => undefined).value('alcazar_issuing_renewal_overdue_seconds')).toBe(0)
  })

  test.each([
    [true, 1],
    [false, 0],
  ])('alcazar_ledger_writable, when it is %s, is %i', async (writable, shown) => {
    const { value } = someMetrics(given, undefined, { ledgerWritable: () => writable })
    expect(await value('alcazar_ledger_writable')).toBe(shown)
  })

  test('show the bundle, the requests in flight and the version', async () => {
    const { value } = someMetrics(given)
    expect(await value('alcazar_bundle_sequence')).toBe(1)
    expect(await value('alcazar_bundle_roots')).toBe(1)
    expect(await value('alcazar_requests_in_flight')).toBe(3)
    expect(await value('alcazar_build_info', { version: '1.2.3' })).toBe(1)
  })

  test('show when our own TLS certificate ends', async () => {
    const { events, value } = someMetrics(given)
    events.servingCertificateRenewed(['localhost'], new Date('2030-01-02T00:00:00Z'))
    expect(await value('alcazar_serving_certificate_expiry_timestamp')).toBe(end(new Date('2030-01-02T00:00:00Z')))
  })
})

test('counters without labels begin at 0, so that the first failure is an increase', async () => {
  const families = (await someMetrics(given).families()).filter(isOurs)
  const counters = families.filter(({ type, name }) => type === 'counter' && labelsOf(name).length === 0)
  expect(counters.length).toBeGreaterThanOrEqual(8)
  for (const { name, samples } of counters) expect(samples, name).toEqual([{ name, labels: {}, value: 0 }])
})

test('durations are counted in seconds', async () => {
  const { events, value } = someMetrics(given)
  events.svidIssued(given.context, { ...given.issued, ms: 30 })
  events.svidRefused(given.context, {
    error: new CaError('bad_csr', 'not PEM'),
    reason: undefined,
    account: undefined,
    ms: 2,
  })
  expect(await value('alcazar_svid_duration_seconds_sum', { outcome: 'issued' })).toBeCloseTo(0.03)
  expect(await value('alcazar_svid_duration_seconds_bucket', { outcome: 'issued', le: '0.05' })).toBe(1)
  expect(await value('alcazar_svid_duration_seconds_bucket', { outcome: 'issued', le: '0.025' })).toBe(0)
  expect(await value('alcazar_svid_duration_seconds_bucket', { outcome: 'refused', le: '0.0025' })).toBe(1)
})

function labelsOf(name: string): readonly string[] {
  return every.find((family) => family.name === name)?.labels ?? []
}
