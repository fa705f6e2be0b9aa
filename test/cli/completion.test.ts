import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { alcazar } from '../_support/a-terminal.ts'

/** What bash offers for the words so far. */
async function offered(...words: string[]): Promise<string[]> {
  const { out } = await alcazar(['completion', 'bash'])
  const script = `${out}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _alcazar; printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8', cwd: '/' }).trim().split('\n')
}

test('bash completes verbs, verbs of a group and flags', async () => {
  expect(await offered('alcazar', 'is')).toEqual(['issue'])
  expect(await offered('alcazar', 'ledger', '')).toEqual(['list', 'show'])
  expect(await offered('alcazar', 'root', 'r')).toEqual(['rotate', 'rollback', 'revoke'])
  expect(await offered('alcazar', 'root', 'taint', '--w')).toEqual(['--within'])
  expect(await offered('alcazar', 'issue', '--na')).toEqual(['--namespace'])
  expect(await offered('alcazar', 'ledger', 'list', '--ref')).toEqual(['--refused'])
})

test('zsh and fish get a script of their own', async () => {
  expect((await alcazar(['completion', 'zsh'])).out).toMatch(/^autoload -U \+X bashcompinit/)
  expect((await alcazar(['completion', 'fish'])).out).toMatch(/complete -c alcazar -n __fish_use_subcommand -a issue/)
})

test('another shell is refused with the ones there are', async () => {
  const { exit, err } = await alcazar(['completion', 'tcsh'])
  expect(exit).toBe(2)
  expect(err).toMatch(/bash, zsh, fish/)
})
