// A volume that is backed up night after night, and nights that each end early.

import { DAY_MS } from '#shared/kernel/units.ts'
import type { UploadOutcome } from '#shared/ports/mover.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, type UploadOptions } from '#test/support/engine-world.ts'
import { keysOf } from '#test/support/prune-world.ts'
import { HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

export const PACKS = 110
export const CHUNKS_PER_PACK = 8
export const SECTORS_PER_CHUNK = CHUNK_BYTES / 512

/** A volume of 110 packs, and nights that each end after a number of packs. */
export async function aVolume() {
  const times = { nowMs: 1_700_000_000_000 }
  const store = new MemoryObjectStore({ nowMs: () => times.nowMs })
  const world = await EngineWorld.create(store)
  const chunks = PACKS * CHUNKS_PER_PACK
  const content = new MemoryDiskContent(chunks * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: chunks * SECTORS_PER_CHUNK, fill: 7 }])
  const repository = await requireRepository(store, access.password)
  let nights = 0
  const begin = async () => {
    times.nowMs += DAY_MS
    const snapshotId = `night ${++nights}`
    return { snapshotId, session: await world.newSession(snapshotId, '1', times.nowMs) }
  }
  const stoppedAfter = async (packs: number, options: UploadOptions): Promise<UploadOutcome> => {
    const stop = new AbortController()
    let sent = 0
    const hook: WriteHook = async ({ key }) => {
      if (key.startsWith('packs/') && ++sent >= packs) stop.abort()
      return 'go on'
    }
    const process = world.through(new HookedStore(store, hook))
    try {
      return await process.uploadSlice({ ...options, signal: stop.signal })
    } finally {
      world.warnings.push(...process.warnings)
      world.messages.push(...process.messages)
    }
  }
  /** Returns its session and how many packs it has sent. */
  const night = async (most: number, options: Partial<UploadOptions> = {}) => {
    const { session, snapshotId } = await begin()
    const request = { content, workers: 1, ...options, session, snapshotId }
    const outcome = await stoppedAfter(most, request)
    if (outcome.state === 'more') await world.repositories.abandon(access, session)
    return { session, snapshotId, state: outcome.state, packs: packsOf(session) }
  }
  const packsOf = (session: string) => keysOf(store, `packs/${session}/`).length
  return { times, store, world, repository, content, begin, stoppedAfter, night, packsOf }
}

export const ALL = Number.POSITIVE_INFINITY
/** What a stop may cost in packs: half-full ones, cut map pages, and those that were on their way. */
export const PER_NIGHT = 6

/** How many packs a backup has that is sent at once. */
export const whole = aVolume().then(async ({ night }) => (await night(ALL)).packs)
