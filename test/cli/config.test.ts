import { expect, test } from 'vitest'
import { alcazar } from '../_support/a-terminal.ts'

test('config check says that all is well', async () => {
  expect(await alcazar(['config', 'check', '--dev', '--trust-domain', 'example.org'])).toEqual({
    exit: 0,
    out: 'The configuration is good: 2 settings given, the others have their defaults.\n',
    err: '',
  })
})

test('config check counts one setting as one', async () => {
  expect((await alcazar(['config', 'check', '--dev'])).out).toBe(
    'The configuration is good: 1 setting given, the others have their defaults.\n',
  )
})

test('config check lists every fault and exits with 2', async () => {
  const { exit, out, err } = await alcazar([
    'config',
    'check',
    '--dev',
    '--trust-domain',
    'Example.org',
    '--svid-max-ttl',
    '1x',
  ])
  expect({ exit, out }).toEqual({ exit: 2, out: '' })
  expect(err.split('\n')).toEqual([
    'alcazar: the configuration has 2 faults:',
    expect.stringMatching(/^ {2}trustDomain: a trust domain has only/),
    expect.stringMatching(/^ {2}svid\.maxTtl: not a duration: "1x"/),
    '',
  ])
})

test('config check as JSON is a list of the faults, empty where there are none', async () => {
  expect(await alcazar(['config', 'check', '--dev', '-o', 'json'])).toEqual({ exit: 0, out: '[]\n', err: '' })
  const { exit, out } = await alcazar(['config', 'check', '--dev', '--svid-max-ttl', '1x', '-o', 'json'])
  expect({ exit, faults: JSON.parse(out) }).toEqual({
    exit: 2,
    faults: [expect.stringMatching(/^svid\.maxTtl: not a duration: "1x"/)],
  })
})

test('config print shows each value and where it came from', async () => {
  const { out } = await alcazar(['config', 'print', '--dev'], { environment: { ALCAZAR_LOG_LEVEL: 'debug' } })
  expect(out).toMatch(/^dev +true +flag --dev$/m)
  expect(out).toMatch(/^log\.level +debug +environment ALCAZAR_LOG_LEVEL$/m)
  expect(out).toMatch(/^listen +127\.0\.0\.1:15012 +default of dev mode$/m)
  expect(out).toMatch(/^pluggedCa +- +default \(none\)$/m)
})

test('config print as JSON holds every setting', async () => {
  const rows = JSON.parse((await alcazar(['config', 'print', '--dev', '-o', 'json'])).out) as { setting: string }[]
  expect(rows.map(({ setting }) => setting)).toContain('attestation.trustedNodeAccounts')
})

test('serve prints what a newcomer needs, and ends when it is asked to', async () => {
  const { mkdtempSync, rmSync } = await import('node:fs')
  const state = mkdtempSync('/tmp/alcazar-serve-')
  try {
    const { exit, out } = await alcazar([
      'serve',
      '--dev',
      '--state-directory',
      state,
      '--listen',
      '127.0.0.1:0',
      '--health-listen',
      '127.0.0.1:0',
    ])
    expect(exit).toBe(0)
    expect(out).toMatch(
      /^Alcazar 0\.0\.0-test · trust domain cluster\.local · dev mode: state in .*, tokens issued here, do not use in production\n/,
    )
    expect(out).toMatch(/root {6}[0-9a-f]{4} [0-9a-f]{4} {2}ECDSA P-256, self-signed, ends in 10 years\n/)
    expect(out).toMatch(
      /issuing {3}[0-9a-f]{4} [0-9a-f]{4} {2}ECDSA P-256, in memory only, ends in 30 days, renewed in 25 days\n/,
    )
    expect(out).toMatch(
      /Get a first certificate in another terminal:\n {2}npx alcazar issue --namespace shop --service-account cart --out \.\/cart --state-directory \/tmp\/alcazar-serve-\w+\n/,
    )
  } finally {
    rmSync(state, { recursive: true })
  }
})

test('serve names the roots of the bundle, and a rotation that is on its way', async () => {
  const authority = (id: string, state: string) => ({
    id: id.repeat(20),
    role: 'root' as const,
    state,
    algorithm: 'ecdsa-p256',
    key: 'file',
    notBefore: '2030-01-01T00:00:00.000Z',
    notAfter: '2040-01-01T00:00:00.000Z',
  })
  const at = { host: '127.0.0.1', port: 1 }
  const { out } = await alcazar(['serve', '--dev'], {
    startServer: async () => ({
      ca: at,
      health: at,
      adminSocket: '',
      close: async () => undefined,
      status: async () => ({
        trustDomain: 'cluster.local',
        version: '0.0.0-test',
        mode: 'dev',
        ready: true,
        bundleSequence: 3,
        rotating: true,
        authorities: [authority('aa', 'revoked'), authority('bb', 'old'), authority('cc', 'active')],
        inTheClear: [],
      }),
    }),
  })
  expect(out.match(/^ {2}root {6}.{9}/gm)).toEqual(['  root      bbbb bbbb', '  root      cccc cccc'])
  expect(out).toContain('\n  A rotation is on its way; watch it: alcazar root rotate\n')
})
