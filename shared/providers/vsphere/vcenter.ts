// The volumes of one vCenter: gives vslm's answers the meaning that the port (shared/ports/volumes.ts) defines.

import type { Clock } from '#shared/kernel/clock.ts'
import { DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { backoffMs, retry } from '#shared/kernel/retry.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { DiskAccess, FcdSnapshot, TaskRef, TaskState, VolumeFacts } from '#shared/ports/volumes.ts'
import { changeTrackingLost, collectChangedAreas } from './areas.ts'
import type { VCenter } from './config.ts'
import { changeTrackingLossOf, errorOf, missingOf } from './faults.ts'
import { parseChangeId } from './ids.ts'
import { Session } from './session.ts'
import { queryTask } from './tasks.ts'
import { Vslm } from './vslm.ts'

/** One transient error among hundreds of answers should not discard the others. */
const AREA_RETRIES = { attempts: 3, firstDelayMs: 500, maxDelayMs: 5 * SECOND_MS }
/**
 * vCenter may answer "no such snapshot" for a moment after its task was done (docs/development/vsphere.md#faults); these waits add up to
 * about 3 s.
 */
const FRESH_SNAPSHOT_RETRIES = { attempts: 5, firstDelayMs: 300, maxDelayMs: 2 * SECOND_MS }

export class VCenterVolumes {
  readonly vcenter: VCenter
  readonly #clock: Clock
  readonly #session: Session
  readonly #vslm: Vslm

  constructor(vcenter: VCenter, clock: Clock) {
    this.vcenter = vcenter
    this.#clock = clock
    this.#session = new Session(vcenter, clock)
    this.#vslm = new Vslm(this.#session, vcenter.host)
  }

  async describe(fcdId: string): Promise<VolumeFacts | undefined> {
    try {
      return (await this.#vslm.retrieve(fcdId)).facts
    } catch (error) {
      if (missingOf(error) !== undefined) return undefined
      throw this.#error(error, `describe volume ${fcdId}`)
    }
  }

  async listSnapshots(fcdId: string): Promise<FcdSnapshot[]> {
    try {
      return await this.#vslm.snapshots(fcdId)
    } catch (error) {
      throw this.#volumeError(error, fcdId, `list the snapshots of volume ${fcdId}`)
    }
  }

  /** Checks that the volume exists first: some versions start a task for a volume that does not exist, and that task can only fail. */
  async startSnapshot(fcdId: string, description: string): Promise<TaskRef> {
    if ((await this.describe(fcdId)) === undefined) throw volumeNotFound(fcdId)
    try {
      return this.#task(await this.#vslm.createSnapshot(fcdId, description))
    } catch (error) {
      throw this.#collision(error, `take a snapshot of volume ${fcdId}`)
    }
  }

  pollTask(task: string): Promise<TaskState> {
    return queryTask(this.#session, this.vcenter.host, task)
  }

  async changeId(fcdId: string, snapshotId: string): Promise<string | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        const changeId = await this.#vslm.changeId(fcdId, snapshotId)
        return changeId !== undefined && parseChangeId(changeId) !== undefined ? changeId : undefined
      } catch (error) {
        const doing = `read the details of snapshot ${snapshotId} of volume ${fcdId}`
        if (missingOf(error) !== 'snapshot') throw this.#volumeError(error, fcdId, doing)
        if (attempt >= FRESH_SNAPSHOT_RETRIES.attempts)
          throw await this.#hiddenSnapshot(error, fcdId, snapshotId, doing)
      }
      await this.#clock.sleep(backoffMs(attempt, FRESH_SNAPSHOT_RETRIES))
    }
  }

  async changedAreas(fcdId: string, snapshotId: string, changeId: string, capacityBytes: number): Promise<Extent[]> {
    const base = parseChangeId(changeId)
    if (base === undefined) throw changeTrackingLost('the change id of the last backup is not one')
    const current = parseChangeId((await this.changeId(fcdId, snapshotId)) ?? '')
    if (current === undefined)
      throw changeTrackingLost(`volume ${fcdId} has no change tracking at snapshot ${snapshotId}`)
    // Tracking was switched off and on again, or the disk was reverted or replaced.
    if (base.tracking !== current.tracking || base.epoch > current.epoch) {
      throw changeTrackingLost(`the change tracking of volume ${fcdId} is not the one of the last backup`)
    }
    return collectChangedAreas(capacityBytes, (startBytes) =>
      retry(() => this.#changedPart(fcdId, snapshotId, startBytes, changeId), AREA_RETRIES, this.#clock),
    )
  }

  /**
   * undefined only when the list of snapshots shows that the snapshot is gone: a refusal is never taken for a deletion
   * (docs/development/vsphere.md#faults).
   */
  async startDeleteSnapshot(fcdId: string, snapshotId: string): Promise<TaskRef | undefined> {
    const snapshots = await this.listSnapshots(fcdId)
    if (!snapshots.some((snapshot) => snapshot.snapshotId === snapshotId)) return undefined
    try {
      return this.#task(await this.#vslm.deleteSnapshot(fcdId, snapshotId))
    } catch (error) {
      throw this.#collision(error, `delete snapshot ${snapshotId} of volume ${fcdId}`)
    }
  }

  async diskAccess(fcdId: string): Promise<DiskAccess> {
    try {
      const { facts, thumbprintSha1 } = await this.#vslm.retrieve(fcdId)
      const { host, port, user, password } = this.vcenter
      return { server: host, port, thumbprintSha1, user, password, datastoreMoref: facts.datastoreMoref }
    } catch (error) {
      throw this.#volumeError(error, fcdId, `describe volume ${fcdId}`)
    }
  }

  /** A disk with change tracking cannot be attached to a VM without it (Broadcom KB 88193): only call this at the user's request. */
  async setChangeTracking(fcdId: string, on: boolean): Promise<void> {
    try {
      await this.#vslm.setChangeTracking(fcdId, on)
    } catch (error) {
      throw this.#volumeError(error, fcdId, `switch change tracking of volume ${fcdId} ${on ? 'on' : 'off'}`)
    }
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #changedPart(fcdId: string, snapshotId: string, startBytes: number, changeId: string) {
    try {
      return await this.#vslm.changedPart(fcdId, snapshotId, startBytes, changeId)
    } catch (error) {
      const loss = changeTrackingLossOf(error)
      if (loss !== undefined) {
        throw changeTrackingLost(
          `vCenter ${this.vcenter.host} cannot tell what changed on volume ${fcdId}: ${loss}`,
          error,
        )
      }
      if (missingOf(error) === 'snapshot') throw snapshotNotFound(fcdId, snapshotId, error)
      throw this.#volumeError(error, fcdId, `tell what changed on volume ${fcdId}`)
    }
  }

  /** The details call has refused the snapshot repeatedly: the list decides whether the snapshot is still being created. */
  async #hiddenSnapshot(cause: unknown, fcdId: string, snapshotId: string, doing: string): Promise<Error> {
    const listed = (await this.listSnapshots(fcdId)).some((snapshot) => snapshot.snapshotId === snapshotId)
    return listed ? this.#collision(cause, doing) : snapshotNotFound(fcdId, snapshotId, cause)
  }

  #task(task: string): TaskRef {
    return { vcenter: this.vcenter.host, task }
  }

  #error(error: unknown, doing: string): Error {
    return errorOf(error, this.vcenter.host, doing)
  }

  #volumeError(error: unknown, fcdId: string, doing: string): Error {
    return missingOf(error) === 'volume' ? volumeNotFound(fcdId, error) : this.#error(error, doing)
  }

  /**
   * vCenter reports as missing what existed a moment ago: another operation is working on it (the Velero Plugin for vSphere retries
   * NotFound too).
   */
  #collision(error: unknown, doing: string): Error {
    if (missingOf(error) === undefined) return this.#error(error, doing)
    return new RetryableError('VCenterBusy', `vCenter ${this.vcenter.host} could not ${doing} just now`, {
      cause: error,
    })
  }
}

export function volumeNotFound(fcdId: string, cause?: unknown): TerminalError {
  return new TerminalError('VolumeNotFound', `no vCenter of the Secret knows volume ${fcdId}`, { cause })
}

export function isVolumeNotFound(error: unknown): boolean {
  return error instanceof DormouseError && error.reason === 'VolumeNotFound'
}

function snapshotNotFound(fcdId: string, snapshotId: string, cause: unknown): TerminalError {
  return new TerminalError('SnapshotNotFound', `volume ${fcdId} has no snapshot ${snapshotId}`, { cause })
}
