#!/usr/bin/env node
// Builds the native part of pkcs11js for the Node.js beside the sources, with its headers; `npm ci` runs no script, so it leaves that out.
// Needs python3, make and a C++ compiler. Usage: npm run build-pkcs11 (safe to run again).
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const library = resolve(import.meta.dirname, '../node_modules/pkcs11js')
const node = resolve(process.execPath, '../..')
// npm tells its scripts where its own node-gyp is.
const gyp = process.env.npm_config_node_gyp
if (!gyp || !existsSync(library)) {
  process.stderr.write('npm ci brings pkcs11js, and npm run build-pkcs11 builds it\n')
  process.exit(2)
}
// Without headers beside it (a Node.js of the machine's own), node-gyp fetches them from nodejs.org.
const headers = existsSync(join(node, 'include/node/node_api.h')) ? [`--nodedir=${node}`] : []
execFileSync(process.execPath, [gyp, 'rebuild', '--loglevel=warn', ...headers], { cwd: library, stdio: 'inherit' })
// That it can be loaded is the proof.
await import('pkcs11js')
