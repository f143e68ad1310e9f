// Keeps a disk's lanes open from one slice of an upload to the next, because opening a disk through VDDK takes seconds.

import type { Lane, LaneSetup } from '#shared/movers/block/lane.ts'
import type { DiskProvider } from '#shared/ports/disk-provider.ts'
import type { DiskRef } from '#shared/ports/mover.ts'
import type { MoverSetup } from './protocol.ts'
import { ThreadLane } from './thread-lane.ts'

export class LanePool {
  readonly #setup: MoverSetup
  readonly #provider: DiskProvider
  #lanes: ThreadLane[] = []
  /** Identifies the disk that the lanes have open. */
  #key: string | undefined

  constructor(setup: MoverSetup, provider: DiskProvider) {
    this.#setup = setup
    this.#provider = provider
  }

  async open(disk: DiskRef, setup: LaneSetup, writable: boolean): Promise<Lane[]> {
    // The password is not part of the key: a new password does not affect an open handle.
    const key = JSON.stringify([disk.access.server, disk.access.datastoreMoref, disk.fcdId, disk.snapshotId, writable])
    if (key !== this.#key) {
      await this.closeAll()
      const birth = { disks: this.#setup.disks, shared: this.#provider.shared, disk, writable }
      this.#lanes = Array.from({ length: this.#count(writable) }, () => new ThreadLane(birth))
      this.#key = key
    }
    await Promise.all(this.#lanes.map((lane) => lane.begin(setup)))
    return this.#lanes
  }

  /** Closes all lanes; the first failure is thrown after all were tried. */
  async closeAll(): Promise<void> {
    const lanes = this.#lanes
    this.#lanes = []
    this.#key = undefined
    const closed = await Promise.allSettled(lanes.map((lane) => lane.close()))
    const failed = closed.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  #count(writable: boolean): number {
    const { workers } = this.#setup
    return writable ? Math.min(workers, this.#provider.writers) : workers
  }
}
