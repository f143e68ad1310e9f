// Prune and sessions: which sessions prune waits for, which it gives up, and what would be lost otherwise.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { sessionKey } from '#shared/repository/format/names.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { Reach } from '#shared/repository/maintenance/reach.ts'
import type { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, FCD } from '#test/support/engine-world.ts'
import { keysOf, pausedSlice, prune, restores, twoBackups } from '#test/support/prune-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: prune beside sessions')

test('packs that a running session may reuse wait for it, and are kept when it names them', async () => {
  const { store, world, repository, second, secondRoot } = await twoBackups()
  const session = await world.newSession('s2')
  const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
  const request = { content: second, session, snapshotId: 's2', parentRoot: secondRoot, changedAreas }
  await pausedSlice(world, { ...request })
  for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
  const packs = keysOf(store, 'packs/')
  const report = await prune(repository)
  assert.is(report.state, 'waiting')
  assert.equal(report.waitsFor, [session])
  assert.equal(keysOf(store, 'packs/'), packs)
  assert.equal((await world.uploadSlice({ ...request, slice: 2 })).state, 'sealed')
  assert.is((await prune(repository)).state, 'done')
  assert.ok(await restores(world, `roots/${session}`, second))
  assert.equal(await unreachableObjects(repository), [])
})

test('prune does not wait for a session that begins after the retire list exists', async () => {
  const { store, world, repository, second, secondRoot } = await twoBackups()
  const third = second.snapshot()
  applyChanges(third, [{ kind: 'write', sector: 0, sectors: 900, fill: 77 }])
  const old = await world.newSession('old')
  await pausedSlice(world, { content: third, session: old, snapshotId: 'old', parentRoot: secondRoot })
  await world.repositories.forget(access, FCD, 's0')
  assert.equal((await prune(repository)).waitsFor, [old])
  const [list] = keysOf(store, 'retire/')
  const young = await world.newSession('young')
  const request = { content: third, session: young, snapshotId: 'young', parentRoot: secondRoot }
  await pausedSlice(world, { ...request })
  await world.repositories.abandon(access, old)
  const report = await prune(repository)
  assert.ok((report.removed['packs']?.objects ?? 0) > 0)
  assert.not.ok(keysOf(store, 'retire/').includes(list!))
  assert.equal(report.waitsFor, [young], 'by the next list, which has the packs of the one that was given up')
  await world.uploadSlice({ ...request, slice: 2 })
  assert.ok(await restores(world, `roots/${young}`, third))
})

/** The same repository, but one of its LISTs returns nothing. */
function blindTo(store: MemoryObjectStore, prefix: string): HookedStore {
  const blind = new HookedStore(store, async () => 'go on')
  const list = blind.list.bind(blind)
  blind.list = (wanted) => list(wanted === prefix ? 'nothing/' : wanted)
  return blind
}

for (const lacks of ['nothing', 'the wait for sessions', 'the second look'] as const) {
  test(`a collector that lacks ${lacks} ${lacks === 'nothing' ? 'keeps' : 'takes away'} what a session is about to name`, async () => {
    const { store, world, repository, first, firstRoot } = await twoBackups()
    const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
    const session = await world.newSession('s2')
    const request = { content: first, session, snapshotId: 's2', parentRoot: firstRoot, changedAreas }
    await pausedSlice(world, request)
    for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
    const collector =
      lacks === 'the wait for sessions' ? { ...repository, store: blindTo(store, 'session/') } : repository
    await prune(collector)
    // Before it seals, the session notices what is gone; it cannot notice what goes afterwards.
    const noticed = lacks === 'the wait for sessions'
    assert.equal((await world.uploadSlice({ ...request, slice: 2 })).state, noticed ? 'more' : 'sealed')
    assert.is(world.warnings.includes('PackMissing') || world.warnings.includes('PageMissing'), noticed)
    if (noticed) assert.equal((await world.uploadSlice({ ...request, slice: 3 })).state, 'sealed')
    const { look } = Reach.prototype
    if (lacks === 'the second look') {
      // The collector learns which sessions have ended, but not the packs that they name.
      Reach.prototype.look = async function (this: Reach) {
        const isWhole = await look.call(this, { has: () => true })
        for (const pack of [...this.packs]) this.packs.delete(pack)
        return isWhole
      }
    }
    const again = reasonOf(prune(collector)).finally(() => {
      Reach.prototype.look = look
    })
    assert.is(await again, 'none')
    const restored = restores(world, `roots/${session}`, first)
    if (lacks !== 'the second look') assert.ok(await restored)
    else assert.match(await reasonOf(restored), /^(Page|Chunk)Missing$/)
  })
}

/** Without the retire list, the session would name what its parent names, and the parent is deleted before the collector reads it. */
for (const heeds of [true, false]) {
  const what = heeds ? 'takes nothing from it' : 'would name what is gone if it did not heed it'
  test(`a session that begins while a retire list exists ${what}`, async () => {
    const { store, world, repository, first, firstRoot } = await twoBackups()
    const changedAreas = [{ offsetBytes: 0, lengthBytes: CHUNK_BYTES }]
    const early = await world.newSession('early')
    const request = { content: first, session: early, snapshotId: 'early', parentRoot: firstRoot, changedAreas }
    await pausedSlice(world, request)
    for (const snapshot of ['s0', 's1']) await world.repositories.forget(access, FCD, snapshot)
    assert.equal((await prune(repository)).waitsFor, [early])
    await world.uploadSlice({ ...request, slice: 2 })
    const late = await world.newSession('late')
    const seen = heeds ? store : blindTo(store, 'retire/')
    const lateRequest = { ...request, session: late, snapshotId: 'late', parentRoot: `roots/${early}` }
    await pausedSlice(world.through(seen), lateRequest)
    await world.repositories.forget(access, FCD, 'early')
    assert.ok(((await prune(repository)).removed['packs']?.objects ?? 0) > 0)
    assert.equal((await world.uploadSlice({ ...lateRequest, slice: 2 })).state, heeds ? 'sealed' : 'more')
    // Noticed before the seal: the disk still has the data.
    if (!heeds) assert.equal((await world.uploadSlice({ ...lateRequest, slice: 3 })).state, 'sealed')
    assert.ok(await restores(world, `roots/${late}`, first))
  })
}

test('an idle session is given up by the times of the store, whatever the own clock says', async () => {
  const { times, store, world, repository, second } = await twoBackups()
  const session = await world.newSession('s2')
  const request = { content: second, session, snapshotId: 's2' }
  times.nowMs += HOUR_MS
  await pausedSlice(world, { ...request })
  const clock = { ...systemClock, nowMs: () => times.nowMs + 400 * DAY_MS }
  times.nowMs += DAY_MS
  assert.equal((await prune(repository, { clock })).fenced, [], 'a day is not more than a day')
  times.nowMs += 1
  assert.equal((await prune(repository, { clock })).fenced, [session])
  assert.is(await reasonOf(world.uploadSlice({ ...request, slice: 2 })), 'SessionFenced')
  assert.equal(await unreachableObjects(repository), [])
  assert.equal(keysOf(store, `session/${session}`), [])
})

test('a recent pack or checkpoint shows that a session is alive', async () => {
  for (const late of ['packs', 'checkpoint'] as const) {
    const { times, store, world, repository } = await twoBackups()
    const session = await world.newSession('s2')
    await store.putIfAbsent(sessionKey(session), Buffer.from('marker'))
    times.nowMs += 2 * DAY_MS
    const name = late === 'packs' ? '00000000000000ff' : '00000001-0001'
    await store.putIfAbsent(`${late}/${session}/${name}`, Buffer.from('x'))
    assert.equal((await prune(repository)).fenced, [], late)
  }
})

test.run()
