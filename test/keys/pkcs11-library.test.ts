import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { scratch } from '../_support/scratch.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')

/** Alcazar's keys in a folder of their own, where only what `install` puts there is installed. */
async function openingThere(install: (modules: string) => void): Promise<{ code: string; message: string }> {
  const folder = scratch()
  for (const room of ['core', 'keys']) cpSync(join(root, 'src', room), join(folder, 'src', room), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  mkdirSync(join(folder, 'node_modules'))
  install(join(folder, 'node_modules'))
  const program = `
    const { Pkcs11Token } = await import('./src/keys/pkcs11.ts')
    const { Pkcs11Keys } = await import('./src/keys/pkcs11-keys.ts')
    const token = new Pkcs11Token({ module: '/a/module.so', tokenLabel: 'root', pin: async () => '1' })
    const { code, message } = await new Pkcs11Keys(token).open('ab'.repeat(20)).catch((error) => error)
    console.log(JSON.stringify({ code, message }))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: folder })
  return JSON.parse(stdout)
}

const REFUSAL = {
  code: 'wrong_state',
  message:
    'a PKCS#11 token needs the npm package pkcs11js with its native part, and that can’t be loaded here; in a clone, “npm run build-pkcs11” builds it; beside an installed Alcazar, “npm install pkcs11js” does',
}

describe('the library for PKCS#11', () => {
  test('is asked for in one line where it is not installed', async () => {
    expect(await openingThere(() => undefined)).toEqual(REFUSAL)
  })

  test('is asked for in one line where it is installed and was not built', async () => {
    const unbuilt = (modules: string) =>
      cpSync(join(root, 'node_modules/pkcs11js'), join(modules, 'pkcs11js'), {
        recursive: true,
        filter: (path) => !path.endsWith('/build'),
      })
    expect(await openingThere(unbuilt)).toEqual(REFUSAL)
  })

  test('is asked for in one line where what was built is no library for this machine', async () => {
    const broken = (modules: string) => {
      cpSync(join(root, 'node_modules/pkcs11js'), join(modules, 'pkcs11js'), { recursive: true })
      mkdirSync(join(modules, 'pkcs11js/build/Release'), { recursive: true })
      writeFileSync(join(modules, 'pkcs11js/build/Release/pkcs11.node'), 'for another machine')
    }
    expect(await openingThere(broken)).toEqual(REFUSAL)
  })

  test('is built by nobody who doesn’t ask for it: npm ci runs no script', () => {
    expect(readFileSync(join(root, '.npmrc'), 'utf8')).toMatch(/^ignore-scripts=true$/m)
    expect(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).optionalDependencies).toHaveProperty('pkcs11js')
  })
})
