// Bounds on what is kept of unfinished backups, and on how much of them is read, however many nights and sessions there are.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DAY_MS } from '#shared/kernel/units.ts'
import { BlobReader } from '#shared/repository/core/blob-reader.ts'
import { loadUnfinished, Unfinished } from '#shared/repository/core/unfinished.ts'
import { Bitmap } from '#shared/repository/format/bitmap.ts'
import { type Checkpoint, sealCheckpoint } from '#shared/repository/format/checkpoint.ts'
import { LocationTable } from '#shared/repository/format/location-table.ts'
import { checkpointKey, indexKey, rootKey } from '#shared/repository/format/names.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { access, FCD } from '#test/support/engine-world.ts'
import { ALL, aVolume, CHUNKS_PER_PACK, PER_NIGHT, SECTORS_PER_CHUNK, whole } from '#test/support/nights.ts'
import { keysOf, prune, restores } from '#test/support/prune-world.ts'
import { HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: bounds of what goes on')

test('a volume that is rewritten in part each night and never whole takes no more room with each night', async () => {
  const { store, world, repository, content, night } = await aVolume()
  const [rewritten, each] = [64, 50]
  const sectors = rewritten * CHUNKS_PER_PACK * SECTORS_PER_CHUNK
  for (let n = 0; n < 12; n++) {
    applyChanges(content, [{ kind: 'write', sector: 0, sectors, fill: 100 + n }])
    assert.is((await night(each)).state, 'more')
    await prune(repository)
    assert.equal(await unreachableObjects(repository), [])
  }
  const stand = keysOf(store, 'packs/').length
  assert.ok(stand <= 4 * (each + PER_NIGHT), `${stand} packs`)
  assert.is(keysOf(store, 'checkpoint/').length, 4)
  const last = await night(ALL)
  assert.ok(last.packs <= (await whole) - each + PER_NIGHT, `${last.packs} packs`)
  assert.ok(await restores(world, rootKey(last.session), content))
})

test('a volume that needs more nights than prune keeps checkpoints still completes, with a prune each day', async () => {
  const { world, repository, content, night } = await aVolume()
  let sent = 0
  let nights = 0
  for (let end = 'more'; end === 'more' && nights < 20; nights++) {
    const { session, state, packs } = await night(15)
    sent += packs
    end = state
    await prune(repository)
    if (end === 'sealed') assert.ok(await restores(world, rootKey(session), content))
  }
  assert.ok(
    nights >= 6 && sent <= (await whole) + nights * PER_NIGHT,
    `${sent} packs of ${await whole} in ${nights} nights`,
  )
})

/** In the front part of a volume, a separate session stored each second chunk. The chunks between, and a part behind, have changed since. */
async function aLongHistory() {
  const { store, world, content, night } = await aVolume()
  let parentRoot = rootKey((await night(ALL)).session)
  const change = (chunk: number, fill: number) =>
    applyChanges(content, [
      { kind: 'write', sector: chunk * SECTORS_PER_CHUNK, sectors: SECTORS_PER_CHUNK, fill: 1000 + fill },
    ])
  for (let n = 0; n < 300; n++) {
    const changedAreas = change(2 * n, n)
    parentRoot = rootKey((await night(ALL, { parentRoot, changedAreas })).session)
    // Otherwise each night would read hundreds of index runs, and find nothing.
    for (const key of keysOf(store, 'index/')) store.objects.delete(key)
  }
  const behind = Array.from({ length: 130 }, (_, n) => change(2 * n + 601, 900 + n)).flat()
  const inFront = Array.from({ length: 300 }, (_, n) => change(2 * n + 1, 500 + n)).flat()
  const tonight = (most: number, changedAreas = [...inFront, ...behind]) => night(most, { parentRoot, changedAreas })
  return { store, world, content, behind, tonight }
}

test('a volume with parts in hundreds of backups continues from an unfinished one as well', async () => {
  const { store, world, content, behind, tonight } = await aLongHistory()
  const before = [...store.objects]
  const inOneGo = (await tonight(ALL)).packs
  store.objects.clear()
  for (const [key, object] of before) store.objects.set(key, object)
  assert.is((await tonight(13, behind)).state, 'more')
  assert.is((await tonight(35)).state, 'more')
  const last = await tonight(ALL)
  assert.ok(last.packs <= inOneGo - 13 - 35 + PER_NIGHT, `${last.packs} packs of ${inOneGo}`)
  assert.ok(await restores(world, rootKey(last.session), content))
})

test('of a deleted backup that had not ended, what the next one has taken over stays with that one, and the rest goes', async () => {
  const { store, world, repository, content, night, packsOf } = await aVolume()
  const first = await night(63)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 20 * CHUNKS_PER_PACK * SECTORS_PER_CHUNK, fill: 9 }])
  const second = await night(30)
  assert.is(second.state, 'more')
  await world.repositories.forget(access, FCD, first.snapshotId)
  await prune(repository)
  const left = packsOf(first.session)
  assert.ok(left >= 38 && left <= 63 - 20 + PER_NIGHT, `${left} packs of the first night`)
  assert.equal(keysOf(store, `checkpoint/${first.session}/`), [])
  assert.equal(await unreachableObjects(repository), [])
  await world.repositories.forget(access, FCD, second.snapshotId)
  await prune(repository)
  assert.equal(keysOf(store, 'packs/'), [])
})

/** A volume of 40 pages. In each of `sessions` unfinished sessions, one other page is begun. */
async function begunPages(sessions: number) {
  const made = await aVolume()
  const map = new LocationTable(1)
  for (let page = 0; page < sessions; page++) {
    const { session } = await made.begin()
    const key = checkpointKey(session, 1, 1)
    const checkpoint = aCheckpoint([{ page, map }])
    made.store.objects.set(key, { body: sealCheckpoint(made.repository.keys, key, checkpoint), modifiedMs: 0 })
  }
  return made
}

function aCheckpoint(openPages: Checkpoint['openPages']): Checkpoint {
  const stats = { totalBytes: 0, bytesDone: 0, bytesRead: 0, bytesSent: 0, bytesStored: 0 }
  const [finished, pages] = [new Bitmap(40), new LocationTable(40)]
  const newEntries = new LocationTable(0).encode()
  return {
    parent: undefined,
    stats,
    finished,
    pages,
    openPages,
    segments: [],
    newEntries,
    unusable: new Set(),
    healed: undefined,
    source: { kind: 'block' },
    sourceParts: [],
  }
}

async function pagesIn(unfinished: Unfinished): Promise<number[]> {
  const found = []
  for (let page = 0; page < 40; page++) if ((await unfinished.page(page, undefined)) !== undefined) found.push(page)
  return found
}

test('the pages of four checkpoints count, those of the newest sessions', async () => {
  const { repository, begin } = await begunPages(6)
  const source = { repository, blobs: new BlobReader(repository), warn: () => {} }
  const unfinished = await loadUnfinished(source, (await begin()).session, 32)
  assert.equal(await pagesIn(unfinished), [2, 3, 4, 5])
})

test('of begun pages no more maps are held than there is room for', async () => {
  const { repository } = await begunPages(0)
  const unfinished = new Unfinished({ repository, blobs: new BlobReader(repository), warn: () => {} })
  const openPages = Array.from({ length: 40 }, (_, page) => ({ page, todo: new Bitmap(1), map: new LocationTable(1) }))
  unfinished.take('1', aCheckpoint(openPages.slice(0, 20)), 32)
  unfinished.take('2', aCheckpoint(openPages), 32)
  assert.is((await pagesIn(unfinished)).length, 32)
})

test('an index run that was written during a survey shows that its session may have been sealed', async () => {
  const { times, store, repository, content, begin, stoppedAfter, night } = await aVolume()
  const late = await begin()
  await stoppedAfter(30, { content, workers: 1, ...late })
  times.nowMs += 2 * DAY_MS
  const slow = new HookedStore(store, async () => 'go on')
  const list = slow.list.bind(slow)
  slow.list = async function* (prefix, signal) {
    yield* list(prefix, signal)
    const isFirst = prefix === 'checkpoint/' || prefix === 'index/'
    if (isFirst) store.objects.set(indexKey(late.session), { body: Buffer.from('run'), modifiedMs: 0 })
  }
  await prune({ ...repository, store: slow })
  assert.equal(keysOf(store, 'checkpoint/'), [])
  assert.is((await night(ALL)).packs, await whole)
})

test.run()
