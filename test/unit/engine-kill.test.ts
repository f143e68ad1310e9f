import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { UploadEnd } from '#shared/ports/mover.ts'
import { type MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, bytesOf, CHUNK_BYTES, EngineWorld } from '#test/support/engine-world.ts'
import { dyingAt, HookedStore, type WriteHook } from '#test/support/store-faults.ts'
import { applyChanges } from '#test/support/volume-history.ts'

const test = suite('engine: kills and stops')

/** A volume of several pages whose chunks fill several packs; its parent, and the changes since then. */
async function makeVolumeWithParent() {
  const store = new MemoryObjectStore()
  const world = await EngineWorld.create(store)
  const content = new MemoryDiskContent(120 * CHUNK_BYTES, CHUNK_BYTES)
  applyChanges(content, [{ kind: 'write', sector: 0, sectors: 500, fill: 7 }])
  const parentRoot = await world.backup(content, 's0')
  const changedAreas = applyChanges(content, [
    { kind: 'write', sector: 30, sectors: 120, fill: 8 },
    { kind: 'discard', sector: 400, sectors: 80, fill: 0 },
    { kind: 'write', sector: 700, sectors: 80, fill: 9 },
  ])
  return { store, content, parentRoot, changedAreas, session: await world.newSession('s1') }
}

type Scene = Awaited<ReturnType<typeof makeVolumeWithParent>>

const made = makeVolumeWithParent()

/** The same situation each time, with a store of its own. */
async function aVolumeWithParent(): Promise<Scene> {
  const scene = await made
  return { ...scene, store: new MemoryObjectStore({ objects: new Map(scene.store.objects) }) }
}

async function slice(
  scene: Scene,
  hook: WriteHook,
  number: number,
  options: object = {},
): Promise<UploadEnd | undefined> {
  const world = new EngineWorld(new HookedStore(scene.store, hook))
  const { content, session, parentRoot, changedAreas } = scene
  const request = { content, session, parentRoot, changedAreas, snapshotId: 's1', slice: number, ...options }
  try {
    // As the upload function does: only the first slice gets the areas without asking.
    const mayBeLeftOut = number > 1 && request.changedAreas !== undefined
    const first = mayBeLeftOut ? await world.askForSlice({ ...request, changedAreas: 'not asked' }) : undefined
    return first === undefined || first.state === 'unplanned' ? await world.uploadSlice(request) : first
  } catch (error) {
    assert.ok(error instanceof RetryableError, `${error}`)
    return undefined
  }
}

async function checkRestores({ store, content, session, parentRoot }: Scene): Promise<void> {
  const world = new EngineWorld(store)
  const target = new MemoryDiskContent(content.capacityBytes)
  assert.is((await world.restoreSlice(target, `roots/${session}`)).state, 'done')
  assert.ok(bytesOf(target).equals(bytesOf(content)))
  assert.is((await world.restoreSlice(new MemoryDiskContent(content.capacityBytes), parentRoot)).state, 'done')
  const left = [...store.objects.keys()].filter((key) => key.startsWith('checkpoint/'))
  assert.equal(left, [], 'a sealed backup leaves no checkpoint')
}

for (const mode of ['changed', 'allocated'] as const) {
  for (const when of ['die before', 'die after'] as const) {
    test(`${mode}: a process that dies at any write (${when} it) costs nothing but time`, async () => {
      // What is left after write n is what is left before write n + 1, except with concurrent writes: testing some of these is enough.
      for (let n = 1; ; n += when === 'die after' ? 4 : mode === 'allocated' ? 2 : 1) {
        const scene = await aVolumeWithParent()
        const options = mode === 'changed' ? {} : { changedAreas: undefined }
        const first = await slice(scene, dyingAt(n, when), 1, options)
        const second = first ?? (await slice(scene, dyingAt(1000, when), 2, options))
        assert.is(second?.state, 'sealed')
        await checkRestores(scene)
        if (first !== undefined) return
      }
    })
  }
}

test('a store that refuses one write ends the slice, and nothing that it refused is taken for stored', async () => {
  for (let n = 1; ; n++) {
    const scene = await aVolumeWithParent()
    const first = await slice(scene, async (write) => (write.n === n ? 'fail' : 'go on'), 1)
    if (first === undefined) assert.is((await slice(scene, async () => 'go on', 2))?.state, 'sealed')
    await checkRestores(scene)
    if (first !== undefined) return
  }
})

test('an upload whose process dies again and again still ends', async () => {
  const scene = await aVolumeWithParent()
  let outcome: UploadEnd | undefined
  for (let number = 1; outcome?.state !== 'sealed'; number++) {
    assert.ok(number < 100, 'no end in sight')
    outcome = await slice(scene, dyingAt(2 + number, number % 2 === 0 ? 'die before' : 'die after'), number)
  }
  await checkRestores(scene)
})

test('a slice that is stopped at any write continues where it was, and reads nothing twice', async () => {
  for (let n = 1; ; n++) {
    const scene = await aVolumeWithParent()
    const stop = new AbortController()
    const stopAt: WriteHook = async (write) => {
      if (write.n === n) stop.abort()
      return 'go on'
    }
    const first = await slice(scene, stopAt, 1, { signal: stop.signal })
    const outcome = first?.state === 'more' ? await slice(scene, async () => 'go on', 2) : first
    assert.is(outcome?.state, 'sealed')
    assert.is(outcome?.progress.bytesRead, outcome?.progress.totalBytes, 'bytes are read once')
    assert.is(outcome?.progress.bytesDone, outcome?.progress.totalBytes)
    await checkRestores(scene)
    if (first?.state === 'sealed') return
  }
})

test('checkpoints that the store locks cost no backup; any other error with them is reported', async () => {
  const scene = await aVolumeWithParent()
  let outcome: Awaited<ReturnType<typeof slice>>
  let refused = 0
  for (let number = 1; outcome?.state !== 'sealed'; number++) {
    assert.ok(number < 200, 'no end in sight')
    const stop = new AbortController()
    if (number < 3) stop.abort()
    const locked: WriteHook = async ({ kind, key }) => {
      if (key.startsWith('packs/')) stop.abort()
      if (kind !== 'delete') return 'go on'
      refused++
      throw new TerminalError('S3ObjectLocked', `${key} is locked`)
    }
    outcome = await slice(scene, locked, number, { signal: stop.signal })
    assert.ok(outcome !== undefined)
  }
  assert.ok(refused > 2, `${refused} deletions refused`)
  // Once the lock is over, the next process that comes by removes them.
  assert.is(await new EngineWorld(scene.store).repositories.abandon(access, scene.session), false)
  await checkRestores(scene)
  const busy: WriteHook = async ({ kind }) => (kind === 'delete' ? 'fail' : 'go on')
  const another = await aVolumeWithParent()
  const aborted = { signal: AbortSignal.abort() }
  assert.is((await slice(another, busy, 1, aborted))?.state, 'more')
  assert.is(await slice(another, busy, 2, aborted), undefined, 'it failed, to be tried again')
})

test('a store that lost a pack is found out before the backup exists, and the next slice makes up for it', async () => {
  const scene = await aVolumeWithParent()
  const stop = new AbortController()
  const stopLate: WriteHook = async ({ key, n }) => {
    if (key.startsWith('packs/') && n > 1) stop.abort()
    return 'go on'
  }
  assert.is((await slice(scene, stopLate, 1, { signal: stop.signal }))?.state, 'more')
  const [lost] = [...scene.store.objects.keys()].filter((key) => key.startsWith(`packs/${scene.session}`))
  scene.store.objects.delete(lost!)
  const world = new EngineWorld(scene.store)
  const request = { content: scene.content, session: scene.session, snapshotId: 's1' }
  const failure = await world.uploadSlice({ ...request, slice: 2 }).catch((error: unknown) => error)
  assert.match(`${failure}`, /lost|not listed|no pack/)
  assert.not.ok(scene.store.objects.has(`roots/${scene.session}`))
  assert.is((await world.uploadSlice({ ...request, slice: 3 })).state, 'sealed')
  await checkRestores(scene)
})

test('a stop before the first chunk leaves a checkpoint, and many short slices come to the end', async () => {
  const scene = await aVolumeWithParent()
  let outcome: UploadEnd | undefined
  for (let number = 1; outcome?.state !== 'sealed'; number++) {
    assert.ok(number < 200, 'no end in sight')
    const stop = new AbortController()
    if (number === 1) stop.abort()
    let packs = 0
    const afterOnePack: WriteHook = async ({ key }) => {
      if (key.startsWith('packs/') && ++packs === 1) stop.abort()
      return 'go on'
    }
    outcome = await slice(scene, afterOnePack, number, { signal: stop.signal })
    assert.ok(outcome !== undefined)
    const checkpoints = [...scene.store.objects.keys()].filter((key) => key.startsWith('checkpoint/'))
    assert.is(checkpoints.length, outcome.state === 'more' ? 1 : 0, 'an older one goes when a newer one is there')
  }
  await checkRestores(scene)
})

test('a disk that fails loses only what was not durable', async () => {
  const scene = await aVolumeWithParent()
  let reads = 0
  const failing = (disk: MemoryDisk) => {
    const read = disk.read.bind(disk)
    disk.read = (offset, into) => {
      if (++reads > 1) throw new RetryableError('DiskLost', 'the connection is gone')
      read(offset, into)
    }
    return disk
  }
  assert.is(await slice(scene, async () => 'go on', 1, { wrapDisk: failing }), undefined)
  assert.is((await slice(scene, async () => 'go on', 2))?.state, 'sealed')
  await checkRestores(scene)
})

test("after a slice that failed before it had a plan, the parent's content is not taken for the new backup", async () => {
  const scene = await aVolumeWithParent()
  const failing = (disk: MemoryDisk) => {
    throw new RetryableError('DiskLost', `no disk of ${disk.capacityBytes}`)
  }
  assert.is(await slice(scene, async () => 'go on', 1, { wrapDisk: failing }), undefined)
  assert.is((await slice(scene, async () => 'go on', 2))?.state, 'sealed')
  await checkRestores(scene)
})

test('a download in short slices gets further with each', async () => {
  const scene = await aVolumeWithParent()
  assert.is((await slice(scene, async () => 'go on', 1))?.state, 'sealed')
  const world = new EngineWorld(scene.store)
  const target = new MemoryDiskContent(scene.content.capacityBytes)
  const root = `roots/${scene.session}`
  let nextChunk = 0
  let slices = 0
  for (;;) {
    const outcome = await world.restoreSlice(target, root, { nextChunk, sliceMs: 0, targetIsZeroed: false })
    slices++
    if (outcome.state === 'done') break
    assert.ok(outcome.nextChunk > nextChunk, 'each slice gets further')
    nextChunk = outcome.nextChunk
  }
  assert.ok(slices > 8, 'a slice may end inside a page')
  assert.ok(bytesOf(target).equals(bytesOf(scene.content)))
})

test('a download whose caller wants to stop drops what it has in hand', async () => {
  const scene = await aVolumeWithParent()
  assert.is((await slice(scene, async () => 'go on', 1))?.state, 'sealed')
  const world = new EngineWorld(scene.store)
  const target = new MemoryDiskContent(scene.content.capacityBytes)
  const signal = AbortSignal.abort()
  const outcome = await world.restoreSlice(target, `roots/${scene.session}`, { nextChunk: 3, signal })
  assert.is(outcome.state === 'more' && outcome.nextChunk, 3)
})

test('a download whose caller wants to stop writes no chunk more, also of what the disk was already given', async () => {
  const scene = await aVolumeWithParent()
  assert.is((await slice(scene, async () => 'go on', 1))?.state, 'sealed')
  const world = new EngineWorld(scene.store)
  const target = new MemoryDiskContent(scene.content.capacityBytes)
  const root = `roots/${scene.session}`
  const stop = new AbortController()
  let writes = 0
  const wrapDisk = (disk: MemoryDisk) => {
    const write = disk.write.bind(disk)
    disk.write = (offsetBytes, bytes) => {
      write(offsetBytes, bytes)
      if (++writes === 3) stop.abort()
    }
    return disk
  }
  const outcome = await world.restoreSlice(target, root, { signal: stop.signal, wrapDisk })
  assert.is(writes, 3)
  assert.ok(outcome.state === 'more')
  assert.is((await world.restoreSlice(target, root, { nextChunk: outcome.nextChunk })).state, 'done')
  assert.ok(bytesOf(target).equals(bytesOf(scene.content)))
})

test.run()
