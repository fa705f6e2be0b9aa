import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { authorityOf } from '../../../src/authority/authority.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { systemRandom } from '../../../src/core/random.ts'
import { makeCross } from '../../../src/issuance/ca-certificates.ts'
import { AuthorityDirectory } from '../../../src/storage/authority-directory.ts'
import { certificatePem, readPem } from '../../../src/x509/pem.ts'
import { aRoot, type TestCa, writeCacerts } from '../../_support/plugged-ca.ts'
import { Alcazar } from '../_support/alcazar.ts'
import { verifyWithOpenssl } from '../_support/held-certificate.ts'
import { PilotAgent } from '../_support/pilot-agent.ts'
import type { Stage } from '../_support/stage.ts'
import { Workload } from '../_support/workload.ts'
import type { World } from './world.ts'

export const title =
  'istio’s agent keeps the cross-certificate before the roots, and who has only the old root takes its chain'

export default async function ({ stage }: World): Promise<void> {
  const [old, root] = [await aRoot(), await aRoot()]
  const cacerts = stage.folder('cacerts')
  await writeCacerts(cacerts, old, [old], [old])
  const cluster = await stage.testbed.cluster('control-plane')
  stage.atEnd(() => cluster.leaveAsFound())
  const alcazar = await Alcazar.start(stage, { pluggedCa: cacerts, kubeconfig: cluster.kubeconfig })
  await alcazar.end()
  await addCrossedRoot(alcazar.stateDirectory, root, old)
  await writeCacerts(cacerts, root, [root], [old, root])
  await alcazar.start()

  const namespace = `chains-${randomBytes(3).toString('hex')}`
  await cluster.createNamespace(namespace)
  stage.atEnd(() => cluster.kubectl('delete', 'namespace', namespace, '--wait=false'))
  const workload = await Workload.create(cluster, namespace, 'cart')
  const agent = await PilotAgent.start(stage, {
    name: 'cart',
    workload,
    // It trusts only the old root: what it connects by is our own serving certificate, crossed too.
    caAddress: alcazar.address,
    caRoot: bundle(stage, 'bootstrap', old),
    key: 'ECDSA',
  })
  const held = (await agent.certificate('a certificate')).copyTo(stage.folder('held'))
  const [, issuing, cross, ...roots] = ders(join(held, 'cert-chain.pem'))
  assert.ok(issuing && cross)
  // It appends all that the answer has, the roots too.
  assert.deepEqual(roots, [old, root].map(derOf))
  // In what order it holds its trust anchors is its own affair.
  const anchors = ders(join(held, 'root-cert.pem'))
  assert.deepEqual(anchors.toSorted(Buffer.compare), [old, root].map(derOf).toSorted(Buffer.compare))
  for (const [name, ...trusted] of [
    ['old', old],
    ['new', root],
    ['both', old, root],
  ] as const)
    await verifyWithOpenssl(held, bundle(stage, name, ...trusted))
  await agent.end()
  await alcazar.end()
}

/** The journal as a rotation leaves it: the new root prepared, certified by the old one. */
async function addCrossedRoot(stateDirectory: string, root: TestCa, old: TestCa): Promise<void> {
  const store = new AuthorityDirectory(stateDirectory, [], async () => true)
  const { revision, set } = (await store.read()) as NonNullable<Awaited<ReturnType<AuthorityDirectory['read']>>>
  const making = { clock: systemClock, random: systemRandom }
  const certificate = await makeCross(root.certificate, { certificate: old.certificate, signer: old.key }, making)
  const [by] = set.authorities.filter(({ role }) => role === 'root').map(({ id }) => id)
  assert.ok(by)
  const bundleSequence = set.bundleSequence + 1
  const cross = [{ by, certificate }]
  const details = { role: 'root', state: 'prepared', key: 'plugged-in', cross, bundledSince: bundleSequence } as const
  const prepared = authorityOf(root.certificate, details, systemClock.now())
  await store.write(revision, { ...set, bundleSequence, authorities: [...set.authorities, prepared] })
}

function bundle(stage: Stage, name: string, ...roots: readonly TestCa[]): string {
  const path = join(stage.folder('bundles'), `${name}.pem`)
  writeFileSync(path, roots.map((root) => certificatePem(derOf(root))).join(''))
  return path
}

const derOf = (ca: TestCa): Buffer => Buffer.from(ca.certificate.der)
const ders = (path: string): Buffer[] =>
  readPem(readFileSync(path, 'utf8'), 1024 * 1024, 'nothing else').map(({ der }) => Buffer.from(der))
