import { spawnSync } from 'node:child_process'
import { test } from 'vitest'

/** OpenSSL 3, as a second opinion. Not everyone has it (macOS calls LibreSSL so); where CI is set, its absence fails the tests. */
const here = spawnSync('openssl', ['version'], { encoding: 'utf8' }).stdout?.startsWith('OpenSSL 3') === true

export const testWithOpenssl = test.skipIf(!here && !process.env.CI)

/** What `openssl` prints for these arguments and that input. Fails with its own words. */
export function openssl(args: readonly string[], input: Uint8Array | string = ''): string {
  return opensslBytes(args, input).toString('utf8')
}

export function opensslBytes(args: readonly string[], input: Uint8Array | string = ''): Buffer {
  const { status, stdout, stderr, error } = spawnSync('openssl', args, { input })
  if (error) throw error
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr.toString('utf8')}`)
  return stdout
}
