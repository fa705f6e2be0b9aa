import { beforeAll, describe, expect, test } from 'vitest'
import { refused } from '../../src/attestation/caller.ts'
import type { Authority } from '../../src/authority/authority.ts'
import { type AuthorityEnd, authorityEnds } from '../../src/authority/authority-ends.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY } from '../../src/core/duration.ts'
import { asCaError, CaError, type CaErrorCode } from '../../src/core/errors.ts'
import type { Events } from '../../src/service/events.ts'
import { telemetry } from '../../src/telemetry/events.ts'
import { createLog, type Log } from '../../src/telemetry/log.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { type SomeArguments, someArguments, tellEverything } from '../_support/every-event.ts'
import { readMetrics } from '../_support/metrics-list.ts'

let given: SomeArguments
beforeAll(async () => {
  given = await someArguments()
})

/** Tells something, and gives what the log and the counters have of it. */
async function told(tell: (events: Events) => void) {
  const lines: Record<string, unknown>[] = []
  const log = createLog({
    level: 'debug',
    format: 'json',
    write: (line) => void lines.push(JSON.parse(line)),
    clock: given.clock,
  })
  const metrics = new Metrics(given.clock)
  tell(telemetry(log, metrics))
  const counted = readMetrics((await metrics.text()).body)
    .filter(({ type }) => type === 'counter')
    .flatMap(({ samples }) => samples)
    .filter(({ value }) => value > 0)
    .map(({ name, labels, value }) => {
      const set = Object.entries(labels).map(([label, text]) => `${label}=${text}`)
      return `${name}${set.length > 0 ? `{${set.sort().join()}}` : ''} ${value}`
    })
  return { lines, counted: counted.sort() }
}

const TIME = '2030-01-01T00:00:00.000Z'
const refusal = (error: CaError, change: Partial<Parameters<Events['svidRefused']>[1]> = {}) =>
  [given.context, { error, reason: undefined, account: undefined, ms: 1.2345, ...change }] as const

describe('a certificate issued', () => {
  test('is a record with all that is needed to find it again', async () => {
    const { lines } = await told((events) => events.svidIssued(given.context, { ...given.issued, ms: 1.2345 }))
    const { tbs, authority } = given.issued.svid.prepared
    expect(lines).toEqual([
      {
        level: 'info',
        time: TIME,
        message: 'issued',
        ...given.context,
        spiffeId: 'spiffe://cluster.local/ns/shop/sa/cart',
        serial: tbs.serial,
        notAfter: tbs.notAfter.toISOString(),
        method: 'service-account-token',
        key: 'ecdsa-p256',
        issuer: shortId(authority.authority.id),
        ms: 1.23,
      },
    ])
  })

  test('is counted by Citadel’s name and by ours', async () => {
    const { counted } = await told((events) => {
      events.svidRequested(given.context)
      events.svidIssued(given.context, given.issued)
    })
    expect(counted).toEqual([
      'alcazar_svids_issued_total{endpoint=istio-ca,key=ecdsa-p256,method=service-account-token} 1',
      'citadel_server_csr_count 1',
      'citadel_server_success_cert_issuance_count 1',
    ])
  })
})

describe('a refusal', () => {
  test('of a credential tells the log what the caller is not told', async () => {
    const error = refused('expired', 'expired at 2029-12-31T23:00:00Z')
    const { lines } = await told((events) => events.svidRefused(...refusal(error, { reason: 'expired' })))
    expect(lines).toEqual([
      {
        level: 'warn',
        time: TIME,
        message: 'refused',
        ...given.context,
        code: 'unauthenticated',
        reason: 'expired',
        detail: 'expired at 2029-12-31T23:00:00Z',
        ms: 1.23,
      },
    ])
  })

  test('says whose it was, where that was proved', async () => {
    const { lines } = await told((events) =>
      events.svidRefused(
        ...refusal(refused('pod_gone', 'gone'), { reason: 'pod_gone', account: { namespace: 'shop', name: 'cart' } }),
      ),
    )
    expect(lines).toMatchObject([{ account: 'shop/cart' }])
  })

  test('by a fault of ours is an error, with where it happened', async () => {
    const error = asCaError(new TypeError('undefined is not a function'))
    const { lines } = await told((events) => events.svidRefused(...refusal(error)))
    expect(lines).toMatchObject([
      {
        level: 'error',
        code: 'internal',
        detail: 'internal error; the server log has the details: undefined is not a function',
        stack: expect.stringContaining('events.test.ts'),
      },
    ])
  })

  test('of another request by a fault of ours is one, too, in one line', async () => {
    const error = asCaError(new TypeError('undefined is not a function'))
    const { lines } = await told((events) => events.requestFailed(given.context, error))
    expect(lines).toMatchObject([
      {
        level: 'error',
        message: 'request failed',
        requestId: given.context.requestId,
        detail: 'internal error; the server log has the details: undefined is not a function',
        stack: expect.stringContaining('events.test.ts'),
      },
    ])
  })

  test.each<[CaErrorCode, string[]]>([
    ['bad_csr', ['citadel_server_csr_parsing_err_count 1', 'citadel_server_csr_sign_err_count{error=CSR_ERROR} 1']],
    ['invalid_argument', ['citadel_server_csr_sign_err_count{error=TTL_ERROR} 1']],
    ['not_ready', ['citadel_server_csr_sign_err_count{error=CA_NOT_READY} 1']],
    ['internal', ['citadel_server_csr_sign_err_count{error=CERT_GEN_ERROR} 1']],
    ['dependency_unavailable', ['citadel_server_csr_sign_err_count{error=UNKNOWN} 1']],
    ['permission_denied', ['citadel_server_csr_sign_err_count{error=UNKNOWN} 1']],
    ['unauthenticated', ['citadel_server_authentication_failure_count 1']],
  ])('for %s is counted as Citadel counted it', async (code, citadels) => {
    const { counted } = await told((events) => events.svidRefused(...refusal(new CaError(code, 'no'))))
    expect(counted).toEqual([`alcazar_svids_refused_total{code=${code},endpoint=istio-ca,reason=none} 1`, ...citadels])
  })

  test('of who is no service account is counted as an identity that could not be extracted, too', async () => {
    const error = refused('not_a_service_account', 'subject "system:node:node-1"')
    const { counted } = await told((events) =>
      events.svidRefused(...refusal(error, { reason: 'not_a_service_account' })),
    )
    expect(counted).toEqual([
      'alcazar_svids_refused_total{code=unauthenticated,endpoint=istio-ca,reason=not_a_service_account} 1',
      'citadel_server_authentication_failure_count 1',
      'citadel_server_id_extraction_err_count 1',
    ])
  })
})

describe('what else happens is told:', () => {
  const notAfter = new Date('2030-01-02T00:00:00Z')
  const others: readonly [string, (events: Events) => void, () => Record<string, unknown>[], string[]][] = [
    [
      'a request shed, in no line',
      (e) => e.requestShed('admin'),
      () => [],
      ['alcazar_requests_shed_total{endpoint=admin} 1'],
    ],
    [
      'a connection closed',
      (e) => e.connectionClosed('too many', '192.0.2.1:4000'),
      () => [{ level: 'debug', message: 'connection closed', why: 'too many', peer: '192.0.2.1:4000' }],
      ['alcazar_connections_closed_total{why=too many} 1'],
    ],
    [
      'an authority activated',
      (e) => e.authorityActivated(given.authority, 'a sixth of its life is left'),
      () => [
        {
          level: 'info',
          message: 'authority activated',
          authority: shortId(given.authority.id),
          role: 'issuing',
          notAfter: given.authority.certificate.tbs.notAfter.toISOString(),
          because: 'a sixth of its life is left',
        },
      ],
      ['alcazar_authority_activations_total 1'],
    ],
    [
      'a bundle published',
      (e) => e.bundlePublished(given.bundle, given.roots),
      () => [
        {
          level: 'info',
          message: 'bundle published',
          bundleSequence: 1,
          digest: given.bundle.digest,
          roots: [`${shortId((given.roots[0] as Authority).id)} active`],
        },
      ],
      [],
    ],
    ...[false, true].map((isUrgent): (typeof others)[number] => [
      `an end that is ${isUrgent ? 'there' : 'near'}`,
      (e) =>
        e.authorityEndsSoon(authorityEnds(given.authorities)[0] as AuthorityEnd, {
          leftMs: isUrgent ? -1 : 13 * DAY,
          isUrgent,
        }),
      () => [
        {
          level: isUrgent ? 'error' : 'warn',
          message: 'an authority ends soon; replace it',
          authority: shortId((given.roots[0] as Authority).id),
          role: 'root',
          state: 'prepared',
          notAfter: given.roots[0]?.certificate.tbs.notAfter.toISOString(),
          left: isUrgent ? 'nothing: it has ended' : '13 days',
        },
      ],
      [],
    ]),
    [
      'a scheduled job that ran',
      (e) => e.jobRan('prune', notAfter, { done: 'nothing had ended' }, 1.234),
      () => [
        {
          level: 'debug',
          message: 'scheduled job ran',
          job: 'prune',
          due: '2030-01-02T00:00:00.000Z',
          ms: 1.23,
          detail: 'nothing had ended',
        },
      ],
      ['alcazar_scheduled_runs_total{job=prune,outcome=ok} 1'],
    ],
    [
      'a scheduled job that failed, with its causes',
      (e) => e.jobRan('prune', notAfter, { failed: new Error('no', { cause: new Error('ENOSPC') }) }, 1),
      () => [
        {
          level: 'error',
          message: 'scheduled job failed; it is tried again when it is next due',
          job: 'prune',
          due: '2030-01-02T00:00:00.000Z',
          ms: 1,
          detail: 'no: ENOSPC',
        },
      ],
      ['alcazar_scheduled_runs_total{job=prune,outcome=failed} 1'],
    ],
    [
      'a record of runs that is damaged',
      (e) => e.scheduleLost(new CaError('wrong_state', 'schedule.json is damaged')),
      () => [
        {
          level: 'warn',
          message: 'the record of scheduled runs is lost and begun anew; what was missed is not made up',
          detail: 'schedule.json is damaged',
        },
      ],
      [],
    ],
    [
      'a run that can’t be recorded',
      (e) => e.scheduleUnrecorded(new Error('ENOSPC')),
      () => [
        {
          level: 'error',
          message: 'a scheduled run can’t be recorded; one that is due waits until it can',
          detail: 'ENOSPC',
        },
      ],
      [],
    ],
    [
      'a root activated, which is no issuing authority',
      (e) => e.authorityActivated(given.roots[0] as Authority, 'yearly'),
      () => [
        {
          level: 'info',
          message: 'authority activated',
          authority: shortId((given.roots[0] as Authority).id),
          role: 'root',
          notAfter: given.roots[0]?.certificate.tbs.notAfter.toISOString(),
          because: 'yearly',
        },
      ],
      [],
    ],
    [
      'a root whose successor has to wait past its deadline',
      (e) =>
        e.deadlinePassed(given.roots[0] as Authority, {
          open: false,
          incomplete: 'the ledger is being read',
          longest: [{ workload: 'shop/cart-0', namespace: 'shop', why: 'holds bundle 1, not 2 yet', until: notAfter }],
          live: 2,
          inTheWay: 1,
          namespaces: new Map(),
          until: notAfter,
        }),
      () => [
        {
          level: 'error',
          message:
            'a root should have been replaced by now, and its successor has to wait: some workloads would not follow it',
          authority: shortId((given.roots[0] as Authority).id),
          notAfter: given.roots[0]?.certificate.tbs.notAfter.toISOString(),
          inTheWay: 1,
          workloads: ['shop/cart-0'],
          until: '2030-01-02T00:00:00.000Z',
          detail: 'the ledger is being read',
        },
      ],
      [],
    ],
    ...(['rotationBegun', 'rotationDone'] as const).map((name): (typeof others)[number] => [
      name === 'rotationBegun' ? 'a rotation that began' : 'one that is done',
      (e) =>
        e[name](
          { to: 'cd', since: notAfter, by: 'admin', because: 'yearly', backTo: 'ab' },
          given.roots[0] as Authority,
        ),
      () => [
        {
          level: 'info',
          message: name === 'rotationBegun' ? 'rotation begun' : 'rotation done',
          authority: shortId((given.roots[0] as Authority).id),
          wishedBy: 'admin',
          because: 'yearly',
        },
      ],
      [],
    ]),
    [
      'one that was taken back',
      (e) =>
        e.rotationDone(
          { to: 'ab', since: notAfter, by: 'admin', because: 'yearly', backTo: 'ab' },
          given.roots[0] as Authority,
        ),
      () => [
        {
          level: 'info',
          message: 'rotation rolled back',
          authority: shortId((given.roots[0] as Authority).id),
          wishedBy: 'admin',
          because: 'yearly',
        },
      ],
      [],
    ],
    [
      'a workload forgotten',
      (e) => e.workloadForgotten({ workload: 'shop/cart-0', at: notAfter, until: notAfter }, 'it is gone'),
      () => [
        {
          level: 'warn',
          message: 'workload forgotten',
          workload: 'shop/cart-0',
          until: '2030-01-02T00:00:00.000Z',
          because: 'it is gone',
        },
      ],
      [],
    ],
    [
      'a CRL that can’t be signed',
      (e) => e.crlUnsigned('ab'.repeat(20), new Error('the token is away')),
      () => [
        {
          level: 'error',
          message: 'a CRL can’t be signed; it is tried again in a minute',
          authority: 'abab abab',
          detail: 'the token is away',
        },
      ],
      ['alcazar_crl_failures_total 1'],
    ],
    [
      'a set of CRLs that is not in its file',
      (e) => e.crlsNotHanded(new Error('no room')),
      () => [{ level: 'error', message: 'the file of CRLs is not up to date; it is tried again', detail: 'no room' }],
      ['alcazar_crl_failures_total 1'],
    ],
    [
      'a rotation that failed',
      (e) =>
        e.rotationFailed(
          new CaError('dependency_unavailable', 'the journal can’t be written', { cause: new Error('ENOSPC') }),
        ),
      () => [
        {
          level: 'error',
          message: 'rotation failed; it is tried again in a minute',
          detail: 'the journal can’t be written: ENOSPC',
        },
      ],
      ['alcazar_rotation_failures_total 1'],
    ],
    [
      'a keeper that stopped',
      (e) => e.keeperStopped(new Error('EIO')),
      () => [
        {
          level: 'error',
          message: 'the journal may or may not hold the last write: nothing is rotated any more; restart this server',
          detail: 'EIO',
        },
      ],
      [],
    ],
    [
      'a plugged-in CA taken',
      (e) => e.pluggedCaTaken(given.roots[0] as Authority),
      () => [
        {
          level: 'info',
          message: 'plugged-in CA taken',
          root: shortId((given.roots[0] as Authority).id),
          notAfter: given.roots[0]?.certificate.tbs.notAfter.toISOString(),
        },
      ],
      [],
    ],
    [
      'a plugged-in CA that has to wait',
      (e) =>
        e.pluggedCaWaits('activate', given.roots[0] as Authority, {
          open: false,
          incomplete: undefined,
          live: 3,
          inTheWay: 1,
          until: notAfter,
          longest: [{ workload: 'shop/cart-0', namespace: 'shop', why: 'holds bundle 1, not 2 yet', until: notAfter }],
          namespaces: new Map(),
        }),
      () => [
        {
          level: 'warn',
          message: 'the plugged-in CA does not sign yet: some workloads would refuse it',
          root: shortId((given.roots[0] as Authority).id),
          inTheWay: 1,
          workloads: ['shop/cart-0'],
          until: notAfter.toISOString(),
        },
      ],
      [],
    ],
    [
      'a client that refuses our certificate, which the log is told of',
      (e) => e.servingCertificateRefused('unknown CA', { address: '192.0.2.7', times: 3 }),
      () => [
        {
          level: 'warn',
          message:
            'a client refused our certificate; does the file by which it trusts us hold the roots of today’s bundle?',
          address: '192.0.2.7',
          times: 3,
          alert: 'unknown CA',
        },
      ],
      ['alcazar_serving_certificate_refused_total{alert=unknown CA} 1'],
    ],
    [
      'and one that it is not',
      (e) => e.servingCertificateRefused('bad certificate', undefined),
      () => [],
      ['alcazar_serving_certificate_refused_total{alert=bad certificate} 1'],
    ],
    [
      'a plugged-in CA not taken',
      (e) => e.pluggedCaRefused(new CaError('invalid_argument', '/etc/cacerts/ca-key.pem is missing')),
      () => [
        {
          level: 'error',
          message: 'changed files of the plugged-in CA not taken; the CA in use goes on',
          detail: '/etc/cacerts/ca-key.pem is missing',
        },
      ],
      ['alcazar_plugged_ca_refused_total 1'],
    ],
    [
      'our own certificate renewed',
      (e) => e.servingCertificateRenewed(['localhost', '192.0.2.1'], notAfter),
      () => [
        {
          level: 'info',
          message: 'serving certificate renewed',
          names: ['localhost', '192.0.2.1'],
          notAfter: '2030-01-02T00:00:00.000Z',
        },
      ],
      [],
    ],
    [
      'a lookup that went well, in no line',
      (e) => e.lookedUp('pods', 'ok'),
      () => [],
      ['alcazar_cluster_lookups_total{outcome=ok,what=pods} 1'],
    ],
    [
      'a lookup that failed before any went well',
      (e) => e.lookedUp('token keys', { failed: new Error('connect ECONNREFUSED') }),
      () => [
        {
          level: 'warn',
          message: 'lookup failed; nothing is known yet',
          what: 'token keys',
          detail: 'connect ECONNREFUSED',
        },
      ],
      ['alcazar_cluster_lookups_total{outcome=failed,what=token keys} 1'],
    ],
    [
      'a lookup that failed after one that went well',
      (e) => {
        e.lookedUp('pods', 'ok')
        e.lookedUp('pods', { failed: new Error('connect ECONNREFUSED') })
      },
      () => [
        {
          level: 'warn',
          message: 'lookup failed; what is known goes on',
          what: 'pods',
          detail: 'connect ECONNREFUSED',
        },
      ],
      [
        'alcazar_cluster_lookups_total{outcome=failed,what=pods} 1',
        'alcazar_cluster_lookups_total{outcome=ok,what=pods} 1',
      ],
    ],
  ]
  test.each(others)('%s', async (_what, tell, lines, counters) => {
    const { lines: found, counted } = await told(tell)
    expect(found).toEqual(lines().map((line) => ({ time: TIME, ...line })))
    expect(counted).toEqual(counters)
  })
})

describe('telling never throws', () => {
  const broken = (what: string) =>
    new Proxy({} as object, {
      get: () => {
        throw new Error(`${what} is broken`)
      },
    })

  test('when the log fails, and what happened is counted all the same', async () => {
    const metrics = new Metrics(given.clock)
    tellEverything(telemetry(broken('log') as Log, metrics), given)
    const { body } = await metrics.text()
    expect(body).toMatch(/^citadel_server_success_cert_issuance_count [1-9]/m)
  })

  test('when the metrics fail', () => {
    const log = createLog({ level: 'error', format: 'json', write: () => undefined, clock: given.clock })
    expect(() => tellEverything(telemetry(log, broken('metrics') as Metrics), given)).not.toThrow()
  })

  test('when it is told nonsense', async () => {
    const { lines } = await told((events) => {
      for (const tell of Object.values(events)) (tell as (...args: unknown[]) => void)()
      events.requestShed('admin')
    })
    expect(lines.every(({ message }) => typeof message === 'string')).toBe(true)
  })
})
