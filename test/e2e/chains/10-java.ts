import assert from 'node:assert/strict'
import { join } from 'node:path'
import { unexpected } from '../../_support/crossed-chains.ts'
import { run } from '../_support/run.ts'
import type { World } from './world.ts'

export const title = 'Java takes what it should: path builder, path validator, JSSE as client and as server'

export default async function (world: World): Promise<void> {
  const said = await run('java', [join(import.meta.dirname, 'java/VerifyChains.java'), world.folder], { seconds: 120 })
  const lines = said
    .trim()
    .split('\n')
    .map((line) => line.split(/ (.*)/s, 2) as [way: string, answer: string])
  const answers = (way: string) => lines.filter(([its]) => its === way).map(([, answer]) => answer)
  for (const way of ['builder', 'validator', 'client', 'server'])
    assert.deepEqual([way, unexpected(answers(way).join('\n'))], [way, []])
  // A PKCS#12 keystore wants each certificate to be signed by the next: one cross-certificate is such a chain, more behind it is none.
  const invalid = 'refuses: java.security.KeyStoreException: Certificate chain is not valid'
  assert.deepEqual(answers('keystore'), [
    'old accepts',
    'new accepts',
    'new-crossed accepts',
    `new-crossed-as-istio ${invalid}`,
    `newest-crossed-twice ${invalid}`,
  ])
}
