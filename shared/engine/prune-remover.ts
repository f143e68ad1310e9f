// Deletes for a prune run: in parallel, until time is up, with a count of what went. A dry run only counts.

import type { PruneReport } from '#shared/ports/mover.ts'
import { inParallel } from './in-parallel.ts'
import type { Repository } from './repository.ts'

const PARALLEL_DELETES = 8

/** `bytes` undefined: nobody knows whether it is still there; it is deleted and not counted. */
export type Doomed = { key: string; bytes: number | undefined }

export class Remover {
  readonly removed: PruneReport['removed'] = {}
  /** Names, for a dry run. */
  readonly keys: string[] = []
  readonly #repository: Repository
  readonly #isOver: () => boolean
  readonly #dryRun: boolean

  constructor(repository: Repository, isOver: () => boolean, dryRun: boolean) {
    this.#repository = repository
    this.#isOver = isOver
    this.#dryRun = dryRun
  }

  /** false: time was up before all were gone. Twice is the same, but for the count. */
  async removeAll(doomed: readonly Doomed[]): Promise<boolean> {
    let isWhole = true
    await inParallel(doomed, PARALLEL_DELETES, async ({ key, bytes }) => {
      if (this.#isOver()) isWhole = false
      else await this.#remove(key, bytes)
    })
    return isWhole
  }

  async #remove(key: string, bytes: number | undefined): Promise<void> {
    if (this.#dryRun) this.keys.push(key)
    else await this.#repository.store.delete(key)
    if (bytes !== undefined) this.count(key.slice(0, key.indexOf('/')), bytes)
  }

  count(kind: string, bytes: number): void {
    const { objects, bytes: sum } = this.removed[kind] ?? { objects: 0, bytes: 0 }
    this.removed[kind] = { objects: objects + 1, bytes: sum + bytes }
  }
}
