// A repository with two backups of one volume, and helpers for tests of prune.

import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import type { PruneReport } from '#shared/ports/mover.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { type Repository, requireRepository } from '#shared/repository/core/repository.ts'
import { type PruneOptions, pruneRepository } from '#shared/repository/maintenance/prune.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld, type UploadOptions } from '#test/support/engine-world.ts'
import { HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

/** Makes two backups: the second one after a part of the disk was written again. */
export async function twoBackups() {
  const times = { nowMs: 1_700_000_000_000 }
  const store = new MemoryObjectStore({ nowMs: () => times.nowMs })
  const world = await EngineWorld.create(store)
  const first = new MemoryDiskContent(120 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(first, [{ kind: 'write', sector: 0, sectors: 500, fill: 7 }])
  const firstRoot = await world.backup(first.snapshot(), 's0')
  const second = first.snapshot()
  const changedAreas = applyChanges(second, [{ kind: 'write', sector: 100, sectors: 200, fill: 9 }])
  const secondRoot = await world.backup(second, 's1', { parentRoot: firstRoot, changedAreas })
  const repository = await requireRepository(store, access.password)
  return { times, store, world, repository, first, firstRoot, second, secondRoot }
}

export const prune = (repository: Repository, change: Partial<PruneOptions> = {}): Promise<PruneReport> =>
  pruneRepository(repository, { clock: systemClock, sliceMs: HOUR_MS, sessionIdleMs: DAY_MS, ...change })

export async function restores(world: EngineWorld, root: string, content: MemoryDiskContent): Promise<boolean> {
  const target = new MemoryDiskContent(content.capacityBytes)
  await world.restoreSlice(target, root)
  return bytesOf(target).equals(bytesOf(content))
}

/** Stops a slice when it sends its first pack, so that packs and a checkpoint are left behind. */
export async function pausedSlice(world: EngineWorld, options: UploadOptions): Promise<void> {
  const stop = new AbortController()
  if (options.changedAreas !== undefined) stop.abort()
  const hook: WriteHook = async ({ key }) => {
    if (key.startsWith('packs/')) stop.abort()
    return 'go on'
  }
  const outcome = await world
    .through(new HookedStore(world.store, hook))
    .uploadSlice({ ...options, signal: stop.signal })
  assert.is(outcome.state, 'more')
}

export const keysOf = (store: MemoryObjectStore, prefix = '') =>
  [...store.objects.keys()].filter((key) => key.startsWith(prefix)).sort()
