// Deletes objects for a prune: in parallel, until time is up, and counts what was deleted. A dry run only counts.

import type { PruneReport } from '#shared/ports/mover.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import type { Repository } from '#shared/repository/core/repository.ts'

const PARALLEL_DELETES = 8

export type Doomed = { key: string; bytes: number }

export class Remover {
  readonly removed: PruneReport['removed'] = {}
  /** Names of the objects, for a dry run. */
  readonly keys: string[] = []
  readonly #repository: Repository
  readonly #isOver: () => boolean
  readonly #dryRun: boolean
  readonly #signal: AbortSignal | undefined
  #begun = 0

  constructor(repository: Repository, isOver: () => boolean, dryRun: boolean, signal?: AbortSignal) {
    this.#repository = repository
    this.#isOver = isOver
    this.#dryRun = dryRun
    this.#signal = signal
  }

  /**
   * false: time was up before all objects were gone. A second call changes nothing except the count. The first few objects are always
   * removed, so that each slice makes progress however long its earlier steps took.
   */
  async removeAll(doomed: readonly Doomed[], onRemoved: () => void = () => {}): Promise<boolean> {
    let isWhole = true
    await inParallel(doomed, PARALLEL_DELETES, async ({ key, bytes }) => {
      if (this.#mustStop()) isWhole = false
      if (!isWhole) return
      await this.#remove(key, bytes)
      onRemoved()
    })
    return isWhole
  }

  #mustStop(): boolean {
    return this.#signal?.aborted === true || (this.#begun++ >= PARALLEL_DELETES && this.#isOver())
  }

  async #remove(key: string, bytes: number): Promise<void> {
    if (this.#dryRun) this.keys.push(key)
    else await this.#repository.store.delete(key)
    this.count(key.slice(0, key.indexOf('/')), bytes)
  }

  count(kind: string, bytes: number): void {
    const { objects, bytes: sum } = this.removed[kind] ?? { objects: 0, bytes: 0 }
    this.removed[kind] = { objects: objects + 1, bytes: sum + bytes }
  }
}
