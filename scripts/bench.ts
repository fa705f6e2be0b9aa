#!/usr/bin/env node
// Measures the real server and says which goals hold. Usage: npm run bench [-- quick]
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { aCsr } from '../test/_support/csr.ts'
import { FakeApiServer } from '../test/_support/fake-api-server.ts'
import { BareGrpcClient } from '../test/_support/grpc-client.ts'
import { aRoot, writeCacerts } from '../test/_support/plugged-ca.ts'
import { podClaims, TokenSigner } from '../test/_support/tokens.ts'

const quick = process.argv.includes('quick')
const SECONDS = quick ? 2 : 5
const WARM_UP_SECONDS = 25
const ACCOUNTS = 2000
/** So short that about as many certificates are alive as so many pods hold: pods do not ask a hundred times a minute. */
const TTL_SECONDS = 2
const root = resolve(import.meta.dirname, '..')
const results: { goal: string; measured: string; holds: boolean }[] = []
const goal = (what: string, measured: string, holds: boolean) => results.push({ goal: what, measured, holds })
const say = (text: string) => process.stdout.write(`${text}\n`)

/** CPU microseconds for what no CA can do without: sign once, verify the CSR, verify the token. Measured beside each load: machines vary. */
function floor(): number {
  const speed = (...what: string[]) =>
    execFileSync('openssl', ['speed', '-seconds', '1', ...what], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  const [, rsaVerify] = /rsa 2048 bits .*?([\d.]+)\s+([\d.]+)\s*$/m.exec(speed('rsa2048'))?.slice(1) ?? []
  const [ecSign, ecVerify] = /256 bits ecdsa .*?([\d.]+)\s+([\d.]+)\s*$/m.exec(speed('ecdsap256'))?.slice(1) ?? []
  const us = [ecSign, ecVerify, rsaVerify].map((perSecond) => 1e6 / Number(perSecond))
  return us.reduce((sum, one) => sum + one, 0)
}

class Server implements AsyncDisposable {
  readonly process: ChildProcess
  readonly address: { host: string; port: number }
  private constructor(child: ChildProcess, port: number) {
    this.process = child
    this.address = { host: '127.0.0.1', port }
  }

  static start(config: string, port: number): Server {
    const child = spawn(join(root, 'dist/bin/alcazar'), ['serve', '--config', config], { stdio: 'ignore' })
    return new Server(child, port)
  }

  /** CPU microseconds so far, user and system. */
  cpu(): number {
    const fields = readFileSync(`/proc/${this.process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  }

  megabytes(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.process.pid}/status`, 'utf8'))?.[1]) / 1024
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null) return
    const ended = new Promise((done) => this.process.once('exit', done))
    this.process.kill('SIGTERM')
    await ended
  }
}

type Work = { readonly csr: string; readonly tokens: readonly string[] }
type Load = {
  readonly floor: number
  readonly rate: number
  readonly p50: number
  readonly p99: number
  readonly cpu: number
}

let turn = 0
async function one(client: BareGrpcClient, work: Work): Promise<void> {
  const answer = await client.createCertificate(
    { csr: work.csr, validityDuration: BigInt(TTL_SECONDS) },
    work.tokens[turn++ % work.tokens.length] as string,
  )
  if (answer.status !== 0) throw new Error(`refused: ${answer.status} ${answer.message}`)
}

/** `at` requests at a time for a while, each on `client()`. */
async function load(
  server: Server,
  at: number,
  until: { seconds?: number; count?: number },
  each: () => Promise<void>,
): Promise<Load> {
  const times: number[] = []
  const before = floor()
  const cpu = server.cpu()
  const began = performance.now()
  const going = () =>
    until.count === undefined
      ? performance.now() - began < (until.seconds as number) * 1000
      : times.length < until.count
  await Promise.all(
    Array.from({ length: at }, async () => {
      while (going()) {
        const start = performance.now()
        await each()
        times.push(performance.now() - start)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1000
  const spent = (server.cpu() - cpu) / times.length
  times.sort((a, b) => a - b)
  return {
    floor: (before + floor()) / 2,
    rate: times.length / seconds,
    p50: times[times.length >> 1] as number,
    p99: times[Math.floor(times.length * 0.99)] as number,
    cpu: spent,
  }
}

/** The inventory of live SVIDs in a process of its own, where memory can be measured to the byte. */
function inventoryFigures(): typeof results {
  const out = execFileSync(process.execPath, ['--expose-gc', join(root, 'scripts/bench-inventory.ts')], {
    encoding: 'utf8',
  })
  const { bytes, gatherMs, gateOfNoneMs, gateOfAllMs, rebuildMs } = JSON.parse(out) as Record<
    'bytes' | 'gatherMs' | 'gateOfNoneMs' | 'gateOfAllMs' | 'rebuildMs',
    number
  >
  return [
    { goal: '100,000 live SVIDs ≤ 300 bytes each', measured: `${bytes.toFixed(0)} bytes`, holds: bytes <= 300 },
    { goal: 'all of them by workload ≤ 20 ms of CPU', measured: `${gatherMs.toFixed(1)} ms`, holds: gatherMs <= 20 },
    {
      goal: 'the gate over 100,000 live SVIDs, none in its way ≤ 50 ms of CPU',
      measured: `${gateOfNoneMs.toFixed(1)} ms`,
      holds: gateOfNoneMs <= 50,
    },
    {
      goal: 'the same, all in its way ≤ 50 ms of CPU',
      measured: `${gateOfAllMs.toFixed(1)} ms`,
      holds: gateOfAllMs <= 50,
    },
    {
      goal: 'inventory from 300,000 lines of ledger ≤ 2 s',
      measured: `${(rebuildMs / 1000).toFixed(2)} s`,
      holds: rebuildMs <= 2000,
    },
  ]
}

const subjectOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).sub

const row = (name: string, { floor: base, rate, p50, p99, cpu }: Load, server: Server) =>
  say(
    `${name.padEnd(22)} ${rate.toFixed(0).padStart(6)}/s  p50 ${p50.toFixed(2).padStart(6)} ms  p99 ${p99.toFixed(2).padStart(7)} ms  ${cpu.toFixed(0).padStart(5)} µs CPU = ${(cpu / base).toFixed(2)} × floor ${base.toFixed(0)} µs  ${server.megabytes().toFixed(0)} MB`,
  )

const work = mkdtempSync(join(tmpdir(), 'alcazar-bench-'))
try {
  // As kube-apiserver signs them by default, and as the floor counts: an RSA-2048 key.
  const signer = new TokenSigner({ alg: 'RS256' })
  await using api = await FakeApiServer.start(signer)
  // A real one knows the tokens that it issued, which a server asks before its watches are complete.
  api.review = (token) => ({ authenticated: true, user: { username: subjectOf(token) }, audiences: ['istio-ca'] })
  const now = new Date()
  const tokens: string[] = []
  for (let n = 0; n < ACCOUNTS; n++) {
    const [namespace, serviceAccount] = [`ns-${n % 50}`, `account-${n}`]
    const pod = { name: `pod-${n}`, uid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` }
    api.addAccount({ namespace, name: serviceAccount, uid: `account-uid-${n}` })
    api.addPod({ ...pod, namespace, serviceAccount, node: `node-${n % 20}` })
    tokens.push(
      signer.signed(
        podClaims({ issuer: signer.issuer, namespace, serviceAccount, accountUid: `account-uid-${n}`, pod, now }),
      ),
    )
  }
  const caDirectory = join(work, 'ca')
  mkdirSync(caDirectory)
  const ca = await aRoot()
  await writeCacerts(caDirectory, ca, [ca], [ca])
  writeFileSync(join(work, 'api-ca.pem'), api.ca)
  writeFileSync(join(work, 'api-token'), 'bench')
  const settings = (port: number) => ({
    stateDirectory: join(work, `state-${port}`),
    listen: `127.0.0.1:${port}`,
    healthListen: `127.0.0.1:${port + 1}`,
    pluggedCa: caDirectory,
    attestation: { apiServer: api.url, apiServerCa: join(work, 'api-ca.pem'), apiServerToken: join(work, 'api-token') },
  })
  const configured = (port: number) => {
    const path = join(work, `config-${port}.yaml`)
    writeFileSync(path, JSON.stringify(settings(port)))
    return path
  }
  const rootPem = readFileSync(join(caDirectory, 'root-cert.pem'), 'utf8')
  const tls = { ca: rootPem, checkServerIdentity: () => undefined }
  const csr = (await aCsr()).pem
  const load_ = { csr, tokens }

  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' })
  say(
    `floor  ${floor().toFixed(0)} µs of CPU: one P-256 sign, one P-256 verify, one RSA-2048 verify (openssl speed); measured again beside each load`,
  )
  {
    const began = performance.now()
    await using server = Server.start(configured(25012), 25012)
    let [took, cpu] = [0, 0]
    while (took === 0) {
      const client = new BareGrpcClient(server.address, tls)
      try {
        await one(client, load_)
        took = performance.now() - began
        cpu = server.cpu()
      } catch {
        await new Promise((done) => setTimeout(done, 10))
      } finally {
        client.close()
      }
    }
    goal(
      'start to first certificate ≤ 1 s',
      `${(took / 1000).toFixed(2)} s, ${(cpu / 1e6).toFixed(2)} s of CPU`,
      took <= 1000,
    )
    say(`first certificate after ${took.toFixed(0)} ms; idle ${server.megabytes().toFixed(0)} MB`)
    say(
      `${ACCOUNTS.toLocaleString('en-US')} pods ask for certificates of ${TTL_SECONDS} s, so that those alive are thousands; what each costs in memory is measured by itself`,
    )
    const client = new BareGrpcClient(server.address, tls)
    // A server runs for weeks, and V8 compiles what is hot for half a minute.
    await load(server, 16, { seconds: WARM_UP_SECONDS }, () => one(client, load_))
    for (const at of [1, 16, 64]) {
      const kept = await load(server, at, { seconds: SECONDS }, () => one(client, load_))
      row(`kept-alive at ${at}`, kept, server)
      if (at === 16)
        goal(
          'CPU per issuance ≤ 4 × floor kept-alive at 16',
          `${(kept.cpu / kept.floor).toFixed(2)} × floor`,
          kept.cpu <= 4 * kept.floor,
        )
    }
    const fresh = await load(server, 4, { seconds: SECONDS }, async () => {
      const alone = new BareGrpcClient(server.address, tls)
      try {
        await one(alone, load_)
      } finally {
        alone.close()
      }
    })
    row('fresh connections', fresh, server)
    goal(
      'CPU per issuance ≤ 12 × floor on fresh connections',
      `${(fresh.cpu / fresh.floor).toFixed(2)} × floor`,
      fresh.cpu <= 12 * fresh.floor,
    )
    goal('memory under load, resident ≤ 150 MB', `${server.megabytes().toFixed(0)} MB`, server.megabytes() <= 150)
    if (!quick) {
      const before = server.megabytes()
      await load(server, 16, { count: 100_000 }, () => one(client, load_))
      const after = server.megabytes()
      say(`100,000 issuances: ${before.toFixed(0)} MB → ${after.toFixed(0)} MB`)
      goal(
        'no growth over 100,000 issuances (≤ 10 %)',
        `${before.toFixed(0)} MB → ${after.toFixed(0)} MB`,
        after <= before * 1.1,
      )
    }
    client.close()
  }
  results.push(...inventoryFigures())
  {
    await using idle = Server.start(configured(25112), 25112)
    const ready = async (server: Server, pods: number) => {
      for (let n = 0; n < 600; n++) {
        await new Promise((done) => setTimeout(done, 100))
        const client = new BareGrpcClient(server.address, tls)
        const settled = await one(client, load_).then(
          () => true,
          () => false,
        )
        client.close()
        if (settled && api.watchers('pods') > 0) break
      }
      await new Promise((done) => setTimeout(done, pods > 10_000 ? 5000 : 2000))
    }
    await ready(idle, ACCOUNTS)
    const few = idle.megabytes()
    await idle[Symbol.asyncDispose]()
    const pods = quick ? 20_000 : 100_000
    for (let n = ACCOUNTS; n < pods; n++) {
      const uid = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
      api.pods.set(uid, {
        namespace: `namespace-${n % 500}`,
        name: `workload-${n % 5000}-5d4f6c7b8d-${n}`,
        uid,
        serviceAccount: `account-${n % 3000}`,
        node: `node-${n % 1000}`,
      })
    }
    await using full = Server.start(configured(25212), 25212)
    await ready(full, pods)
    const many = full.megabytes()
    say(`${pods.toLocaleString('en-US')} pods in the cache: ${few.toFixed(0)} MB → ${many.toFixed(0)} MB`)
    goal(
      `${pods.toLocaleString('en-US')} pods in the cache ≤ 150 MB over idle`,
      `${(many - few).toFixed(0)} MB`,
      many - few <= 150,
    )
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
say('')
for (const { goal: what, measured, holds } of results) say(`${holds ? '✔' : '✘'} ${what.padEnd(56)} ${measured}`)
process.exitCode = results.every(({ holds }) => holds) ? 0 : 1
