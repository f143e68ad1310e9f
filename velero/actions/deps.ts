// The dependencies of every action, and its retries.

import type { StoreRules } from '#shared/domain/store-rules.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import { retry } from '#shared/kernel/retry.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import type { Cluster } from '#shared/ports/cluster.ts'

export type ActionDeps = {
  cluster: Cluster
  clock: Clock
  veleroNamespace: string
  stores: StoreRules
  /** Stored next to the blob. */
  pluginVersion: string
}

/** About a minute and a half: a restart of the API server must not fail an item for good. */
const PATIENCE = { attempts: 20, firstDelayMs: SECOND_MS / 2, maxDelayMs: 5 * SECOND_MS }

/**
 * The same cluster, with retries for errors that may be transient. A write whose answer was lost comes back as a conflict,
 * which each caller resolves by reading the object.
 */
export function patient<Deps extends ActionDeps>(deps: Deps): Deps {
  const { cluster, clock } = deps
  const ask = <T>(act: () => Promise<T>) => retry(act, PATIENCE, clock)
  const asked: Cluster = {
    nowMs: () => cluster.nowMs(),
    read: (...args) => ask(() => cluster.read(...args)),
    list: (...args) => ask(() => cluster.list(...args)),
    page: (...args) => ask(() => cluster.page(...args)),
    create: (...args) => ask(() => cluster.create(...args)),
    patch: (...args) => ask(() => cluster.patch(...args)),
    patchStatus: (...args) => ask(() => cluster.patchStatus(...args)),
    delete: (...args) => ask(() => cluster.delete(...args)),
  }
  return { ...deps, cluster: asked }
}
