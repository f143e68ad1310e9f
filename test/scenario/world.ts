// All handlers in one process over in-memory adapters: deliveries in seeded order, doubled, dropped, and processes that die
// at any write. What the invariants say is checked after every write of the cluster.

import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { MemoryMover, MemoryVault } from '#shared/adapters/memory/vault.ts'
import { MemoryVolumes } from '#shared/adapters/memory/volumes.ts'
import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { PARKED, STEP_LABEL } from '#shared/domain/step-label.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import { KiB, SECOND_MS } from '#shared/kernel/units.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import { Permits, type TransferDeps } from '#shared/steps/deps.ts'
import { handleClone } from '../../functions/clone/handler.ts'
import { handleDelete } from '../../functions/delete/handler.ts'
import { handleDownload } from '../../functions/download/handler.ts'
import { handleSnapshot } from '../../functions/snapshot/handler.ts'
import { sweep } from '../../functions/sweep/handler.ts'
import { handleUpload } from '../../functions/upload/handler.ts'
import { VirtualClock } from './clock.ts'
import { Random } from './random.ts'

export type Weather = {
  /** Chances per event. */
  drop: number
  double: number
  /** Chance per write of a process that it dies right after it. */
  die: number
  /** A call takes up to that many turns, so that processes get between each other's calls. */
  dawdle?: number
}
export const FAIR: Weather = { drop: 0, double: 0, die: 0 }

const GATE = `${STEP_LABEL} notin (${PARKED.join(', ')})`
const WATCHED: [KindName, string][] = [
  ['Snapshot', GATE],
  ['Upload', GATE],
  ['Download', GATE],
  ['CloneFromSnapshot', GATE],
  ['DeleteSnapshot', GATE],
  ['PersistentVolumeClaim', 'dormouse.dev/clone-uid'],
]
/** A class whose driver never answers. */
export const NEVER_BINDS = 'never'
const SWEEP_EVERY_MS = 60 * SECOND_MS
const CHUNK_BYTES = 64 * KiB
const CHUNK_MS = 2 * SECOND_MS
/** More turns than this without an end is a livelock. */
const MAX_TURNS = 20_000

/** Thrown into a process that is dead: nothing that it does has an effect any more. */
class Died extends Error {}

type Process = { dead: boolean; deps: TransferDeps }

export class World {
  readonly random: Random
  readonly clock = new VirtualClock()
  readonly cluster: MemoryCluster
  readonly volumes: MemoryVolumes
  readonly vault: MemoryVault
  readonly weather: Weather
  /** Deliveries per function, for those who count. */
  readonly requests: Record<string, number> = {}
  rescues = 0
  deaths = 0
  eventsOn = true
  #pending: ObjectRef[] = []
  #running = 0
  #nextSweepMs: number
  #uids = 0
  readonly errors: string[] = []

  readonly #movers: number

  constructor(seed: number, weather: Weather = FAIR, movers = 2) {
    this.random = new Random(seed)
    this.weather = weather
    this.#movers = movers
    this.cluster = new MemoryCluster({
      clock: this.clock,
      newUid: () => `00000000-0000-4000-8000-${String(++this.#uids).padStart(12, '0')}`,
    })
    this.volumes = new MemoryVolumes({ clock: this.clock })
    this.vault = new MemoryVault({
      openDisk: (fcdId, snapshotId, writable) => this.volumes.openDisk(fcdId, snapshotId, writable),
      chunkBytes: CHUNK_BYTES,
      chunksPerSlice: 3,
      pause: (signal) => this.clock.sleep(CHUNK_MS, signal).catch(() => undefined),
    })
    this.#nextSweepMs = this.clock.nowMs() + SWEEP_EVERY_MS
    for (const name of ['fast', NEVER_BINDS])
      this.cluster.seed('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name },
        provisioner: 'csi.vsphere.vmware.com',
        volumeBindingMode: 'Immediate',
      })
    for (const [kind, labelSelector] of WATCHED)
      this.cluster.onEvent({ kind, labelSelector }, (event) =>
        this.#announce({ kind, namespace: event.namespace, name: event.name }, event.type),
      )
  }

  /** Runs until nothing is due any more, or `done` says so. */
  async run(done: () => boolean, limitMs = 6 * 3600 * SECOND_MS): Promise<void> {
    const endMs = this.clock.nowMs() + limitMs
    for (let turn = 0; !done(); turn++) {
      if (turn > MAX_TURNS || this.clock.nowMs() > endMs)
        throw new Error(`no end after ${turn} turns: ${this.describe()}`)
      if (this.#pending.length > 0 && this.random.chance(0.7)) this.#deliver()
      await settle()
      if (this.#pending.length === 0 || this.#running > 4) this.#passTime()
      await this.#playCsiDriver()
    }
    await this.drain()
  }

  /** Lets everything that still runs come to its end. */
  async drain(): Promise<void> {
    for (let turn = 0; this.#pending.length > 0 || this.#running > 0; turn++) {
      if (turn > MAX_TURNS) throw new Error(`does not drain: ${this.describe()}`)
      if (this.#pending.length > 0) this.#deliver()
      await settle()
      if (this.#running > 0) this.#passTime(false)
      await this.#playCsiDriver()
    }
  }

  describe(): string {
    const kinds: KindName[] = ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot']
    return kinds
      .flatMap((kind) =>
        this.cluster
          .peekAll(kind)
          .map(
            (object) =>
              `${kind}=${object['status']?.phase}/${object.metadata.labels?.[STEP_LABEL]}/${object['status']?.reason}`,
          ),
      )
      .join(' ')
  }

  #announce(ref: ObjectRef, type: string): void {
    if (type === 'delete' || !this.eventsOn || this.random.chance(this.weather.drop)) return
    this.#pending.push(ref)
    if (this.random.chance(this.weather.double)) this.#pending.push(ref)
  }

  #passTime(withSweep = true): void {
    const next = Math.min(
      this.clock.nextMs ?? Number.POSITIVE_INFINITY,
      withSweep ? this.#nextSweepMs : Number.POSITIVE_INFINITY,
    )
    if (next === Number.POSITIVE_INFINITY) return
    this.clock.advanceTo(next)
    if (!withSweep || this.clock.nowMs() < this.#nextSweepMs) return
    this.#nextSweepMs = this.clock.nowMs() + SWEEP_EVERY_MS
    const process = this.#newProcess()
    const wake = async (_step: string, ref: ObjectRef) => void this.#pending.push(ref)
    const count = (_kind: KindName, cause: string) => {
      if (cause === 'rescue') this.rescues++
    }
    this.#track(process, sweep({ ...process.deps, wake, count }))
  }

  #deliver(): void {
    const [ref] = this.#pending.splice(this.random.below(this.#pending.length), 1)
    if (ref === undefined) return
    const process = this.#newProcess()
    this.requests[ref.kind] = (this.requests[ref.kind] ?? 0) + 1
    this.#track(process, this.#handleWithReruns(ref, process))
  }

  #track(process: Process, work: Promise<unknown>): void {
    this.#running++
    work
      .catch((error: unknown) => {
        if (process.dead) return
        // A 503: the broker delivers it again, or drops it in the end, and then the sweep looks.
        if ((error as Error).name === 'Error' || (error as Error).name === 'TypeError')
          this.errors.push(String((error as Error).stack))
      })
      .finally(() => this.#running--)
  }

  async #handleWithReruns(ref: ObjectRef, process: Process): Promise<unknown> {
    for (let rerun = 0; ; rerun++) {
      try {
        return await this.#handle(ref, process)
      } catch (error) {
        if (!(error instanceof ConflictError) || rerun === 3) throw error
      }
    }
  }

  async #handle(ref: ObjectRef, process: Process): Promise<string> {
    const context = { log: process.deps.log, cause: 'event', id: '1', nowMs: this.clock.nowMs() } as unknown as Context
    const signal = new AbortController().signal
    switch (ref.kind) {
      case 'Snapshot':
        return await handleSnapshot(context, ref, process.deps, signal)
      case 'Upload':
        return await handleUpload(context, ref, process.deps, signal)
      case 'Download':
        return await handleDownload(context, ref, process.deps, signal)
      case 'CloneFromSnapshot':
      case 'PersistentVolumeClaim':
        return await handleClone(context, ref, process.deps, signal)
      case 'DeleteSnapshot':
        return await handleDelete(context, ref, process.deps, signal)
      default:
        throw new Error(`no handler for ${ref.kind}`)
    }
  }

  /** What a dead process still says is nobody's concern. */
  #logOf(process: Process): TransferDeps['log'] {
    const error = (fields: object, text: string) => {
      if (!process.dead) this.errors.push(`${text} ${JSON.stringify(fields)}`)
    }
    return { debug() {}, info() {}, warn() {}, error }
  }

  #newProcess(): Process {
    const process: Process = { dead: false, deps: undefined as unknown as TransferDeps }
    const mover = new MemoryMover(this.vault)
    process.deps = {
      cluster: this.#mortal<Cluster>(process, this.cluster, ['create', 'patch', 'patchStatus', 'delete'], mover),
      volumes: this.#mortal<VolumeService>(process, this.volumes, ['startSnapshot', 'startDeleteSnapshot'], mover),
      repositories: this.#mortal(process, this.vault, ['forget', 'abandon'], mover),
      mover,
      clock: this.clock,
      settings: readSettings({
        DORMOUSE_CLUSTER_ID: 'test',
        DORMOUSE_MOVERS: String(this.#movers),
        NODE_NAME: 'node-1',
      }),
      identity: `pod-${++this.#uids}`,
      log: this.#logOf(process),
      clusterId: async () => 'test',
      access: async () => ({}) as never,
      permits: new Permits(1),
      countSlice: () => undefined,
    }
    return process
  }

  /** Calls of a dead process reject without an effect; a write may be the last thing that it does. */
  #mortal<T extends object>(process: Process, target: T, writes: string[], mover: MemoryMover): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member = Reflect.get(object, name)
        if (typeof member !== 'function') return member
        return async (...args: unknown[]) => {
          for (let turns = this.random.below(1 + (this.weather.dawdle ?? 0)); turns > 0; turns--) await aTurn()
          if (process.dead) throw new Died()
          const result = await member.apply(object, args)
          if (writes.includes(String(name)) && this.random.chance(this.weather.die)) {
            process.dead = true
            this.deaths++
            mover.kill()
          }
          if (process.dead) throw new Died()
          return result
        }
      },
    })
  }

  /** Provisions and binds claims, and deletes volumes, as the vSphere CSI driver and the PV controller do. */
  async #playCsiDriver(): Promise<void> {
    for (const claim of this.cluster.peekAll('PersistentVolumeClaim')) {
      const comes = claim['spec'].storageClassName !== NEVER_BINDS
      if (comes && claim['status']?.phase !== 'Bound') await ignoreConflict(this.#bind(claim))
    }
    for (const volume of this.cluster.peekAll('PersistentVolume')) await ignoreConflict(this.#reclaim(volume))
  }

  async #bind(claim: KubeObject): Promise<void> {
    const volumeName: string = claim['spec'].volumeName ?? `pvc-${claim.metadata.uid}`
    const existing = this.cluster.peek('PersistentVolume', undefined, volumeName)
    if (claim['spec'].volumeName !== undefined && existing === undefined) return
    if (existing === undefined)
      this.createVolume(volumeName, claim, this.volumes.createDisk(sizeOf(claim), { cbt: true }))
    const ref = this.cluster.peek('PersistentVolume', undefined, volumeName)?.['spec'].claimRef
    if (ref?.name !== claim.metadata.name || (ref.uid !== undefined && ref.uid !== claim.metadata.uid)) return
    const { namespace, name } = claim.metadata
    await this.cluster.patch('PersistentVolume', this.#volume(volumeName), {
      spec: { claimRef: { uid: claim.metadata.uid } },
    })
    await this.cluster.patch('PersistentVolumeClaim', claim, { spec: { volumeName } })
    const bound = this.cluster.peek('PersistentVolumeClaim', namespace, name)
    if (bound !== undefined) await this.cluster.patchStatus('PersistentVolumeClaim', bound, { phase: 'Bound' })
  }

  createVolume(name: string, claim: KubeObject, fcdId: string): void {
    this.cluster.seed('PersistentVolume', {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Delete',
        csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: fcdId },
        claimRef: { namespace: claim.metadata.namespace, name: claim.metadata.name, uid: claim.metadata.uid },
      },
    })
  }

  async #reclaim(volume: KubeObject): Promise<void> {
    const ref = volume['spec'].claimRef
    if (ref !== undefined && ref.uid === undefined && volume['status']?.phase !== 'Available') {
      await this.cluster.patchStatus('PersistentVolume', volume, { phase: 'Available' })
      return
    }
    if (ref?.uid === undefined || volume['spec'].persistentVolumeReclaimPolicy !== 'Delete') return
    const claim = this.cluster.peek('PersistentVolumeClaim', ref.namespace, ref.name)
    if (claim?.metadata.uid === ref.uid) return
    this.volumes.deleteDisk(volume['spec'].csi.volumeHandle)
    await this.cluster.delete('PersistentVolume', volume)
  }

  #volume(name: string): KubeObject {
    return this.cluster.peek('PersistentVolume', undefined, name) as KubeObject
  }
}

/** Someone wrote meanwhile: the next turn looks again. */
async function ignoreConflict(act: Promise<void>): Promise<void> {
  await act.catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
}

function sizeOf(claim: KubeObject): number {
  return Number(String(claim['spec'].resources.requests.storage).replace('Ki', '')) * KiB
}

/** Lets every promise that can go on go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await aTurn()
}

async function aTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
