// One First Class Disk of MemoryVolumes: its blocks, its snapshots, which share unchanged blocks with it, and its change tracking.

import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import type { FcdSnapshot, VolumeFacts } from '#shared/ports/volumes.ts'
import { MemoryDisk, MemoryDiskContent } from './disk.ts'

/** `writtenIn` maps a block to the epoch in which it was last written. Each snapshot ends an epoch. */
type Tracking = { name: string; epoch: number; writtenIn: Map<number, number> }

export class MemoryVolumeSnapshot {
  readonly snapshotId: string
  readonly description: string
  readonly createdMs: number
  readonly content: MemoryDiskContent
  readonly changeId: string | undefined
  readonly #writtenIn: ReadonlyMap<number, number>
  openHandles = 0

  constructor(facts: FcdSnapshot, content: MemoryDiskContent, tracking: Tracking | undefined) {
    this.snapshotId = facts.snapshotId
    this.description = facts.description
    this.createdMs = facts.createdMs
    this.content = content
    this.changeId = tracking === undefined ? undefined : `${tracking.name}/${tracking.epoch}`
    this.#writtenIn = new Map(tracking?.writtenIn)
  }

  trackingAfter(name: string): Tracking {
    const epoch = Number(this.changeId?.split('/').at(-1) ?? 0)
    return { name, epoch: epoch + 1, writtenIn: new Map(this.#writtenIn) }
  }

  changedSince(epoch: number, capacityBytes: number): Extent[] {
    const { blockBytes } = this.content
    const changed = [...this.#writtenIn].filter(([, writtenIn]) => writtenIn > epoch).map(([block]) => block)
    const areas: Extent[] = []
    for (const block of changed.sort((a, b) => a - b)) {
      const offsetBytes = block * blockBytes
      const lengthBytes = Math.min(blockBytes, capacityBytes - offsetBytes)
      const last = areas.at(-1)
      if (lengthBytes <= 0) break
      if (last !== undefined && last.offsetBytes + last.lengthBytes === offsetBytes) last.lengthBytes += lengthBytes
      else areas.push({ offsetBytes, lengthBytes })
    }
    return areas
  }
}

export class MemoryVolume {
  readonly #facts: Omit<VolumeFacts, 'vcenter' | 'changedBlockTracking'>
  readonly #content: MemoryDiskContent
  readonly #snapshots = new Map<string, MemoryVolumeSnapshot>()
  #shared = new WeakSet<Uint8Array>()
  #tracking: Tracking | undefined

  constructor(facts: Omit<VolumeFacts, 'vcenter' | 'changedBlockTracking'>) {
    this.#facts = facts
    this.#content = new MemoryDiskContent(facts.capacityBytes)
  }

  facts(): Omit<VolumeFacts, 'vcenter'> {
    return { ...this.#facts, changedBlockTracking: this.#tracking !== undefined }
  }

  /** `id` is a UUID: change ids write its 16 bytes in two groups. If tracking is already on, it continues. */
  startTracking(id: string): void {
    const bytes = id.replaceAll('-', '').match(/../g) ?? []
    const name = `${bytes.slice(0, 8).join(' ')}-${bytes.slice(8).join(' ')}`
    this.#tracking ??= { name, epoch: 1, writtenIn: new Map() }
  }

  stopTracking(): void {
    this.#tracking = undefined
  }

  listSnapshots(): FcdSnapshot[] {
    return [...this.#snapshots.values()].map(({ snapshotId, description, createdMs }) => ({
      snapshotId,
      description,
      createdMs,
    }))
  }

  snapshot(snapshotId: string): MemoryVolumeSnapshot | undefined {
    return this.#snapshots.get(snapshotId)
  }

  /** Takes a snapshot of the current state. It is not visible before showSnapshot. */
  takeSnapshot(snapshotId: string, description: string, createdMs: number): MemoryVolumeSnapshot {
    const content = new MemoryDiskContent(this.#content.capacityBytes, this.#content.blockBytes)
    for (const [index, block] of this.#content.blocks) {
      content.blocks.set(index, block)
      this.#shared.add(block)
    }
    const taken = new MemoryVolumeSnapshot({ snapshotId, description, createdMs }, content, this.#tracking)
    if (this.#tracking !== undefined) this.#tracking.epoch++
    return taken
  }

  /** Restores the disk and its change tracking as they were then: the epoch numbers that followed are assigned again. */
  revert(snapshotId: string): void {
    const snapshot = this.#snapshots.get(snapshotId)
    if (snapshot === undefined) throw new TerminalError('SnapshotNotFound', `no snapshot ${snapshotId}`)
    this.#content.blocks.clear()
    for (const [index, block] of snapshot.content.blocks) {
      this.#content.blocks.set(index, block)
      this.#shared.add(block)
    }
    if (this.#tracking !== undefined) this.#tracking = snapshot.trackingAfter(this.#tracking.name)
  }

  showSnapshot(taken: MemoryVolumeSnapshot): void {
    this.#snapshots.set(taken.snapshotId, taken)
  }

  /** vSphere answers FileLocked while the snapshot is being read. */
  removeSnapshot(snapshotId: string): void {
    if ((this.#snapshots.get(snapshotId)?.openHandles ?? 0) > 0) {
      throw new RetryableError('TaskFailed', `snapshot ${snapshotId} is open for reading (FileLocked)`)
    }
    this.#snapshots.delete(snapshotId)
  }

  open(snapshotId: string | undefined, writable: boolean): Disk {
    if (snapshotId === undefined) return new Handle(this.#content, writable, (block) => this.#beforeWrite(block))
    const snapshot = this.#snapshots.get(snapshotId)
    if (snapshot === undefined) {
      throw new TerminalError('SnapshotNotFound', `volume ${this.#facts.fcdId} has no snapshot ${snapshotId}`)
    }
    if (writable) throw new Error(`snapshot ${snapshotId} can only be opened for reading`)
    snapshot.openHandles++
    return new Handle(snapshot.content, false, undefined, () => snapshot.openHandles--)
  }

  #beforeWrite(index: number): void {
    this.#tracking?.writtenIn.set(index, this.#tracking.epoch)
    const block = this.#content.blocks.get(index)
    if (block !== undefined && this.#shared.has(block)) this.#content.blocks.set(index, block.slice())
  }
}

/**
 * Adds the rules of an open disk that MemoryDisk does not know: read-only disks, copying blocks before a write, and closing only once.
 */
class Handle extends MemoryDisk {
  readonly #blockBytes: number
  readonly #writable: boolean
  readonly #beforeWrite: ((block: number) => void) | undefined
  #onClose: (() => void) | undefined

  constructor(
    content: MemoryDiskContent,
    writable: boolean,
    beforeWrite?: (block: number) => void,
    onClose?: () => void,
  ) {
    super(content)
    this.#blockBytes = content.blockBytes
    this.#writable = writable
    this.#beforeWrite = beforeWrite
    this.#onClose = onClose
  }

  override write(offsetBytes: number, from: Uint8Array): void {
    if (!this.#writable) throw new Error('the disk is open for reading only')
    const end = Math.ceil((offsetBytes + from.length) / this.#blockBytes)
    for (let block = Math.floor(offsetBytes / this.#blockBytes); block < end; block++) this.#beforeWrite?.(block)
    super.write(offsetBytes, from)
  }

  override close(): void {
    super.close()
    this.#onClose?.()
    this.#onClose = undefined
  }
}
