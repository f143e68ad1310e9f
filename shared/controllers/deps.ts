// The dependencies of the steps. They are ports only; the main.ts of each function supplies the implementations.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { RepositoryUse } from '#shared/domain/repository-use.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import type { Settings } from '#shared/kernel/env.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { Mover, Repositories, RepositoryAccess } from '#shared/ports/mover.ts'
import type { Stores } from '#shared/ports/stores.ts'
import type { VolumeService } from '#shared/ports/volumes.ts'

export type Log = {
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export type StepDeps = {
  cluster: Cluster
  clock: Clock
  settings: Settings
  stores: Stores
  /** Name of this pod, used in Leases and messages. */
  identity: string
  log: Log
}

export type VolumeDeps = StepDeps & {
  volumes: VolumeService
  /** `cluster-id` of the vSphere configuration. It is part of every name that Dormouse creates in vSphere. */
  clusterId: () => Promise<string>
}

export type RepositoryDeps = StepDeps & {
  repositories: Repositories
  /**
   * Returns everything needed to open the named BackupRepository. Its Secrets are read at each call, so they may rotate. `write` (default:
   * `read`) also checks that the BackupStorageLocation accepts new backups and deletions.
   */
  access: (repository: string, use?: RepositoryUse) => Promise<RepositoryAccess>
}

export type TransferDeps = VolumeDeps &
  RepositoryDeps & {
    mover: Mover
    /** How many more transfers this process may start. */
    permits: Permits
    /** Counts a slice by how it ended: `more`, `done`, `failed`. */
    countSlice: (outcome: 'more' | 'done' | 'failed') => void
  }

/** Counts the transfers in one process. The pod's memory limit allows only this many. */
export class Permits {
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  tryTake(): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  give(): void {
    this.#free++
  }
}

export function objectText(object: KubeObject): string {
  const { namespace, name } = object.metadata
  return `${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
}
