import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { SETTINGS } from '../../src/config/schema.ts'
import { parseAddress } from '../../src/config/texts.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import type { CaError } from '../../src/core/errors.ts'

const directories: string[] = []
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

function file(content: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'alcazar-config-'))
  directories.push(directory)
  const path = join(directory, 'alcazar.yaml')
  writeFileSync(path, content)
  return path
}

const load = (flags: Record<string, unknown> = {}, environment: NodeJS.ProcessEnv = {}, path?: string) =>
  loadConfig({ flags: new Map(Object.entries(flags)), environment, file: path })

const TOKEN = { 'keys.pkcs11Module': '/m.so', 'keys.pkcs11Token': 'root', 'keys.pkcs11PinFile': '/pin' }
/** What a server outside dev mode needs at least. */
const OWN = { 'keys.passphraseFile': '/etc/alcazar/passphrase', 'attestation.apiServer': 'https://10.0.0.1:6443' }
const PLUGGED = { pluggedCa: '/etc/cacerts', 'attestation.apiServer': 'https://10.0.0.1:6443' }

function faultsOf(action: () => unknown): string[] {
  try {
    action()
  } catch (error) {
    expect((error as CaError).code).toBe('invalid_argument')
    const [first = '', ...more] = (error as CaError).message.split('\n  ')
    return more.length > 0 ? more : [first.replace('the configuration has a fault: ', '')]
  }
  return []
}

test('dev mode needs nothing else and stays on loopback', () => {
  const { config } = load({ dev: true })
  expect(config.listen).toEqual({ host: '127.0.0.1', port: 15012 })
  expect(config.healthListen).toEqual({ host: '127.0.0.1', port: 15014 })
  expect(config.stateDirectory).toBe('./.alcazar')
  expect(config.trustDomain.name).toBe('cluster.local')
  expect(config.svid).toEqual({ defaultTtl: 24 * HOUR, maxTtl: 90 * DAY })
  expect(config.root.renewalWindow).toBe(HOUR)
})

test.each([
  ['127.0.0.1:1', '127.0.0.1'],
  ['127.255.0.9:1', '127.255.0.9'],
  ['[::1]:1', '::1'],
])('dev mode takes %s for loopback', (listen, host) => {
  expect(load({ dev: true, listen }).config.listen).toEqual({ host, port: 1 })
})

test('localhost is 127.0.0.1, whatever the machine’s hosts file says', () => {
  const { config } = load({ dev: true, listen: 'localhost:1', healthListen: 'localhost:2' })
  expect([config.listen, config.healthListen]).toEqual([
    { host: '127.0.0.1', port: 1 },
    { host: '127.0.0.1', port: 2 },
  ])
})

test('outside dev mode it listens everywhere', () => {
  expect(load(PLUGGED).config.listen).toEqual({ host: '0.0.0.0', port: 15012 })
})

test('a flag wins over the environment, the environment over the file, the file over the default', () => {
  const path = file('dev: true\nsvid:\n  defaultTtl: 1h\n  maxTtl: 2d\ntrustDomain: from.file\n')
  const { config, origins } = load(
    { 'svid.defaultTtl': '3h' },
    { ALCAZAR_SVID_DEFAULT_TTL: '2h', ALCAZAR_TRUST_DOMAIN: 'from.environment' },
    path,
  )
  expect(config.svid).toEqual({ defaultTtl: 3 * HOUR, maxTtl: 2 * DAY })
  expect(config.trustDomain.name).toBe('from.environment')
  expect(origins.get('svid.defaultTtl')).toBe('flag --svid-default-ttl')
  expect(origins.get('trustDomain')).toBe('environment ALCAZAR_TRUST_DOMAIN')
  expect(origins.get('svid.maxTtl')).toBe(`file ${path}`)
  expect(origins.get('log.level')).toBe('default')
})

test('ALCAZAR_CONFIG names the file where no flag does', () => {
  expect(load({}, { ALCAZAR_CONFIG: file('dev: true\n') }).config.dev).toBe(true)
})

test('in a cluster the API server is the cluster’s own', () => {
  const { config, origins } = load(
    { pluggedCa: '/etc/cacerts' },
    { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' },
  )
  expect(config.attestation.apiServer).toBe('https://[fd00::1]:6443')
  expect(origins.get('attestation.apiServer')).toBe('environment KUBERNETES_SERVICE_HOST')
})

test('what is not set is undefined, and nothing can be changed any more', () => {
  const { config } = load({ dev: true })
  expect(config.pluggedCa).toBeUndefined()
  expect(() => Object.assign(config.svid, { maxTtl: 1 })).toThrow(TypeError)
  expect(() => Object.assign(config, { dev: false })).toThrow(TypeError)
})

test('every fault is told at once', () => {
  const faults = faultsOf(() =>
    load(
      { dev: true, 'svid.defaultTtl': '9x', 'limits.requests': 'many', 'log.level': 'loud' },
      { ALCAZAR_TRUST_DOMIAN: 'x' },
    ),
  )
  expect(faults).toHaveLength(4)
  expect(faults.join('\n')).toMatch(/unknown variable ALCAZAR_TRUST_DOMIAN/)
  expect(faults.join('\n')).toMatch(/--limits-requests: "many" is no whole number/)
  expect(faults.join('\n')).toMatch(/svid\.defaultTtl: not a duration: "9x".*\(flag --svid-default-ttl\)/)
  expect(faults.join('\n')).toMatch(/log\.level: .*"debug"\|"info"\|"warn"\|"error"/)
})

test('a fault of one setting does not hide what others contradict', () => {
  const faults = faultsOf(() =>
    load({
      dev: true,
      listen: '0.0.0.0:15012',
      pluggedCa: '/etc/cacerts',
      'root.lifetime': '20d',
      'log.level': 'loud',
    }),
  )
  expect(faults.map((fault) => fault.slice(0, 20))).toEqual([
    expect.stringMatching(/^log\.level: /),
    expect.stringMatching(/^issuing\.lifetime is/),
    expect.stringMatching(/^dev mode makes its/),
    expect.stringMatching(/^dev mode listens on/),
  ])
})

test.each([
  ['svid.defaultTtl', { dev: true, 'svid.defaultTtl': 'x', 'svid.maxTtl': '1h' }],
  ['issuing.lifetime', { dev: true, 'issuing.lifetime': 'x', 'svid.defaultTtl': '30d' }],
  ['root.lifetime', { dev: true, 'root.lifetime': 'x', 'issuing.lifetime': '9000d' }],
  ['attestation.issuer', { dev: true, 'attestation.jwksFile': '/jwks', 'attestation.issuer': '' }],
  ['experimental', { dev: true, 'root.algorithm': 'ml-dsa-65', experimental: 'x' }],
  ['pluggedCa', { 'attestation.apiServer': 'https://x', pluggedCa: '' }],
  ['attestation.kubeconfig', { pluggedCa: '/etc/cacerts', 'attestation.kubeconfig': '' }],
  ['listen', { dev: true, listen: 'x' }],
  ['dev', { dev: 'x' }],
  ['attestation.trustedNodeAccounts', { dev: true, 'attestation.trustedNodeAccounts': 'a/b,c' }],
])('a fault of %s is told once, without what would follow from it', (key, flags) => {
  const { flag } = SETTINGS.find((one) => one.key === key) as { flag: string }
  expect(faultsOf(() => load(flags))).toEqual([expect.stringContaining(flag)])
})

test('variables that Kubernetes sets for a Service named alcazar are no settings', () => {
  expect(
    load(
      { dev: true },
      {
        ALCAZAR_SERVICE_HOST: '10.0.0.1',
        ALCAZAR_SERVICE_PORT: '15012',
        ALCAZAR_PORT_15012_TCP: 'tcp://10.0.0.1:15012',
        ALCAZAR_PORT: 'x',
      },
    ).config.dev,
  ).toBe(true)
})

const REFUSED: readonly (readonly [
  what: string,
  flags: Record<string, unknown>,
  environment: NodeJS.ProcessEnv,
  says: RegExp,
])[] = [
  [
    'dev mode in a cluster',
    { dev: true },
    { KUBERNETES_SERVICE_HOST: '10.0.0.1' },
    /dev mode does not run inside a cluster/,
  ],
  [
    'dev mode on an address that isn’t loopback',
    { dev: true, listen: '0.0.0.0:15012' },
    {},
    /dev mode listens on loopback only/,
  ],
  [
    'dev mode on what looks like loopback, and is a name',
    { dev: true, listen: '127.256.0.1:15012' },
    {},
    /dev mode listens on loopback only/,
  ],
  [
    'dev mode on a name that begins like loopback',
    { dev: true, listen: '127.0.0.1.example.org:15012' },
    {},
    /dev mode listens on loopback only/,
  ],
  [
    'dev mode on another spelling of localhost, which is a name',
    { dev: true, listen: 'localhost.:15012' },
    {},
    /dev mode listens on loopback only/,
  ],
  [
    'dev mode on loopback’s IPv6 neighbour',
    { dev: true, listen: '[::2]:15012' },
    {},
    /dev mode listens on loopback only/,
  ],
  [
    'dev mode with its health port elsewhere',
    { dev: true, healthListen: '192.168.0.1:15014' },
    {},
    /dev mode listens on loopback only/,
  ],
  ['dev mode with a plugged-in CA', { dev: true, pluggedCa: '/etc/cacerts' }, {}, /dev mode makes its own root/],
  [
    'no root of trust outside dev mode',
    { 'attestation.apiServer': 'https://x' },
    {},
    /^where the root of trust comes from is required outside dev mode: keys\.passphraseFile or keys\.wrappingKeyFile, .* or pluggedCa/,
  ],
  [
    'a passphrase in dev mode',
    { dev: true, 'keys.passphraseFile': '/p' },
    {},
    /^dev mode keeps its root’s key in the clear; leave out keys\.passphraseFile, or dev$/,
  ],
  [
    'a wrapping key in dev mode',
    { dev: true, 'keys.wrappingKeyFile': '/k' },
    {},
    /^dev mode keeps its root’s key in the clear; leave out keys\.wrappingKeyFile, or dev$/,
  ],
  [
    'a passphrase and a wrapping key',
    { ...OWN, 'keys.wrappingKeyFile': '/k' },
    {},
    /^keys\.passphraseFile and keys\.wrappingKeyFile exclude each other: .*“alcazar keys reseal”/,
  ],
  ...['pkcs11Module', 'pkcs11Token', 'pkcs11PinFile'].map(
    (left): [string, Record<string, unknown>, NodeJS.ProcessEnv, RegExp] => [
      `a token without keys.${left}`,
      { ...OWN, ...TOKEN, [`keys.${left}`]: undefined },
      {},
      /^keys\.pkcs11Module, keys\.pkcs11Token and keys\.pkcs11PinFile belong together: set all three, or none$/,
    ],
  ),
  [
    'a token in dev mode',
    { ...TOKEN, dev: true },
    {},
    /^dev mode keeps its root’s key in the clear; leave out keys\.pkcs11Module, keys\.pkcs11Token, keys\.pkcs11PinFile, or dev$/,
  ],
  [
    'a wrapping key in no token',
    { ...OWN, 'keys.pkcs11Holds': 'wrapping-key' },
    {},
    /^keys\.pkcs11Holds: wrapping-key needs a token: keys\.pkcs11Module and the next two/,
  ],
  ...['passphraseFile', 'wrappingKeyFile'].map((name): [string, Record<string, unknown>, NodeJS.ProcessEnv, RegExp] => [
    `a wrapping key in a token beside keys.${name}`,
    { ...TOKEN, 'keys.pkcs11Holds': 'wrapping-key', [`keys.${name}`]: '/s', 'attestation.apiServer': 'https://x' },
    {},
    /^keys\.pkcs11Holds: wrapping-key excludes keys\.passphraseFile and keys\.wrappingKeyFile: .*“alcazar keys reseal”/,
  ]),
  [
    'a plugged-in CA with a passphrase',
    { ...PLUGGED, 'keys.passphraseFile': '/p' },
    {},
    /^a plugged-in CA brings its own key, .*; leave out pluggedCa, or keys\.passphraseFile$/,
  ],
  [
    'no API server outside dev mode',
    { pluggedCa: '/etc/cacerts' },
    {},
    /attestation\.apiServer or attestation\.kubeconfig is required/,
  ],
  [
    'a window for renewals in which all would come at once',
    { dev: true, 'root.renewalWindow': '59s' },
    {},
    /root\.renewalWindow is at least a minute/,
  ],
  [
    'a default lifetime beyond the maximum',
    { dev: true, 'svid.defaultTtl': '2d', 'svid.maxTtl': '1d' },
    {},
    /svid\.defaultTtl is more than zero and at most svid\.maxTtl/,
  ],
  ['a default lifetime of zero', { dev: true, 'svid.defaultTtl': '0s' }, {}, /more than zero/],
  [
    'a default lifetime that the issuing authority cuts short',
    { dev: true, 'issuing.lifetime': '5d' },
    {},
    /at most a sixth of issuing\.lifetime/,
  ],
  [
    'an issuing authority that outlives its root',
    { dev: true, 'root.lifetime': '20d' },
    {},
    /issuing\.lifetime is at most root\.lifetime/,
  ],
  [
    'a key set without its issuer',
    { ...PLUGGED, 'attestation.jwksFile': '/jwks' },
    {},
    /jwksFile needs attestation\.issuer/,
  ],
  [
    'post-quantum keys without experimental',
    { dev: true, 'root.algorithm': 'ml-dsa-65' },
    {},
    /ML-DSA keys need experimental/,
  ],
  [
    'a trust domain in capitals',
    { dev: true, trustDomain: 'Cluster.Local' },
    {},
    /lower-case letters, digits, dots, dashes and underscores/,
  ],
  [
    'a server name with a space',
    { dev: true, serverNames: 'ca,a b' },
    {},
    /^serverNames\.1: not a DNS name or IP address: "a b"; write for example alcazar\.example\.org/,
  ],
  ['a server name that steers a terminal', { dev: true, serverNames: 'ca\u001b[2J' }, {}, /"ca\\u001b\[2J"/],
  ['an address without a port', { dev: true, listen: 'localhost' }, {}, /not host:port/],
  [
    'a node account that isn’t namespace/name',
    { dev: true, 'attestation.trustedNodeAccounts': 'ztunnel' },
    {},
    /not namespace\/name/,
  ],
  ['no audience at all', { dev: true, 'attestation.audiences': '' }, {}, /attestation\.audiences/],
  ['a limit of zero', { dev: true, 'limits.connections': '0' }, {}, /limits\.connections/],
]

test.each(REFUSED)('refuses %s', (_what, flags, environment, says) => {
  const faults = faultsOf(() => load(flags, environment))
  expect(faults).toHaveLength(1)
  expect(faults[0]).toMatch(says)
})

const BAD_FILES: readonly (readonly [what: string, content: string, says: RegExp])[] = [
  ['an unknown setting', 'dev: true\nsvid:\n  ttl: 1h\n', /unknown setting svid\.ttl/],
  [
    'a setting at the wrong level, with the right one',
    'dev: true\ndefaultTtl: 1h\n',
    /unknown setting defaultTtl in .*; did you mean svid\.defaultTtl\?/,
  ],
  ['a value where a group is', 'dev: true\nsvid: 1h\n', /svid in .* is a group of settings/],
  ['a list', '- dev\n', /is no mapping of settings/],
  ['what is not YAML', 'dev: [true\n', /can’t be read as YAML/],
  ['a number where a duration is', 'dev: true\nsvid:\n  defaultTtl: 24\n', /svid\.defaultTtl/],
  ['a text where a boolean is', 'dev: "yes"\n', /^dev: write true or false, not a text \(file /],
  ['a number where an address is', 'dev: true\nlisten: 99\n', /^listen: write a text, not a number \(file /],
  [
    'a text in place of a list',
    'dev: true\nserverNames: localhost\n',
    /^serverNames: write a list, not a text \(file /,
  ],
  [
    'a list where a number is',
    'dev: true\nlimits:\n  requests: [1]\n',
    /^limits\.requests: write a whole number, not a list/,
  ],
  ['a broken number', 'dev: true\nlimits:\n  requests: 1.5\n', /^limits\.requests: write a whole number, not 1\.5/],
]

test.each(BAD_FILES)('refuses a file with %s', (_what, content, says) => {
  expect(faultsOf(() => load({}, {}, file(content))).join('\n')).toMatch(says)
})

test('a pipe is no file of settings, and nobody is waited for', () => {
  const path = `${file('')}.pipe`
  execFileSync('mkfifo', [path])
  expect(faultsOf(() => load({ dev: true }, {}, path))).toEqual([`${path} can’t be read as YAML: it is no plain file`])
})

test('a file that isn’t there is told by name', () => {
  // And nothing is said of what is in it.
  expect(faultsOf(() => load({}, {}, '/nowhere/alcazar.yaml'))).toEqual(['there is no file /nowhere/alcazar.yaml'])
})

test('takes a root of its own, sealed, outside dev mode', () => {
  expect(load(OWN).config).toMatchObject({ dev: false, keys: { passphraseFile: '/etc/alcazar/passphrase' } })
  const { config } = load({ 'keys.wrappingKeyFile': '/k', 'attestation.apiServer': 'https://x' })
  expect(config).toMatchObject({ dev: false, keys: { wrappingKeyFile: '/k' } })
})

test('takes a root in a token, alone or while a sealed one is still there', () => {
  const keys = { pkcs11Module: '/m.so', pkcs11Token: 'root', pkcs11PinFile: '/pin' }
  expect(load({ ...TOKEN, 'attestation.apiServer': 'https://x' }).config).toMatchObject({ dev: false, keys })
  expect(load({ ...OWN, ...TOKEN }).config.keys).toMatchObject({ ...keys, passphraseFile: '/etc/alcazar/passphrase' })
})

test('takes a token that has the wrapping key alone', () => {
  const token = { ...TOKEN, 'keys.pkcs11Holds': 'wrapping-key', 'attestation.apiServer': 'https://x' }
  expect(load(token).config.keys.pkcs11Holds).toBe('wrapping-key')
  expect(load(OWN).config.keys.pkcs11Holds).toBe('root-keys')
})

test('an empty file changes nothing', () => {
  expect(load({ dev: true }, {}, file('')).config.dev).toBe(true)
})

test('reads host:port with names, IPv4, IPv6 in brackets and nothing for every address', () => {
  expect(parseAddress('[::1]:8060')).toEqual({ host: '::1', port: 8060 })
  expect(parseAddress('istio-ca:8060')).toEqual({ host: 'istio-ca', port: 8060 })
  expect(parseAddress(':0')).toEqual({ host: '0.0.0.0', port: 0 })
  for (const bad of ['::1:80', '[1.2.3.4]:80', 'a:65536', 'a:', 'a', '', '[::1]', 'a:-1'])
    expect(() => parseAddress(bad)).toThrow(/not host:port/)
})

test('flags and variables are named after their setting, and no two alike', () => {
  const kubeconfig = SETTINGS.find((setting) => setting.key === 'attestation.kubeconfig')
  expect(kubeconfig).toMatchObject({ flag: '--attestation-kubeconfig', variable: 'ALCAZAR_ATTESTATION_KUBECONFIG' })
  expect(new Set(SETTINGS.map((setting) => setting.flag)).size).toBe(SETTINGS.length)
})

test('jobs run by cron expressions, in UTC, and the root is replaced by none', () => {
  const { schedule } = load({ dev: true }).config
  expect(JSON.parse(JSON.stringify(schedule))).toEqual({
    checkAuthorities: '*/5 * * * *',
    renewIssuing: '*/5 * * * *',
    prune: '17 * * * *',
    timeZone: 'UTC',
  })
  expect(schedule.rotateRoot).toBeUndefined()
  const other = load({ dev: true, 'schedule.rotateRoot': '0 3 1 1 *' }, { ALCAZAR_SCHEDULE_TIME_ZONE: 'europe/berlin' })
  expect(other.config.schedule.rotateRoot?.text).toBe('0 3 1 1 *')
  expect(other.config.schedule.timeZone).toBe('Europe/Berlin')
})

test('a cron expression or time zone that can’t be read is told by its setting, with what is allowed and an example', () => {
  const path = file('dev: true\nschedule:\n  prune: hourly\n  rotateRoot: 0 3 32 1 *\n  timeZone: Mars/Olympus\n')
  expect(faultsOf(() => load({}, {}, path))).toEqual([
    expect.stringMatching(
      /^schedule\.rotateRoot: not a cron expression: "0 3 32 1 \*" \(.*\); write five fields: .*day of month \(1-31\).*; for example .* \(file .*\)$/,
    ),
    expect.stringMatching(/^schedule\.prune: not a cron expression: "hourly" \(it has 1 field\); write five fields: /),
    expect.stringMatching(
      /^schedule\.timeZone: not a time zone: "Mars\/Olympus"; write an IANA name, for example UTC or /,
    ),
  ])
})

test('the file of CRLs is none of the server’s own', () => {
  const at = (crlFile: string) => () => load({ dev: true, stateDirectory: './state', crlFile })
  for (const inside of [
    'state/authority/journal.json',
    './state/../state/lock',
    join(process.cwd(), 'state'),
    'state/..pem',
  ])
    expect(faultsOf(at(inside)), inside).toEqual([expect.stringMatching(/^crlFile is outside of stateDirectory: /)])
  for (const outside of ['ca-crl.pem', 'state.pem', 'state/../ca-crl.pem', '/run/crls/ca-crl.pem'])
    expect(at(outside)().config.crlFile).toBe(outside)
})
