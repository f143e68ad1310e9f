// The disks of a simulation run as movers see them: vSphere locks a disk that is open for writing, and each open and each write is checked.

import { RetryableError } from '#shared/kernel/errors.ts'
import type { Disk, Extent } from '#shared/ports/disk.ts'
import type { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import type { Pod } from './pod.ts'

export class Disks {
  readonly #volumes: MemoryVolumes
  readonly #broken: string[]
  readonly #writers = new Map<string, OpenDisk>()
  /** Disks that vCenter keeps from migrating: a mover asks for it when it opens a disk, and its death does not undo it. */
  readonly held = new Set<string>()
  /** Disks that users' claims are bound to: nothing may write there any more. */
  readonly handedOver = new Set<string>()
  /** How often each disk was opened for reading (its snapshot) and for writing (the disk itself). */
  readonly opened = { snapshots: 0, writable: 0 }

  constructor(volumes: MemoryVolumes, broken: string[]) {
    this.#volumes = volumes
    this.#broken = broken
  }

  /** Like VDDK, refuses a second writer. A process that rightly holds its Lease never meets that. */
  open(pod: Pod, isAlive: () => boolean, fcdId: string, snapshotId: string | undefined, writable: boolean): OpenDisk {
    this.#watchOpening(fcdId, snapshotId, writable)
    const other = this.#writers.get(fcdId)
    if (writable && other !== undefined) {
      const aStill = [pod, other.pod].some((each) => each.wasPaused || each.dead)
      if (!aStill) this.#broken.push(`two writers of disk ${fcdId}: ${other.pod.name} and ${pod.name}`)
      throw new RetryableError('VddkDiskLocked', `disk ${fcdId} is open for writing in ${other.pod.name}`)
    }
    const disk = new OpenDisk(pod, this.#volumes.openDisk(fcdId, snapshotId, writable), {
      isAlive,
      onWrite: () => this.#watch(fcdId, pod),
      onClose: () => writable && this.#writers.delete(fcdId),
      onEnd: () => this.held.delete(fcdId),
    })
    if (writable) this.#writers.set(fcdId, disk)
    this.held.add(fcdId)
    return disk
  }

  endAccess(fcdId: string): void {
    this.held.delete(fcdId)
  }

  /** A backup opens a disk snapshot, never the disk, which a VM may have open; a restore opens a disk that no user's claim has. */
  #watchOpening(fcdId: string, snapshotId: string | undefined, writable: boolean): void {
    this.opened[writable ? 'writable' : 'snapshots']++
    if (writable === (snapshotId !== undefined))
      this.#broken.push(`disk ${fcdId} is opened ${writable ? 'for writing by a snapshot' : 'itself for reading'}`)
    if (writable && this.handedOver.has(fcdId))
      this.#broken.push(`disk ${fcdId} of a user's claim is opened for writing`)
  }

  #watch(fcdId: string, pod: Pod): void {
    if (this.handedOver.has(fcdId)) this.#broken.push(`${pod.name} writes to disk ${fcdId}, which a user's claim has`)
  }
}

type Hooks = { isAlive: () => boolean; onWrite: () => void; onClose: () => void; onEnd: () => void }

export class OpenDisk implements Disk {
  readonly pod: Pod
  readonly capacityBytes: number
  readonly #inner: Disk
  readonly #hooks: Hooks
  #isOpen = true
  /** The old content of each place that was written since the last flush. It comes back if no flush follows. */
  #unflushed: { offsetBytes: number; was: Uint8Array }[] = []

  constructor(pod: Pod, inner: Disk, hooks: Hooks) {
    this.pod = pod
    this.#inner = inner
    this.#hooks = hooks
    this.capacityBytes = inner.capacityBytes
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#requireOpen()
    this.#inner.read(offsetBytes, into)
  }

  write(offsetBytes: number, from: Uint8Array): void {
    this.#requireOpen()
    this.#hooks.onWrite()
    const was = new Uint8Array(from.length)
    this.#inner.read(offsetBytes, was)
    this.#unflushed.push({ offsetBytes, was })
    this.#inner.write(offsetBytes, from)
  }

  flush(): void {
    this.#requireOpen()
    this.#inner.flush()
    this.#unflushed = []
  }

  allocated(offsetBytes: number, lengthBytes: number): Extent[] | undefined {
    this.#requireOpen()
    return this.#inner.allocated(offsetBytes, lengthBytes)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    for (const { offsetBytes, was } of this.#unflushed.reverse()) this.#inner.write(offsetBytes, was)
    this.#inner.close()
    this.#hooks.onClose()
  }

  /** Closes in order, as a process does that is alive. */
  end(): void {
    if (!this.#isOpen) return
    this.close()
    this.#hooks.onEnd()
  }

  #requireOpen(): void {
    if (!this.#isOpen || !this.#hooks.isAlive())
      throw new RetryableError('MoverKilled', 'the handle went with its process')
  }
}
