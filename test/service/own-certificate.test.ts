import { describe, expect, test } from 'vitest'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import { verifyPath } from '../../src/authority/path.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { Latest } from '../../src/core/latest.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { OwnCertificate } from '../../src/service/own-certificate.ts'
import { type Certificate, readCertificate } from '../../src/x509/certificate.ts'
import { readPem } from '../../src/x509/pem.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { aSet, issuingOf, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'
import { recordedEvents } from '../_support/recorded-events.ts'
import { until } from '../_support/until.ts'

type Installed = { readonly key: PrivateKey; readonly chain: readonly Certificate[] }

async function anOwnCertificate({ install = (_one: Installed): void => {} } = {}) {
  const issuer = await anIssuer()
  const active = new Latest<typeof issuer.active>()
  active.set(issuer.active)
  const events = recordedEvents()
  const installed: Installed[] = []
  const own = new OwnCertificate({
    serving: active,
    names: ['localhost', '127.0.0.1'],
    install: (key, chainPem) => {
      const chain = readPem(chainPem, 100_000, 'nothing else').map(({ der }) => readCertificate(der))
      install({ key, chain })
      installed.push({ key, chain })
    },
    events,
    ...issuer.making,
  })
  const told = (name: string) => events.told.filter(({ event }) => event === name)
  /** Another authority under the same root begins to sign. */
  const rotate = async () => {
    const next = await odd('next', issuer.root, { pathLength: 0 })
    const authority = issuingOf(next)
    active.set(activeAuthority(aSet([rootOf(issuer.root), authority]), authority, next.key))
    return next
  }
  return { ...issuer, active, own, installed, told, rotate }
}

describe('the first certificate', () => {
  test('names how we are reached and leads to the root in the bundle', async () => {
    const { own, installed, root, clock } = await anOwnCertificate()
    await own.renewIfDue()
    const [{ chain, key }] = installed as [Installed]
    expect(chain[0]?.tbs.alternativeNames).toEqual([
      { kind: 'dns', value: 'localhost' },
      { kind: 'ip', value: Buffer.from([127, 0, 0, 1]) },
    ])
    expect(verifyPath(chain, [root.certificate], clock.now())).toBe(root.certificate)
    expect(Buffer.from(chain[0]?.tbs.publicKey ?? [])).toEqual(Buffer.from(key.publicKey.spki))
    expect(chain[0]?.tbs.notAfter).toEqual(plus(clock.now(), DAY))
  })

  test('is told with its names and its end', async () => {
    const { own, told, clock } = await anOwnCertificate()
    await own.renewIfDue()
    expect(told('servingCertificateRenewed')).toMatchObject([
      { args: [['localhost', '127.0.0.1'], plus(clock.now(), DAY)] },
    ])
  })

  test('waits for an authority', async () => {
    const { own, installed, told } = await anOwnCertificate()
    const early = new OwnCertificate({
      serving: new Latest(),
      names: ['localhost'],
      install: () => expect.fail('there is nothing to sign it'),
      events: recordedEvents(),
      clock: (await anIssuer()).clock,
      random: (await anIssuer()).random,
    })
    await early.renewIfDue()
    await own.renewIfDue()
    expect([installed.length, told('rotationFailed')]).toEqual([1, []])
  })
})

describe('renewal', () => {
  test('comes at half of its life, with a new key', async () => {
    const { own, installed, clock } = await anOwnCertificate()
    await own.renewIfDue()
    // Its life counts from two minutes ago.
    await clock.advance(12 * HOUR - MINUTE - 1)
    await own.renewIfDue()
    expect(installed).toHaveLength(1)
    await clock.advance(1)
    await own.renewIfDue()
    expect(installed).toHaveLength(2)
    const [before, after] = installed as [Installed, Installed]
    expect(Buffer.from(after.key.publicKey.spki)).not.toEqual(Buffer.from(before.key.publicKey.spki))
  })

  test('comes at once when another authority begins to sign', async () => {
    const { own, installed, rotate } = await anOwnCertificate()
    await own.renewIfDue()
    const next = await rotate()
    await own.renewIfDue()
    expect(installed[1]?.chain[1]).toMatchObject({ der: Buffer.from(next.certificate.der) })
  })

  test('does not come twice for two questions at once', async () => {
    const { own, installed } = await anOwnCertificate()
    await Promise.all([own.renewIfDue(), own.renewIfDue(), own.renewIfDue()])
    expect(installed).toHaveLength(1)
  })

  test('is looked for every minute, and whenever the authority changes, until the signal', async () => {
    const { own, installed, clock, rotate } = await anOwnCertificate()
    const stop = new AbortController()
    const running = own.run(stop.signal)
    await until('the first certificate', () => installed.length === 1)
    clock.jump(13 * HOUR)
    await clock.advance(MINUTE)
    await until('the renewal at half life', () => installed.length === 2)
    await rotate()
    await until('the renewal for the new authority', () => installed.length === 3)
    stop.abort()
    await running
  })
})

describe('a renewal that fails', () => {
  test('is told, leaves the certificate that is there, and is tried again', async () => {
    let broken = false
    const { own, installed, told, clock } = await anOwnCertificate({
      install: () => {
        if (broken) throw new Error('the listener does not take it')
      },
    })
    await own.renewIfDue()
    const [{ key }] = installed as [Installed]
    broken = true
    await clock.advance(13 * HOUR)
    await own.renewIfDue()
    expect(told('rotationFailed')).toMatchObject([{ args: [{ message: 'the listener does not take it' }] }])
    expect(installed).toHaveLength(1)
    expect(own.isOurs(key.publicKey)).toBe(true)
    broken = false
    await own.renewIfDue()
    expect(installed).toHaveLength(2)
  })

  test('because the authority has ended is told, too', async () => {
    const { own, installed, told, clock } = await anOwnCertificate()
    await clock.advance(31 * DAY)
    await own.renewIfDue()
    expect([installed.length, told('rotationFailed').length]).toEqual([0, 1])
  })
})

describe('our own key', () => {
  test('is known as ours, and only the one in use', async () => {
    const { own, installed, issuing } = await anOwnCertificate()
    expect(own.isOurs(issuing.key.publicKey)).toBe(false)
    await own.renewIfDue()
    const [{ key }] = installed as [Installed]
    expect([own.isOurs(key.publicKey), own.isOurs(issuing.key.publicKey)]).toEqual([true, false])
  })
})
