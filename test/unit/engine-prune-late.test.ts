// Two prunes work on one list, and one of them is late: it does not begin again what the other has finished, and deletes nothing that a
// session has taken over since. Such a pack is one that no root names, but an index run of an existing backup does.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoredObject } from '#shared/ports/object-store.ts'
import { MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHUNK_BYTES, EngineWorld, FCD } from '#test/support/engine-world.ts'
import { keysOf, pausedSlice, prune, restores } from '#test/support/prune-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { HookedStore } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: late prunes')

/** Holds back the call after `skip` calls of its kind, such as `list roots/`, until `go`. */
class Pause {
  readonly #call: string
  #skip: number
  readonly #reached = Promise.withResolvers<void>()
  readonly #go = Promise.withResolvers<void>()

  constructor(call: string, skip = 0) {
    this.#call = call
    this.#skip = skip
  }

  async before(call: string): Promise<void> {
    if (!call.startsWith(this.#call) || this.#skip-- > 0) return
    this.#reached.resolve()
    await this.#go.promise
  }

  get reached(): Promise<void> {
    return this.#reached.promise
  }

  go(): void {
    this.#go.resolve()
  }
}

class PausingStore extends HookedStore {
  readonly #pauses: Pause[]

  constructor(inner: MemoryObjectStore, pauses: Pause[]) {
    const before = async (call: string) => {
      for (const pause of pauses) await pause.before(call)
    }
    super(inner, async ({ kind, key }) => {
      await before(`${kind} ${key}`)
      return 'go on'
    })
    this.#pauses = pauses
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    for (const pause of this.#pauses) await pause.before(`list ${prefix}`)
    yield* super.list(prefix, signal)
  }
}

/** An existing backup whose index run was written by a process that died: no root names the packs of that process. */
async function aHint() {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(40 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 200, fill: 9 }])
  const session = await world.newSession('s0')
  const dying = new HookedStore(store, async ({ key }) => (key === `roots/${session}` ? 'die before' : 'go on'))
  assert.is(await reasonOf(new EngineWorld(dying).backup(content, 's0', { session })), 'StoreGone')
  const hinted = keysOf(store, 'packs/')
  for (const key of keysOf(store, 'checkpoint/')) store.objects.delete(key)
  await world.backup(content, 's0', { session, slice: 2 })
  const repository = await requireRepository(store, access.password)
  const through = (...pauses: Pause[]) => prune({ ...repository, store: new PausingStore(store, pauses) })
  /** A whole backup of the same content, which takes those packs over if it may. */
  const backup = (name: string) => world.backup(content, name)
  return { store, world, content, repository, hinted, through, backup }
}

test('a session that begins while packs are being deleted takes over none of them', async () => {
  const { store, world, content, hinted, through, backup } = await aHint()
  const deleting = new Pause('delete packs/')
  const pruning = through(deleting)
  await deleting.reached
  const root = await backup('s1')
  deleting.go()
  await pruning
  assert.ok(hinted.some((pack) => !store.objects.has(pack)))
  assert.ok(await restores(world, root, content))
})

/**
 * The retire list with the hinted packs exists, and prune waits for the session `early`, which takes them over. A late prune has read the roots
 * before `early` seals, and reads them again after that backup is deleted; a fast prune reads them in between. So they disagree on what
 * to delete.
 */
async function twoMinds(fastPause: Pause, latePauses: Pause[]) {
  const made = await aHint()
  const { world, content, repository, through } = made
  const early = await world.newSession('early')
  const request = { content, session: early, snapshotId: 'early' }
  await pausedSlice(world, { ...request, changedAreas: [] })
  assert.equal((await prune(repository)).waitsFor, [early])
  const look = new Pause('list roots/', 2)
  const late = through(look, ...latePauses)
  await look.reached
  assert.is((await world.uploadSlice({ ...request, slice: 2 })).state, 'sealed')
  const fast = through(fastPause)
  await fastPause.reached
  await world.repositories.forget(access, FCD, 'early')
  look.go()
  return { ...made, fast, late }
}

test('a late prune does not continue with a list that another prune has finished', async () => {
  const [fastPause, dooms] = [new Pause('delete retire/'), new Pause('put doom/')]
  const { world, content, hinted, store, fast, late, backup } = await twoMinds(fastPause, [dooms])
  await dooms.reached
  fastPause.go()
  await fast
  const root = await backup('young')
  dooms.go()
  await late
  assert.ok(
    hinted.some((pack) => store.objects.has(pack)),
    'they were taken over',
  )
  assert.ok(await restores(world, root, content))
})

test('a late prune deletes what the list says, not what it would choose itself', async () => {
  const [fastPause, deletes] = [new Pause('delete retire/'), new Pause('delete packs/')]
  const { world, content, hinted, store, fast, late, backup } = await twoMinds(fastPause, [deletes])
  await Promise.race([deletes.reached, late])
  fastPause.go()
  await fast
  const root = await backup('young')
  deletes.go()
  await late
  assert.ok(
    hinted.some((pack) => store.objects.has(pack)),
    'they were taken over',
  )
  assert.ok(await restores(world, root, content))
})

test.run()
