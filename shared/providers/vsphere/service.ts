// The port's VolumeService over every vCenter of the Secret: finds the vCenter that knows a disk, and follows changes of the Secret.

import type { Clock } from '#shared/kernel/clock.ts'
import { DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { DiskAccess, FcdSnapshot, TaskRef, TaskState, VolumeFacts, VolumeService } from '#shared/ports/volumes.ts'
import { checkId, checkTask } from './ids.ts'
import { type Pool, Pools, type PoolsOptions } from './pool.ts'
import { isVolumeNotFound, type VCenterVolumes, volumeNotFound } from './vcenter.ts'

/** `loadConfig` is called when it is first needed and when the Secret may have changed. */
export function createVolumeService(options: PoolsOptions): VSphereVolumes {
  return new VSphereVolumes(options)
}

/** A volume that no vCenter knows may be at a vCenter that was added later. */
const POOL_FRESH_MS = MINUTE_MS

/** Errors that a corrected Secret resolves, and that occur before anything was done. */
const CURED_BY_READING_ANEW = ['VCenterLoginFailed', 'VCenterCertificateUntrusted']
/** Further errors, for calls that change nothing: the Secret may name another vCenter now. */
const CURED_FOR_READERS = [...CURED_BY_READING_ANEW, 'VCenterUnreachable', 'TaskNotFound']

export class VSphereVolumes implements VolumeService {
  readonly #pools: Pools
  readonly #clock: Clock

  constructor(options: PoolsOptions) {
    this.#pools = new Pools(options)
    this.#clock = options.clock
  }

  describe(fcdId: string): Promise<VolumeFacts | undefined> {
    const found = this.#onVolume(fcdId, CURED_FOR_READERS, async (vcenter, id) => {
      const facts = await vcenter.describe(id)
      if (facts === undefined) throw volumeNotFound(id)
      return facts
    })
    return found.catch(undefinedIfNoVolume)
  }

  listSnapshots(fcdId: string): Promise<FcdSnapshot[]> {
    return this.#onVolume(fcdId, CURED_FOR_READERS, (vcenter, id) => vcenter.listSnapshots(id))
  }

  startSnapshot(fcdId: string, description: string): Promise<TaskRef> {
    return this.#onVolume(fcdId, CURED_BY_READING_ANEW, (vcenter, id) => vcenter.startSnapshot(id, description))
  }

  async pollTask({ vcenter, task }: TaskRef): Promise<TaskState> {
    const id = checkTask(task)
    return this.#guarded(CURED_FOR_READERS, async (pool) => {
      const home = pool.vcenters.get(vcenter)
      if (home !== undefined) return home.pollTask(id)
      throw new RetryableError(
        'TaskNotFound',
        `${id} was started at vCenter ${vcenter}, which the Secret does not name`,
      )
    })
  }

  async changeId(fcdId: string, snapshotId: string): Promise<string | undefined> {
    const snapshot = checkId(snapshotId, 'snapshot')
    return this.#onVolume(fcdId, CURED_FOR_READERS, (vcenter, id) => vcenter.changeId(id, snapshot))
  }

  async changedAreas(fcdId: string, snapshotId: string, changeId: string, capacityBytes: number): Promise<Extent[]> {
    const snapshot = checkId(snapshotId, 'snapshot')
    return this.#onVolume(fcdId, CURED_FOR_READERS, (vcenter, id) =>
      vcenter.changedAreas(id, snapshot, changeId, capacityBytes),
    )
  }

  async startDeleteSnapshot(fcdId: string, snapshotId: string): Promise<TaskRef | undefined> {
    const snapshot = checkId(snapshotId, 'snapshot')
    const started = this.#onVolume(fcdId, CURED_BY_READING_ANEW, (vcenter, id) =>
      vcenter.startDeleteSnapshot(id, snapshot),
    )
    return started.catch(undefinedIfNoVolume)
  }

  /**
   * VDDK logs in by itself, so it gets the current content of the Secret. A session from before the password was changed still works, so
   * its errors would never show the change.
   */
  async diskAccess(fcdId: string): Promise<DiskAccess> {
    await this.#pools.readAnew(await this.#pools.current())
    return await this.#onVolume(fcdId, CURED_FOR_READERS, (vcenter, id) => vcenter.diskAccess(id))
  }

  /** Not part of the port: for `dormouse doctor` and the opt-in. VCenterVolumes.setChangeTracking describes its danger. */
  changeTracking(fcdId: string, on: boolean): Promise<void> {
    return this.#onVolume(fcdId, CURED_BY_READING_ANEW, (vcenter, id) => vcenter.setChangeTracking(id, on))
  }

  /** The service can be used again afterwards; it then logs in again. */
  close(): Promise<void> {
    return this.#pools.close()
  }

  async #onVolume<T>(
    fcdId: string,
    curable: string[],
    act: (vcenter: VCenterVolumes, id: string) => Promise<T>,
  ): Promise<T> {
    const id = checkId(fcdId, 'volume')
    const actAtHome = async (pool: Pool) => {
      const vcenter = await pool.home(id)
      if (vcenter === undefined) throw volumeNotFound(id)
      return act(vcenter, id)
    }
    return this.#guarded(curable, async (pool) => {
      try {
        return await actAtHome(pool)
      } catch (error) {
        // The volume may have moved to another vCenter since it was found.
        if (!isVolumeNotFound(error) || !pool.forgetHome(id)) throw error
        return actAtHome(pool)
      }
    })
  }

  async #guarded<T>(curable: string[], act: (pool: Pool) => Promise<T>): Promise<T> {
    const pool = await this.#pools.current()
    try {
      return await act(pool)
    } catch (error) {
      if (!(error instanceof DormouseError)) throw error
      const isOld = this.#clock.monotonicMs() - pool.readMs >= POOL_FRESH_MS
      if (!curable.includes(error.reason) && !(isVolumeNotFound(error) && isOld)) throw error
      const fresh = await this.#pools.readAnew(pool)
      if (fresh === pool) throw error
      return act(fresh)
    }
  }
}

function undefinedIfNoVolume(error: unknown): undefined {
  if (!isVolumeNotFound(error)) throw error
}
