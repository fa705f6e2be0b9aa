import { ATTESTATION_METHODS, type AttestationMethod } from '../attestation/caller.ts'
import type { IssuedRecord } from './ledger.ts'
import { type LiveSvid, type PodExists, type Workload, workloadName } from './live-svid.ts'
import { TextIndex } from './text-index.ts'

/** No row, no group. */
const NONE = 0xffffffff
/** In a row's flags, above the number of its method. */
const PROVEN = 0x80

type Account = Pick<LiveSvid, 'id' | 'namespace' | 'serviceAccount'>
type Column = Float64Array | Uint32Array | Uint8Array

/**
 * SVIDs as rows of columns: with its strings one takes less than 300 bytes, where an object with its dates takes twice that. The rows of one pod are
 * linked to a group; a row without a pod has a group of its own. Moments are milliseconds since 1970.
 */
export class LiveTable {
  readonly #serial: string[] = []
  readonly #issuer: string[] = []
  /** By serial, since its row may be gone and taken by another. */
  readonly #predecessor: (string | undefined)[] = []
  #issuedAt = new Float64Array(16)
  #notAfter = new Float64Array(16)
  #lastSeen = new Float64Array(16)
  #bundle = new Uint32Array(16)
  #flags = new Uint8Array(16)
  /** NONE in a row that is free; `next` then leads to the next free one. */
  #group = new Uint32Array(16)
  #next = new Uint32Array(16)
  #previous = new Uint32Array(16)
  #rows = 0
  #freeRow = NONE
  #size = 0
  readonly #bySerial = new TextIndex((row) => this.#serial[row] as string)

  /** Nothing for a group that is free; `head` then leads to the next free one. */
  readonly #account: (Account | undefined)[] = []
  readonly #podName: (string | undefined)[] = []
  readonly #podUid: (string | undefined)[] = []
  #head = new Uint32Array(16)
  #freeGroup = NONE
  readonly #byPod = new TextIndex((group) => this.#podUid[group] as string)

  /** Thousands of SVIDs share an identity and an issuer: each text is kept once. */
  #accounts = new Map<string, Account>()
  #issuers = new Map<string, string>()

  get size(): number {
    return this.#size
  }

  find(serial: string): number | undefined {
    return this.#bySerial.get(serial)
  }

  /** The record of an SVID that is not there yet. */
  add(record: IssuedRecord, issuedAt: number): void {
    const row = this.#takeRow()
    const group = this.#groupOf(record)
    this.#serial[row] = record.serial
    this.#issuer[row] = shared(this.#issuers, record.issuer, () => record.issuer)
    this.#predecessor[row] = record.predecessor
    this.#issuedAt[row] = issuedAt
    this.#lastSeen[row] = issuedAt
    this.#notAfter[row] = Date.parse(record.notAfter)
    this.#bundle[row] = record.bundleSequence
    this.#flags[row] = ATTESTATION_METHODS.indexOf(record.method)
    const head = this.#head[group] as number
    this.#group[row] = group
    this.#next[row] = head
    this.#previous[row] = NONE
    if (head !== NONE) this.#previous[head] = row
    this.#head[group] = row
    this.#bySerial.add(row)
    this.#size++
  }

  remove(row: number): void {
    this.#bySerial.remove(row)
    const [group, next, previous] = [this.#group[row], this.#next[row], this.#previous[row]] as [number, number, number]
    if (next !== NONE) this.#previous[next] = previous
    if (previous !== NONE) this.#next[previous] = next
    else {
      this.#head[group] = next
      if (next === NONE) this.#freeGroupOf(group)
    }
    this.#serial[row] = ''
    this.#predecessor[row] = undefined
    this.#group[row] = NONE
    this.#next[row] = this.#freeRow
    this.#freeRow = row
    this.#size--
  }

  /** Removes what had ended before `now`. */
  removeEnded(now: number): void {
    for (let row = 0; row < this.#rows; row++)
      if (this.#group[row] !== NONE && (this.#notAfter[row] as number) < now) this.remove(row)
    // Names that nobody has any more go with those who had them.
    this.#accounts = new Map()
    for (const account of this.#account) if (account) this.#accounts.set(account.id, account)
    this.#issuers = new Map()
  }

  isProven(row: number): boolean {
    return ((this.#flags[row] as number) & PROVEN) !== 0
  }

  /** Its holder showed it. Gives the serial of what it replaces, once. */
  prove(row: number): string | undefined {
    this.#flags[row] = (this.#flags[row] as number) | PROVEN
    const before = this.#predecessor[row]
    this.#predecessor[row] = undefined
    return before
  }

  setPredecessor(row: number, serial: string | undefined): void {
    this.#predecessor[row] = serial
  }

  /** Its holder gave a sign of life. */
  heardOf(row: number, at: number): void {
    this.#lastSeen[row] = Math.max(this.#lastSeen[row] as number, at)
  }

  /** Each group's SVIDs that have not ended, the one added last first, where its pod is there. The table must not change meanwhile. */
  *workloads(now: number, podExists: PodExists): Generator<Workload> {
    for (let group = 0; group < this.#account.length; group++) {
      const account = this.#account[group]
      if (!account) continue
      const [name, uid] = [this.#podName[group], this.#podUid[group]]
      const pod = name === undefined || uid === undefined ? undefined : { name, uid }
      let lastSeen = 0
      let svids: LiveSvid[] | undefined
      for (let row = this.#head[group] as number; row !== NONE; row = this.#next[row] as number) {
        if (now > (this.#notAfter[row] as number)) continue
        lastSeen = Math.max(lastSeen, this.#lastSeen[row] as number)
        const svid = this.#read(row, account, pod)
        // Mostly there is one, and an array that grows is made for many.
        if (svids) svids.push(svid)
        else svids = [svid]
      }
      if (!svids || (pod && podExists(pod.uid, lastSeen) === false)) continue
      yield { name: workloadName(svids[0] as LiveSvid), namespace: account.namespace, svids }
    }
  }

  /** The SVID of a row that is taken. */
  svid(row: number): LiveSvid {
    const group = this.#group[row] as number
    const [name, uid] = [this.#podName[group], this.#podUid[group]]
    const pod = name === undefined || uid === undefined ? undefined : { name, uid }
    return this.#read(row, this.#account[group] as Account, pod)
  }

  #read(row: number, account: Account, pod: LiveSvid['pod']): LiveSvid {
    return new Copy({
      account,
      pod,
      serial: this.#serial[row] as string,
      issuer: this.#issuer[row] as string,
      bundle: this.#bundle[row] as number,
      flags: this.#flags[row] as number,
      issued: this.#issuedAt[row] as number,
      endsAt: this.#notAfter[row] as number,
      seen: this.#lastSeen[row] as number,
    })
  }

  #groupOf({ id, pod, podUid }: IssuedRecord): number {
    const known = podUid === undefined ? undefined : this.#byPod.get(podUid)
    if (known !== undefined) return known
    const group = this.#freeGroup === NONE ? this.#account.length : this.#freeGroup
    if (this.#freeGroup !== NONE) this.#freeGroup = this.#head[group] as number
    if (group === this.#head.length) this.#head = longer(this.#head)
    this.#account[group] = shared(this.#accounts, id, () => accountOf(id))
    this.#podName[group] = pod
    this.#podUid[group] = podUid
    this.#head[group] = NONE
    if (podUid !== undefined) this.#byPod.add(group)
    return group
  }

  #freeGroupOf(group: number): void {
    if (this.#podUid[group] !== undefined) this.#byPod.remove(group)
    this.#account[group] = undefined
    this.#podName[group] = undefined
    this.#podUid[group] = undefined
    this.#head[group] = this.#freeGroup
    this.#freeGroup = group
  }

  #takeRow(): number {
    const free = this.#freeRow
    if (free !== NONE) {
      this.#freeRow = this.#next[free] as number
      return free
    }
    if (this.#rows === this.#group.length) {
      this.#issuedAt = longer(this.#issuedAt)
      this.#notAfter = longer(this.#notAfter)
      this.#lastSeen = longer(this.#lastSeen)
      this.#bundle = longer(this.#bundle)
      this.#flags = longer(this.#flags)
      this.#group = longer(this.#group)
      this.#next = longer(this.#next)
      this.#previous = longer(this.#previous)
    }
    return this.#rows++
  }
}

type Fields = Pick<LiveSvid, 'pod' | 'serial' | 'issuer' | 'bundle' | 'endsAt'> & {
  readonly account: Account
  readonly flags: number
  readonly issued: number
  readonly seen: number
}

/** A row as it was when it was read: one object, whose dates are made when they are asked for, since there are a hundred thousand. */
class Copy implements LiveSvid {
  readonly #account: Account
  readonly #flags: number
  readonly #issued: number
  readonly #seen: number
  readonly pod: LiveSvid['pod']
  readonly serial: string
  readonly issuer: string
  readonly bundle: number
  readonly endsAt: number

  constructor({ account, pod, serial, issuer, bundle, flags, issued, endsAt, seen }: Fields) {
    this.#account = account
    this.#flags = flags
    this.#issued = issued
    this.#seen = seen
    this.pod = pod
    this.serial = serial
    this.issuer = issuer
    this.bundle = bundle
    this.endsAt = endsAt
  }

  get id() {
    return this.#account.id
  }
  get namespace() {
    return this.#account.namespace
  }
  get serviceAccount() {
    return this.#account.serviceAccount
  }
  get method() {
    return ATTESTATION_METHODS[this.#flags & ~PROVEN] as AttestationMethod
  }
  get proven() {
    return (this.#flags & PROVEN) !== 0
  }
  get issuedAt() {
    return new Date(this.#issued)
  }
  get notAfter() {
    return new Date(this.endsAt)
  }
  get lastSeen() {
    return new Date(this.#seen)
  }
}

/** By a quarter: doubled, half of it might stand empty. */
function longer<T extends Column>(column: T): T {
  const next = new (column.constructor as new (length: number) => T)(column.length + (column.length >> 2))
  next.set(column)
  return next
}

function shared<T>(known: Map<string, T>, text: string, make: () => T): T {
  const found = known.get(text)
  if (found !== undefined) return found
  const made = make()
  known.set(text, made)
  return made
}

/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` */
function accountOf(id: string): Account {
  const [, , , , namespace = '', , serviceAccount = ''] = id.split('/')
  return { id, namespace, serviceAccount }
}
