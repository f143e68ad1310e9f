// All handlers in one process over in-memory adapters and the real engine. Deliveries come in any order, doubled or not at all, and processes
// die, are paused or refused at any call. Every choice has a name and can be played back.

import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { KindName } from '#shared/api/kinds.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { SLOT_LABEL } from '#shared/domain/slots.ts'
import { PARKED, STEP_LABEL } from '#shared/domain/step-label.ts'
import { isOver } from '#shared/domain/sweep.ts'
import { HOUR_MS, SECOND_MS } from '#shared/kernel/units.ts'
import { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sweep } from '../../functions/sweep/handler.ts'
import { Asked } from './asked.ts'
import { Bucket } from './bucket.ts'
import { Choices } from './choices.ts'
import { VirtualClock } from './clock.ts'
import { CsiDriver } from './csi-driver.ts'
import { Disks } from './disks.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { Faults } from './faults.ts'
import { Foreign } from './foreign.ts'
import { guard } from './invariants.ts'
import type { Pod } from './pod.ts'
import { Processes, type Warm } from './processes.ts'
import { Progress } from './progress.ts'
import { request, SWEEP_REQUEST_MS, within } from './requests.ts'
import { settle } from './settle.ts'

const GATE = `${STEP_LABEL} notin (${PARKED.join(', ')})`
const WATCHED: [KindName, string][] = [
  ['Snapshot', GATE],
  ['Upload', GATE],
  ['Download', GATE],
  ['CloneFromSnapshot', GATE],
  ['DeleteSnapshot', GATE],
  ['PersistentVolumeClaim', 'dormouse.dev/clone-uid'],
]
const STEPPED = ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot'] as const
export type Stepped = (typeof STEPPED)[number]
const SWEEP_EVERY_MS = 60 * SECOND_MS
/** A run with more turns than this without an end is a livelock. */
const MAX_TURNS = 40_000
const IDLE_TURNS = 100
/** The most pods that stay warm for their next request. */
const MOST_WARM = 3

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
  readonly progress: Progress
  readonly faults: Faults
  readonly #processes: Processes
  /** Deliveries per function, for tests that count them. */
  readonly requests: Record<string, number> = {}
  /** Violations of invariants. */
  readonly broken: string[] = []
  readonly errors: string[] = []
  /** Names of disk snapshots whose start was the last call of a process that died: no record has their task. */
  readonly lostStarts = new Set<string>()
  /** Disks with a disk snapshot that was begun too late and could not be removed: the hourly orphan sweep is not part of a run. */
  readonly leftToOrphanSweep = new Set<string>()
  rescues = 0
  deaths = 0
  eventsOn = true
  #pending: ObjectRef[] = []
  #running = 0
  #sweeping = 0
  #nextSweepMs: number
  #idleTurns = 0
  #uids = 0
  #warm: Warm[] = []

  constructor(choices: Choices | number, plan: FaultPlan = NO_FAULTS, movers = 2) {
    this.choices = typeof choices === 'number' ? Choices.ofSeed(choices) : choices
    this.faults = new Faults(plan, this.choices, this.clock)
    this.cluster = new MemoryCluster({
      clock: { nowMs: () => this.clock.nowMs() + this.faults.clocks.serverMs },
      newUid: () => `00000000-0000-4000-8000-${String(++this.#uids).padStart(12, '0')}`,
    })
    this.volumes = new MemoryVolumes({ clock: this.clock })
    this.bucket = new Bucket(this.clock, this.broken)
    this.disks = new Disks(this.volumes, this.broken)
    this.csi = new CsiDriver(this.cluster, this.volumes)
    this.foreign = new Foreign(this.volumes, this.bucket)
    this.#nextSweepMs = this.clock.nowMs() + SWEEP_EVERY_MS
    this.#processes = new Processes({ ...this, movers, onDeath: () => this.deaths++ })
    aRepository(this.cluster)
    guard(this)
    this.asked = new Asked(this)
    this.progress = new Progress(this)
    for (const [kind, labelSelector] of WATCHED)
      this.cluster.onEvent({ kind, labelSelector }, (event) =>
        this.#announce({ kind, namespace: event.namespace, name: event.name }, event.type),
      )
  }

  /** Runs until `done` returns true. */
  async run(done: () => boolean, limitMs = 12 * HOUR_MS): Promise<void> {
    const endMs = this.clock.nowMs() + limitMs
    for (let turn = 0; !done(); turn++) {
      if (turn > MAX_TURNS || this.clock.nowMs() > endMs)
        throw new Error(`no end after ${turn} turns: ${this.describe()}`)
      await this.turn()
    }
    await this.drain()
  }

  /** Runs until `done` returns true, which must be within `boundMs` after the last fault. */
  async runWithin(boundMs: number, done: () => boolean): Promise<void> {
    let [faults, sinceMs] = [this.faults.count, this.clock.nowMs()]
    for (let turn = 0; !done(); turn++) {
      if (this.faults.count !== faults) [faults, sinceMs] = [this.faults.count, this.clock.nowMs()]
      const passedMs = this.clock.nowMs() - sinceMs
      if (turn > MAX_TURNS || passedMs > boundMs) {
        const text = `no end within ${boundMs / SECOND_MS} s: ${passedMs / SECOND_MS} s and ${turn} turns since anything went wrong`
        throw new Error(`${text}: ${this.describe()}; ${this.progress.describe()}`)
      }
      await this.turn()
    }
    await this.drain()
  }

  /** One step of the simulation: a delivery, or time passes. */
  async turn(): Promise<void> {
    if (this.#pending.length > 0 && !this.choices.chance('no delivery now', 0.3)) this.#deliver()
    await settle()
    if (this.#pending.length === 0 || this.#running > 4) this.#passTime()
    await this.csi.play()
  }

  /** Delivers an event that is late or forged. */
  again(ref: ObjectRef): void {
    this.#pending.push(ref)
  }

  /** Lets everything that still runs reach its end. */
  async drain(): Promise<void> {
    for (let turn = 0; this.#pending.length > 0 || this.#running > 0; turn++) {
      if (turn > MAX_TURNS) throw new Error(`does not drain: ${this.describe()}`)
      if (this.#pending.length > 0) this.#deliver()
      await settle()
      if (this.#running > 0) this.#passTime(false)
      await this.csi.play()
    }
  }

  /** True when everything that was asked for is done, and no process works. */
  isQuiet(): boolean {
    const restless = STEPPED.some((kind) => this.cluster.peekAll(kind).some((object) => !isAtRest({ ...object, kind })))
    return !restless && this.#pending.length === 0 && this.#running === this.#sweeping && this.heldLeases.length === 0
  }

  get heldLeases(): string[] {
    const held = this.cluster.peekAll('Lease').filter((lease) => lease['spec']?.holderIdentity)
    return held.map((lease) => lease.metadata.name)
  }

  /** Leases of objects; those of transfer slots stay. */
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
    const { drop, double } = this.faults.plan
    if (type === 'delete' || !this.eventsOn || this.choices.chance(`event lost: ${ref.kind}`, drop)) return
    this.#pending.push(ref)
    if (this.choices.chance(`event doubled: ${ref.kind}`, double)) this.#pending.push(ref)
  }

  #passTime(withSweep = true): void {
    const next = Math.min(
      this.clock.nextMs ?? Number.POSITIVE_INFINITY,
      withSweep ? this.#nextSweepMs : Number.POSITIVE_INFINITY,
    )
    if (next === Number.POSITIVE_INFINITY) {
      this.#waitForLimits()
      return
    }
    this.#idleTurns = 0
    this.clock.advanceTo(next)
    if (withSweep && this.clock.nowMs() >= this.#nextSweepMs) this.#sweep()
  }

  /** No process waits for a time: either one needs some more turns, or a call never returns. */
  #waitForLimits(): void {
    if (this.#idleTurns++ < IDLE_TURNS) return
    this.#idleTurns = 0
    if (this.clock.nextLimitMs !== undefined) this.clock.advanceTo(this.clock.nextLimitMs)
  }

  /** For what the sweep's process does besides the sweep. */
  sweepDeps(): StepDeps & { wake: (step: string, ref: ObjectRef) => Promise<void> } {
    return { ...this.#processes.start().deps, wake: async (_step, ref) => void this.#pending.push(ref) }
  }

  #sweep(): void {
    this.#nextSweepMs = this.clock.nowMs() + SWEEP_EVERY_MS
    const warm = this.#processes.start()
    const wake = async (_step: string, ref: ObjectRef) => void this.#pending.push(ref)
    const count = (_kind: KindName, cause: string) => {
      if (cause === 'rescue') this.rescues++
    }
    this.#sweeping++
    this.#track(
      warm.pod,
      within(warm, SWEEP_REQUEST_MS, (signal) => sweep({ ...warm.deps, wake, count }, signal)).finally(
        () => this.#sweeping--,
      ),
    )
  }

  #deliver(): void {
    const [ref] = this.#pending.splice(this.choices.below('which event', this.#pending.length), 1)
    if (ref === undefined) return
    const warm = this.#takePod()
    this.requests[ref.kind] = (this.requests[ref.kind] ?? 0) + 1
    this.#track(
      warm.pod,
      request(ref, warm).finally(() => this.#keepWarm(warm)),
    )
  }

  #track(pod: Pod, work: Promise<unknown>): void {
    this.#running++
    work
      .catch((error: unknown) => {
        if (pod.dead) return
        // A 503: the broker delivers the event again, or drops it in the end, and then the sweep finds the object.
        if ((error as Error).name === 'Error' || (error as Error).name === 'TypeError')
          this.errors.push(String((error as Error).stack))
      })
      .finally(() => this.#running--)
  }

  #takePod(): Warm {
    const at = this.choices.below('which pod', this.#warm.length + 1)
    return this.#warm.splice(at, 1)[0] ?? this.#processes.start()
  }

  /** Keeps a pod warm. Pods above the limit are stopped in order. */
  #keepWarm(warm: Warm): void {
    if (warm.pod.dead) return
    this.#warm.push(warm)
    if (this.#warm.length > MOST_WARM) void this.#warm.shift()?.deps.mover.close()
  }
}

/** One group of namespaces: a backup of each may be restored into each other one. */
function aRepository(cluster: MemoryCluster): void {
  const restored = Array.from({ length: 64 }, (_, n) => `restored-${n}`)
  cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'br' },
    allowedNamespaces: ['app', 'restored', ...restored],
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    repopsitoryParameters: { bucket: 'backups' },
  })
}

/** An empty list lets every namespace back up into the repository, and lets none restore or delete the backups of another. */
export async function allowing(world: World, allowedNamespaces: string[]): Promise<World> {
  const repository = world.cluster.peek('BackupRepository', undefined, 'br') as LooseObject
  await world.cluster.patch('BackupRepository', repository, { allowedNamespaces })
  return world
}

function isAtRest(object: LooseObject): boolean {
  return (
    isOver(object) && object.metadata.labels?.[STEP_LABEL] === 'done' && object.metadata.deletionTimestamp === undefined
  )
}
