import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../_support/run.ts'
import type { Held } from './mesh-workload.ts'

const BUNDLES = ['old', 'both', 'new'] as const
type Bundle = (typeof BUNDLES)[number]

/** What signs a leaf, and whether its chain leads to the old root, too. */
const ACCEPTED_BY = {
  'under the old root': ['old', 'both'],
  'under the new root, with the cross-certificate': ['old', 'both', 'new'],
  'under the new root alone': ['both', 'new'],
} as const satisfies Record<string, readonly Bundle[]>
export type Kind = keyof typeof ACCEPTED_BY

/** OpenSSL's opinion of what workloads hold, for those who have the old bundle, the new one, and both. */
export class Paths {
  readonly #folder: string
  readonly #old: X509Certificate
  readonly #new: X509Certificate
  /** What was verified, by the phase in which. */
  readonly seen = new Map<string, Set<Kind>>()

  constructor(folder: string, roots: { readonly old: X509Certificate; readonly new: X509Certificate }) {
    this.#folder = folder
    this.#old = roots.old
    this.#new = roots.new
    mkdirSync(folder, { recursive: true })
    for (const [name, trusted] of Object.entries({
      old: [this.#old],
      both: [this.#old, this.#new],
      new: [this.#new],
    } satisfies Record<Bundle, X509Certificate[]>))
      writeFileSync(join(folder, `${name}.pem`), trusted.map(String).join(''))
  }

  /** @throws where OpenSSL takes what it should not, or does not take what it should */
  async check({ chain }: Pick<Held, 'chain'>, moment: string): Promise<void> {
    const kind = this.#kindOf(chain.map((pem) => new X509Certificate(pem)))
    const path = join(this.#folder, 'chain.pem')
    writeFileSync(path, chain.join(''))
    const at = new Date()
    const accepted: Bundle[] = []
    for (const bundle of BUNDLES)
      if (await verifies(path, join(this.#folder, `${bundle}.pem`), at)) accepted.push(bundle)
    assert.deepEqual(accepted, ACCEPTED_BY[kind], `${moment}: a chain ${kind} is taken with these bundles`)
    this.seen.set(moment, (this.seen.get(moment) ?? new Set()).add(kind))
  }

  #kindOf([, issuing, ...above]: readonly X509Certificate[]): Kind {
    if (issuing?.issuer === this.#old.subject) return 'under the old root'
    assert.equal(issuing?.issuer, this.#new.subject, 'an issuing authority stands under one of the two roots')
    const isCrossed = above.some(({ subject, issuer }) => subject === this.#new.subject && issuer === this.#old.subject)
    return isCrossed ? 'under the new root, with the cross-certificate' : 'under the new root alone'
  }
}

/** @param at one moment for several questions: what is asked about may end meanwhile */
export async function verifies(chain: string, roots: string, at = new Date()): Promise<boolean> {
  const seconds = `${Math.floor(at.getTime() / 1000)}`
  for (const purpose of ['sslclient', 'sslserver']) {
    const args = ['verify', '-x509_strict', '-purpose', purpose, '-no-CApath', '-no-CAstore']
    try {
      await run('openssl', [...args, '-attime', seconds, '-CAfile', roots, '-untrusted', chain, chain])
    } catch (error) {
      if (/verification failed/.test((error as Error).message)) return false
      throw error
    }
  }
  return true
}
