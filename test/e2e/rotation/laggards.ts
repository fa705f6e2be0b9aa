import assert from 'node:assert/strict'
import { pause, until } from '../_support/until.ts'
import { command } from './command.ts'
import type { Mesh } from './mesh.ts'
import type { MeshWorkload } from './mesh-workload.ts'
import { checkNobodyFailed } from './rotation-run.ts'
import type { World } from './world.ts'

const WORKLOADS = 10
const TTL = 16
/** The others are surely ready then. */
const OTHERS_READY_WITHIN = 40

type Case = {
  readonly name: string
  /** Lifetime of the one that never renews. */
  readonly ttlSeconds: number
  /** What lets the rotation go on. */
  readonly resolve: (mesh: Mesh, laggard: MeshWorkload) => Promise<void>
  readonly within: number
}

const CASES: readonly Case[] = [
  {
    name: 'gone',
    ttlSeconds: 3600,
    resolve: async (mesh, { pod }) => mesh.cluster.api.removePod(pod.uid),
    // A pod counts as gone once the watch has been heard for a minute since it was known.
    within: 130,
  },
  {
    name: 'forgotten',
    ttlSeconds: 3600,
    resolve: async ({ alcazar }, laggard) => {
      const { name } = laggard
      const { code, lines, err } = await command(alcazar, ['workloads', 'forget', name, '--because', 'its node burnt'])
      assert.equal(code, 0, err)
      const { forgotten } = lines[0] as { forgotten: { workload: string }[] }
      assert.deepEqual(
        forgotten.map(({ workload }) => workload),
        [name],
      )
      // What it has renews nothing.
      assert.equal(await laggard.renew(), 'refused')
    },
    within: 60,
  },
  { name: 'ended', ttlSeconds: 45, resolve: async () => undefined, within: 90 },
]

/** One workload that never renews holds a rotation up, by name, until it is gone, forgotten, or its certificate has ended. */
export async function laggards(world: World): Promise<void> {
  await Promise.all(CASES.map((one) => walk(world, one)))
}

async function walk(world: World, { name, ttlSeconds, resolve, within }: Case): Promise<void> {
  const options = { workloads: WORKLOADS, ttl: TTL, requestsPerSecond: 4 }
  const mesh = await world.startSealed({ name: `laggard-${name}`, ...options })
  const laggard = mesh.aWorkload(0, { serviceAccount: 'laggard', ttlSeconds })
  assert.equal(await laggard.renew(), 'by token')
  mesh.live()
  const rotating = command(mesh.alcazar, ['root', 'rotate'])
  await until(`${name}: nobody else is in the way`, OTHERS_READY_WITHIN, async () => {
    const { phase, live, ready } = await mesh.rotation()
    return phase === 'distribute' && live === WORKLOADS + 1 && ready === WORKLOADS
  })
  await checkNamed(mesh, laggard)
  // Nothing moves by itself meanwhile.
  if (name !== 'ended') await pause(5000)
  assert.equal((await mesh.rotation()).phase, 'distribute')
  assert.ok(laggard.held.notAfter > Date.now(), 'the laggard’s certificate is alive all the time')
  await resolve(mesh, laggard)
  await until(`${name}: the new root signs`, within, async () => (await mesh.rotation()).incoming === undefined)
  const activated = Date.now()
  if (name === 'ended') assert.ok(activated >= laggard.held.notAfter, 'it waited for the end of that certificate')
  else assert.ok(activated < laggard.held.notAfter)
  const { code, lines, err } = await rotating
  assert.equal(code, 0, err)
  const named = lines.flatMap(({ gate }) => (gate as { first: { workload: string }[] } | undefined)?.first ?? [])
  assert.ok(
    named.some(({ workload }) => workload === laggard.name),
    'rotate named it',
  )
  checkNobodyFailed(mesh)
  await mesh.end()
  await mesh.alcazar.end()
}

/** Wherever an admin looks. */
async function checkNamed({ alcazar }: Mesh, { name }: MeshWorkload): Promise<void> {
  const status = await command(alcazar, ['root', 'status'], { json: false })
  assert.equal(status.code, 0, status.err)
  assert.match(status.out, new RegExp(name), 'root status names it')
  const activate = await command(alcazar, ['root', 'activate'], { json: false })
  assert.equal(activate.code, 6)
  assert.match(activate.err, new RegExp(`Not yet: 1 of ${WORKLOADS + 1} live workloads (is|are) in the way`))
  assert.match(activate.err, new RegExp(`${name} +holds bundle 1, not 2 yet +ends in`))
  const lagging = await command(alcazar, ['workloads', '--lagging'], { json: false })
  assert.match(lagging.out, new RegExp(name))
}
