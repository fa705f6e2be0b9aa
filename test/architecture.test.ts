import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const src = resolve(import.meta.dirname, '../src')

/** ARCHITECTURE.md, "Rooms": imports go strictly downward. */
const LEVELS: Record<string, number> = {
  core: 0,
  gen: 0,
  spiffe: 1,
  x509: 1,
  jwt: 1,
  keys: 1,
  attestation: 2,
  authority: 2,
  policy: 3,
  ledger: 3,
  issuance: 4,
  service: 5,
  kubernetes: 6,
  endpoints: 6,
  storage: 6,
  telemetry: 6,
  config: 7,
  cli: 8,
  'server-parts.ts': 9,
  'server-admin.ts': 10,
  'server.ts': 11,
  'main.ts': 12,
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, room: path.split('/')[0] as string, text: readFileSync(join(src, path), 'utf8') }))
const own = files.filter(({ room }) => room !== 'gen')

function importsOf(text: string): string[] {
  return [
    ...text.matchAll(
      /^(?:import '|import [^'=]+ from '|export [^'=]+ from '|\} from ')([^'\n]+)'$|\bimport\('([^']+)'\)/gm,
    ),
  ].map((found) => (found[1] ?? found[2]) as string)
}

test('every file is in a room that has a level', () => {
  expect(files.filter(({ room }) => LEVELS[room] === undefined).map(({ path }) => path)).toEqual([])
})

test('imports go strictly downward, from room to room', () => {
  const upward = files.flatMap(({ path, room, text }) =>
    importsOf(text)
      .filter((target) => target.startsWith('.'))
      .map((target) => relative(src, resolve(src, dirname(path), target)).split('/')[0] as string)
      .filter((target) => target !== room && (LEVELS[target] as number) >= (LEVELS[room] as number))
      .map((target) => `${path} imports ${target}/`),
  )
  expect(upward).toEqual([])
})

// Test files share a process, one after the other (vitest.config.ts).
test('no module holds anything that changes, but for what Node has once in a process', () => {
  const changing = own.filter(({ text }) => /^(?:export )?let /m.test(text)).map(({ path }) => path)
  expect(changing).toEqual(['endpoints/authorization-headers.ts'])
})

test('each library is imported by the one room that knows it', () => {
  const homes: Record<string, string[]> = {
    '@peculiar/x509': ['x509'],
    'reflect-metadata': ['x509'],
    jose: ['jwt'],
    'jose/key/import': ['jwt'],
    '@grpc/grpc-js': ['endpoints', 'gen'],
    '@grpc/reflection': ['endpoints'],
    '@bufbuild/protobuf/wire': ['endpoints', 'gen'],
    express: ['endpoints'],
    '@kubernetes/client-node': ['kubernetes'],
    'node-cron': ['service'],
    zod: ['config'],
    'js-yaml': ['config'],
    commander: ['cli'],
    pino: ['telemetry'],
    'prom-client': ['telemetry'],
    pkcs11js: ['keys'],
  }
  const strays = files.flatMap(({ path, room, text }) =>
    importsOf(text)
      .filter((target) => !target.startsWith('.') && !target.startsWith('node:'))
      .filter((target) => !homes[target]?.includes(room))
      .map((target) => `${path} imports ${target}`),
  )
  expect(strays).toEqual([])
})

test('a server starts without what few of them need', () => {
  const seen = new Set<string>()
  const libraries = new Set<string>()
  const walk = (path: string) => {
    if (seen.has(path)) return
    seen.add(path)
    const text = (files.find((file) => file.path === path)?.text ?? '')
      .replaceAll(/^import type [^'=]+ from '[^']+'$/gm, '')
      .replaceAll(/\bimport\('[^']+'\)/g, '')
    for (const target of importsOf(text))
      if (target.startsWith('.')) walk(relative(src, resolve(src, dirname(path), target)))
      else if (!target.startsWith('node:')) libraries.add(target)
  }
  // `alcazar serve` is these two and what they load; main.ts and verbs.ts load them when they run.
  for (const path of ['main.ts', 'cli/commands/serve.ts', 'server.ts']) walk(path)
  const verbs = [...seen].filter((path) => path.startsWith('cli/commands/'))
  expect(verbs).toEqual(['cli/commands/serve.ts'])
  expect([...libraries].toSorted()).toEqual([
    '@bufbuild/protobuf/wire',
    '@grpc/grpc-js',
    'commander',
    'express',
    'jose/key/import',
    'js-yaml',
    'node-cron',
    'pino',
    'prom-client',
    'zod',
  ])
})

test('node:http is used by way of core/node-http.ts: imported, it makes every start longer', () => {
  const strays = files.filter(({ text }) => /^(?:import|export) (?!type\b)[^'=]+ from 'node:http'$/m.test(text))
  expect(strays.map(({ path }) => path)).toEqual([])
})

test('time and chance come from core/, and the environment is read by main.ts and config/ alone', () => {
  const banned = [
    /\bDate\.now\(/,
    /\bnew Date\(\)/,
    /\bMath\.random\(/,
    /(?<!\.)\bsetTimeout\(/,
    /(?<!\.)\bsetInterval\(/,
    /\bprocess\.env\b/,
  ]
  const strays = own
    .filter(({ room, path }) => room !== 'core' && path !== 'main.ts')
    .flatMap(({ path, text }) =>
      banned.filter((pattern) => pattern.test(text)).map((pattern) => `${path}: ${pattern.source}`),
    )
  expect(strays).toEqual([])
})

test('no room is named for nothing in particular, and production knows no test', () => {
  expect(
    own.filter(({ path }) => /(^|\/)(utils?|helpers?|common|types|manager)[./]/.test(path)).map(({ path }) => path),
  ).toEqual([])
  expect(own.filter(({ text }) => /NODE_ENV|from '[^']*\/test\//.test(text)).map(({ path }) => path)).toEqual([])
})
