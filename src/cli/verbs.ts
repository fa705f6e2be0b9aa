import type { Verb } from './env.ts'

type Loader = () => Promise<readonly Verb[]>

/**
 * Every verb by its first word, in the order help shows them. A verb's module, with all that it imports, is loaded only when it is asked for:
 * all together take as long as half a server's start.
 */
const LOADERS: readonly (readonly [first: string, load: Loader])[] = [
  ['serve', () => import('./commands/serve.ts').then(({ serve }) => [serve])],
  ['issue', () => import('./commands/issue.ts').then(({ issue }) => [issue])],
  ['token', () => import('./commands/token.ts').then(({ token }) => [token])],
  ['inspect', () => import('./commands/inspect.ts').then(({ inspect }) => [inspect])],
  ['workloads', () => import('./commands/workloads.ts').then(({ workloads }) => [workloads])],
  ['revoke', () => import('./commands/revoke.ts').then(({ revoke }) => [revoke])],
  ['revocations', () => import('./commands/revoke.ts').then(({ revocations }) => [revocations])],
  ['schedule', () => import('./commands/schedule.ts').then(({ schedule }) => [schedule])],
  ['ledger', () => import('./commands/ledger.ts').then(({ ledgerList, ledgerShow }) => [ledgerList, ledgerShow])],
  ['root', () => import('./commands/root.ts').then(({ rootVerbs }) => rootVerbs('root'))],
  ['authority', () => import('./commands/root.ts').then(({ rootVerbs }) => rootVerbs('authority'))],
  ['workloads', () => import('./commands/workloads-forget.ts').then(({ workloadsForget }) => [workloadsForget])],
  ['import', () => import('./commands/import.ts').then(({ importVerb }) => [importVerb])],
  ['export', () => import('./commands/export.ts').then(({ exportVerb }) => [exportVerb])],
  ['keys', () => import('./commands/keys.ts').then(({ keysReseal }) => [keysReseal])],
  ['config', () => import('./commands/config.ts').then(({ configCheck, configPrint }) => [configCheck, configPrint])],
  ['version', () => import('./commands/version.ts').then(({ version }) => [version])],
  ['completion', () => import('./commands/completion.ts').then(({ completionVerb }) => [completionVerb(verbs)])],
]

/** The verbs whose first word this is; where there is none, all: help, completion and suggestions need them. */
export async function verbs(first?: string): Promise<readonly Verb[]> {
  const named = LOADERS.filter(([word]) => word === first)
  const wanted = named.length > 0 ? named : LOADERS
  return (await Promise.all(wanted.map(([, load]) => load()))).flat()
}
