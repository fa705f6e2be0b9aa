import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { load } from 'js-yaml'
import { describe, expect, test } from 'vitest'
import { DAY, SECOND } from '../../src/core/duration.ts'
import { everyMetric } from '../_support/metrics-list.ts'
import { scratch } from '../_support/scratch.ts'

type Rule = {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly runbook: string }
}

const FILE = resolve(import.meta.dirname, '../../deploy/prometheus/alerts.yaml')
const { groups } = load(readFileSync(FILE, 'utf8')) as { groups: { rules: Rule[] }[] }
const RULES = groups.flatMap(({ rules }) => rules)

const promtool = (...args: string[]) => spawnSync('promtool', args, { encoding: 'utf8' })
const isHere = promtool('--version').error === undefined
// On a laptop without Prometheus these tests are skipped; in CI that would be a hole nobody sees.
if (!isHere && process.env.CI)
  test('promtool (Debian package prometheus) is there: CI runs everything', () => expect.fail('it is not on the PATH'))

type Case = {
  readonly when: string
  /** Of each metric, the samples of every `every`, as promtool writes them: `0+5x40`. */
  readonly series: Readonly<Record<string, string>>
  readonly at: string
  readonly every?: string
  /** With which labels it fires, besides its severity and the instance, and what it says; without, it does not. */
  readonly fires?: { readonly labels?: Readonly<Record<string, string>>; readonly says: string }
}

const days = (count: number) => `${(count * DAY) / SECOND}x20`
const remaining = (role: string) =>
  `alcazar_authority_remaining_seconds{instance="a",role="${role}",state="active",authority="3f9a 21c4"}`
const authority = (role: string) => ({ role, state: 'active', authority: '3f9a 21c4' })
const refused = (code: string, reason = 'none') =>
  `alcazar_svids_refused_total{instance="a",job="alcazar",endpoint="istio-ca",code="${code}",reason="${reason}"}`
const asked = 'citadel_server_csr_count{instance="a",job="alcazar"}'
const answered = 'citadel_server_success_cert_issuance_count{instance="a",job="alcazar"}'
const runs = (outcome: string) => `alcazar_scheduled_runs_total{instance="a",job="prune",outcome="${outcome}"}`
const refusedBy = (alert: string) =>
  `alcazar_serving_certificate_refused_total{instance="a",job="alcazar",alert="${alert}"}`
const of = (name: string) => `${name}{instance="a"}`

const CASES: Readonly<Record<string, readonly Case[]>> = {
  AlcazarRootEndsInAMonth: [
    { when: 'a root has 31 days left', series: { [remaining('root')]: days(31) }, at: '10m' },
    {
      when: 'a root has 29 days left',
      series: { [remaining('root')]: days(29) },
      at: '10m',
      fires: { labels: authority('root'), says: 'root 3f9a 21c4 (active) has 29d 0h 0m 0s left' },
    },
    {
      when: 'a plugged-in CA has 29 days left',
      series: { [remaining('intermediate')]: days(29) },
      at: '10m',
      fires: { labels: authority('intermediate'), says: 'intermediate 3f9a 21c4 (active) has 29d 0h 0m 0s left' },
    },
    { when: 'an issuing authority has 3 days left', series: { [remaining('issuing')]: days(3) }, at: '10m' },
  ],
  AlcazarRootEndsInAWeek: [
    { when: 'a root has 8 days left', series: { [remaining('root')]: days(8) }, at: '10m' },
    {
      when: 'a root has 6 days left',
      series: { [remaining('root')]: days(6) },
      at: '10m',
      fires: {
        labels: authority('root'),
        says: 'root 3f9a 21c4 (active) has 6d 0h 0m 0s left, and everything under it ends with it',
      },
    },
    {
      when: 'a root has ended',
      series: { [remaining('root')]: '-60-60x20' },
      at: '10m',
      fires: {
        labels: authority('root'),
        says: 'root 3f9a 21c4 (active) has -11m 0s left, and everything under it ends with it',
      },
    },
  ],
  AlcazarIssuingNotRenewed: [
    {
      when: 'the renewal is not due yet',
      series: { [of('alcazar_issuing_renewal_overdue_seconds')]: '-86400x20' },
      at: '10m',
    },
    {
      when: 'it was due a minute ago',
      series: { [of('alcazar_issuing_renewal_overdue_seconds')]: '60x20' },
      at: '10m',
    },
    {
      when: 'it was due a quarter of an hour ago',
      series: { [of('alcazar_issuing_renewal_overdue_seconds')]: '900+60x20' },
      at: '10m',
      fires: { says: 'the issuing authority should have been replaced 25m 0s ago' },
    },
  ],
  AlcazarRootNotReplaced: [
    {
      when: 'the deadline is a month away',
      series: { [of('alcazar_root_replacement_overdue_seconds')]: '-2592000+60x40' },
      at: '30m',
    },
    {
      when: 'it has just passed, and the next look may activate the new root',
      series: { [of('alcazar_root_replacement_overdue_seconds')]: '-600+60x40' },
      at: '20m',
    },
    {
      when: 'it passed hours ago',
      series: { [of('alcazar_root_replacement_overdue_seconds')]: '7200+60x40' },
      at: '30m',
      fires: { says: 'another root should have signed 2h 30m 0s ago at the latest' },
    },
  ],
  AlcazarRotationFails: [
    { when: 'none failed', series: { [of('alcazar_rotation_failures_total')]: '3x30' }, at: '20m' },
    {
      when: 'one failed',
      series: { [of('alcazar_rotation_failures_total')]: '0x9 1x20' },
      at: '15m',
      fires: { says: 'a renewal of an authority or of the server’s own certificate failed' },
    },
  ],
  AlcazarCrlNotSigned: [
    { when: 'all are signed', series: { [of('alcazar_crl_failures_total')]: '2x30' }, at: '20m' },
    {
      when: 'one could not be',
      series: { [of('alcazar_crl_failures_total')]: '0x9 1x20' },
      at: '15m',
      fires: { says: 'a CRL could not be signed, so the one there is may lack who was revoked' },
    },
  ],
  AlcazarScheduledJobFails: [
    { when: 'all went well', series: { [runs('ok')]: '0+1x60', [runs('failed')]: '0x60' }, at: '40m' },
    {
      when: 'one failed',
      series: { [runs('ok')]: '0+1x60', [runs('failed')]: '0x20 1x40' },
      at: '40m',
      fires: { labels: { job: 'prune', outcome: 'failed' }, says: 'the scheduled job prune failed' },
    },
  ],
  AlcazarNotReady: [
    { when: 'it is ready', series: { [of('alcazar_ready')]: '1x10' }, at: '5m' },
    { when: 'it was not for half a minute', series: { [of('alcazar_ready')]: '1 0 1x10' }, at: '90s', every: '30s' },
    {
      when: 'it was not for minutes',
      series: { [of('alcazar_ready')]: '1x2 0x10' },
      at: '5m',
      fires: { says: 'it can’t sign, or what it signs would not verify' },
    },
  ],
  AlcazarLedgerNotWritable: [
    { when: 'the ledger can be written', series: { [of('alcazar_ledger_writable')]: '1x10' }, at: '5m' },
    {
      when: 'the disk is full',
      series: { [of('alcazar_ledger_writable')]: '1x2 0x10' },
      at: '5m',
      fires: { says: 'the ledger can’t be written, so nothing is issued' },
    },
  ],
  AlcazarRefusalsSurge: [
    {
      when: 'a few of many are refused',
      series: { [refused('unauthenticated', 'expired')]: '0+5x40', [asked]: '0+100x40' },
      at: '30m',
    },
    {
      when: 'all of very few are refused',
      series: { [refused('unauthenticated', 'expired')]: '0+1x40', [asked]: '0+1x40' },
      at: '30m',
    },
    {
      when: 'a third of many is refused, for two reasons',
      series: {
        [refused('unauthenticated', 'expired')]: '0+15x40',
        [refused('unauthenticated', 'pod_gone')]: '0+18x40',
        [asked]: '0+100x40',
      },
      at: '30m',
      fires: { labels: { job: 'alcazar' }, says: '330 requests were refused in ten minutes, more than a fifth of all' },
    },
  ],
  AlcazarIssuesNothing: [
    { when: 'requests are answered', series: { [asked]: '0+10x40', [answered]: '0+9x40' }, at: '30m' },
    { when: 'nobody asks', series: { [asked]: '9x40', [answered]: '9x40' }, at: '30m' },
    {
      when: 'requests are not answered',
      series: { [asked]: '0+10x40', [answered]: '0x40' },
      at: '30m',
      fires: { labels: { job: 'alcazar' }, says: 'requests come, and none is answered with a certificate' },
    },
  ],
  AlcazarFaults: [
    { when: 'callers are refused', series: { [refused('unauthenticated', 'expired')]: '0+1x40' }, at: '30m' },
    {
      when: 'a fault is ours',
      series: { [refused('internal')]: '0x20 1x20' },
      at: '25m',
      fires: { labels: { job: 'alcazar' }, says: 'a request met a fault of the server’s own' },
    },
  ],
  AlcazarPluggedCaNotTaken: [
    { when: 'nothing changed', series: { [of('alcazar_plugged_ca_refused_total')]: '1x40' }, at: '30m' },
    {
      when: 'a change was not taken',
      series: { [of('alcazar_plugged_ca_refused_total')]: '0x25 1x20' },
      at: '30m',
      fires: { says: 'changed files of the plugged-in CA were not taken; the CA before goes on' },
    },
  ],
  AlcazarClientsDoNotTrustIt: [
    {
      when: 'somebody tried once',
      series: { [refusedBy('unknown CA')]: '0x20 2x20' },
      at: '30m',
    },
    {
      when: 'clients try again and again, of whatever kind',
      series: {
        [refusedBy('unknown CA')]: '0+1x40',
        [refusedBy('bad certificate')]: '0x40',
      },
      at: '30m',
      fires: {
        labels: { job: 'alcazar' },
        says: 'clients refuse the certificate of the CA itself, so they can’t renew',
      },
    },
  ],
  AlcazarCannotHearTheApiServer: [
    { when: 'there is no watch', series: { [of('alcazar_cluster_watch_silence_seconds')]: '-1x40' }, at: '30m' },
    {
      when: 'it was silent for minutes',
      series: { [of('alcazar_cluster_watch_silence_seconds')]: '15x10 60+60x3 15x40' },
      at: '30m',
    },
    {
      when: 'it is silent',
      series: { [of('alcazar_cluster_watch_silence_seconds')]: '60+60x40' },
      at: '30m',
      fires: { says: 'the API server was last heard from 31m 0s ago' },
    },
  ],
}

/** A unit test as promtool reads it. */
function promtoolTest({ alert, labels, annotations }: Rule, { series, at, every = '1m', fires }: Case): string {
  const { severity } = labels
  const expected = fires && {
    exp_labels: { severity, instance: 'a', ...fires.labels },
    exp_annotations: { summary: fires.says, runbook: annotations.runbook },
  }
  // JSON is YAML, too.
  return JSON.stringify({
    rule_files: [FILE],
    evaluation_interval: every,
    tests: [
      {
        interval: every,
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: expected ? [expected] : [] }],
      },
    ],
  })
}

test('every alert rule is tried, where it fires and where it does not', () => {
  expect(Object.keys(CASES)).toEqual(RULES.map(({ alert }) => alert))
  for (const [alert, cases] of Object.entries(CASES))
    expect(new Set(cases.map(({ fires }) => fires !== undefined)), alert).toEqual(new Set([true, false]))
})

test('every alert says what to do, and how bad it is', () => {
  for (const { alert, labels, annotations } of RULES) {
    expect(annotations.runbook, alert).toMatch(/^[A-Z].{20,}\.$/)
    expect(['warning', 'critical'], alert).toContain(labels.severity)
  }
})

test('the rules name no metric that there is not', async () => {
  const names = (await everyMetric()).map(({ name }) => name)
  const mentioned = RULES.flatMap(({ expr }) => expr.match(/\b(?:alcazar|citadel_server)_\w+/g) ?? [])
  expect(mentioned.length).toBeGreaterThanOrEqual(RULES.length)
  expect(mentioned.filter((name) => !names.includes(name))).toEqual([])
})

describe.skipIf(!isHere)('Prometheus itself (promtool)', () => {
  test('takes the rules', () => {
    const { status, stdout } = promtool('check', 'rules', FILE)
    expect(stdout).toContain(`SUCCESS: ${RULES.length} rules found`)
    expect(status).toBe(0)
  })

  describe.each(RULES)('$alert', (rule) => {
    test.each(CASES[rule.alert] ?? [])('when $when', (given) => {
      const path = join(scratch(), 'test.json')
      writeFileSync(path, promtoolTest(rule, given))
      const { status, stdout, stderr } = promtool('test', 'rules', path)
      expect(`${stdout}${stderr}`).toContain('SUCCESS')
      expect(status).toBe(0)
    })
  })
})
