// Prune during a session of several slices: what the session's first slice read from the retire lists counts to its end, whatever happens to
// its parent and to the lists in between.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import {
  access,
  CHUNK_BYTES,
  type EngineWorld,
  FCD,
  PAGE_CHUNKS,
  type UploadOptions,
} from '#test/support/engine-world.ts'
import { keysOf, pausedSlice, prune, restores, twoBackups } from '#test/support/prune-world.ts'
import { HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: prune beside sessions of several slices')

const SECTORS_PER_PAGE = (PAGE_CHUNKS * CHUNK_BYTES) / 512

/** Changes a chunk of each page, so that a backup of it writes all pages itself. */
function touchEachPage(content: MemoryDiskContent, fill: number) {
  const pages = content.capacityBytes / (PAGE_CHUNKS * CHUNK_BYTES)
  const list = Array.from({ length: Math.ceil(pages) }, (_, page) => page * SECTORS_PER_PAGE)
  return applyChanges(
    content,
    list.map((sector) => ({ kind: 'write' as const, sector, sectors: 8, fill })),
  )
}

/** Packs of the first backup are retired, `early` seals a root that names one of them, and `late` begins from it while the list exists. */
async function lateSession(modes: 'changes' | 'allocated') {
  const made = await twoBackups()
  const { world, repository, first, firstRoot } = made
  const early = await world.newSession('early')
  const content = first.snapshot()
  const changedAreas = touchEachPage(content, 31)
  const earlyRequest = { content, session: early, snapshotId: 'early', parentRoot: firstRoot, changedAreas }
  let isRetired = false
  const whileItRuns: WriteHook = async ({ key }) => {
    if (isRetired || !key.startsWith(`packs/${early}/`)) return 'go on'
    isRetired = true
    for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
    assert.equal((await prune(repository)).waitsFor, [early])
    return 'go on'
  }
  const running = world.through(new HookedStore(world.store, whileItRuns))
  assert.is((await running.uploadSlice(earlyRequest)).state, 'sealed')
  const late = await world.newSession('late')
  const lateContent = content.snapshot()
  const areas = touchEachPage(lateContent, 32)
  const request: UploadOptions = {
    content: lateContent,
    session: late,
    snapshotId: 'late',
    parentRoot: `roots/${early}`,
    changedAreas: modes === 'changes' ? areas : undefined,
  }
  assert.is((await world.uploadSlice({ ...request, signal: AbortSignal.abort() })).state, 'more')
  return { ...made, early, late, request }
}

async function sealedAndWhole(world: EngineWorld, request: UploadOptions): Promise<void> {
  assert.is((await world.uploadSlice({ ...request, slice: 2 })).state, 'sealed')
  assert.ok(await restores(world, `roots/${request.session}`, request.content))
}

for (const modes of ['changes', 'allocated'] as const) {
  test(`what was retired when a session began is not named by a later slice, though parent and list are gone: ${modes}`, async () => {
    const { world, repository, request } = await lateSession(modes)
    await world.repositories.forget(access, FCD, 'early')
    assert.ok(((await prune(repository)).removed['packs']?.objects ?? 0) > 0)
    await sealedAndWhole(world, request)
    await prune(repository)
    assert.equal(await unreachableObjects(repository), [])
  })
}

test('a parent that is forgotten between two slices costs no second transfer', async () => {
  const { store, world, repository, second, secondRoot } = await twoBackups()
  const session = await world.newSession('s2')
  const content = second.snapshot()
  const changedAreas = applyChanges(content, [{ kind: 'write', sector: 0, sectors: 8, fill: 33 }])
  const request = { content, session, snapshotId: 's2', parentRoot: secondRoot, changedAreas }
  await pausedSlice(world, request)
  for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
  assert.equal((await prune(repository)).waitsFor, [session])
  const before = world.bytesRead
  await sealedAndWhole(world, { ...request, parentRoot: undefined, changedAreas: undefined })
  assert.ok(world.bytesRead - before <= CHUNK_BYTES, 'only what had changed was read')
  assert.is(keysOf(store, `packs/${session}/`).length, 3, 'one of the chunk, one of its page, one of the root’s copy')
})

test.run()
