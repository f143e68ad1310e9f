// All handlers in one process over in-memory adapters and the real engine: deliveries in any order, doubled, dropped, and processes
// that die, stand still or are refused at any call. Every choice has a name and can be played back.

import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { MemoryVolumes } from '#shared/adapters/memory/volumes.ts'
import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { SLOT_LABEL } from '#shared/domain/slots.ts'
import { PARKED, STEP_LABEL } from '#shared/domain/step-label.ts'
import { isOver } from '#shared/domain/sweep.ts'
import { createRepositories } from '#shared/engine/repositories.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { HOUR_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { Permits, type StepDeps, type TransferDeps } from '#shared/steps/deps.ts'
import { access } from '#test/support/engine-world.ts'
import { handleClone } from '../../functions/clone/handler.ts'
import { handleDelete } from '../../functions/delete/handler.ts'
import { handleDownload } from '../../functions/download/handler.ts'
import { handleSnapshot } from '../../functions/snapshot/handler.ts'
import { sweep } from '../../functions/sweep/handler.ts'
import { handleUpload } from '../../functions/upload/handler.ts'
import { Asked } from './asked.ts'
import { Bucket } from './bucket.ts'
import { Choices } from './choices.ts'
import { VirtualClock } from './clock.ts'
import { CsiDriver } from './csi-driver.ts'
import { Disks } from './disks.ts'
import { EngineMover, Sessions } from './engine-mover.ts'
import { Foreign } from './foreign.ts'
import { guard } from './invariants.ts'
import { Died, Pod } from './pod.ts'
import { FAIR, Sky, type Weather } from './weather.ts'

const GATE = `${STEP_LABEL} notin (${PARKED.join(', ')})`
const WATCHED: [KindName, string][] = [
  ['Snapshot', GATE],
  ['Upload', GATE],
  ['Download', GATE],
  ['CloneFromSnapshot', GATE],
  ['DeleteSnapshot', GATE],
  ['PersistentVolumeClaim', 'dormouse.dev/clone-uid'],
]
export const STEPPED = ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot'] as const
export type Stepped = (typeof STEPPED)[number]
export const CLUSTER_ID = 'test'
const CLUSTER_WRITES = ['create', 'patch', 'patchStatus', 'delete']
const VCENTER_WRITES = ['startSnapshot', 'startDeleteSnapshot']
const SWEEP_EVERY_MS = 60 * SECOND_MS
/** Short, so that a small volume takes several. */
const SLICE_SECONDS = 6
/** More turns than this without an end is a livelock. */
const MAX_TURNS = 40_000
/** Warm pods wait for their next request. */
const MOST_WARM = 3
const MOST_CALLS_PER_TASK = 8

type Warm = { pod: Pod; deps: TransferDeps }

export class World {
  readonly choices: Choices
  readonly clock = new VirtualClock()
  readonly cluster: MemoryCluster
  readonly volumes: MemoryVolumes
  readonly bucket: Bucket
  readonly disks: Disks
  readonly csi: CsiDriver
  readonly foreign: Foreign
  readonly asked: Asked
  readonly sky: Sky
  /** Deliveries per function, for those who count. */
  readonly requests: Record<string, number> = {}
  /** What must never be and was. */
  readonly broken: string[] = []
  readonly errors: string[] = []
  /** Names of disk snapshots whose start was the last thing that a process did: nobody knows the task. */
  readonly lostStarts = new Set<string>()
  rescues = 0
  deaths = 0
  eventsOn = true
  readonly #sessions = new Sessions()
  readonly #movers: number
  #pending: ObjectRef[] = []
  #running = 0
  #sweeping = 0
  #nextSweepMs: number
  #uids = 0
  #pods = 0
  #warm: Warm[] = []

  constructor(choices: Choices | number, weather: Weather = FAIR, movers = 2) {
    this.choices = typeof choices === 'number' ? Choices.ofSeed(choices) : choices
    this.sky = new Sky(weather, this.choices, this.clock)
    this.#movers = movers
    this.cluster = new MemoryCluster({
      clock: this.clock,
      newUid: () => `00000000-0000-4000-8000-${String(++this.#uids).padStart(12, '0')}`,
    })
    this.volumes = new MemoryVolumes({ clock: this.clock })
    this.bucket = new Bucket(this.clock, this.broken)
    this.disks = new Disks(this.volumes, this.broken)
    this.csi = new CsiDriver(this.cluster, this.volumes)
    this.foreign = new Foreign(this.volumes, this.bucket)
    this.#nextSweepMs = this.clock.nowMs() + SWEEP_EVERY_MS
    aRepository(this.cluster)
    guard(this)
    this.asked = new Asked(this)
    for (const [kind, labelSelector] of WATCHED)
      this.cluster.onEvent({ kind, labelSelector }, (event) =>
        this.#announce({ kind, namespace: event.namespace, name: event.name }, event.type),
      )
  }

  /** Runs until `done` says so. */
  async run(done: () => boolean, limitMs = 12 * HOUR_MS): Promise<void> {
    const endMs = this.clock.nowMs() + limitMs
    for (let turn = 0; !done(); turn++) {
      if (turn > MAX_TURNS || this.clock.nowMs() > endMs)
        throw new Error(`no end after ${turn} turns: ${this.describe()}`)
      await this.turn()
    }
    await this.drain()
  }

  /** One step of the world: a delivery, or time passes. */
  async turn(): Promise<void> {
    if (this.#pending.length > 0 && !this.choices.chance('no delivery now', 0.3)) this.#deliver()
    await settle()
    if (this.#pending.length === 0 || this.#running > 4) this.#passTime()
    await this.csi.play()
  }

  /** An event that comes late, or that somebody has made up. */
  again(ref: ObjectRef): void {
    this.#pending.push(ref)
  }

  /** Lets everything that still runs come to its end. */
  async drain(): Promise<void> {
    for (let turn = 0; this.#pending.length > 0 || this.#running > 0; turn++) {
      if (turn > MAX_TURNS) throw new Error(`does not drain: ${this.describe()}`)
      if (this.#pending.length > 0) this.#deliver()
      await settle()
      if (this.#running > 0) this.#passTime(false)
      await this.csi.play()
    }
  }

  /** Nothing is asked for that is not done, and nobody is at work. */
  isQuiet(): boolean {
    const restless = STEPPED.some((kind) => this.cluster.peekAll(kind).some((object) => !isAtRest({ ...object, kind })))
    return !restless && this.#pending.length === 0 && this.#running === this.#sweeping && this.heldLeases.length === 0
  }

  get heldLeases(): string[] {
    const held = this.cluster.peekAll('Lease').filter((lease) => lease['spec']?.holderIdentity)
    return held.map((lease) => lease.metadata.name)
  }

  /** Of objects, as against those of transfer slots, which stay. */
  get claimLeases(): string[] {
    const claims = this.cluster.peekAll('Lease').filter((lease) => lease.metadata.labels?.[SLOT_LABEL] === undefined)
    return claims.map((lease) => lease.metadata.name)
  }

  describe(): string {
    return STEPPED.flatMap((kind) =>
      this.cluster
        .peekAll(kind)
        .map(
          (object) =>
            `${kind} ${object.metadata.name}=${object['status']?.phase}/${object.metadata.labels?.[STEP_LABEL]}/${object['status']?.reason}`,
        ),
    ).join(' ')
  }

  #announce(ref: ObjectRef, type: string): void {
    const { drop, double } = this.sky.weather
    if (type === 'delete' || !this.eventsOn || this.choices.chance(`event lost: ${ref.kind}`, drop)) return
    this.#pending.push(ref)
    if (this.choices.chance(`event doubled: ${ref.kind}`, double)) this.#pending.push(ref)
  }

  #passTime(withSweep = true): void {
    const next = Math.min(
      this.clock.nextMs ?? Number.POSITIVE_INFINITY,
      withSweep ? this.#nextSweepMs : Number.POSITIVE_INFINITY,
    )
    if (next === Number.POSITIVE_INFINITY) return
    this.clock.advanceTo(next)
    if (withSweep && this.clock.nowMs() >= this.#nextSweepMs) this.#sweep()
  }

  /** For what the sweep's process does besides the sweep. */
  sweepDeps(): StepDeps & { wake: (step: string, ref: ObjectRef) => Promise<void> } {
    return { ...this.#newPod().deps, wake: async (_step, ref) => void this.#pending.push(ref) }
  }

  #sweep(): void {
    this.#nextSweepMs = this.clock.nowMs() + SWEEP_EVERY_MS
    const { pod, deps } = this.#newPod()
    const wake = async (_step: string, ref: ObjectRef) => void this.#pending.push(ref)
    const count = (_kind: KindName, cause: string) => {
      if (cause === 'rescue') this.rescues++
    }
    this.#sweeping++
    this.#track(
      pod,
      sweep({ ...deps, wake, count }, new AbortController().signal).finally(() => this.#sweeping--),
    )
  }

  #deliver(): void {
    const [ref] = this.#pending.splice(this.choices.below('which event', this.#pending.length), 1)
    if (ref === undefined) return
    const warm = this.#takePod()
    this.requests[ref.kind] = (this.requests[ref.kind] ?? 0) + 1
    this.#track(
      warm.pod,
      this.#handleWithReruns(ref, warm).finally(() => this.#keepWarm(warm)),
    )
  }

  #track(pod: Pod, work: Promise<unknown>): void {
    this.#running++
    work
      .catch((error: unknown) => {
        if (pod.dead) return
        // A 503: the broker delivers it again, or drops it in the end, and then the sweep looks.
        if ((error as Error).name === 'Error' || (error as Error).name === 'TypeError')
          this.errors.push(String((error as Error).stack))
      })
      .finally(() => this.#running--)
  }

  async #handleWithReruns(ref: ObjectRef, warm: Warm): Promise<unknown> {
    for (let rerun = 0; ; rerun++) {
      try {
        return await this.#handle(ref, warm)
      } catch (error) {
        if (!(error instanceof ConflictError) || rerun === 3) throw error
      }
    }
  }

  async #handle(ref: ObjectRef, { pod, deps }: Warm): Promise<string> {
    const context = { log: deps.log, cause: 'event', id: '1', nowMs: pod.nowMs() } as unknown as Context
    const signal = new AbortController().signal
    switch (ref.kind) {
      case 'Snapshot':
        return await handleSnapshot(context, ref, deps, signal)
      case 'Upload':
        return await handleUpload(context, ref, deps, signal)
      case 'Download':
        return await handleDownload(context, ref, deps, signal)
      case 'CloneFromSnapshot':
      case 'PersistentVolumeClaim':
        return await handleClone(context, ref, deps, signal)
      case 'DeleteSnapshot':
        return await handleDelete(context, ref, deps, signal)
      default:
        throw new Error(`no handler for ${ref.kind}`)
    }
  }

  #takePod(): Warm {
    const at = this.choices.below('which pod', this.#warm.length + 1)
    return this.#warm.splice(at, 1)[0] ?? this.#newPod()
  }

  /** Whoever is too many is stopped in order. */
  #keepWarm(warm: Warm): void {
    if (warm.pod.dead) return
    this.#warm.push(warm)
    if (this.#warm.length > MOST_WARM) void this.#warm.shift()?.deps.mover.close()
  }

  #newPod(): Warm {
    const pod = new Pod(`pod-${++this.#pods}`, this.clock, this.sky)
    pod.onDeath(() => this.deaths++)
    const repositories = createRepositories({ storeOf: () => this.bucket.storeOf(pod, 'function'), clock: pod })
    const deps: TransferDeps = {
      cluster: this.#clusterOf(pod),
      volumes: this.#vcenterOf(pod),
      repositories,
      mover: new EngineMover({ ...this, sessions: this.#sessions }, pod),
      clock: pod,
      settings: readSettings({
        DORMOUSE_CLUSTER_ID: CLUSTER_ID,
        DORMOUSE_MOVERS: String(this.#movers),
        DORMOUSE_SLICE_SECONDS: String(SLICE_SECONDS),
        NODE_NAME: 'node-1',
      }),
      identity: pod.name,
      log: this.#logOf(pod),
      clusterId: async () => CLUSTER_ID,
      access: async () => access,
      permits: new Permits(1),
      countSlice: () => undefined,
    }
    return { pod, deps }
  }

  /** What a dead process still says is nobody's concern. */
  #logOf(pod: Pod): TransferDeps['log'] {
    const error = (fields: object, text: string) => {
      const cause = (fields as { err?: Error }).err?.stack ?? ''
      if (!pod.dead) this.errors.push(`${text} ${JSON.stringify(fields)} ${cause}`)
    }
    return { debug() {}, info() {}, warn() {}, error }
  }

  #clusterOf(pod: Pod): Cluster {
    return this.#through(pod, this.cluster, async (method, args, act) => {
      const [kind] = args
      return await pod.call('cluster', `${method} ${kind}`, CLUSTER_WRITES.includes(method), act, 'function')
    })
  }

  #vcenterOf(pod: Pod): VolumeService {
    return this.#through(pod, this.volumes, async (method, args, act) => {
      const isWrite = VCENTER_WRITES.includes(method)
      if (isWrite) this.#setTaskTime()
      try {
        return await pod.call('vcenter', method, isWrite, act, 'function')
      } catch (error) {
        if (error instanceof Died && method === 'startSnapshot') this.lostStarts.add(String(args[1]))
        throw error
      }
    })
  }

  /** Time that passes meanwhile is time in which the process, its Lease with it, stands still. */
  async #dawdle(pod: Pod): Promise<void> {
    const sinceMs = this.clock.nowMs()
    const { dawdle = 0 } = this.sky.weather
    for (let turns = this.choices.below('dawdles', 1 + dawdle); turns > 0; turns--) await aTurn()
    pod.tookItsTime(this.clock.nowMs() - sinceMs)
  }

  #setTaskTime(): void {
    const { trouble = 0 } = this.sky.weather
    this.volumes.callsPerTask = this.choices.trouble('a task takes long', trouble * 20, MOST_CALLS_PER_TASK)
  }

  #through<T extends object>(
    pod: Pod,
    target: T,
    call: (method: string, args: unknown[], act: () => Promise<unknown>) => Promise<unknown>,
  ): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member = Reflect.get(object, name)
        if (typeof member !== 'function') return member
        if (name === 'nowMs') return member.bind(object) // it is no call
        return async (...args: unknown[]) => {
          await this.#dawdle(pod)
          return await call(String(name), args, async () => await member.apply(object, args))
        }
      },
    })
  }
}

/** One group of namespaces: what one of them has backed up may be restored into each. */
function aRepository(cluster: MemoryCluster): void {
  const restored = Array.from({ length: 64 }, (_, n) => `restored-${n}`)
  cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'br' },
    allowedNamespaces: ['app', 'restored', ...restored],
    repopsitoryParameters: { bucket: 'backups' },
  })
}

/** An empty list: everybody may back up into it, which lets nobody restore or delete what is another's. */
export async function allowing(world: World, allowedNamespaces: string[]): Promise<World> {
  const repository = world.cluster.peek('BackupRepository', undefined, 'br') as KubeObject
  await world.cluster.patch('BackupRepository', repository, { allowedNamespaces })
  return world
}

function isAtRest(object: KubeObject): boolean {
  return (
    isOver(object) && object.metadata.labels?.[STEP_LABEL] === 'done' && object.metadata.deletionTimestamp === undefined
  )
}

/** Lets every promise that can go on go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await aTurn()
}

async function aTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
