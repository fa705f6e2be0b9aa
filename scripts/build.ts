#!/usr/bin/env node
// Makes the publishable package in dist/: plain JavaScript with its declarations. Usage: npm run build (safe to run again).
import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })
execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(root, 'scripts/tsconfig.build.json')], {
  stdio: 'inherit',
})
const { name, version, description, license, type, engines, dependencies, optionalDependencies } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
)
// npm would build an optional dependency on every machine; an optional peer only where somebody asks for it.
const { pkcs11js, ...platforms } = optionalDependencies
const published = {
  ...{ name, version, description, license, type, bin: { alcazar: 'bin/alcazar' }, files: ['bin', 'lib'], engines },
  ...{ dependencies, optionalDependencies: platforms },
  ...{ peerDependencies: { pkcs11js }, peerDependenciesMeta: { pkcs11js: { optional: true } } },
}
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md', 'SECURITY.md']) cpSync(join(root, file), join(dist, file))
for (const file of ['alcazar', 'node']) cpSync(join(root, 'scripts', file), join(dist, 'bin', file))
