// vSphere's First Class Disks in memory, for tests: data, snapshots, change tracking and tasks that take time.
//
// It follows vSphere in the difficult cases: the snapshot of a running task is not listed yet, a snapshot that is open for reading cannot
// be deleted, and change tracking that was switched off loses its history. It passes the same contract suite as the vSphere adapter.

import type { Clock } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import type { DiskAccess, FcdSnapshot, TaskRef, TaskState, VolumeFacts, VolumeService } from '#shared/ports/volumes.ts'
import { checkId, checkTask, parseChangeId } from '#shared/providers/vsphere/ids.ts'
import { MemoryVolume, type MemoryVolumeSnapshot } from './volume.ts'

type VolumeCall = { method: keyof VolumeService; fcdId: string | undefined; snapshotId: string | undefined }

type MemoryVolumesOptions = {
  clock: Clock
  vcenter?: string
  /** How many calls of any kind a task outlasts. 0: it is done when it is started. */
  callsPerTask?: number
  /** Called before and after each call; an error that it throws reaches the caller. */
  onCall?: (call: VolumeCall, moment: 'before' | 'after') => void
}

type Task = {
  callsLeft: number
  finish: () => string | undefined
  outcome?: { result: string | undefined } | { error: Error }
}

export class MemoryVolumes implements VolumeService {
  callsPerTask: number
  onCall: MemoryVolumesOptions['onCall']
  readonly #clock: Clock
  readonly #vcenter: string
  readonly #volumes = new Map<string, MemoryVolume>()
  readonly #tasks = new Map<string, Task>()
  #lastNumber = 0

  constructor(options: MemoryVolumesOptions) {
    this.#clock = options.clock
    this.#vcenter = options.vcenter ?? 'vcenter.memory'
    this.callsPerTask = options.callsPerTask ?? 0
    this.onCall = options.onCall
  }

  // What a test does as CSI driver, guest or VDDK:

  createDisk(capacityBytes: number, options: { cbt?: boolean; name?: string; datastoreMoref?: string } = {}): string {
    const fcdId = this.#newId('fcd00000')
    const { name = `disk ${fcdId}`, datastoreMoref = 'datastore-1', cbt = false } = options
    const volume = new MemoryVolume({ fcdId, name, capacityBytes, datastoreMoref })
    if (cbt) volume.startTracking(this.#newId('c0000000'))
    this.#volumes.set(fcdId, volume)
    return fcdId
  }

  write(fcdId: string, offsetBytes: number, bytes: Uint8Array): void {
    const disk = this.openDisk(fcdId, undefined, true)
    disk.write(offsetBytes, bytes)
    disk.close()
  }

  /** As an administrator would, by hand. */
  takeSnapshotNow(fcdId: string, description: string): string {
    const volume = this.#volume(fcdId)
    const taken = volume.takeSnapshot(this.#newId('50a00000'), description, this.#clock.nowMs())
    volume.showSnapshot(taken)
    return taken.snapshotId
  }

  /** As an administrator would: VslmRevertVStorageObject. */
  revertTo(fcdId: string, snapshotId: string): void {
    this.#volume(fcdId).revert(snapshotId)
  }

  removeSnapshotNow(fcdId: string, snapshotId: string): void {
    this.#volume(fcdId).removeSnapshot(snapshotId)
  }

  /** As VDDK would: a snapshot only for reading. */
  openDisk(fcdId: string, snapshotId?: string, writable = false): Disk {
    return this.#volume(fcdId).open(snapshotId, writable)
  }

  /** Deletes the disk directly, even if it has snapshots. */
  deleteDisk(fcdId: string): void {
    this.#volumes.delete(fcdId)
  }

  snapshotsOf(fcdId: string): FcdSnapshot[] {
    return this.#volumes.get(fcdId)?.listSnapshots() ?? []
  }

  get diskIds(): string[] {
    return [...this.#volumes.keys()]
  }

  /** Finishes all running tasks. */
  finishTasks(): void {
    for (const task of this.#tasks.values()) finish(task)
  }

  // The port:

  describe(fcdId: string): Promise<VolumeFacts | undefined> {
    return this.#call('describe', fcdId, undefined, () => {
      const volume = this.#volumes.get(fcdId)
      return volume === undefined ? undefined : { ...volume.facts(), vcenter: this.#vcenter }
    })
  }

  listSnapshots(fcdId: string): Promise<FcdSnapshot[]> {
    return this.#call('listSnapshots', fcdId, undefined, () => this.#volume(fcdId).listSnapshots())
  }

  startSnapshot(fcdId: string, description: string): Promise<TaskRef> {
    return this.#call('startSnapshot', fcdId, undefined, () => {
      const volume = this.#volume(fcdId)
      const taken = volume.takeSnapshot(this.#newId('50a00000'), description, this.#clock.nowMs())
      return this.#start(() => {
        volume.showSnapshot(taken)
        return taken.snapshotId
      })
    })
  }

  pollTask({ vcenter, task }: TaskRef): Promise<TaskState> {
    return this.#call('pollTask', undefined, undefined, () => {
      const found = this.#tasks.get(vcenter === this.#vcenter ? checkTask(task) : '')
      if (found === undefined) throw new RetryableError('TaskNotFound', `vCenter ${vcenter} does not know ${task}`)
      if (found.outcome === undefined) return { state: 'running', percent: undefined }
      if ('error' in found.outcome) throw found.outcome.error
      return { state: 'done', result: found.outcome.result }
    })
  }

  changeId(fcdId: string, snapshotId: string): Promise<string | undefined> {
    return this.#call('changeId', fcdId, snapshotId, () => this.#snapshot(fcdId, snapshotId).changeId)
  }

  changedAreas(fcdId: string, snapshotId: string, changeId: string, capacityBytes: number): Promise<Extent[]> {
    return this.#call('changedAreas', fcdId, snapshotId, () => {
      const base = parseChangeId(changeId)
      const snapshot = this.#snapshot(fcdId, snapshotId)
      const current = parseChangeId(snapshot.changeId ?? '')
      const fits = base !== undefined && base.tracking === current?.tracking && base.epoch <= current.epoch
      if (!fits || capacityBytes > snapshot.content.capacityBytes) {
        throw new TerminalError('ChangeTrackingLost', `volume ${fcdId} cannot tell what changed since ${changeId}`)
      }
      return snapshot.changedSince(base.epoch, capacityBytes)
    })
  }

  startDeleteSnapshot(fcdId: string, snapshotId: string): Promise<TaskRef | undefined> {
    return this.#call('startDeleteSnapshot', fcdId, snapshotId, () => {
      const volume = this.#volumes.get(fcdId)
      if (volume?.snapshot(snapshotId) === undefined) return undefined
      return this.#start(() => {
        volume.removeSnapshot(snapshotId)
        return undefined
      })
    })
  }

  diskAccess(fcdId: string): Promise<DiskAccess> {
    return this.#call('diskAccess', fcdId, undefined, () => ({
      server: this.#vcenter,
      port: 443,
      thumbprintSha1: Array(20).fill('AA').join(':'),
      user: 'memory',
      password: 'memory',
      datastoreMoref: this.#volume(fcdId).facts().datastoreMoref,
    }))
  }

  /** Not part of the port; the vSphere adapter has it as well. */
  async changeTracking(fcdId: string, on: boolean): Promise<void> {
    const volume = this.#volume(fcdId)
    if (on) volume.startTracking(this.#newId('c0000000'))
    else volume.stopTracking()
  }

  async close(): Promise<void> {}

  async #call<T>(
    method: keyof VolumeService,
    fcdId: string | undefined,
    snapshotId: string | undefined,
    act: () => T,
  ): Promise<T> {
    if (fcdId !== undefined) checkId(fcdId, 'volume')
    if (snapshotId !== undefined) checkId(snapshotId, 'snapshot')
    const call = { method, fcdId, snapshotId }
    this.onCall?.(call, 'before')
    for (const task of this.#tasks.values()) if (task.callsLeft-- <= 0) finish(task)
    const result = act()
    this.onCall?.(call, 'after')
    return result
  }

  #start(effect: () => string | undefined): TaskRef {
    const name = `task-${++this.#lastNumber}`
    const task: Task = { callsLeft: this.callsPerTask, finish: effect }
    this.#tasks.set(name, task)
    if (this.callsPerTask === 0) finish(task)
    return { vcenter: this.#vcenter, task: name }
  }

  #volume(fcdId: string): MemoryVolume {
    const found = this.#volumes.get(fcdId)
    if (found === undefined) throw new TerminalError('VolumeNotFound', `no vCenter knows volume ${fcdId}`)
    return found
  }

  #snapshot(fcdId: string, snapshotId: string): MemoryVolumeSnapshot {
    const found = this.#volume(fcdId).snapshot(snapshotId)
    if (found !== undefined) return found
    throw new TerminalError('SnapshotNotFound', `volume ${fcdId} has no snapshot ${snapshotId}`)
  }

  /** UUIDs that are the same in every run. */
  #newId(prefix: string): string {
    return `${prefix}-0000-4000-8000-${String(++this.#lastNumber).padStart(12, '0')}`
  }
}

function finish(task: Task): void {
  if (task.outcome !== undefined) return
  try {
    task.outcome = { result: task.finish() }
  } catch (error) {
    task.outcome = { error: error as Error }
  }
}
