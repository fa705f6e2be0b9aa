#!/usr/bin/env node
// Runs end-to-end suites with real clients and a real Kubernetes: the numbered steps of test/e2e/<suite>/, in order.
// Usage: npm run e2e -- SUITE…
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { REPOSITORY, Stage } from '../test/e2e/_support/stage.ts'

type Step = { readonly title: string; readonly default: (world: unknown) => Promise<void> }
type WorldModule = { readonly createWorld: (stage: Stage) => unknown }

const SUITES = join(REPOSITORY, 'test/e2e')
const STEP_WITHIN_MS = 5 * 60_000
const LOG_LINES = 40

const say = (text: string) => process.stdout.write(`${text}\n`)
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(1)} s`

/** Ctrl-C, or an error that no step waits for, ends the running step; the teardown still comes. */
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => reject(new Error(signal)))
  process.on('uncaughtException', reject)
})
interrupted.catch(() => undefined)
// Whoever reads this may stop to (npm run e2e | head).
process.stdout.on('error', () => undefined)

async function passes(step: Step, world: unknown, ...failures: Promise<never>[]): Promise<boolean> {
  const began = performance.now()
  let watchdog: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    watchdog = setTimeout(() => reject(new Error(`still running after ${STEP_WITHIN_MS / 1000} s`)), STEP_WITHIN_MS)
  })
  try {
    await Promise.race([step.default(world), late, ...failures])
    say(`  ✔ ${step.title}  (${seconds(began)})`)
    return true
  } catch (error) {
    say(`  ✘ ${step.title}  (${seconds(began)})`)
    say(`    ${(error instanceof Error ? (error.stack ?? error.message) : String(error)).replaceAll('\n', '\n    ')}`)
    return false
  } finally {
    clearTimeout(watchdog)
  }
}

function showLogs({ directory, processes }: Stage): void {
  say(`    logs and files are in ${directory}`)
  for (const log of processes.logs) {
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n')
    say(`\n    ${log}${lines.length > LOG_LINES ? `, the last ${LOG_LINES} of ${lines.length} lines` : ''}:`)
    for (const line of lines.slice(-LOG_LINES)) say(`    | ${line}`)
  }
}

async function runSuite(suite: string): Promise<{ passed: number; failed: number }> {
  const folder = join(SUITES, suite)
  const names = readdirSync(folder)
    .filter((name) => /^\d\d-[a-z0-9-]+\.ts$/.test(name))
    .sort()
  const steps = await Promise.all(names.map(async (name) => (await import(join(folder, name))) as Step))
  const teardown = names.at(-1)?.startsWith('99-') ? steps.pop() : undefined
  if (!teardown) throw new Error(`${folder} has no 99-teardown.ts`)
  const { createWorld } = (await import(join(folder, 'world.ts'))) as WorldModule
  const stage = new Stage()
  const world = createWorld(stage)
  say(`\n${suite}`)
  let passed = 0
  let failed = 0
  for (const step of steps) {
    if (await passes(step, world, stage.accident, interrupted)) passed++
    else {
      failed++
      showLogs(stage)
      break
    }
  }
  if (await passes(teardown, world)) passed++
  else failed++
  // What a failed teardown left.
  await stage.end()
  if (failed === 0) rmSync(stage.directory, { recursive: true, force: true })
  return { passed, failed }
}

const known = readdirSync(SUITES).filter((name) => existsSync(join(SUITES, name, '99-teardown.ts')))
const wanted = process.argv.slice(2)
if (wanted.length === 0 || !wanted.every((name) => known.includes(name))) {
  process.stderr.write(`usage: npm run e2e -- SUITE…\nsuites: ${known.join(' ')}\n`)
  process.exit(2)
}
const total = { passed: 0, failed: 0 }
for (const suite of wanted) {
  const began = performance.now()
  const { passed, failed } = await runSuite(suite).catch((error: unknown) => {
    say(`  ✘ ${error instanceof Error ? error.message : String(error)}`)
    return { passed: 0, failed: 1 }
  })
  total.passed += passed
  total.failed += failed
  say(`  ${suite}: ${seconds(began)}`)
}
say(`\n${total.passed} passed, ${total.failed} failed`)
process.exit(total.failed === 0 ? 0 : 1)
