// The limit on bytes per second: it holds over a whole transfer and for all lanes together, and never delays longer than a slice.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HOUR_MS, KiB, MiB, SECOND_MS } from '#shared/kernel/units.ts'
import { budgetFor, pacedBudget } from '#shared/movers/block/budget.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { Pacer } from '#shared/repository/core/pacer.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { bytesOf, EngineWorld } from '#test/support/engine-world.ts'
import { IdleClock } from '#test/support/idle-clock.ts'

const LIMIT = 10 * KiB
const VOLUME = MiB
/** For the small budget: what two lanes hold in their packs and in two batches each, and a pack of pages. */
const IN_HAND = 2 * (32 + 2 * 16) * KiB + 32 * KiB

/** Records what was sent or received, and when. */
class NotingStore extends MemoryObjectStore {
  readonly moved: { atMs: number; bytes: number }[] = []
  readonly #clock: IdleClock

  constructor(clock: IdleClock) {
    super()
    this.#clock = clock
  }

  override async getRange(key: string, offset: number, length: number) {
    const bytes = await super.getRange(key, offset, length)
    this.#note(bytes?.length ?? 0)
    return bytes
  }

  override async putIfAbsent(key: string, body: Uint8Array) {
    this.#note(body.length)
    return await super.putIfAbsent(key, body)
  }

  get bytes(): number {
    return this.moved.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  #note(bytes: number): void {
    this.moved.push({ atMs: this.#clock.monotonicMs(), bytes })
  }
}

async function limited(bytesPerSecond = LIMIT) {
  const clock = new IdleClock()
  const store = new NotingStore(clock)
  const world = await EngineWorld.create(store)
  store.moved.length = 0
  world.timing = { clock, pacer: new Pacer(clock, bytesPerSecond) }
  const content = new MemoryDiskContent(VOLUME, 4 * KiB)
  new MemoryDisk(content).write(0, randomBytes(VOLUME))
  return { world, clock, store, content }
}

/** Between any two moments, no more moved than the limit allows plus what is in flight. */
function requireLimit({ moved }: NotingStore, allowedBytes: number, bytesPerSecond = LIMIT): void {
  for (let first = 0; first < moved.length; first++) {
    let bytes = 0
    for (const { atMs, bytes: more } of moved.slice(first)) {
      bytes += more
      const passedMs = atMs - (moved[first]?.atMs ?? 0)
      assert.ok(bytes <= (bytesPerSecond * passedMs) / SECOND_MS + allowedBytes, `${bytes} bytes in ${passedMs} ms`)
    }
  }
}

const test = suite('engine: bytes per second')

test('an upload sends no more than its limit, whatever number of lanes it has, and not much less', async () => {
  const { world, clock, store, content } = await limited()
  await world.backup(content, 's1')
  requireLimit(store, IN_HAND)
  const fastestMs = ((store.bytes - IN_HAND) / LIMIT) * SECOND_MS
  assert.ok(clock.monotonicMs() >= fastestMs, 'too fast')
  assert.ok(clock.monotonicMs() <= (store.bytes / LIMIT) * SECOND_MS * 1.1, 'too slow')
})

test('four lanes keep to it together', async () => {
  const { world, store, content } = await limited()
  await world.backup(content, 's1', { workers: 4 })
  requireLimit(store, 2 * IN_HAND)
})

test('a restore receives no more than its limit, one part after the other', async () => {
  const { world, clock, store, content } = await limited()
  const root = await world.backup(content, 's1')
  store.moved.length = 0
  const beganMs = clock.monotonicMs()
  const target = new MemoryDiskContent(VOLUME)
  assert.is((await world.restoreSlice(target, root)).state, 'done')
  assert.ok(bytesOf(target).equals(bytesOf(content)))
  // One part, and the map pages that are read ahead.
  requireLimit(store, 32 * KiB)
  assert.ok(clock.monotonicMs() - beganMs >= ((VOLUME - 32 * KiB) / LIMIT) * SECOND_MS, 'too fast')
})

test('what does not move is not limited: zeros, and chunks that are there already', async () => {
  const { world, clock, store, content } = await limited()
  await world.backup(content, 's1')
  const [beganMs, bytes] = [clock.monotonicMs(), store.bytes]
  await world.backup(content, 's2')
  assert.ok(store.bytes - bytes < VOLUME / 8)
  assert.ok(clock.monotonicMs() - beganMs < ((VOLUME / 8) * SECOND_MS) / LIMIT)
})

test('unused bandwidth is not saved up', async () => {
  const { world, clock, store, content } = await limited()
  await clock.sleep(HOUR_MS)
  await world.backup(content, 's1')
  requireLimit(store, IN_HAND)
})

test('a slice ends in time with some progress, and the next one continues', async () => {
  const { world, clock, content } = await limited()
  const session = await world.newSession('s1')
  const sliceMs = 20 * SECOND_MS
  let done = 0
  for (let slice = 1; ; slice++) {
    const beganMs = clock.monotonicMs()
    const outcome = await world.uploadSlice({ content, session, snapshotId: 's1', slice, sliceMs })
    // Exact to the millisecond: what is in flight waits for nothing.
    assert.ok(clock.monotonicMs() - beganMs <= sliceMs, `slice ${slice} took ${clock.monotonicMs() - beganMs} ms`)
    if (outcome.state === 'sealed') break
    assert.ok(outcome.progress.bytesDone > done, `slice ${slice} did nothing`)
    done = outcome.progress.bytesDone
    assert.ok(slice < 20)
  }
})

test('a slice that is shorter than any wait makes progress all the same, in both directions', async () => {
  const { world, content } = await limited(16)
  const session = await world.newSession('s1')
  let root: string | undefined
  for (let slice = 1; root === undefined; slice++) {
    const outcome = await world.uploadSlice({ content, session, snapshotId: 's1', slice, sliceMs: SECOND_MS })
    if (outcome.state === 'sealed') root = outcome.root
    assert.ok(slice < 200)
  }
  const target = new MemoryDiskContent(VOLUME)
  for (let nextChunk = 0, slices = 0; ; slices++) {
    const outcome = await world.restoreSlice(target, root, { nextChunk, sliceMs: SECOND_MS })
    if (outcome.state === 'done') break
    assert.ok(outcome.nextChunk > nextChunk && slices < 200)
    nextChunk = outcome.nextChunk
  }
  assert.ok(bytesOf(target).equals(bytesOf(content)))
})

test('an aborted transfer waits no longer, in both directions', async () => {
  const { world, clock, content } = await limited(16)
  const calledOff = new AbortController()
  void clock.sleep(5 * SECOND_MS).then(() => calledOff.abort())
  const session = await world.newSession('s1')
  const uploaded = await world.uploadSlice({ content, session, snapshotId: 's1', signal: calledOff.signal })
  assert.is(uploaded.state, 'more')
  assert.is(clock.monotonicMs(), 5 * SECOND_MS)

  const other = await limited()
  const root = await other.world.backup(other.content, 's1')
  const restoring = new AbortController()
  const beganMs = other.clock.monotonicMs()
  void other.clock.sleep(5 * SECOND_MS).then(() => restoring.abort())
  const target = new MemoryDiskContent(VOLUME)
  const restored = await other.world.restoreSlice(target, root, { signal: restoring.signal })
  assert.is(restored.state, 'more')
  assert.is(other.clock.monotonicMs() - beganMs, 5 * SECOND_MS)
})

test('a store that fails ends a limited transfer at once', async () => {
  const { world, clock, store, content } = await limited(16)
  let puts = 0
  const put = store.putIfAbsent.bind(store)
  store.putIfAbsent = async (key, body) => {
    if (key.startsWith('packs/') && ++puts > 1) throw new Error('the store is gone')
    return await put(key, body)
  }
  const beganMs = clock.monotonicMs()
  await world.backup(content, 's1').then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, 'the store is gone'),
  )
  assert.ok(clock.monotonicMs() - beganMs < HOUR_MS)
})

test('waiters take turns, and one that gives up lets the next one pass', async () => {
  const clock = new IdleClock()
  const pacer = new Pacer(clock, 1000)
  const began: [string, number][] = []
  const never = new AbortController()
  const ask = (name: string, bytes: number, signal = never.signal) =>
    pacer.turn(() => {
      began.push([name, clock.monotonicMs()])
      pacer.charge(bytes)
      return name
    }, signal)
  const gaveUp = new AbortController()
  const answers = Promise.all([ask('a', 2000), ask('b', 1000, gaveUp.signal), ask('c', 500), ask('d', 1)])
  void clock.sleep(500).then(() => gaveUp.abort())
  assert.equal(await answers, ['a', undefined, 'c', 'd'])
  assert.equal(began, [
    ['a', 0],
    ['c', 2000],
    ['d', 2500],
  ])
})

test('a small limit moves in small pieces, a large one changes nothing', () => {
  const ample = budgetFor(384, 2, 512 * KiB)
  const small = pacedBudget(ample, { bytesPerSecond: MiB }, 512 * KiB)
  assert.is(small.packBytes, 4 * MiB)
  assert.is(small.batchBytes, MiB)
  assert.equal(pacedBudget(ample, { bytesPerSecond: 100 * MiB }, 512 * KiB), ample)
  assert.equal(pacedBudget(ample, undefined, 512 * KiB), ample)
  assert.is(pacedBudget(ample, { bytesPerSecond: KiB }, 512 * KiB).batchBytes, 512 * KiB)
})

test.run()
