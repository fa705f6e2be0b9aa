#!/usr/bin/env node
// What the inventory of live SVIDs costs, as one line of JSON; a part of bench. Usage: scripts/node --expose-gc scripts/bench-inventory.ts
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClusterWatch, Pod } from '../src/attestation/cluster.ts'
import { gate } from '../src/authority/gate.ts'
import { systemClock } from '../src/core/clock.ts'
import { DAY } from '../src/core/duration.ts'
import { Inventory } from '../src/ledger/inventory.ts'
import type { IntentRecord, IssuedRecord } from '../src/ledger/ledger.ts'
import { inventoryEvidence } from '../src/service/inventory-evidence.ts'
import { IssuancesUnderWay } from '../src/service/issuances-under-way.ts'
import { readLedger } from '../src/storage/ledger-directory.ts'
import { aSet, rootOf } from '../test/_support/authority-sets.ts'
import { aRoot } from '../test/_support/plugged-ca.ts'

const SVIDS = 100_000
/** An intent and its outcome each. */
const LINES = 300_000
const collect = globalThis.gc
if (!collect) throw new Error('run it with --expose-gc')
const NEVER = new AbortController().signal
const now = Date.now()

const digits = (n: number, count: number) => n.toString(16).padStart(count, '0')
/** Each of a pod of its own, which costs most. */
function issued(n: number): IssuedRecord {
  return {
    kind: 'issued',
    at: new Date(now - LINES + n).toISOString(),
    requestId: digits(n, 16),
    peer: '10.12.13.14:40000',
    id: `spiffe://cluster.local/ns/namespace-${n % 500}/sa/account-${n % 3000}`,
    serial: digits(Math.imul(n, 0x9e3779b1) >>> 0, 32),
    issuer: 'a'.repeat(40),
    notAfter: new Date(now + DAY - LINES + n).toISOString(),
    bundleSequence: 1,
    sha256: 'c'.repeat(64),
    method: 'service-account-token',
    pod: `workload-${n % 5000}-5d4f6c7b8d-${String(n % 100_000).padStart(5, '0')}`,
    podUid: `00000000-0000-4000-8000-${digits(Math.imul(n, 0x85ebca6b) >>> 0, 12)}`,
  }
}
function intent(n: number): IntentRecord {
  const { kind: _kind, bundleSequence: _sequence, sha256, method, pod, podUid, ...common } = issued(n)
  const caller = { namespace: `namespace-${n % 500}`, serviceAccount: `account-${n % 3000}`, method, pod, podUid }
  return {
    kind: 'intent',
    ...common,
    caller,
    notBefore: common.at,
    key: 'ecdsa-p256',
    tbsSha256: sha256,
  } as IntentRecord
}

async function* records(): AsyncGenerator<IssuedRecord> {
  // Texts as a ledger’s lines give them, none of which is a piece of another.
  for (let n = 0; n < SVIDS; n++) yield JSON.parse(JSON.stringify(issued(n))) as IssuedRecord
}

function used(): number {
  for (let round = 0; round < 3; round++) collect?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const inventory = new Inventory()
const before = used()
await inventory.rebuild(records(), DAY, systemClock, NEVER)
const bytes = (used() - before) / inventory.size

/** The median of what it takes, in milliseconds of CPU: the machine may have other work. */
function cpuOf(what: () => void): number {
  const times = Array.from({ length: 15 }, () => {
    const began = process.cpuUsage()
    what()
    const { user, system } = process.cpuUsage(began)
    return (user + system) / 1000
  })
  return times.sort((a, b) => a - b)[times.length >> 1] as number
}

const gatherMs = cpuOf(() => {
  let count = 0
  for (const { svids } of inventory.workloads(new Date(), () => true)) count += svids.length
  if (count !== SVIDS) throw new Error(`${count} SVIDs are alive, not ${SVIDS}`)
})

const [active, prepared] = [rootOf(await aRoot()), rootOf(await aRoot(), { state: 'prepared', bundledSince: 2 })]
/** As a server has it: pods that the watch shows, and some certificates that are being issued. */
const pods = new Map<string, Pod>()
for await (const { podUid } of records()) pods.set(podUid as string, {} as Pod)
const watch: ClusterWatch = {
  pod: (uid) => pods.get(uid),
  isGone: () => false,
  serviceAccountUid: () => undefined,
  runsOn: () => false,
  silence: () => 0,
}
const underWay = new IssuancesUnderWay()
for (let n = 0; n < 10; n++)
  underWay.begin({
    name: `namespace-${n}/${issued(n).pod}`,
    namespace: `namespace-${n}`,
    svid: { issuer: 'a'.repeat(40), bundle: 1, endsAt: now + DAY },
  })
/** The gate of a root that is in every bundle from one on. */
function gateMs(bundledSince: number, expected: number): number {
  const root = { ...prepared, bundledSince }
  const set = aSet([active, root], { bundleSequence: 2 })
  return cpuOf(() => {
    const evidence = underWay.among(inventoryEvidence(inventory, watch, set, new Date()))
    const { inTheWay } = gate(set, root, 'trusted', evidence)
    if (inTheWay !== expected) throw new Error(`${inTheWay} are in the way, not ${expected}`)
  })
}
const gateOfNoneMs = gateMs(1, 0)
const gateOfAllMs = gateMs(2, SVIDS)

const work = mkdtempSync(join(tmpdir(), 'alcazar-bench-inventory-'))
try {
  const file = join(work, `${new Date(now).toISOString().slice(0, 10)}.jsonl`)
  for (let from = 0; from < LINES / 2; from += 5000)
    appendFileSync(
      file,
      Array.from({ length: 5000 }, (_, n) => [intent(from + n), issued(from + n)])
        .flat()
        .map((record) => `${JSON.stringify(record)}\n`)
        .join(''),
    )
  const began = performance.now()
  await new Inventory().rebuild(readLedger(work, new Date(now), { without: 'intent' }), DAY, systemClock, NEVER)
  const rebuildMs = performance.now() - began
  process.stdout.write(`${JSON.stringify({ bytes, gatherMs, gateOfNoneMs, gateOfAllMs, rebuildMs })}\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
